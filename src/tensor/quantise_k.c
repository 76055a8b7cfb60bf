/* ggml's blocks of 256 elements, Q2_K to Q6_K: eight or sixteen groups, each with an integer scale
 * (and minimum) of its own under one half-precision d (and dmin) of the block.
 *
 * A group first gets the real scale and minimum of least weighted error. These are then rounded to
 * integers, and the codes are chosen again for what was rounded. Sums are in f32 and in the order
 * of the elements, so that the bytes are those of ggml's reference.
 */
#include <math.h>
#include <string.h>

#include "tensor/quantise.h"

enum { SUPER = QUANTISE_SUPER, GROUPS_MOST = 16 };

/* Where bits of the codes lie: runs of `bytes` bytes from `at` on, of which each holds 8 / bits
 * elements, `bytes` elements apart. bits 0: none. */
struct plane {
    int at, bytes, bits, from; /* from: the code's lowest bit in it */
};

/* What is tried of a group's scale; see find_affine. */
struct trials {
    float first;
    int n;
    bool absolute; /* the error is |x - x'|, and weights are |x|; else its square, and |x| + rms */
};

struct super_type {
    enum dtype type;
    int group;    /* elements */
    int top;      /* codes 0..top; without a minimum -half..half-1 with half = (top + 1) / 2 */
    int levels;   /* of the scales: 0..levels, without a minimum -levels..levels-1 */
    bool minimum; /* a code stands for scale * code - min */
    /* The scale of a group x, and its minimum unless that is 0. */
    float (*find)(const struct super_type *k, const float *x, float *min);
    struct trials trials;
    struct plane planes[2];
    int d_at, dmin_at;
};

/* Half to even; NaN gives lo. */
static int nearest(float v, int lo, int hi)
{
    const float r = rintf(v);
    return !(r > (float)lo) ? lo : r < (float)hi ? (int)r : hi;
}

/* --- groups with a minimum --- */

static void weigh(const float *x, int n, const struct trials *t, float *weight)
{
    float square = 0;
    for (int i = 0; i < n && !t->absolute; i++)
        square += x[i] * x[i];
    const float rms = sqrtf(square / (float)n);
    for (int i = 0; i < n; i++)
        weight[i] = rms + fabsf(x[i]);
}

static float error_of(const float *x, const float *weight, const int *q, int n, float scale,
                      float lo, bool absolute)
{
    float sum = 0;
    for (int i = 0; i < n; i++) {
        const float d = scale * (float)q[i] + lo - x[i];
        sum += weight[i] * (absolute ? fabsf(d) : d * d);
    }
    return sum;
}

/* Weighted sums of a group's values and of the codes that are tried. */
struct sums {
    float w, x, l, ll, xl;
};

/* Scale and least value of least squares for given codes; the least value is not above 0. Whether
 * there are any. */
static bool refit(const struct sums *s, float *scale, float *lo)
{
    const float determinant = s->w * s->ll - s->l * s->l;
    if (!(determinant > 0))
        return false;
    *scale = (s->w * s->xl - s->x * s->l) / determinant;
    *lo = (s->ll * s->x - s->l * s->xl) / determinant;
    if (*lo > 0) {
        *lo = 0;
        *scale = s->xl / s->ll;
    }
    return true;
}

/* x ~ scale * code - min, min >= 0: codes from trial scales around top / (largest + min), each with
 * the scale and minimum refitted; the next trial starts from the minimum of the best. */
static float find_affine(const struct super_type *k, const float *x, float *min)
{
    float weight[32], lo = fminf(x[0], 0), hi = x[0];
    int q[32];
    struct sums s = {0};
    const int n = k->group;
    weigh(x, n, &k->trials, weight);
    for (int i = 0; i < n; i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
        s.w += weight[i];
        s.x += weight[i] * x[i];
    }
    *min = -lo;
    if (!(hi > lo))
        return 0;
    float scale = 1 / ((float)k->top / (hi - lo)), best = 0;
    for (int trial = -1; trial <= k->trials.n; trial++) {
        const float step = trial < 0 ? 0 : k->trials.first + 0.1f * (float)trial;
        const float inverse = (step + (float)k->top) / (hi - lo);
        float own = scale, least = lo;
        s.l = s.ll = s.xl = 0;
        for (int i = 0; i < n; i++) {
            q[i] = nearest(inverse * (x[i] - lo), 0, k->top);
            s.l += weight[i] * (float)q[i];
            s.ll += weight[i] * (float)q[i] * (float)q[i];
            s.xl += weight[i] * (float)q[i] * x[i];
        }
        if (trial >= 0 && !refit(&s, &own, &least))
            continue;
        const float error = error_of(x, weight, q, n, own, least, k->trials.absolute);
        if (trial < 0 || error < best) {
            best = error;
            scale = own;
            lo = least;
        }
    }
    *min = -lo;
    return scale;
}

/* --- groups without one --- */

static float largest(const float *x, int n)
{
    float most = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(most))
            most = x[i];
    return fabsf(most) < 1e-15f ? 0 : most;
}

/* Trial scales around -half / (the entry of largest magnitude); squared weights. */
static float find_by_trials(const struct super_type *k, const float *x, float *min)
{
    (void)min;
    const int n = k->group, half = (k->top + 1) / 2;
    const float most = largest(x, n);
    float scale = 0, best = 0;
    for (int trial = -10; most != 0 && trial <= 9; trial++) { /* the first is the middle one */
        const float inverse =
            trial < -9 ? (float)-half / most : -((float)half + 0.1f * (float)trial) / most;
        float xl = 0, ll = 0;
        if (!trial)
            continue;
        for (int i = 0; i < n; i++) {
            const float l = (float)nearest(inverse * x[i], -half, half - 1), w = x[i] * x[i];
            xl += w * x[i] * l;
            ll += w * l * l;
        }
        if (ll > 0 && (trial < -9 || xl * xl > best * ll)) {
            scale = xl / ll;
            best = scale * xl;
        }
    }
    return scale;
}

/* Codes for -half / (the entry of largest magnitude), of which each is moved to where the
 * least-squares scale of the others puts it as long as this lowers the error, five times at most.
 */
static float find_by_moves(const struct super_type *k, const float *x, float *min)
{
    (void)min;
    const int n = k->group, half = (k->top + 1) / 2;
    const float most = largest(x, n);
    float xl = 0, ll = 0;
    int q[16];
    bool moved = most != 0;
    for (int i = 0; moved && i < n; i++) {
        q[i] = nearest((float)-half / most * x[i], -half, half - 1);
        xl += x[i] * x[i] * x[i] * (float)q[i];
        ll += x[i] * x[i] * (float)q[i] * (float)q[i];
    }
    for (int pass = 0; moved && pass < 5; pass++) {
        moved = false;
        for (int i = 0; i < n; i++) {
            const float w = x[i] * x[i];
            float xl1 = xl - w * x[i] * (float)q[i], ll1 = ll - w * (float)q[i] * (float)q[i];
            const int l = xl1 > 0 ? nearest(x[i] * ll1 / xl1, -half, half - 1) : q[i];
            xl1 += w * x[i] * (float)l;
            ll1 += w * (float)l * (float)l;
            if (l == q[i] || !(ll1 > 0) || !(xl1 * xl1 * ll > xl * xl * ll1))
                continue;
            q[i] = l;
            xl = xl1;
            ll = ll1;
            moved = true;
        }
    }
    return ll > 0 ? xl / ll : 0;
}

/* --- a block --- */

static const struct super_type types[] = {
    {DT_Q2_K, 16, 3, 15, true, find_affine, {-0.5f, 15, true}, {{16, 32, 2, 0}}, 80, 82},
    {DT_Q3_K,
     16,
     7,
     32,
     false,
     find_by_moves,
     {0, 0, false},
     {{32, 32, 2, 0}, {0, 32, 1, 2}},
     108,
     0},
    {DT_Q4_K, 32, 15, 63, true, find_affine, {-1, 20, false}, {{16, 32, 4, 0}}, 0, 2},
    {DT_Q5_K,
     32,
     31,
     63,
     true,
     find_affine,
     {-0.5f, 15, false},
     {{48, 32, 4, 0}, {16, 32, 1, 4}},
     0,
     2},
    {DT_Q6_K,
     16,
     63,
     128,
     false,
     find_by_trials,
     {0, 0, false},
     {{0, 64, 4, 0}, {128, 32, 2, 4}},
     208,
     0},
};

struct super {
    float d, dmin; /* before they become halves */
    int scale[GROUPS_MOST], min[GROUPS_MOST];
    int q[SUPER];
};

static float as_half(float v)
{
    uint8_t bytes[2];
    dtype_from_f32(DT_F16, bytes, &v, 1);
    dtype_to_f32(DT_F16, &v, bytes, 1);
    return v;
}

/* Scales or minima as integers 0..levels; returns what one level stands for. */
static float level(const float *v, int n, int levels, int *out)
{
    float most = 0;
    for (int j = 0; j < n; j++)
        most = fmaxf(most, v[j]);
    for (int j = 0; j < n; j++)
        out[j] = most > 0 ? nearest((float)levels / most * v[j], 0, levels) : 0;
    return most > 0 ? most / (float)levels : 0;
}

static float level_signed(const float *v, int n, int levels, int *out)
{
    const float most = largest(v, n), inverse = most != 0 ? (float)-levels / most : 0;
    for (int j = 0; j < n; j++)
        out[j] = nearest(inverse * v[j], -levels, levels - 1);
    return most != 0 ? 1 / inverse : 0;
}

static void make_super(const struct super_type *k, const float *x, struct super *b)
{
    float scale[GROUPS_MOST], min[GROUPS_MOST] = {0};
    const int n = SUPER / k->group, half = (k->top + 1) / 2;
    const int lo = k->minimum ? 0 : -half, hi = k->minimum ? k->top : half - 1;
    for (int j = 0; j < n; j++)
        scale[j] = k->find(k, x + j * k->group, &min[j]);
    b->d = (k->minimum ? level : level_signed)(scale, n, k->levels, b->scale);
    b->dmin = level(min, n, k->levels, b->min);
    const float d = as_half(b->d), dmin = as_half(b->dmin);
    for (int i = 0; i < SUPER; i++) {
        const int j = i / k->group;
        const float step = d * (float)b->scale[j], least = dmin * (float)b->min[j];
        b->q[i] = step != 0 ? nearest((x[i] + least) / step, lo, hi) : lo;
    }
}

/* --- its bytes --- */

static void pack_codes(const struct super_type *k, const struct super *b, uint8_t *to)
{
    const int offset = k->minimum ? 0 : (k->top + 1) / 2;
    for (const struct plane *p = k->planes; p < k->planes + 2 && p->bits; p++) {
        const int run = p->bytes * 8 / p->bits;
        for (int i = 0; i < SUPER; i++) {
            const int bits = (b->q[i] + offset) >> p->from & ((1 << p->bits) - 1);
            to[p->at + p->bytes * (i / run) + i % p->bytes] |=
                (uint8_t)(bits << p->bits * (i % run / p->bytes));
        }
    }
}

/* Where the scales lie: see cpu_dequant.c, which reads them. */
static void pack_scales(enum dtype t, const struct super *b, uint8_t *to)
{
    const int *s = b->scale, *m = b->min;
    for (int j = 0; t == DT_Q2_K && j < 16; j++)
        to[j] = (uint8_t)(s[j] | m[j] << 4);
    for (int j = 0; t == DT_Q3_K && j < 16; j++) {
        to[96 + j % 8] |= (uint8_t)(((s[j] + 32) & 15) << j / 8 * 4);
        to[104 + j % 4] |= (uint8_t)((s[j] + 32) >> 4 << j / 4 * 2);
    }
    for (int j = 0; t == DT_Q6_K && j < 16; j++)
        to[192 + j] = (uint8_t)s[j];
    for (int j = 0; (t == DT_Q4_K || t == DT_Q5_K) && j < 4; j++) {
        to[4 + j] = (uint8_t)(s[j] | s[j + 4] >> 4 << 6);
        to[8 + j] = (uint8_t)(m[j] | m[j + 4] >> 4 << 6);
        to[12 + j] = (uint8_t)((s[j + 4] & 15) | (m[j + 4] & 15) << 4);
    }
}

float quantise_super(enum dtype t, const float *x, int *codes, uint8_t *to)
{
    const struct super_type *k = types;
    struct super b;
    while (k->type != t)
        k++;
    make_super(k, x, &b);
    if (codes)
        memcpy(codes, b.q, sizeof b.q);
    memset(to, 0, (size_t)dtype_info[t].bytes);
    if (!k->minimum && b.d == 0) /* zeros throughout */
        return 0;
    pack_codes(k, &b, to);
    pack_scales(t, &b, to);
    dtype_from_f32(DT_F16, to + k->d_at, &b.d, 1);
    if (k->minimum)
        dtype_from_f32(DT_F16, to + k->dmin_at, &b.dmin, 1);
    return b.d;
}
