/* The operations of a decoder, as a table of functions that each device implements. The model is
 * written once against it, forward and backward. No operation on numbers allocates or retains a
 * pointer.
 *
 * `device float *` is device memory: weights, gradients, optimiser states, activations, rows of
 * logits. Outside of tensor/ it is passed to operations and offset, never dereferenced and never
 * given to a function of C's library; tools/lint compiles everything with DEVICE_CHECK, where clang
 * reports that. A plain `float *` is the host's memory, and so are all ints and masks: per-row
 * statistics (log-probabilities and their gradients, metrics), numbers from and for files, and
 * what `map` gives. Code that is not worth an operation of its own runs on the host over mapped
 * memory: terms on logits and hidden states, sampling, optimisers other than AdamW and SGD,
 * initial weights. On the CPU mapping costs nothing.
 *
 * All tensors are f32, row-major, contiguous; but weights that do not move may stay in the type of
 * their file (struct stored). Letters: N packed tokens, C width, H query heads, G
 * key/value heads, D head width, F feed-forward width, V vocabulary, R rows of logits. A weight is
 * [out, in] as in HF checkpoints. Functions named *_back add to their d... outputs (+=) unless
 * documented otherwise. Same inputs and thread count give the same bits; sums over rows are split
 * by column, never raced.
 */
#ifndef TENSOR_OPS_H
#define TENSOR_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/sizes.h"
#include "tensor/dtype.h"

#ifdef DEVICE_CHECK
#define device __attribute__((noderef, address_space(1)))
#else
#define device
#endif

/* Causal grouped-query attention over S sequences. Query row j of sequence s is q row q_start[s] +
 * j at key position n_k[s] - n_q[s] + j; it attends to the keys 0..that position of its
 * sequence (k/v rows k_start[s]...), at most `window` back (itself included; 0: no limit), that
 * have mask 1. A query without keys gives zeros and lse -inf. Training has n_q = n_k;
 * generation n_q = 1. D is at most OPS_MAX_HEAD. Masked k and v rows must still hold finite
 * numbers. */
#define OPS_MAX_HEAD 256
struct attn {
    int n_seqs;
    const int *q_start, *n_q, *k_start, *n_k; /* [S] */
    const uint8_t *key_mask;                  /* by k row; NULL: all 1 */
    int heads, kv_heads, head_dim;            /* H, G, D */
    float scale;                              /* logits = scale * q.k */
    int window;
    float softcap; /* s -> cap tanh(s/cap); 0: none */
};

/* x / (1 + exp(-x)); x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); x/2 (1 + erf(x / sqrt(2)));
 * max(x, 0). arXiv 1606.08415 */
enum act_kind { ACT_SILU, ACT_GELU_TANH, ACT_GELU_ERF, ACT_RELU };

struct adamw {
    double lr, beta1, beta2, eps, decay; /* decay: weight_decay, or 0 for this tensor */
    long step;                           /* 1-based, for bias correction */
};

/* Element i draws number first + i of stream `key`: the same again in the backward. */
struct dropout {
    double share;
    uint64_t key, first;
};

/* A weight [out, in] in a type that stays (dtype_stays), rows of whole blocks, of any alignment;
 * and scratch memory for parts of it in f32, [STORED_ROOM], of which products of many rows make
 * use.
 */
#define STORED_ROOM SIZE(1 << 20, 4 * 256)
struct stored {
    enum dtype type;
    const device void *x;
    device float *room;
};

/* Where element `first` is, at the start of a block. */
static inline const device void *stored_at(const struct stored *w, size_t first)
{
    const struct dtype_info *t = &dtype_info[w->type];
    return (const device char *)w->x + first / (size_t)t->block * (size_t)t->bytes;
}

/* Gradients G_q [o,i] = sum of s_t x_t^T over tokens start[q] .. start[q+1] - 1 of a linear map
 * with inputs x [n,i] and output gradients s [n,o]; `room`: scratch of outer_room(i) floats. */
enum { OUTER_SEQS = SIZE(16, 3), OUTER_ROOM = SIZE(1 << 20, 48) };
struct outer {
    const device float *s, *x;
    const int *start;
    int n_seqs, i, o;
    device float *room;
};

static inline size_t outer_room(int i)
{
    const size_t least = (size_t)OUTER_SEQS * (size_t)i;
    return least > OUTER_ROOM ? least : OUTER_ROOM;
}

struct ops {
    const char *name;

    /* n zeroed floats, released by free (NULL is fine); n floats, not zeroed, until the arena's
     * reset. NULL: out of memory. */
    device float *(*alloc)(size_t n, struct err *e);
    void (*free)(device float *x);
    device float *(*take)(struct arena *a, size_t n, struct err *e);
    /* The host's memory as the device's, as long as it lives; NULL: the device cannot, copy it. */
    const device void *(*borrow)(const void *host);
    /* n floats as the host's memory, until unmap with the same pointer; what was written to it is
     * in x then. Between the two no operation touches them. */
    float *(*map)(device float *x, size_t n);
    const float *(*map_read)(const device float *x, size_t n);
    void (*unmap)(const device float *x);

    void (*fill)(device float *x, float a, size_t n);
    void (*copy)(device float *to, const device float *from, size_t n); /* no overlap */
    /* to[to_row[i], c] = from[from_row[i], c]; NULL: row i. The rows written are distinct. */
    void (*copy_rows)(device float *to, const int *to_row, const device float *from,
                      const int *from_row, int n, int c);
    /* Element k of n has bit first + k of a mask; NULL: all bits are set. to = from where the bit
     * is set; x = 0 where it is not, and the sum of squares of what was there. */
    void (*copy_masked)(device float *to, const device float *from, const uint64_t *bits,
                        size_t first, size_t n);
    double (*clear_masked)(device float *x, const uint64_t *bits, size_t first, size_t n);

    /* out[n,o] = x[n,i] w[o,i]^T + beta * out */
    void (*linear)(device float *out, const device float *x, const device float *w, int n, int i,
                   int o, float beta);
    /* dx[n,i] = dout[n,o] w[o,i] + beta * dx */
    void (*linear_dx)(device float *dx, const device float *dout, const device float *w, int n,
                      int i, int o, float beta);
    /* The same with a weight in its file's type: as of its numbers in f32, to rounding. */
    void (*linear_stored)(device float *out, const device float *x, const struct stored *w, int n,
                          int i, int o, float beta);
    void (*linear_stored_dx)(device float *dx, const device float *dout, const struct stored *w,
                             int n, int i, int o, float beta);
    /* to = elements first .. first + n - 1 in f32; both are multiples of the type's block. */
    void (*unpack)(device float *to, const struct stored *w, size_t first, size_t n);
    /* dw[o,i] = dout[n,o]^T x[n,i] + beta * dw; without rows 0, or nothing where
     * beta is not 0 */
    void (*linear_dw)(device float *dw, const device float *dout, const device float *x, int n,
                      int i, int o, float beta);
    /* a[c,c] += x[n,c]^T x[n,c], the lower triangle alone */
    void (*gram)(device float *a, const device float *x, int n, int c);
    /* Of every sequence q, whose G is not stored: sum[o,i] += G_q^2;
     * y[q] += sum G_q^2 / (lambda[o,i] + damping), lambda NULL: sum G_q^2;
     * y[l * stride + q] += <p_l, G_q> with p[n_p,o,i] (f32 within a block of rows, f64 over them)
     */
    void (*outer_squares)(device float *sum, const struct outer *g);
    void (*outer_norms)(double *y, const device float *lambda, double damping,
                        const struct outer *g);
    void (*outer_dots)(double *y, size_t stride, const device float *p, int n_p,
                       const struct outer *g);
    /* out[n,o] += b[o];  db[o] += sum_n dout */
    void (*bias)(device float *out, const device float *b, int n, int o);
    void (*bias_back)(device float *db, const device float *dout, int n, int o);

    void (*add)(device float *y, const device float *x, size_t n);           /* y += x */
    void (*axpy)(device float *y, float a, const device float *x, size_t n); /* y += a x */
    void (*scale)(device float *y, float a, size_t n);                       /* y *= a */
    /* sum += (float)(a x^2) */
    void (*add_squares)(device float *sum, double a, const device float *x, size_t n);
    double (*dot)(const device float *x, const device float *y, size_t n); /* f64 accumulation */
    int (*all_finite)(const device float *x, size_t n);

    /* out[n,c] = scale * table[ids[n], c];  dtable[ids[n], c] += scale * dout[n,c] */
    void (*embed)(device float *out, const device float *table, const int *ids, int n, int c,
                  float scale);
    void (*embed_stored)(device float *out, const struct stored *table, const int *ids, int n,
                         int c, float scale);
    void (*embed_back)(device float *dtable, const device float *dout, const int *ids, int n, int c,
                       float scale);
    /* out[r,c] = x[rows[r], c];  dx[rows[r], c] += dout[r,c]; rows are distinct */
    void (*gather)(device float *out, const device float *x, const int *rows, int r, int c);
    void (*scatter_add)(device float *dx, const device float *dout, const int *rows, int r, int c);

    /* out = x * rstd * w, rstd[n] = 1/sqrt(mean x^2 + eps); w_offset 1 for (1+w) norms.
     * Back: dx += ..., dw += ... (dw may be NULL). arXiv 1910.07467 */
    void (*rmsnorm)(device float *out, device float *rstd, const device float *x,
                    const device float *w, int n, int c, float eps, float w_offset);
    void (*rmsnorm_back)(device float *dx, device float *dw, const device float *dout,
                         const device float *x, const device float *w, const device float *rstd,
                         int n, int c, float w_offset);

    /* out = (x - mean) * rstd * w + b, rstd[n] = 1/sqrt(variance + eps).
     * Back: dx += ..., dw += ..., db += ... (dw, db may be NULL). arXiv 1607.06450 */
    void (*layernorm)(device float *out, device float *mean, device float *rstd,
                      const device float *x, const device float *w, const device float *b, int n,
                      int c, float eps);
    void (*layernorm_back)(device float *dx, device float *dw, device float *db,
                           const device float *dout, const device float *x, const device float *w,
                           const device float *mean, const device float *rstd, int n, int c);

    /* out = x / (1 - share), or 0 with probability `share`; may run in place. */
    void (*dropout)(device float *out, const device float *x, size_t n, const struct dropout *d);

    /* Rotates, in place, the first `rot` of each head's D values, pairs (i, i + rot/2), by the
     * angle whose cosine and sine are cs[pos, i] and sn[pos, i] ([max position, rot/2]); inverse !=
     * 0 rotates back, which is the backward. x is [N, heads, D]. arXiv 2104.09864 */
    void (*rope)(device float *x, const device float *cs, const device float *sn, const int *pos,
                 int n, int heads, int d, int rot, int inverse);

    /* out [Nq,H,D]; lse [Nq,H] = log sum exp of the scaled scores; q [Nq,H,D]; k, v [Nk,G,D].
     * Online softmax: no [T,T] matrix is stored. Back overwrites dq, dk, dv. arXiv 2205.14135 */
    void (*attention)(device float *out, device float *lse, const device float *q,
                      const device float *k, const device float *v, const struct attn *a);
    void (*attention_back)(device float *dq, device float *dk, device float *dv,
                           const device float *dout, const device float *out,
                           const device float *lse, const device float *q, const device float *k,
                           const device float *v, const struct attn *a);

    /* out = act(gate) * up, or act(gate) where up is NULL; back overwrites dgate, dup. May run in
     * place (dgate == gate etc.). arXiv 2002.05202 */
    void (*glu)(device float *out, enum act_kind act, const device float *gate,
                const device float *up, size_t n);
    void (*glu_back)(device float *dgate, device float *dup, enum act_kind act,
                     const device float *dout, const device float *gate, const device float *up,
                     size_t n);
    /* z = cap tanh(z / cap);  back, from the capped z: dz *= 1 - (z / cap)^2 */
    void (*softcap)(device float *z, size_t n, float cap);
    void (*softcap_back)(device float *dz, const device float *z, size_t n, float cap);

    /* Routing to K of E experts (arXiv 1701.06538, without noise): p [n,E] = softmax(z); expert
     * [n,K] those with the largest p, the lowest first where they are equal; weight [n,K] their p,
     * divided by their sum if `norm`. Back overwrites dz; the choice itself has no derivative. */
    void (*route)(device float *p, int *expert, device float *weight, const device float *z, int n,
                  int experts, int k, int norm);
    void (*route_back)(device float *dz, const device float *dweight, const device float *p,
                       const int *expert, const device float *weight, int n, int experts, int k,
                       int norm);
    /* y[n,c] *= a[n];  out[n] = sum_c x y */
    void (*scale_rows)(device float *y, const device float *a, int n, int c);
    void (*dot_rows)(device float *out, const device float *x, const device float *y, int n, int c);

    /* logp[r] = log softmax(z[r,:])[label[r]], lse[r] = log sum exp z[r,:], best[r] = argmax
     * (lowest index on ties). lse and best may be NULL. */
    void (*label_logp)(float *logp, float *lse, int *best, const device float *z, const int *label,
                       int r, int v);
    /* Of p = exp(z - lse) in each row: mean and variance of log p under p (minus the mean is the
     * entropy), and rank, the number of tokens likelier than the label. */
    void (*label_spread)(float *mean, float *variance, int *rank, const device float *z,
                         const float *lse, const int *label, int r, int v);
    /* In place: z[r,:] becomes d/dz of sum_r g[r] logp[r] = g (onehot - softmax). */
    void (*label_logp_back)(device float *z, const float *lse, const float *g, const int *label,
                            int r, int v);
    /* out = z - log sum exp z, row by row; may run in place. */
    void (*log_softmax)(device float *out, const device float *z, int r, int v);

    /* One AdamW step as torch.optim.AdamW: w *= 1 - lr decay; m, v updated; w -= lr mhat/(sqrt vhat
     * + eps). The gradient is read as gscale * g. arXiv 1711.05101 */
    void (*adamw)(device float *w, device float *m, device float *v, const device float *g,
                  size_t n, float gscale, const struct adamw *o);
};

/* n floats from the host to the device, and back; as new memory of the device. */
void ops_write(const struct ops *o, device float *to, const float *host, size_t n);
void ops_read(const struct ops *o, float *host, const device float *from, size_t n);
device float *ops_upload(const struct ops *o, const float *host, size_t n, struct err *e);

/* The CPU: sgemm from OpenBLAS, loops compiled for the best instruction set of this processor, or
 * for that of UNLEARN_ISA=generic|avx2|avx512. `name`: "cpu avx2". */
const struct ops *ops_cpu(void);
/* The same for a given instruction set; NULL if it is unknown or this processor lacks it. */
const struct ops *ops_cpu_isa(const char *isa);
void ops_set_threads(int n); /* BLAS and OpenMP; 0: all cores */
int ops_threads(void);

#endif
