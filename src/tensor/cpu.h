/* Internal to the CPU device: src/tensor/cpu_*.c are compiled once per instruction set, with
 * -DISA=avx2 and so on, and every external name has it as a suffix: CPU(rope) is cpu_rope_avx2. So
 * each set is a complete `struct ops`, within which calls are direct and can be inlined.
 */
#ifndef TENSOR_CPU_H
#define TENSOR_CPU_H

#include "base/sizes.h"
#include "tensor/ops.h"

#define CPU_JOIN(name, isa)   cpu_##name##_##isa
#define CPU_EXPAND(name, isa) CPU_JOIN(name, isa)
#define CPU(name)             CPU_EXPAND(name, ISA)

/* cpu_linear.c */
void CPU(linear)(float *out, const float *x, const float *w, int n, int i, int o, float beta);
void CPU(linear_dx)(float *dx, const float *dout, const float *w, int n, int i, int o, float beta);
void CPU(linear_dw)(float *dw, const float *dout, const float *x, int n, int i, int o, float beta);
void CPU(bias)(float *out, const float *b, int n, int o);
void CPU(bias_back)(float *db, const float *dout, int n, int o);

/* cpu_outer.c */
void CPU(gram)(float *a, const float *x, int n, int c);
void CPU(outer_squares)(float *sum, const struct outer *g);
void CPU(outer_norms)(double *y, const float *lambda, double damping, const struct outer *g);
void CPU(outer_dots)(double *y, size_t stride, const float *p, int n_p, const struct outer *g);

/* cpu_stored.c, cpu_dequant.c: weights in their file's type */
void CPU(linear_stored)(float *out, const float *x, const struct stored *w, int n, int i, int o,
                        float beta);
void CPU(linear_stored_dx)(float *dx, const float *dout, const struct stored *w, int n, int i,
                           int o, float beta);
void CPU(embed_stored)(float *out, const struct stored *table, const int *ids, int n, int c,
                       float scale);
void CPU(unpack)(float *to, const struct stored *w, size_t first, size_t n);
void CPU(dequant)(float *to, const struct stored *w, size_t first, size_t n); /* on this thread */

/* cpu_rows.c: memory, copies, rows */
float *CPU(alloc)(size_t n, struct err *e);
void CPU(free)(float *x);
float *CPU(take)(struct arena *a, size_t n, struct err *e);
const void *CPU(borrow)(const void *host);
float *CPU(map)(float *x, size_t n);
const float *CPU(map_read)(const float *x, size_t n);
void CPU(unmap)(const float *x);
void CPU(fill)(float *x, float a, size_t n);
void CPU(copy)(float *to, const float *from, size_t n);
void CPU(copy_rows)(float *to, const int *to_row, const float *from, const int *from_row, int n,
                    int c);
void CPU(copy_masked)(float *to, const float *from, const uint64_t *bits, size_t first, size_t n);
double CPU(clear_masked)(float *x, const uint64_t *bits, size_t first, size_t n);

/* cpu_flat.c: element by element */
void CPU(add)(float *y, const float *x, size_t n);
void CPU(axpy)(float *y, float a, const float *x, size_t n);
void CPU(scale)(float *y, float a, size_t n);
void CPU(add_squares)(float *sum, double a, const float *x, size_t n);
void CPU(dropout)(float *out, const float *x, size_t n, const struct dropout *d);
double CPU(dot)(const float *x, const float *y, size_t n);
int CPU(all_finite)(const float *x, size_t n);
void CPU(adamw)(float *w, float *m, float *v, const float *g, size_t n, float gscale,
                const struct adamw *o);

/* cpu_act.c */
void CPU(glu)(float *out, enum act_kind act, const float *gate, const float *up, size_t n);
void CPU(glu_back)(float *dgate, float *dup, enum act_kind act, const float *dout,
                   const float *gate, const float *up, size_t n);
void CPU(softcap)(float *z, size_t n, float cap);
void CPU(softcap_back)(float *dz, const float *z, size_t n, float cap);

/* cpu_norm.c */
void CPU(rmsnorm)(float *out, float *rstd, const float *x, const float *w, int n, int c, float eps,
                  float w_offset);
void CPU(rmsnorm_back)(float *dx, float *dw, const float *dout, const float *x, const float *w,
                       const float *rstd, int n, int c, float w_offset);
void CPU(layernorm)(float *out, float *mean, float *rstd, const float *x, const float *w,
                    const float *b, int n, int c, float eps);
void CPU(layernorm_back)(float *dx, float *dw, float *db, const float *dout, const float *x,
                         const float *w, const float *mean, const float *rstd, int n, int c);

void CPU(embed)(float *out, const float *table, const int *ids, int n, int c, float scale);
void CPU(embed_back)(float *dtable, const float *dout, const int *ids, int n, int c, float scale);
void CPU(gather)(float *out, const float *x, const int *rows, int r, int c);
void CPU(scatter_add)(float *dx, const float *dout, const int *rows, int r, int c);
void CPU(rope)(float *x, const float *cs, const float *sn, const int *pos, int n, int heads, int d,
               int rot, int inverse);

/* cpu_attention.c */
void CPU(attention)(float *out, float *lse, const float *q, const float *k, const float *v,
                    const struct attn *a);
void CPU(attention_back)(float *dq, float *dk, float *dv, const float *dout, const float *out,
                         const float *lse, const float *q, const float *k, const float *v,
                         const struct attn *a);

/* cpu_route.c: experts */
void CPU(route)(float *p, int *expert, float *weight, const float *z, int n, int experts, int k,
                int norm);
void CPU(route_back)(float *dz, const float *dweight, const float *p, const int *expert,
                     const float *weight, int n, int experts, int k, int norm);
void CPU(scale_rows)(float *y, const float *a, int n, int c);
void CPU(dot_rows)(float *out, const float *x, const float *y, int n, int c);

/* cpu_label.c: rows of logits */
void CPU(label_logp)(float *logp, float *lse, int *best, const float *z, const int *label, int r,
                     int v);
void CPU(label_spread)(float *mean, float *variance, int *rank, const float *z, const float *lse,
                       const int *label, int r, int v);
void CPU(label_logp_back)(float *z, const float *lse, const float *g, const int *label, int r,
                          int v);
void CPU(log_softmax)(float *out, const float *z, int r, int v);

/* --- vectors --- */

/* The widest vector of the instruction set, as a type that + and * work on. */
#if defined __AVX512F__
#define VEC_BYTES 64
#elif defined __AVX__
#define VEC_BYTES 32
#else
#define VEC_BYTES 16
#endif

typedef float vec __attribute__((vector_size(VEC_BYTES), aligned(4), may_alias));

enum { LANES = VEC_BYTES / 4 };

typedef float quad __attribute__((vector_size(16), may_alias));

/* The lanes in four sums. */
static inline quad vec_fold(vec x)
{
    union {
        vec whole;
        quad part[VEC_BYTES / 16];
    } u = {x};
    for (int n = VEC_BYTES / 32; n; n /= 2)
        for (int k = 0; k < n; k++)
            u.part[k] += u.part[k + n];
    return u.part[0];
}

/* The sum of x's lanes, and of each of four: always in the same order. */
static inline float vec_sum(vec x)
{
    const quad s = vec_fold(x);
    return s[0] + s[1] + s[2] + s[3];
}

static inline quad vec_sums(const vec x[4])
{
    const quad a = vec_fold(x[0]), b = vec_fold(x[1]), c = vec_fold(x[2]), d = vec_fold(x[3]);
    /* a0, b0, a1, b1 and so on; then a0, b0, c0, d0 */
    const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
               cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
               ba = __builtin_shufflevector(a, b, 2, 6, 3, 7),
               dc = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) +
           __builtin_shufflevector(ab, cd, 2, 3, 6, 7) +
           __builtin_shufflevector(ba, dc, 0, 1, 4, 5) +
           __builtin_shufflevector(ba, dc, 2, 3, 6, 7);
}

/* For kernels whose sizes must be constants, so that their sums stay in registers. */
#define INLINE static inline __attribute__((always_inline))

/* --- threads --- */

/* Whether n x c numbers justify several threads. */
static inline int cpu_worth(int n, int c)
{
    return (size_t)n * c > SIZE(16384, 4);
}

/* Flat arrays are cut into pieces of this size; fewer than two run on one thread.
 */
enum { PIECE = SIZE(16384, 5) };

/* Elements of the piece that starts at `first`. */
static inline size_t cpu_piece(size_t first, size_t n)
{
    return n - first > PIECE ? PIECE : n - first;
}

/* This thread's share of c columns, in whole cache lines: sums over rows are split this way, so
 * that no two threads write one place and the order of the sum does not depend on their number. */
void cpu_columns(int c, int *first, int *end);

#endif
