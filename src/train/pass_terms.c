/* The terms of a micro-batch pass: their views of log-probabilities, logits and hidden states, and
 * the backward passes of the heads. */
#include "train/pass.h"

struct label_rows pass_part_rows(const struct micro_pass *w, const struct part *p)
{
    return (struct label_rows){.n = p->n_rows,
                               .token = w->rows.token + p->first_row,
                               .label = w->rows.label + p->first_row,
                               .seq = w->rows.seq + p->first_row};
}

/* Log-probabilities of one role's labels and their sums, current and (from the cache) reference. */
static int forward_logp(struct micro_pass *w, enum role role)
{
    struct part *p = &w->part[role];
    const struct ref_cache *c = &w->g->ref_logp[role];
    p->rows = pass_part_rows(w, p);
    if (head_init(&p->head, &w->pass, &p->rows, true, w->a, w->e))
        return -1;
    head_logp(&p->head, w->logp + p->first_row, w->lse + p->first_row, NULL);
    for (int s = 0, row = p->first_row; s < p->n_seqs; row += p->n_labels[s++]) {
        for (int k = 0; k < p->n_labels[s]; k++)
            p->nll[s] -= (double)w->logp[row + k];
        p->ref_nll[s] = c->at ? c->scores.v[c->at[w->mb->rows[role][s]]].nll : 0;
    }
    return 0;
}

struct means pass_means(const struct micro_pass *w, enum role role)
{
    const struct part *p = &w->part[role];
    struct means m = w->norm->role[role];
    if (w->g->compat & COMPAT_MICRO_MEAN) {
        m.rows = (double)p->n_rows * w->norm->micros;
        m.seqs = (double)p->n_seqs * w->norm->micros;
        m.tokens = (double)p->n_tokens * w->norm->micros;
    }
    return m;
}

static int run_logp_term(struct micro_pass *w, const struct objective *o, double *loss)
{
    struct view v[TERM_MAX_VIEWS], *views[TERM_MAX_VIEWS];
    for (int i = 0; i < o->term->n_views; i++) {
        const struct part *p = &w->part[o->role[i]];
        float *dlogp = pass_take(w, (size_t)p->n_rows, sizeof(float));
        if (!dlogp)
            return -1;
        v[i].logp = (struct logp_view){.n_seqs = p->n_seqs,
                                       .n_rows = p->n_rows,
                                       .row_seq = w->rows.seq + p->first_row,
                                       .n_labels = p->n_labels,
                                       .mean = pass_means(w, o->role[i]),
                                       .logp = w->logp + p->first_row,
                                       .nll = p->nll,
                                       .ref_nll = p->ref_nll,
                                       .dlogp = dlogp};
        views[i] = &v[i];
    }
    if (term_loss(o->term, o->params, views, loss, w->e))
        return -1;
    const float weight = (float)objective_weight(o);
    for (int i = 0; i < o->term->n_views; i++)
        for (int r = 0; r < v[i].logp.n_rows; r++)
            w->dlogp[w->part[o->role[i]].first_row + r] += weight * v[i].logp.dlogp[r];
    return 0;
}

/* Id and sequence of each token, and whether it is a label. */
static struct token_view *describe_tokens(struct micro_pass *w, const struct part *p)
{
    struct token_view *v = pass_take(w, (size_t)p->n_tokens, sizeof *v);
    for (int s = 0, i = 0; v && s < p->n_seqs; s++) {
        const struct seq *q = &w->seqs[p->first_seq + s];
        for (int t = 0; t < q->n; t++, i++)
            v[i] = (struct token_view){
                .id = q->ids[t], .seq = s, .scored = q->labels && q->labels[t] != LABEL_NONE};
    }
    return v;
}

/* The accumulated d loss / d hidden after so many layers, of the whole batch. */
static device float *derivative_after(struct micro_pass *w, int layers)
{
    size_t n = (size_t)w->batch.n_tokens * (size_t)w->g->model->cfg.width;
    if (layers == w->pass.how.layers)
        return w->dx;
    if (!w->dhidden[layers])
        w->dhidden[layers] = pass_floats(w, n);
    return w->dhidden[layers];
}

static int run_hidden_term(struct micro_pass *w, const struct objective *o, double *loss)
{
    const struct part *p = &w->part[o->role[0]];
    const struct ops *ops = w->g->model->ops;
    const size_t c = (size_t)w->g->model->cfg.width, at = (size_t)p->first_token * c,
                 nc = (size_t)p->n_tokens * c;
    const int layers = objective_layers(w->g, o), first = o->term->hidden.all_layers ? 1 : layers;
    device float **ref = pass_take(w, (size_t)layers, sizeof *ref);
    device float *dhidden = pass_floats(w, nc);
    const int *path = w->batch.path ? w->batch.path + p->first_token : NULL;
    device float *shown = path ? pass_floats(w, nc) : NULL; /* of shared tokens, too */
    struct view v = {.hidden = {.n_seqs = p->n_seqs,
                                .n_tokens = p->n_tokens,
                                .width = (int)c,
                                .n_layers = layers - first + 1,
                                .mean = pass_means(w, o->role[0]),
                                .token = describe_tokens(w, p),
                                .direction = w->g->direction,
                                .noise = w->g->noise}},
                *views[] = {&v};
    if (!ref || !dhidden || (path && !shown) || !v.hidden.token ||
        (o->term->needs_ref && frozen_states(w, (int)(o - w->g->obj), ref)))
        return -1;
    for (int l = first; l <= layers; l++) {
        device float *d = derivative_after(w, l);
        if (!d)
            return -1;
        v.hidden.layer = l - 1;
        const device float *states = pass_states(&w->pass, l) + at;
        if (path) {
            ops->gather(shown, pass_states(&w->pass, l), path, p->n_tokens, (int)c);
            states = shown;
        }
        ops->fill(dhidden, 0, nc);
        v.hidden.hidden = ops->map_read(states, nc);
        v.hidden.ref = ref[l - first] ? ops->map_read(ref[l - first], nc) : NULL;
        v.hidden.dhidden = ops->map(dhidden, nc);
        int rc = term_loss(o->term, o->params, views, loss, w->e);
        ops->unmap(states);
        ops->unmap(dhidden);
        if (ref[l - first])
            ops->unmap(ref[l - first]);
        if (rc)
            return -1;
        if (path)
            ops->embed_back(d, dhidden, path, p->n_tokens, (int)c, (float)objective_weight(o));
        else
            ops->axpy(d + at, (float)objective_weight(o), dhidden, nc);
    }
    return 0;
}

static int run_terms(struct micro_pass *w, enum view_kind kind)
{
    static int (*const run[])(struct micro_pass *, const struct objective *,
                              double *) = {[VIEW_LOGP] = run_logp_term,
                                           [VIEW_LOGITS] = pass_run_logits,
                                           [VIEW_HIDDEN] = run_hidden_term};
    for (int i = 0; i < w->g->n_obj; i++) {
        const struct objective *o = &w->g->obj[i];
        if (engine_counts(w->g, o) && o->term->kind == kind && w->part[o->role[0]].n_seqs &&
            run[kind](w, o, &w->result->loss[i]))
            return -1;
    }
    return 0;
}

/* One head for each role whose label log-probabilities a term uses. */
static int run_logp(struct micro_pass *w)
{
    size_t n = (size_t)w->rows.n;
    if (!(w->logp = pass_take(w, n, sizeof(float))) || !(w->lse = pass_take(w, n, sizeof(float))) ||
        !(w->dlogp = pass_take(w, n, sizeof(float))))
        return -1;
    for (int r = 0; r < ROLE_COUNT; r++)
        if (w->plan.logp & ROLE_BIT(r) && forward_logp(w, (enum role)r))
            return -1;
    if (run_terms(w, VIEW_LOGP))
        return -1;
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct part *p = &w->part[r];
        if (!(w->plan.logp & ROLE_BIT(r)))
            continue;
        head_logp_back(&p->head, w->dlogp + p->first_row, w->lse + p->first_row, w->grads);
        if (head_finish_back(&p->head, w->dx, w->grads, w->a, w->e))
            return -1;
    }
    return 0;
}

int pass_run_terms(struct micro_pass *w)
{
    if (w->plan.kinds & 1u << VIEW_LOGP && run_logp(w))
        return -1;
    return run_terms(w, VIEW_LOGITS) || run_terms(w, VIEW_HIDDEN);
}
