/* Terms on logits: the rows that they use, the heads of all models whose logits they need, and
 * their evaluation in blocks of rows. */
#include "train/pass.h"

/* *seen: scored rows of the sequence so far. */
static bool row_is_in(enum row_set set, const struct seq *q, int t, int skip, int *seen)
{
    bool next = t + 1 < q->n;
    switch (set) {
    case ROWS_WITH_NEXT:
        return next;
    case ROWS_OF_LABELS:
        return q->labels && q->labels[t] != LABEL_NONE;
    case ROWS_SCORED:
        return next && q->labels && q->labels[t + 1] != LABEL_NONE && ++*seen > skip;
    case ROWS_ALL:
        break;
    }
    return true;
}

int rows_of_seqs(const struct seq *seqs, int n_seqs, enum row_set set, int skip,
                 const struct batch *b, int first, struct label_rows *rows, struct arena *a,
                 struct err *e)
{
    size_t n = 0;
    for (int s = 0; s < n_seqs; s++)
        n += (size_t)seqs[s].n;
    *rows = (struct label_rows){0};
    if (!(rows->token = arena_zeros(a, n, sizeof(int), e)) ||
        !(rows->label = arena_zeros(a, n, sizeof(int), e)) ||
        !(rows->seq = arena_zeros(a, n, sizeof(int), e)))
        return -1;
    for (int s = 0; s < n_seqs; s++) {
        const struct seq *q = &seqs[s];
        for (int t = 0, seen = 0; t < q->n; t++) {
            if (!row_is_in(set, q, t, skip, &seen))
                continue;
            rows->token[rows->n] = batch_token(b, b->place[first + s] + t);
            rows->label[rows->n] = q->labels && t + 1 < q->n ? q->labels[t + 1] : LABEL_NONE;
            rows->seq[rows->n++] = s;
        }
    }
    return 0;
}

/* The rows of a logits term, and the denominator of their mean: the role's label rows without those
 * skipped, or another set, whose rows are counted in this micro-batch alone. */
static int pick_rows(struct micro_pass *w, const struct objective *o, double *mean_rows,
                     struct label_rows *rows)
{
    const struct part *p = &w->part[o->role[0]];
    const enum row_set set = term_rows(o->term, o->params);
    const int skip = term_skip(o->term, o->params);
    const bool own = set != ROWS_SCORED || w->g->compat & COMPAT_MICRO_MEAN;
    if (set == ROWS_SCORED && !skip) {
        *rows = pass_part_rows(w, p);
        *mean_rows = pass_means(w, o->role[0]).rows;
        return 0;
    }
    if (rows_of_seqs(w->seqs + p->first_seq, p->n_seqs, set, skip, &w->batch, p->first_seq, rows,
                     w->a, w->e))
        return -1;
    *mean_rows = own ? (double)rows->n * w->norm->micros : w->norm->kept[o - w->g->obj];
    return 0;
}

/* The rows of a logits term, and the heads of all models whose logits it uses. */
struct heads {
    struct label_rows rows;
    int *at, *of; /* [rows.n] index among the rows of the sequence, and their number */
    double mean_rows;
    struct head own, ref, helper[TERM_MAX_HELPERS];
};

static int place_rows(struct micro_pass *w, struct heads *h)
{
    const int n = h->rows.n, *seq = h->rows.seq;
    if (!(h->at = pass_take(w, (size_t)n, sizeof(int))) ||
        !(h->of = pass_take(w, (size_t)n, sizeof(int))))
        return -1;
    for (int i = 0; i < n; i++)
        h->at[i] = i && seq[i] == seq[i - 1] ? h->at[i - 1] + 1 : 0;
    for (int i = n - 1; i >= 0; i--)
        h->of[i] = i + 1 < n && seq[i] == seq[i + 1] ? h->of[i + 1] : h->at[i] + 1;
    return 0;
}

static int open_heads(struct micro_pass *w, const struct objective *o, struct heads *h)
{
    const int obj = (int)(o - w->g->obj);
    if (pick_rows(w, o, &h->mean_rows, &h->rows) || place_rows(w, h) ||
        head_init(&h->own, &w->pass, &h->rows, true, w->a, w->e) ||
        (o->term->needs_ref && frozen_head(w, obj, 0, &h->rows, &h->ref)))
        return -1;
    for (int k = 0; k < TERM_MAX_HELPERS && o->term->logits.helpers[k]; k++)
        if (frozen_head(w, obj, k + 1, &h->rows, &h->helper[k]))
            return -1;
    return 0;
}

/* The host's view of the logits of a block, until hide_block. */
static float *show_logits(struct head *h, int first, int *n)
{
    device float *z = head_logits(h, first, n);
    return h->p->m->ops->map(z, (size_t)*n * (size_t)h->p->m->cfg.vocab);
}

/* The view of the block of rows that starts at `first`. */
static struct logits_view show_block(const struct micro_pass *w, const struct objective *o,
                                     struct heads *h, int first)
{
    int n;
    float *z = show_logits(&h->own, first, &n);
    struct logits_view v = {.n_rows = n,
                            .vocab = w->g->model->cfg.vocab,
                            .label = h->rows.label + first,
                            .at = h->at + first,
                            .of = h->of + first,
                            .mean_rows = h->mean_rows,
                            .z = z,
                            .ref = o->term->needs_ref ? show_logits(&h->ref, first, &n) : NULL,
                            .dz = z,
                            .gap = w->g->gap};
    for (int k = 0; k < TERM_MAX_HELPERS; k++)
        if (o->term->logits.helpers[k])
            v.helper[k] = show_logits(&h->helper[k], first, &n);
    return v;
}

static void hide_block(const struct objective *o, const struct heads *h)
{
    const struct ops *ops = h->own.p->m->ops;
    ops->unmap(h->own.z);
    if (o->term->needs_ref)
        ops->unmap(h->ref.z);
    for (int k = 0; k < TERM_MAX_HELPERS; k++)
        if (o->term->logits.helpers[k])
            ops->unmap(h->helper[k].z);
}

/* The mean of `measure` over all rows. */
static int measure_rows(struct micro_pass *w, const struct objective *o, struct heads *h,
                        double *mean)
{
    int rc = 0;
    *mean = 0;
    for (int first = 0, n; o->term->logits.measure && first < h->rows.n && !rc; first += n) {
        const struct logits_view v = show_block(w, o, h, first);
        n = v.n_rows;
        rc = term_measure(o->term, o->params, &v, mean, w->e);
        hide_block(o, h);
    }
    *mean /= h->rows.n ? h->rows.n : 1;
    return rc;
}

int pass_run_logits(struct micro_pass *w, const struct objective *o, double *loss)
{
    const struct engine *g = w->g;
    const double weight = objective_weight(o);
    struct heads h;
    double measured;
    if (open_heads(w, o, &h) || measure_rows(w, o, &h, &measured))
        return -1;
    for (int first = 0, n; first < h.rows.n; first += n) {
        struct view v = {.logits = show_block(w, o, &h, first)}, *views[] = {&v};
        n = v.logits.n_rows;
        v.logits.measured = measured;
        head_drop(&h.own);
        int rc = term_loss(o->term, o->params, views, loss, w->e);
        hide_block(o, &h);
        if (rc)
            return -1;
        if (weight != 1)
            g->model->ops->scale(h.own.z, (float)weight, (size_t)n * (size_t)v.logits.vocab);
        head_back(&h.own, first, n, h.own.z, w->grads);
    }
    return head_finish_back(&h.own, w->dx, w->grads, w->a, w->e);
}
