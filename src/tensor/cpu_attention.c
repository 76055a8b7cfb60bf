/* Attention forward, tile by tile with an online softmax (arXiv 2205.14135): a tile of query rows
 * walks the key tiles that any of them sees, and holds for each row the running maximum m and sum
 * l. */
#include "tensor/cpu_math.h"
#include "tensor/cpu_tile.h"

/* Scratch of one thread, on its stack. */
struct scratch {
    float q[ROWS * OPS_MAX_HEAD]; /* scaled */
    float out[ROWS * OPS_MAX_HEAD];
    float kt[OPS_MAX_HEAD * KEYS]; /* keys transposed */
    float s[ROWS * KEYS];
    float hide[KEYS];
    float m[ROWS], l[ROWS];
} __attribute__((aligned(64)));

/* Scores of one row become exp(s - m), or 0 for keys outside its range; n is whole panels. Returns
 * the factor for what was summed before under the old maximum. */
static float row_softmax(float *s, const float *hide, struct key_range seen, int n, float *m,
                         float *l)
{
    float top = *m, sum = 0;

    for (int j = 0; j < seen.first; j++)
        s[j] = -INFINITY;
    for (int j = seen.end; j < n; j++)
        s[j] = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int j = 0; j < n; j++) {
        s[j] += hide[j];
        top = s[j] > top ? s[j] : top;
    }
    float shift = top == -INFINITY ? 0 : top; /* no key yet: every exp is 0 */
#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < n; j++) {
        s[j] = cpu_exp(s[j] - shift);
        sum += s[j];
    }
    float old = cpu_exp(*m - shift);
    *l = *l * old + sum;
    *m = top;
    return old;
}

static void row_softcap(float *s, int n, float cap)
{
#pragma omp simd
    for (int j = 0; j < n; j++)
        s[j] = cap * cpu_tanh(s[j] / cap);
}

/* Adds keys k0 .. k0 + n to the rows r0 .. r0 + rows. */
static void tile_forward(struct scratch *t, const struct kv_head *h, const float *k, const float *v,
                         int r0, int rows, int k0, int n)
{
    const int d = h->a->head_dim, wide = panels(n);
    const size_t at = h->k_at + (size_t)k0 * h->ldk;

    tile_transpose(t->kt, k + at, h->ldk, n, d);
    head_hide(h, t->hide, k0, n);
    tile_product(t->s, KEYS, (struct strided){t->q, d, 1}, t->kt, KEYS, rows, wide, d, false);
    for (int r = 0; r < rows; r++) {
        float *s = t->s + (size_t)r * KEYS, *out = t->out + (size_t)r * d;
        if (h->a->softcap > 0)
            row_softcap(s, wide, h->a->softcap);
        float old = row_softmax(s, t->hide, tile_keys(h, r0 + r, k0, n), wide, &t->m[r], &t->l[r]);
#pragma omp simd
        for (int i = 0; i < d; i++)
            out[i] *= old;
    }
    tile_product(t->out, d, (struct strided){t->s, KEYS, 1}, v + at, h->ldk, rows, d, n, true);
}

static void rows_forward(const struct kv_head *h, float *out, float *lse, const float *q,
                         const float *k, const float *v, int r0, int rows)
{
    const int d = h->a->head_dim;
    const int end = head_keys(h, r0 + rows - 1).end;
    struct scratch t;

    head_load(h, t.q, q, r0, rows, h->a->scale);
    memset(t.out, 0, sizeof *t.out * (size_t)rows * d);
    for (int r = 0; r < rows; r++) {
        t.m[r] = -INFINITY;
        t.l[r] = 0;
    }
    for (int k0 = head_keys(h, r0).first; k0 < end; k0 += KEYS)
        tile_forward(&t, h, k, v, r0, rows, k0, int_min(KEYS, end - k0));
    for (int r = 0; r < rows; r++) {
        size_t at = head_row(h, r0 + r);
        float inv = t.l[r] == 0 ? 0 : 1 / t.l[r];
        lse[at] = t.m[r] + logf(t.l[r]);
#pragma omp simd
        for (int i = 0; i < d; i++)
            out[at * d + i] = t.out[(size_t)r * d + i] * inv;
    }
}

void CPU(attention)(float *out, float *lse, const float *q, const float *k, const float *v,
                    const struct attn *a)
{
    const int group = a->heads / a->kv_heads;
    int tiles = 0;

    for (int s = 0; s < a->n_seqs; s++)
        tiles = int_max(tiles, (a->n_q[s] * group + ROWS - 1) / ROWS);
#pragma omp parallel for collapse(3) schedule(dynamic) if (attn_worth(a))
    for (int s = 0; s < a->n_seqs; s++) {
        for (int g = 0; g < a->kv_heads; g++) {
            /* The last rows have most keys: start with them. */
            for (int t = tiles - 1; t >= 0; t--) {
                struct kv_head h = head_of(a, s, g);
                int rows = int_min(ROWS, h.n_q * group - t * ROWS);
                if (rows > 0)
                    rows_forward(&h, out, lse, q, k, v, t * ROWS, rows);
            }
        }
    }
}

/* --- backward (arXiv 2307.08691, section 3.1.2): the probabilities are made again from lse,
 * tile by tile. One thread has one sequence and one key/value head, so dk and dv need no atomics
 * and every sum has one order. With p = exp(s - lse), delta = dout . out and dp = dout v^T: ds = p
 * (dp - delta),  dv = p^T dout,  dk = scale ds^T q,  dq = scale ds k. --- */

/* Scratch of one thread, on its stack. */
struct back_scratch {
    float q[ROWS * OPS_MAX_HEAD]; /* scaled */
    float dout[ROWS * OPS_MAX_HEAD];
    float dq[ROWS * OPS_MAX_HEAD];
    float kt[OPS_MAX_HEAD * KEYS], vt[OPS_MAX_HEAD * KEYS]; /* transposed */
    float s[ROWS * KEYS], ds[ROWS * KEYS];
    float hide[KEYS];
} __attribute__((aligned(64)));

/* The tensors of the call. */
struct grads {
    float *dq, *dk, *dv;
    const float *dout, *out, *lse, *q, *k, *v;
};

static float row_dot(const float *x, const float *y, int n)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* In: s = scores before the cap, ds = dp. Out: s = p, ds. */
static void row_back(float *s, float *ds, const float *hide, int n, float lse, float delta)
{
#pragma omp simd
    for (int j = 0; j < n; j++) {
        s[j] = cpu_exp(s[j] + hide[j] - lse);
        ds[j] = s[j] * (ds[j] - delta);
    }
}

static void row_back_capped(float *s, float *ds, const float *hide, int n, float lse, float delta,
                            float cap)
{
#pragma omp simd
    for (int j = 0; j < n; j++) {
        float t = cpu_tanh(s[j] / cap);
        s[j] = cpu_exp(cap * t + hide[j] - lse);
        ds[j] = s[j] * (ds[j] - delta) * (1.0f - t * t);
    }
}

/* One row of the tile; n is whole panels. Keys outside its range get no gradient. */
static void row_scores_back(struct back_scratch *t, const struct kv_head *h, const struct grads *x,
                            int r, struct key_range seen, size_t at, int n)
{
    const int d = h->a->head_dim;
    float *s = t->s + (size_t)r * KEYS, *ds = t->ds + (size_t)r * KEYS, lse = x->lse[at];
    float delta = row_dot(t->dout + (size_t)r * d, x->out + at * d, d);

    if (lse == -INFINITY)
        seen.end = 0;
    else if (h->a->softcap > 0)
        row_back_capped(s, ds, t->hide, n, lse, delta, h->a->softcap);
    else
        row_back(s, ds, t->hide, n, lse, delta);
    for (int j = 0; j < seen.first; j++)
        s[j] = ds[j] = 0;
    for (int j = seen.end; j < n; j++)
        s[j] = ds[j] = 0;
}

/* Rows r0 .. r0 + rows against the keys in t->kt, t->vt. */
static void tile_back(struct back_scratch *t, const struct kv_head *h, const struct grads *x,
                      int r0, int rows, int k0, int n)
{
    const int d = h->a->head_dim;
    const size_t at = h->k_at + (size_t)k0 * h->ldk;

    n = int_min(n, head_keys(h, r0 + rows - 1).end - k0); /* the range of the last row */
    const int wide = panels(n);
    head_load(h, t->q, x->q, r0, rows, h->a->scale);
    head_load(h, t->dout, x->dout, r0, rows, 1);
    tile_product(t->s, KEYS, (struct strided){t->q, d, 1}, t->kt, KEYS, rows, wide, d, false);
    tile_product(t->ds, KEYS, (struct strided){t->dout, d, 1}, t->vt, KEYS, rows, wide, d, false);
    for (int r = 0; r < rows; r++)
        row_scores_back(t, h, x, r, tile_keys(h, r0 + r, k0, n), head_row(h, r0 + r), wide);
    tile_product(x->dv + at, h->ldk, (struct strided){t->s, 1, KEYS}, t->dout, d, n, d, rows, true);
    tile_product(x->dk + at, h->ldk, (struct strided){t->ds, 1, KEYS}, t->q, d, n, d, rows, true);
    tile_product(t->dq, d, (struct strided){t->ds, KEYS, 1}, x->k + at, h->ldk, rows, d, n, false);
    for (int r = 0; r < rows; r++) {
        float *dq = x->dq + head_row(h, r0 + r) * d, *from = t->dq + (size_t)r * d;
#pragma omp simd
        for (int i = 0; i < d; i++)
            dq[i] += h->a->scale * from[i];
    }
}

static void head_zero(const struct kv_head *h, const struct grads *x)
{
    const size_t bytes = sizeof(float) * (size_t)h->a->head_dim;

    for (int r = 0; r < h->n_q * h->group; r++)
        memset(x->dq + head_row(h, r) * h->a->head_dim, 0, bytes);
    for (int j = 0; j < h->n_k; j++) {
        memset(x->dk + h->k_at + (size_t)j * h->ldk, 0, bytes);
        memset(x->dv + h->k_at + (size_t)j * h->ldk, 0, bytes);
    }
}

static void head_back(const struct kv_head *h, const struct grads *x)
{
    const int first_pos = h->n_k - h->n_q; /* position of the first query */
    struct back_scratch t;

    head_zero(h, x);
    for (int k0 = 0; k0 < h->n_k; k0 += KEYS) {
        int n = int_min(KEYS, h->n_k - k0);
        size_t at = h->k_at + (size_t)k0 * h->ldk;
        /* The queries that attend to any of these keys. */
        int first = int_max(k0 - first_pos, 0), end = h->n_q;
        if (h->a->window)
            end = int_min(end, k0 + n - 1 + h->a->window - first_pos);
        tile_transpose(t.kt, x->k + at, h->ldk, n, h->a->head_dim);
        tile_transpose(t.vt, x->v + at, h->ldk, n, h->a->head_dim);
        head_hide(h, t.hide, k0, n);
        for (int r = first * h->group; r < end * h->group; r += ROWS)
            tile_back(&t, h, x, r, int_min(ROWS, end * h->group - r), k0, n);
    }
}

void CPU(attention_back)(float *dq, float *dk, float *dv, const float *dout, const float *out,
                         const float *lse, const float *q, const float *k, const float *v,
                         const struct attn *a)
{
    const struct grads x = {dq, dk, dv, dout, out, lse, q, k, v};

#pragma omp parallel for collapse(2) schedule(dynamic) if (attn_worth(a))
    for (int s = 0; s < a->n_seqs; s++) {
        for (int g = 0; g < a->kv_heads; g++) {
            struct kv_head h = head_of(a, s, g);
            head_back(&h, &x);
        }
    }
}
