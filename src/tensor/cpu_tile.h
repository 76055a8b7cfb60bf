/* Shared by attention forward and backward: a tile of query rows, a tile of keys, and the product
 * of small matrices that stay in cache.
 *
 * A query row is one (position, head) pair of the heads that share a key/value head, positions
 * first, so a tile of rows reads its keys once for the whole group, in training and in generation
 * alike.
 */
#ifndef TENSOR_CPU_TILE_H
#define TENSOR_CPU_TILE_H

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/sizes.h"
#include "tensor/cpu.h"

enum { PANEL = 2 * LANES }; /* columns of the kernel */

/* Of one tile: ROWS suits the 6 rows of the kernel below, KEYS are whole panels. */
enum { ROWS = SIZE(48, 7), KEYS = SIZE(64, PANEL) };

static inline int int_min(int a, int b)
{
    return a < b ? a : b;
}

static inline int int_max(int a, int b)
{
    return a > b ? a : b;
}

/* n columns as whole panels. */
static inline int panels(int n)
{
    return (n + PANEL - 1) / PANEL * PANEL;
}

/* A matrix whose element (i, l) is at p[i * row + l * col]. */
struct strided {
    const float *p;
    size_t row, col;
};

/* c[rows, 2 vectors] (+)= a[rows, k] b[k, 2 vectors]; `rows` is a constant wherever this is
 * inlined, so that the sums stay in registers. */
INLINE void tile_kernel(float *c, size_t ldc, struct strided a, const float *b, size_t ldb, int k,
                        bool add, const int rows)
{
    vec sum[6][2] = {0};

    for (int l = 0; l < k; l++) {
        vec b0 = *(const vec *)(b + (size_t)l * ldb);
        vec b1 = *(const vec *)(b + (size_t)l * ldb + LANES);
        for (int i = 0; i < rows; i++) {
            float x = a.p[(size_t)i * a.row + (size_t)l * a.col];
            sum[i][0] += x * b0;
            sum[i][1] += x * b1;
        }
    }
    for (int i = 0; i < rows; i++) {
        vec *out = (vec *)(c + (size_t)i * ldc);
        for (int j = 0; j < 2; j++)
            if (add)
                out[j] += sum[i][j];
            else
                out[j] = sum[i][j];
    }
}

/* The last columns, fewer than a panel. */
static inline void tile_columns(float *c, size_t ldc, struct strided a, const float *b, size_t ldb,
                                int m, int n, int k, bool add)
{
    for (int i = 0; i < m; i++) {
        float sum[PANEL] = {0};
        for (int l = 0; l < k; l++) {
            float x = a.p[(size_t)i * a.row + (size_t)l * a.col];
            for (int j = 0; j < n; j++)
                sum[j] += x * b[(size_t)l * ldb + j];
        }
        for (int j = 0; j < n; j++)
            c[(size_t)i * ldc + j] = add ? c[(size_t)i * ldc + j] + sum[j] : sum[j];
    }
}

/* c[m,n] = a[m,k] b[k,n], or += if add; rows of b and c are contiguous, a has any strides. */
static inline void tile_product(float *c, size_t ldc, struct strided a, const float *b, size_t ldb,
                                int m, int n, int k, bool add)
{
    int j = 0;

    for (; j + PANEL <= n; j += PANEL) {
        struct strided ai = a;
        float *ci = c + j;
        int i = m;
        for (; i >= 6; i -= 6, ai.p += 6 * a.row, ci += 6 * ldc)
            tile_kernel(ci, ldc, ai, b + j, ldb, k, add, 6);
        if (i >= 3) {
            tile_kernel(ci, ldc, ai, b + j, ldb, k, add, 3);
            i -= 3, ai.p += 3 * a.row, ci += 3 * ldc;
        }
        if (i == 2)
            tile_kernel(ci, ldc, ai, b + j, ldb, k, add, 2);
        if (i == 1)
            tile_kernel(ci, ldc, ai, b + j, ldb, k, add, 1);
    }
    if (j < n)
        tile_columns(c + j, ldc, a, b + j, ldb, m, n - j, k, add);
}

typedef float vec4 __attribute__((vector_size(16), aligned(4), may_alias));

/* t[4, KEYS] = the transpose of 4 x 4 numbers of x. */
INLINE void transpose_4x4(float *t, const float *x, size_t ldx)
{
    vec4 a = *(const vec4 *)x, b = *(const vec4 *)(x + ldx);
    vec4 c = *(const vec4 *)(x + 2 * ldx), d = *(const vec4 *)(x + 3 * ldx);
    vec4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
         cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);

    *(vec4 *)t = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(vec4 *)(t + KEYS) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    ab = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(vec4 *)(t + 2 * KEYS) = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(vec4 *)(t + 3 * KEYS) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

/* t[d, KEYS] = the transpose of n rows of x; the columns from n up to a whole panel become 0. */
static inline void tile_transpose(float *t, const float *x, size_t ldx, int n, int d)
{
    const int n4 = n / 4 * 4, d4 = d / 4 * 4, wide = panels(n);

    for (int j = 0; j < n4; j += 4)
        for (int i = 0; i < d4; i += 4)
            transpose_4x4(t + (size_t)i * KEYS + j, x + (size_t)j * ldx + i, ldx);
    for (int i = 0; i < d; i++) {
        for (int j = i < d4 ? n4 : 0; j < n; j++)
            t[(size_t)i * KEYS + j] = x[(size_t)j * ldx + i];
        for (int j = n; j < wide; j++)
            t[(size_t)i * KEYS + j] = 0;
    }
}

/* One sequence and one key/value head: positions of its rows and their visible keys. */
struct kv_head {
    const struct attn *a;
    int g;        /* key/value head */
    int group;    /* query heads that share it */
    int n_q, n_k; /* positions */
    size_t q_row; /* first q row of the sequence */
    size_t k_row; /* first k row */
    size_t ldk;   /* floats from one k row to the next: G D */
    size_t k_at;  /* offset of the first k in k and v */
};

static inline struct kv_head head_of(const struct attn *a, int s, int g)
{
    struct kv_head h = {
        .a = a, .g = g, .group = a->heads / a->kv_heads, .n_q = a->n_q[s], .n_k = a->n_k[s]};

    h.q_row = (size_t)a->q_start[s];
    h.k_row = (size_t)a->k_start[s];
    h.ldk = (size_t)a->kv_heads * a->head_dim;
    h.k_at = h.k_row * h.ldk + (size_t)g * a->head_dim;
    return h;
}

/* Index in lse of query row r; times D it is the offset in q and out. */
static inline size_t head_row(const struct kv_head *h, int r)
{
    return (h->q_row + (size_t)(r / h->group)) * h->a->heads + (size_t)h->g * h->group +
           r % h->group;
}

/* Query row r attends to the keys first <= key < end, unless they are masked. */
struct key_range {
    int first, end;
};

static inline struct key_range head_keys(const struct kv_head *h, int r)
{
    int end = h->n_k - h->n_q + r / h->group + 1;

    return (struct key_range){h->a->window && end > h->a->window ? end - h->a->window : 0, end};
}

/* The same, counted from key k0 of a tile of n. */
static inline struct key_range tile_keys(const struct kv_head *h, int r, int k0, int n)
{
    struct key_range s = head_keys(h, r);

    return (struct key_range){int_min(int_max(s.first - k0, 0), n),
                              int_min(int_max(s.end - k0, 0), n)};
}

/* hide[j] = 0, or -inf where key k0 + j is masked. */
static inline void head_hide(const struct kv_head *h, float *hide, int k0, int n)
{
    memset(hide, 0, sizeof *hide * KEYS);
    if (h->a->key_mask)
        for (int j = 0; j < n; j++)
            hide[j] = h->a->key_mask[h->k_row + (size_t)(k0 + j)] ? 0.0f : -INFINITY;
}

/* n rows from r0 of x [Nq,H,D], times f, into t[n, D]. */
static inline void head_load(const struct kv_head *h, float *t, const float *x, int r0, int n,
                             float f)
{
    const int d = h->a->head_dim;

    for (int r = 0; r < n; r++) {
        const float *row = x + head_row(h, r0 + r) * d;
#pragma omp simd
        for (int i = 0; i < d; i++)
            t[(size_t)r * d + i] = f * row[i];
    }
}

/* Whether the work justifies several threads. */
static inline bool attn_worth(const struct attn *a)
{
    size_t scores = 0;

    for (int s = 0; s < a->n_seqs; s++)
        scores += (size_t)a->n_q[s] * a->n_k[s];
    return scores * a->heads * a->head_dim > SIZE(1 << 18, 4);
}

#endif
