#include "model/ensemble.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/guarded.h"

static void close_all(struct model *others, int n)
{
    for (int i = 0; i < n; i++)
        model_close(&others[i]);
    free(others);
}

int ensemble_add(struct model *m, struct model *others, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (others[i].cfg.vocab != m->cfg.vocab) {
            err_set(e, "member '%s' has a vocabulary of %d, '%s' of %d", others[i].path,
                    others[i].cfg.vocab, m->path, m->cfg.vocab);
            close_all(others, n);
            return -1;
        }
    for (int i = 0; i < n; i++)
        if (others[i].cfg.positions < m->cfg.positions)
            m->cfg.positions = others[i].cfg.positions;
    m->others = others;
    m->n_others = n;
    return 0;
}

int ensemble_refuse(const struct model *m, const char *what, struct err *e)
{
    if (m->guard)
        return guard_refuse(m, what, e);
    return m->n_others ? err_set(e, "'%s' is one of an ensemble of %d models, which %s cannot take",
                                 m->path, m->n_others + 1, what)
                       : 0;
}

int guard_refuse(const struct model *m, const char *what, struct err *e)
{
    return m->guard ? err_set(e, "'%s' has a guard, which %s would not meet", m->path, what) : 0;
}

/* log sum exp of a row. */
static double log_sum(const float *z, int vocab)
{
    double top = (double)z[0], sum = 0;
    for (int v = 1; v < vocab; v++)
        top = fmax(top, (double)z[v]);
    for (int v = 0; v < vocab; v++)
        sum += exp((double)z[v] - top);
    return top + log(sum);
}

static double log_add(double a, double b)
{
    const double top = fmax(a, b);
    return isinf(top) ? top : top + log1p(exp(fmin(a, b) - top));
}

/* out = log p_0, then log (p_0 + .. + p_k), at last less log n. */
static void join_row(float *out, const float *z, int k, int n, int vocab)
{
    const double lse = log_sum(z, vocab), less = k + 1 == n ? log(n) : 0;
    for (int v = 0; v < vocab; v++) {
        const double p = (double)z[v] - lse;
        out[v] = (float)((k ? log_add((double)out[v], p) : p) - less);
    }
}

void ensemble_join(const struct ops *o, device float *out, const device float *z, int k, int n,
                   int rows, int vocab)
{
    const size_t count = (size_t)rows * (size_t)vocab;
    float *to = o->map(out, count);
    const float *from = out == z ? to : o->map_read(z, count);
#pragma omp parallel for schedule(static)
    for (int r = 0; r < rows; r++) {
        const size_t at = (size_t)r * (size_t)vocab;
        join_row(to + at, from + at, k, n, vocab);
    }
    if (out != z)
        o->unmap(z);
    o->unmap(out);
}

void ensemble_apply(const struct ops *o, const struct logits_rule *rule, device float *const *z,
                    int n, int rows, int vocab)
{
    const size_t count = (size_t)rows * (size_t)vocab;
    const float *from[ENSEMBLE_RULE_MOST];
    float *to = o->map(z[0], count);
    BUG_ON(n > ENSEMBLE_RULE_MOST + 1);
    for (int k = 1; k < n; k++)
        from[k - 1] = o->map_read(z[k], count);
    for (int r = 0; r < rows; r++) {
        const size_t at = (size_t)r * (size_t)vocab;
        const float *others[ENSEMBLE_RULE_MOST];
        for (int k = 1; k < n; k++)
            others[k - 1] = from[k - 1] + at;
        rule->join(rule->ctx, to + at, others, vocab);
    }
    for (int k = 1; k < n; k++)
        o->unmap(z[k]);
    o->unmap(z[0]);
}
