#include "train/helpers.h"

#include <math.h>
#include <stdbool.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/score.h"
#include "model/forward.h"

/* Numbers the peer's loader has drawn by then: two at its start, one for each retain row. */
static long draws_before(const struct order *o)
{
    long n = 2;
    for (int k = 0; k < 2 && k < o->per_epoch && k < o->n; k++)
        n += o->micro[k].n[ROLE_RETAIN];
    return n;
}

int direction_normalise(float *v, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)v[i] * (double)v[i];
    for (int i = 0; i < n && sum > 0; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
    return sum > 0 ? 0 : -1;
}

void direction_draw(float *u, int n, unsigned seed, const struct order *after)
{
    struct rng r;
    rng_stream(&r, seed, after ? RNG_DRAW : RNG_NOISE, 0);
    for (long skip = after ? draws_before(after) : 0; skip > 0; skip--)
        rng_u32(&r);
    for (int i = 0; i < n; i++)
        u[i] = rng_float(&r);
    direction_normalise(u, n);
}

/* mean [C] += share * the mean state of the last prompt token after so many layers. */
static int add_mean(double *mean, double share, struct model *m, const struct dataset *d,
                    int layers, struct arena *a, struct err *e)
{
    const struct forward how = {.layers = layers};
    size_t c = (size_t)m->cfg.width;
    for (int s = 0; s < d->n; s++) {
        struct seq q = d->seqs[s];
        struct batch b;
        struct pass p;
        int n = q.n = seq_prompt(&q);
        arena_reset(a);
        if (batch_pack(&b, &q, 1, m->cfg.vocab, m->cfg.positions, a, e) ||
            model_forward(m, &b, &how, &p, a, e))
            return -1;
        const device float *last = p.x + (size_t)(n - 1) * c;
        const float *x = m->ops->map_read(last, c);
        for (size_t i = 0; i < c; i++)
            mean[i] += share / d->n * (double)x[i];
        m->ops->unmap(last);
    }
    return 0;
}

int direction_to_refusal(float *v, struct model *m, const struct dataset *refused,
                         const struct dataset *forget, int layer, struct err *e)
{
    struct arena a;
    double *mean = mem_alloc((size_t)m->cfg.width, sizeof *mean, e);
    if (!mean)
        return -1;
    arena_init(&a);
    int rc = add_mean(mean, 1, m, refused, layer + 1, &a, e) ||
             add_mean(mean, -1, m, forget, layer + 1, &a, e);
    for (int i = 0; i < m->cfg.width; i++)
        v[i] = (float)mean[i];
    arena_fini(&a);
    free(mean);
    return rc;
}

int gap_measure(double *gap, struct model *from, struct model *to, const struct dataset *set,
                struct err *e)
{
    struct progress bar;
    double sum = 0, labels = 0;
    struct divergence *each = mem_alloc((size_t)set->n, sizeof *each, e);
    if (!each)
        return -1;
    progress_start(&bar, "gap", set->n);
    int rc = model_divergence(each, to, from, set->seqs, set->n, NULL, &bar, e);
    progress_end(&bar);
    for (int i = 0; i < set->n && !rc; i++) {
        sum += each[i].kl;
        labels += each[i].n;
    }
    *gap = labels > 0 ? sum / labels : 0;
    free(each);
    return rc;
}
