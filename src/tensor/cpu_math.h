/* exp, the logistic function, tanh and erf in f32, written so that the compiler can put them into
 * vector loops. They are within 2 units in the last place and right at the infinities and for NaN.
 */
#ifndef TENSOR_CPU_MATH_H
#define TENSOR_CPU_MATH_H

#include <math.h>
#include <stdint.h>

union cpu_bits {
    float f;
    uint32_t u;
};

/* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; exp(r) by its series up to r^7.
 * Results below the smallest normal number are 0. */
static inline float cpu_exp(float x)
{
    const float round = 0x1.8p23f; /* adding it leaves the rounded integer in the low bits */
    union cpu_bits t = {.f = x * 0x1.715476p0f + round};
    float n = t.f - round;
    float r =
        (x - n * 0x1.62ep-1f) - n * 0x1.0bfbe8p-15f; /* ln 2 in two parts; n * the first is exact */
    float p = 1.0f / 5040;

    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r * r + r;

    union cpu_bits y = {.f = p + 1.0f};
    y.u += t.u << 23; /* times 2^n: only the low bits of t, which hold n, stay in the word */
    float e = x < -87.33f ? 0.0f : y.f;
    e = x > 88.72283f ? INFINITY : e;
    return x == x ? e : x;
}

static inline float cpu_sigmoid(float x)
{
    return 1.0f / (1.0f + cpu_exp(-x));
}

/* Lambert's continued fraction near 0, where 1 - 2/(exp(2x)+1) would cancel. */
static inline float cpu_tanh(float x)
{
    float z = x * x;
    float top = ((z + 378.0f) * z + 17325.0f) * z + 135135.0f;
    float low = ((28.0f * z + 3150.0f) * z + 62370.0f) * z + 135135.0f;
    float far = 1.0f - 2.0f / (cpu_exp(2.0f * x) + 1.0f);

    return z < 1.0f ? x * (top / low) : far;
}

/* Up to 1, x times a polynomial in x^2; beyond, 1 - exp(-x^2) times one in t = 2 / (2 + |x|). Both
 * are Chebyshev fits, to 4e-11 and 2e-9. */
static inline float cpu_erf(float x)
{
    const float near[] = {1.12837923f,    -0.376126379f,    0.112837829f,    -0.0268654376f,
                          0.00522105349f, -0.000848439639f, 0.000112682537f, -9.67359319e-06f};
    const float tail[] = {-6.71849134e-06f, 0.282263062f,  0.280336702f,
                          0.256674596f,     0.145350119f,  0.132256315f,
                          -0.00953103223f,  -0.160354982f, 0.0733868652f};
    float z = x * x, a = fabsf(x), t = 2.0f / (2.0f + a), p = near[7], q = tail[8];

    for (int i = 6; i >= 0; i--)
        p = p * z + near[i];
    for (int i = 7; i >= 0; i--)
        q = q * t + tail[i];
    return z < 1.0f ? x * p : copysignf(1.0f - cpu_exp(-z) * q, x);
}

#endif
