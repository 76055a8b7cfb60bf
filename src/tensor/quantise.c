#include "tensor/quantise.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BOOK_BLOCK = 64, GGML_BLOCK = 32 };

/* bitsandbytes' code books: quantiles of a normal distribution, and 4-bit floats. */
static const float nf4_book[16] = {-1,
                                   -.6961928009986877f,
                                   -.5250730514526367f,
                                   -.39491748809814453f,
                                   -.28444138169288635f,
                                   -.18477343022823334f,
                                   -.09105003625154495f,
                                   0,
                                   .07958029955625534f,
                                   .16093020141124725f,
                                   .24611230194568634f,
                                   .33791524171829224f,
                                   .44070982933044434f,
                                   .5626170039176941f,
                                   .7229568362236023f,
                                   1};
static const float fp4_book[16] = {
    0, .0625f / 12,  8.f / 12,  1,  4.f / 12,  6.f / 12,  2.f / 12,  3.f / 12,
    0, -.0625f / 12, -8.f / 12, -1, -4.f / 12, -6.f / 12, -2.f / 12, -3.f / 12};

/* --- names --- */

/* The options after the colon: tensor, row, group=N, asym, sym; of gptq also order and fresh. */
static int parse_option(struct quantise *q, const char *word, size_t n, struct err *e)
{
    char text[24];
    if (n >= sizeof text)
        n = sizeof text - 1;
    memcpy(text, word, n);
    text[n] = 0;
    char *end = NULL;
    if (!strcmp(text, "tensor"))
        q->scope = SCOPE_TENSOR;
    else if (!strcmp(text, "row"))
        q->scope = SCOPE_ROW;
    else if (!strncmp(text, "group=", 6)) {
        const long g = strtol(text + 6, &end, 10);
        if (*end || end == text + 6 || g < 2 || g > 65536)
            return err_about(e, "types", "'%s': a group has 2 to 65536 elements", text);
        q->scope = SCOPE_GROUP;
        q->group = (int)g;
    } else if (!strcmp(text, "asym") || !strcmp(text, "sym"))
        q->asymmetric = *text == 'a';
    else if (q->kind == QUANTISE_GPTQ && !strcmp(text, "order"))
        q->act_order = true;
    else if (q->kind == QUANTISE_GPTQ && !strcmp(text, "fresh"))
        q->fresh = true;
    else
        return err_about(e, "types", "'%s' is none of tensor, row, group=N, sym and asym%s", text,
                         q->kind == QUANTISE_GPTQ ? ", order and fresh" : "");
    return q->kind == QUANTISE_GPTQ && q->scope == SCOPE_TENSOR
               ? err_about(e, "types", "'%s': gptq has a scale for each row or group=N", text)
               : 0;
}

/* int or gptq, the bits, which gptq may lack, and options. */
static int parse_bits(struct quantise *q, const char *text, struct err *e)
{
    const bool gptq = q->kind == QUANTISE_GPTQ;
    const char *number = text + (gptq ? 4 : 3);
    char *end = NULL;
    long bits = strtol(number, &end, 10);
    if (gptq && end == number)
        bits = 4;
    else if (end == number)
        bits = 0;
    if (bits < 2 || bits > 8 || (*end && *end != ':'))
        return err_about(e, "types", "'%s': %s2 to %s8, then :row or :group=N, and ,asym%s", text,
                         gptq ? "gptq" : "int", gptq ? "gptq" : "int",
                         gptq ? "; gptq also ,order and ,fresh" : "; int also :tensor");
    q->bits = (int)bits;
    q->scope = SCOPE_ROW;
    while (*end) {
        const char *word = end + 1;
        const size_t n = strcspn(word, ",");
        if (parse_option(q, word, n, e))
            return -1;
        end = (char *)word + n;
    }
    return 0;
}

int quantise_parse(struct quantise *q, const char *text, struct err *e)
{
    static const enum dtype blocks[] = {DT_Q8_0, DT_Q5_1, DT_Q5_0, DT_Q4_1, DT_Q4_0,
                                        DT_Q2_K, DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K};
    *q = (struct quantise){0};
    snprintf(q->name, sizeof q->name, "%s", text);
    if (!strncasecmp(text, "gptq", 4))
        q->kind = QUANTISE_GPTQ;
    if (q->kind == QUANTISE_GPTQ || !strncasecmp(text, "int", 3))
        return parse_bits(q, text, e);
    if (!strcasecmp(text, "nf4") || !strcasecmp(text, "fp4")) {
        q->kind = QUANTISE_BOOK;
        q->book = tolower((unsigned char)*text) == 'n' ? nf4_book : fp4_book;
        return 0;
    }
    q->kind = QUANTISE_GGML;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (!strcasecmp(text, dtype_info[blocks[i]].name)) {
            q->dtype = blocks[i];
            return 0;
        }
    return err_about(e, "types",
                     "unknown quantisation '%s': int2 to int8, gptq2 to gptq8, nf4, fp4, q8_0, "
                     "q5_1, q5_0, q4_1, q4_0 or q2_k to q6_k",
                     text);
}

int quantise_fits(const struct quantise *q, size_t cols, struct err *e)
{
    const size_t block = q->kind == QUANTISE_GGML  ? GGML_BLOCK /* the least */
                         : q->scope == SCOPE_GROUP ? (size_t)q->group
                                                   : 1;
    return cols % block ? err_about(e, "types", "%s: rows of %zu are no multiple of %zu", q->name,
                                    cols, block)
                        : 0;
}

enum dtype quantise_type_for(enum dtype t, size_t cols)
{
    static const enum dtype of_32[DT_COUNT] = {[DT_Q2_K] = DT_Q4_0,
                                               [DT_Q3_K] = DT_Q4_0,
                                               [DT_Q4_K] = DT_Q5_0,
                                               [DT_Q5_K] = DT_Q5_1,
                                               [DT_Q6_K] = DT_Q8_0};
    if (cols % (size_t)dtype_info[t].block && of_32[t])
        t = of_32[t];
    return cols % (size_t)dtype_info[t].block ? DT_F16 : t;
}

/* Consecutive elements that share a scale. */
static size_t run_length(const struct quantise *q, size_t rows, size_t cols)
{
    if (q->kind == QUANTISE_BOOK)
        return BOOK_BLOCK;
    if (q->kind == QUANTISE_GGML)
        return (size_t)dtype_info[quantise_type_for(q->dtype, cols)].block;
    return q->scope == SCOPE_TENSOR ? rows * cols : q->scope == SCOPE_ROW ? cols : (size_t)q->group;
}

size_t quantise_scales(const struct quantise *q, size_t rows, size_t cols)
{
    const size_t run = run_length(q, rows, cols);
    return run ? (rows * cols + run - 1) / run : 0;
}

/* --- a run of n elements with one scale --- */

struct run_out {
    int *codes;    /* [n] or NULL */
    float *values; /* [n] or NULL */
    float scale;
    int zero;
};

static float clip(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static void put(struct run_out *o, size_t i, int code, float value)
{
    if (o->codes)
        o->codes[i] = code;
    if (o->values)
        o->values[i] = value;
}

/* As torch.fake_quantize: half to even, the zero point an integer. */
static void run_int(const struct quantise *q, const float *w, size_t n, struct run_out *o)
{
    float lo = 0, hi = 0;
    for (size_t i = 0; i < n; i++) {
        lo = fminf(lo, w[i]);
        hi = fmaxf(hi, w[i]);
    }
    const int top = (1 << (q->asymmetric ? q->bits : q->bits - 1)) - 1;
    const float s = q->asymmetric ? (hi - lo) / (float)top : fmaxf(hi, -lo) / (float)top;
    const float z = q->asymmetric && s > 0 ? rintf(-lo / s) : 0;
    o->scale = s;
    o->zero = (int)z;
    for (size_t i = 0; i < n; i++) {
        const float code =
            s > 0 ? clip(rintf(w[i] / s) + z, q->asymmetric ? 0 : (float)-top, (float)top) : z;
        put(o, i, (int)code, s * (code - z));
    }
}

static void run_book(const struct quantise *q, const float *w, size_t n, struct run_out *o)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(w[i]));
    const float inverse = most > 0 ? 1 / most : 0;
    o->scale = most;
    for (size_t i = 0; i < n; i++) {
        const float x = w[i] * inverse;
        int best = 0;
        for (int c = 1; c < 16; c++)
            if (fabsf(x - q->book[c]) < fabsf(x - q->book[best]))
                best = c;
        put(o, i, best, q->book[best] * most);
    }
}

/* --- ggml's blocks of 32 --- */

struct block {
    float d, m; /* before they become halves */
    int q[GGML_BLOCK];
};

/* d = max|x| / 127; half away from zero. */
static void block_q8_0(struct block *b, const float *x)
{
    float top = 0;
    for (int i = 0; i < GGML_BLOCK; i++)
        top = fmaxf(top, fabsf(x[i]));
    b->d = top / 127;
    const float inverse = isfinite(1 / b->d) ? 1 / b->d : 0;
    for (int i = 0; i < GGML_BLOCK; i++)
        b->q[i] = (int)roundf(x[i] * inverse);
}

/* The entry of largest magnitude, with its sign, becomes -half; codes are offset by half. */
static void block_signed(struct block *b, const float *x, int half)
{
    float most = 0;
    for (int i = 0; i < GGML_BLOCK; i++)
        if (fabsf(x[i]) > fabsf(most))
            most = x[i];
    b->d = most / (float)-half;
    const float inverse = b->d != 0 ? 1 / b->d : 0;
    for (int i = 0; i < GGML_BLOCK; i++) {
        const int q = (int)(x[i] * inverse + (float)half + 0.5f);
        b->q[i] = q < 2 * half - 1 ? q : 2 * half - 1;
    }
}

/* From the least entry upwards in `top` steps. */
static void block_from_least(struct block *b, const float *x, int top)
{
    float lo = x[0], hi = x[0];
    for (int i = 1; i < GGML_BLOCK; i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
    }
    b->d = (hi - lo) / (float)top;
    b->m = lo;
    const float inverse = b->d != 0 ? 1 / b->d : 0;
    for (int i = 0; i < GGML_BLOCK; i++) {
        const int q = (int)((x[i] - lo) * inverse + 0.5f);
        b->q[i] = q < top ? q : top;
    }
}

static void make_block(enum dtype t, struct block *b, const float *x)
{
    switch (t) {
    case DT_Q8_0:
        block_q8_0(b, x);
        break;
    case DT_Q4_0:
        block_signed(b, x, 8);
        break;
    case DT_Q5_0:
        block_signed(b, x, 16);
        break;
    case DT_Q4_1:
        block_from_least(b, x, 15);
        break;
    case DT_Q5_1:
        block_from_least(b, x, 31);
        break;
    default:
        BUG_ON("no type of blocks");
    }
}

static uint8_t *put_half(uint8_t *at, float v)
{
    dtype_from_f32(DT_F16, at, &v, 1);
    return at + 2;
}

/* Scale, minimum, fifth bits, then nibbles: the first half of the block in the low ones. */
static void pack_block(enum dtype t, const struct block *b, uint8_t *at)
{
    at = put_half(at, b->d);
    if (t == DT_Q8_0) {
        for (int i = 0; i < GGML_BLOCK; i++)
            at[i] = (uint8_t)b->q[i];
        return;
    }
    if (t == DT_Q4_1 || t == DT_Q5_1)
        at = put_half(at, b->m);
    if (t == DT_Q5_0 || t == DT_Q5_1) {
        uint32_t fifth = 0;
        for (int i = 0; i < GGML_BLOCK; i++)
            fifth |= (uint32_t)(b->q[i] >> 4 & 1) << i;
        memcpy(at, &fifth, sizeof fifth);
        at += sizeof fifth;
    }
    for (int i = 0; i < GGML_BLOCK / 2; i++)
        at[i] = (uint8_t)((b->q[i] & 15) | (b->q[i + GGML_BLOCK / 2] & 15) << 4);
}

void quantise_ggml(enum dtype t, uint8_t *dst, const float *src, size_t n)
{
    const size_t block = (size_t)dtype_info[t].block;
    for (; n; n -= block, src += block, dst += dtype_info[t].bytes) {
        struct block b = {0};
        if (block == QUANTISE_SUPER) {
            quantise_super(t, src, NULL, dst);
            continue;
        }
        make_block(t, &b, src);
        pack_block(t, &b, dst);
    }
}

static void run_ggml(enum dtype t, const float *w, struct run_out *o)
{
    uint8_t bytes[QUANTISE_SUPER];
    struct block b = {0};
    if (dtype_info[t].block == QUANTISE_SUPER) {
        o->scale = quantise_super(t, w, o->codes, bytes);
    } else {
        make_block(t, &b, w);
        pack_block(t, &b, bytes);
        o->scale = b.d;
        if (o->codes)
            memcpy(o->codes, b.q, sizeof b.q);
    }
    if (o->values)
        dtype_to_f32(t, o->values, bytes, (size_t)dtype_info[t].block);
}

void quantise_apply(const struct quantise *q, const float *w, size_t rows, size_t cols, int *codes,
                    float *scale, int *zero, float *values)
{
    const size_t n = rows * cols, run = run_length(q, rows, cols);
#pragma omp parallel for schedule(static)
    for (size_t at = 0; at < n; at += run) {
        const size_t len = n - at < run ? n - at : run;
        struct run_out o = {.codes = codes ? codes + at : NULL,
                            .values = values ? values + at : NULL};
        if (q->kind == QUANTISE_INT)
            run_int(q, w + at, len, &o);
        else if (q->kind == QUANTISE_BOOK)
            run_book(q, w + at, len, &o);
        else
            run_ggml(quantise_type_for(q->dtype, cols), w + at, &o);
        if (scale)
            scale[at / run] = o.scale;
        if (zero)
            zero[at / run] = o.zero;
    }
}
