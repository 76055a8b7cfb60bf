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
static void tile_forward(struct scratch *t, const struct head *h, const float *k, const float *v,
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

static void rows_forward(const struct head *h, float *out, float *lse, const float *q,
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
                struct head h = head_of(a, s, g);
                int rows = int_min(ROWS, h.n_q * group - t * ROWS);
                if (rows > 0)
                    rows_forward(&h, out, lse, q, k, v, t * ROWS, rows);
            }
        }
    }
}
