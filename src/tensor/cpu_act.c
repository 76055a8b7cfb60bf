/* Activations, gated or not, and soft caps: element by element, in pieces that threads share. */
#include <math.h>

#include "tensor/cpu.h"
#include "tensor/cpu_math.h"

#define ROOT_2_PI  0.7978845608f /* sqrt(2 / pi) */
#define ROOT_HALF  0.7071067812f
#define GELU_CUBIC 0.044715f

/* The functions and their derivatives; `act` is a constant wherever they are inlined. */
INLINE float act_value(const enum act_kind act, float x)
{
    switch (act) {
    case ACT_SILU:
        return x * cpu_sigmoid(x);
    case ACT_GELU_TANH:
        return 0.5f * x * (1.0f + cpu_tanh(ROOT_2_PI * x * (1.0f + GELU_CUBIC * x * x)));
    case ACT_GELU_ERF:
        return 0.5f * x * (1.0f + cpu_erf(ROOT_HALF * x));
    case ACT_RELU:
        break;
    }
    return x > 0 ? x : 0;
}

INLINE float act_slope(const enum act_kind act, float x)
{
    switch (act) {
    case ACT_SILU: {
        float s = cpu_sigmoid(x);
        return s * (1.0f + x * (1.0f - s));
    }
    case ACT_GELU_TANH: {
        float t = cpu_tanh(ROOT_2_PI * x * (1.0f + GELU_CUBIC * x * x));
        float inner = ROOT_2_PI * (1.0f + 3.0f * GELU_CUBIC * x * x);
        return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner;
    }
    case ACT_GELU_ERF:
        return 0.5f * (1.0f + cpu_erf(ROOT_HALF * x)) +
               0.5f * ROOT_2_PI * x * cpu_exp(-0.5f * x * x);
    case ACT_RELU:
        break;
    }
    return x > 0 ? 1.0f : 0;
}

/* One piece, n elements. */
INLINE void piece(float *out, const enum act_kind act, const float *gate, const float *up, size_t n)
{
    if (up) {
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            out[i] = act_value(act, gate[i]) * up[i];
    } else {
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            out[i] = act_value(act, gate[i]);
    }
}

INLINE void piece_back(float *dgate, float *dup, const enum act_kind act, const float *dout,
                       const float *gate, const float *up, size_t n)
{
    if (up) {
#pragma omp simd
        for (size_t i = 0; i < n; i++) {
            float d = dout[i], g = gate[i], u = up[i];
            dgate[i] = d * u * act_slope(act, g);
            dup[i] = d * act_value(act, g);
        }
    } else {
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            dgate[i] = dout[i] * act_slope(act, gate[i]);
    }
}

void CPU(glu)(float *out, enum act_kind act, const float *gate, const float *up, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        const float *u = up ? up + p : NULL;
        size_t len = cpu_piece(p, n);
        switch (act) {
        case ACT_SILU:
            piece(out + p, ACT_SILU, gate + p, u, len);
            break;
        case ACT_GELU_TANH:
            piece(out + p, ACT_GELU_TANH, gate + p, u, len);
            break;
        case ACT_GELU_ERF:
            piece(out + p, ACT_GELU_ERF, gate + p, u, len);
            break;
        case ACT_RELU:
            piece(out + p, ACT_RELU, gate + p, u, len);
            break;
        }
    }
}

void CPU(glu_back)(float *dgate, float *dup, enum act_kind act, const float *dout,
                   const float *gate, const float *up, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        const float *u = up ? up + p : NULL;
        float *du = up ? dup + p : NULL;
        size_t len = cpu_piece(p, n);
        switch (act) {
        case ACT_SILU:
            piece_back(dgate + p, du, ACT_SILU, dout + p, gate + p, u, len);
            break;
        case ACT_GELU_TANH:
            piece_back(dgate + p, du, ACT_GELU_TANH, dout + p, gate + p, u, len);
            break;
        case ACT_GELU_ERF:
            piece_back(dgate + p, du, ACT_GELU_ERF, dout + p, gate + p, u, len);
            break;
        case ACT_RELU:
            piece_back(dgate + p, du, ACT_RELU, dout + p, gate + p, u, len);
            break;
        }
    }
}

void CPU(softcap)(float *z, size_t n, float cap)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = p + cpu_piece(p, n);
#pragma omp simd
        for (size_t i = p; i < end; i++)
            z[i] = cap * cpu_tanh(z[i] / cap);
    }
}

void CPU(softcap_back)(float *dz, const float *z, size_t n, float cap)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = p + cpu_piece(p, n);
#pragma omp simd
        for (size_t i = p; i < end; i++) {
            float t = z[i] / cap;
            dz[i] *= 1.0f - t * t;
        }
    }
}
