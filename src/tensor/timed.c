#include "tensor/timed.h"

#include "base/log.h"

const char *const timed_name[TIMED_KINDS] = {
    [TIMED_PRODUCT] = "products",
    [TIMED_INPUT_GRAD] = "input gradients",
    [TIMED_WEIGHT_GRAD] = "weight gradients",
    [TIMED_ATTENTION] = "attention",
    [TIMED_ATTENTION_GRAD] = "attention gradients",
    [TIMED_NORM] = "norms",
    [TIMED_ACTIVATION] = "activations",
    [TIMED_LOGITS] = "logits",
    [TIMED_OPTIMISER] = "optimiser",
    [TIMED_VECTOR_NORM] = "norms of vectors",
    [TIMED_MEMORY] = "memory",
};

static _Thread_local struct {
    const struct ops *of; /* borrowed */
    struct ops table;
    struct timed seen;
} timed;

static void note(enum timed_kind k, double start, double flops)
{
    timed.seen.seconds[k] += log_seconds() - start;
    timed.seen.flops[k] += flops;
    timed.seen.calls[k]++;
}

/* An operation without a result: (its parameters), (their names), how many operations it is. */
#define TIMED(op, kind, params, args, flops)                                                       \
    static void op params                                                                          \
    {                                                                                              \
        const double start = log_seconds();                                                        \
        timed.of->op args;                                                                         \
        note(kind, start, flops);                                                                  \
    }

static double product(int n, int i, int o)
{
    return 2.0 * n * i * o;
}

/* Pairs of a query and a key that it sees, times 2 H D: one product of all scores. */
static double scores(const struct attn *a)
{
    double pairs = 0;
    for (int s = 0; s < a->n_seqs; s++) {
        const double q = a->n_q[s], k = a->n_k[s], all = q * (k - q) + q * (q + 1) / 2;
        const double most = a->window ? q * a->window : all;
        pairs += all < most ? all : most;
    }
    return 2 * pairs * a->heads * a->head_dim;
}

typedef device float *F;
typedef const device float *C;

TIMED(linear, TIMED_PRODUCT, (F out, C x, C w, int n, int i, int o, float beta),
      (out, x, w, n, i, o, beta), product(n, i, o))
TIMED(linear_stored, TIMED_PRODUCT,
      (F out, C x, const struct stored *w, int n, int i, int o, float beta),
      (out, x, w, n, i, o, beta), product(n, i, o))
TIMED(linear_dx, TIMED_INPUT_GRAD, (F dx, C dout, C w, int n, int i, int o, float beta),
      (dx, dout, w, n, i, o, beta), product(n, i, o))
TIMED(linear_stored_dx, TIMED_INPUT_GRAD,
      (F dx, C dout, const struct stored *w, int n, int i, int o, float beta),
      (dx, dout, w, n, i, o, beta), product(n, i, o))
TIMED(linear_dw, TIMED_WEIGHT_GRAD, (F dw, C dout, C x, int n, int i, int o, float beta),
      (dw, dout, x, n, i, o, beta), product(n, i, o))
TIMED(attention, TIMED_ATTENTION, (F out, F lse, C q, C k, C v, const struct attn *a),
      (out, lse, q, k, v, a), 2 * scores(a))
TIMED(attention_back, TIMED_ATTENTION_GRAD,
      (F dq, F dk, F dv, C dout, C out, C lse, C q, C k, C v, const struct attn *a),
      (dq, dk, dv, dout, out, lse, q, k, v, a), 5 * scores(a))
TIMED(rmsnorm, TIMED_NORM, (F out, F rstd, C x, C w, int n, int c, float eps, float w_offset),
      (out, rstd, x, w, n, c, eps, w_offset), 0)
TIMED(rmsnorm_back, TIMED_NORM,
      (F dx, F dw, C dout, C x, C w, C rstd, int n, int c, float w_offset),
      (dx, dw, dout, x, w, rstd, n, c, w_offset), 0)
TIMED(layernorm, TIMED_NORM, (F out, F mean, F rstd, C x, C w, C b, int n, int c, float eps),
      (out, mean, rstd, x, w, b, n, c, eps), 0)
TIMED(layernorm_back, TIMED_NORM,
      (F dx, F dw, F db, C dout, C x, C w, C mean, C rstd, int n, int c),
      (dx, dw, db, dout, x, w, mean, rstd, n, c), 0)
TIMED(glu, TIMED_ACTIVATION, (F out, enum act_kind act, C gate, C up, size_t n),
      (out, act, gate, up, n), 0)
TIMED(glu_back, TIMED_ACTIVATION,
      (F dgate, F dup, enum act_kind act, C dout, C gate, C up, size_t n),
      (dgate, dup, act, dout, gate, up, n), 0)
TIMED(softcap, TIMED_ACTIVATION, (F z, size_t n, float cap), (z, n, cap), 0)
TIMED(softcap_back, TIMED_ACTIVATION, (F dz, C z, size_t n, float cap), (dz, z, n, cap), 0)
TIMED(label_logp, TIMED_LOGITS,
      (F logp, float *lse, int *best, C z, const int *label, int r, int v),
      (logp, lse, best, z, label, r, v), 0)
TIMED(label_spread, TIMED_LOGITS,
      (F mean, F variance, int *rank, C z, const float *lse, const int *label, int r, int v),
      (mean, variance, rank, z, lse, label, r, v), 0)
TIMED(label_logp_back, TIMED_LOGITS,
      (F z, const float *lse, const float *g, const int *label, int r, int v),
      (z, lse, g, label, r, v), 0)
TIMED(log_softmax, TIMED_LOGITS, (F out, C z, int r, int v), (out, z, r, v), 0)
TIMED(adamw, TIMED_OPTIMISER, (F w, F m, F v, C g, size_t n, float gscale, const struct adamw *o),
      (w, m, v, g, n, gscale, o), 0)
TIMED(fill, TIMED_MEMORY, (F x, float a, size_t n), (x, a, n), 0)
TIMED(copy, TIMED_MEMORY, (F to, C from, size_t n), (to, from, n), 0)
TIMED(copy_rows, TIMED_MEMORY, (F to, const int *to_row, C from, const int *from_row, int n, int c),
      (to, to_row, from, from_row, n, c), 0)
TIMED(add, TIMED_MEMORY, (F y, C x, size_t n), (y, x, n), 0)
TIMED(axpy, TIMED_MEMORY, (F y, float a, C x, size_t n), (y, a, x, n), 0)
TIMED(scale, TIMED_MEMORY, (F y, float a, size_t n), (y, a, n), 0)
TIMED(embed, TIMED_MEMORY, (F out, C table, const int *ids, int n, int c, float scale),
      (out, table, ids, n, c, scale), 0)
TIMED(embed_stored, TIMED_MEMORY,
      (F out, const struct stored *table, const int *ids, int n, int c, float scale),
      (out, table, ids, n, c, scale), 0)
TIMED(embed_back, TIMED_MEMORY, (F dtable, C dout, const int *ids, int n, int c, float scale),
      (dtable, dout, ids, n, c, scale), 0)
TIMED(gather, TIMED_MEMORY, (F out, C x, const int *rows, int r, int c), (out, x, rows, r, c), 0)
TIMED(scatter_add, TIMED_MEMORY, (F dx, C dout, const int *rows, int r, int c),
      (dx, dout, rows, r, c), 0)
TIMED(rope, TIMED_MEMORY,
      (F x, C cs, C sn, const int *pos, int n, int heads, int d, int rot, int inverse),
      (x, cs, sn, pos, n, heads, d, rot, inverse), 0)

static double dot(C x, C y, size_t n)
{
    const double start = log_seconds(), sum = timed.of->dot(x, y, n);
    note(TIMED_VECTOR_NORM, start, 0);
    return sum;
}

#define TAKE(op) timed.table.op = op

const struct ops *timed_start(const struct ops *of)
{
    timed.of = of;
    timed.table = *of;
    timed.seen = (struct timed){0};
    TAKE(linear), TAKE(linear_stored), TAKE(linear_dx), TAKE(linear_stored_dx), TAKE(linear_dw);
    TAKE(attention), TAKE(attention_back), TAKE(rmsnorm), TAKE(rmsnorm_back);
    TAKE(layernorm), TAKE(layernorm_back), TAKE(glu), TAKE(glu_back);
    TAKE(softcap), TAKE(softcap_back), TAKE(label_logp), TAKE(label_spread);
    TAKE(label_logp_back), TAKE(log_softmax), TAKE(adamw), TAKE(fill), TAKE(copy);
    TAKE(copy_rows), TAKE(add), TAKE(axpy), TAKE(scale), TAKE(embed), TAKE(embed_stored);
    TAKE(embed_back), TAKE(gather), TAKE(scatter_add), TAKE(rope), TAKE(dot);
    return &timed.table;
}

struct timed timed_take(void)
{
    const struct timed t = timed.seen;
    timed.seen = (struct timed){0};
    return t;
}
