#include "eval/scores.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static int count_labels(const struct seq *s)
{
    int n = 0;
    for (int t = 1; s->labels && t < s->n; t++)
        n += s->labels[t] != LABEL_NONE;
    return n;
}

int scores_init(struct scores *s, const struct dataset *d, struct err *e)
{
    *s = (struct scores){.n = d->n};
    s->v = mem_alloc((size_t)d->n, sizeof *s->v, e);
    s->pool = s->v ? mem_alloc((size_t)d->n_labels, sizeof *s->pool, e) : NULL;
    if (!s->pool) {
        scores_fini(s);
        return -1;
    }
    float *at = s->pool;
    for (int i = 0; i < d->n; i++) {
        s->v[i] = (struct seq_score){.n = count_labels(&d->seqs[i]), .logp = at};
        at += s->v[i].n;
    }
    return 0;
}

void scores_fini(struct scores *s)
{
    free(s->v);
    free(s->pool);
    *s = (struct scores){0};
}

double scores_mean_loss(const struct seq_score *s)
{
    return s->n ? s->nll / s->n : NAN;
}

void generations_free(struct generation *g, int n)
{
    for (int i = 0; g && i < n; i++) {
        free(g[i].input);
        free(g[i].whole);
        free(g[i].answer);
    }
    free(g);
}
