#include "locate/scores.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

size_t scoring_units(const struct scoring *s, const struct locator *l, int i, size_t *first)
{
    const struct weight *w = &s->engine->model->table.v[i];
    bool rows = l->unit == UNIT_ROW;
    *first = rows ? s->first[i] : w->at;
    if (!w->trainable || s->skipped[i])
        return 0;
    return rows ? (size_t)w->shape[0] : w->count;
}

int scoring_init(struct scoring *s, struct engine *en, const struct locator *l, struct err *e)
{
    const struct model *m = en->model;
    const size_t n = (size_t)m->table.n;
    size_t rows = 0;
    *s = (struct scoring){.engine = en, .batch = 1};
    if (!(s->first = mem_alloc(n, sizeof *s->first, e)) ||
        !(s->skipped = mem_alloc(n, sizeof *s->skipped, e)))
        return -1;
    for (int i = 0; i < m->table.n; i++) {
        s->first[i] = rows;
        rows += m->table.v[i].trainable ? (size_t)m->table.v[i].shape[0] : 0;
    }
    size_t units = l->unit == UNIT_ROW      ? rows
                   : l->unit == UNIT_NEURON ? (size_t)m->cfg.layers * (size_t)m->cfg.ff
                                            : 0; /* a gradient becomes the scores */
    return units ? scores_alloc(s, units, e) : 0;
}

void scores_hold(struct scoring *s, device float *gradient)
{
    const struct model *m = s->engine->model;
    s->held = gradient;
    s->v = m->ops->map(gradient, m->table.grads);
}

int scores_alloc(struct scoring *s, size_t n, struct err *e)
{
    const struct ops *o = s->engine->model->ops;
    if (!(s->held = o->alloc(n, e)))
        return -1;
    s->v = o->map(s->held, n);
    return 0;
}

size_t scoring_rows(const struct scoring *s)
{
    const struct weight_table *t = &s->engine->model->table;
    size_t rows = 0;
    for (int i = 0; i < t->n; i++)
        rows += t->v[i].trainable ? (size_t)t->v[i].shape[0] : 0;
    return rows;
}

float scoring_value(const struct scoring *s, const struct locator *l, int i, size_t k)
{
    const struct model *m = s->engine->model;
    const struct weight *w = &m->table.v[i];
    const size_t cols = (size_t)w->shape[1], f = (size_t)m->cfg.ff;
    if (!w->trainable || s->skipped[i])
        return NAN;
    if (l->unit == UNIT_ELEMENT)
        return s->v[w->at + k];
    if (l->unit == UNIT_ROW)
        return s->v[s->first[i] + k / cols];
    if (w->slot < W_GATE || w->slot > W_DOWN)
        return NAN;
    return s->v[(size_t)w->layer * f + (w->slot == W_DOWN ? k % cols : k / cols % f)];
}

void scoring_fini(struct scoring *s)
{
    if (s->held) {
        s->engine->model->ops->unmap(s->held);
        s->engine->model->ops->free(s->held);
    }
    free(s->first);
    free(s->skipped);
    *s = (struct scoring){0};
}

int *scores_rows(const struct scoring *s, enum role role, int *n, struct err *e)
{
    *n = s->engine->sets[role]->n;
    int *rows = mem_alloc((size_t)*n, sizeof *rows, e);
    for (int i = 0; rows && i < *n; i++)
        rows[i] = i;
    return rows;
}

int *scores_pairs(const struct scoring *s, int *n, struct err *e)
{
    const int most = s->engine->sets[ROLE_RETAIN]->n;
    int *rows = scores_rows(s, ROLE_FORGET, n, e);
    struct rng r;
    rng_stream(&r, s->seed, RNG_SAMPLE, 0);
    for (int i = 0; rows && i < *n && (s->pair || *n != most); i++)
        rows[i] = s->pair ? s->pair[i] : (int)rng_below(&r, (uint32_t)most);
    return rows;
}

static int add_batches(struct scoring *s, enum role role, int *rows, int n, struct err *e)
{
    static const enum goal goal[ROLE_COUNT] = {[ROLE_RETAIN] = GOAL_RETAIN};
    struct gradient g = {.engine = s->engine, .stop = s->stop};
    struct progress bar;
    int rc = 0;
    progress_start(&bar, role_name[role], n);
    for (int i = 0; i < n && !rc; i += s->batch) {
        double loss;
        struct micro mb = {.n = {0}};
        mb.rows[role] = rows + i;
        mb.n[role] = n - i < s->batch ? n - i : s->batch;
        rc = gradient_add_rows(&g, GOAL_BIT(goal[role]), &mb, &loss, e);
        progress_step(&bar, i + mb.n[role], (double)g.tokens, NULL);
    }
    progress_end(&bar);
    s->seconds += log_seconds() - bar.start;
    s->tokens += (double)g.tokens;
    return rc;
}

device float *scores_gradient(struct scoring *s, enum role role, bool paired, struct err *e)
{
    struct engine *en = s->engine;
    int n, *rows = paired ? scores_pairs(s, &n, e) : scores_rows(s, role, &n, e);
    device float *sum = NULL;
    if (rows && !engine_reserve_grads(en, e)) {
        engine_zero_grads(en);
        if (!add_batches(s, role, rows, n, e)) {
            sum = en->grads;
            en->grads = NULL;
            en->grads_room = 0;
        }
    }
    free(rows);
    return sum;
}

int answer_token_init(struct answer_token *a, const struct seq *q, struct err *e)
{
    const int n = seq_prompt(q) + 1;
    *a = (struct answer_token){.seq = *q};
    if (n > q->n)
        return err_set(e, "no token is scored");
    if (!(a->labels = mem_alloc((size_t)n, sizeof *a->labels, e)))
        return -1;
    for (int t = 0; t < n; t++)
        a->labels[t] = t < n - 1 ? LABEL_NONE : q->labels[t];
    a->seq.n = n;
    a->seq.labels = a->labels;
    return 0;
}

void answer_token_fini(struct answer_token *a)
{
    free(a->labels);
}

static int forward_rows(struct scoring *s, const struct seq *seqs, int n,
                        const struct linear_tap *tap, struct arena *a, struct err *e)
{
    struct model *m = s->engine->model;
    const struct forward how = {.linear = tap};
    struct batch b;
    struct pass p;
    arena_reset(a);
    return batch_pack(&b, seqs, n, m->cfg.vocab, m->cfg.positions, a, e) ||
                   model_forward(m, &b, &how, &p, a, e)
               ? -1
               : 0;
}

int scores_forward(struct scoring *s, enum role role, const struct linear_tap *tap, struct err *e)
{
    const struct dataset *set = s->engine->sets[role];
    struct arena a;
    struct progress bar;
    int rc = 0;
    arena_init(&a);
    progress_start(&bar, role_name[role], set->n);
    for (int i = 0; i < set->n && !rc; i += s->batch) {
        int n = set->n - i < s->batch ? set->n - i : s->batch;
        rc = interrupt_check(s->stop, e) || forward_rows(s, set->seqs + i, n, tap, &a, e);
        for (int k = 0; k < n; k++)
            s->tokens += set->seqs[i + k].n;
        progress_step(&bar, i + n, s->tokens, NULL);
    }
    progress_end(&bar);
    arena_fini(&a);
    return rc;
}
