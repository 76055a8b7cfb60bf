/* The terms of a micro-batch pass: their views of log-probabilities, logits and hidden states, and
 * the backward passes of the heads. */
#include "train/pass.h"

/* The rows that predict the labels of one role. */
static struct label_rows part_rows(const struct micro_pass *w, const struct part *p)
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
    p->rows = part_rows(w, p);
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

/* Denominators of the means over the role's data: of the step, or of this micro-batch alone. */
static struct means means_of(const struct micro_pass *w, enum role role)
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
                                       .mean = means_of(w, o->role[i]),
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

/* Forward pass of a frozen model over n_seqs sequences, counted as forward-only tokens. */
static int run_frozen(struct micro_pass *w, struct model *m, const struct seq *seqs, int n_seqs,
                      const struct forward *how, struct batch *b, struct pass *pass)
{
    BUG_ON(!m);
    if (batch_pack(b, seqs, n_seqs, m->cfg.vocab, m->cfg.positions, w->a, w->e))
        return -1;
    w->g->tokens.forward += b->n_tokens;
    return model_forward(m, b, how, pass, w->a, w->e);
}

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

/* The rows of these sequences that are in the set; token indices start at first_token. */
static int rows_in(struct micro_pass *w, const struct seq *seqs, int n_seqs, enum row_set set,
                   int skip, int first_token, struct label_rows *rows)
{
    size_t n = 0;
    for (int s = 0; s < n_seqs; s++)
        n += (size_t)seqs[s].n;
    *rows = (struct label_rows){0};
    if (!(rows->token = pass_take(w, n, sizeof(int))) ||
        !(rows->label = pass_take(w, n, sizeof(int))) ||
        !(rows->seq = pass_take(w, n, sizeof(int))))
        return -1;
    for (int s = 0, i = first_token; s < n_seqs; s++) {
        const struct seq *q = &seqs[s];
        for (int t = 0, seen = 0; t < q->n; t++, i++) {
            if (!row_is_in(set, q, t, skip, &seen))
                continue;
            rows->token[rows->n] = i;
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
        *rows = part_rows(w, p);
        *mean_rows = means_of(w, o->role[0]).rows;
        return 0;
    }
    if (rows_in(w, w->seqs + p->first_seq, p->n_seqs, set, skip, p->first_token, rows))
        return -1;
    *mean_rows = own ? (double)rows->n * w->norm->micros : w->norm->kept[o - w->g->obj];
    return 0;
}

/* The head of a frozen model for the rows of a term. `set`: its input for the role's examples, with
 * its own row indices; NULL: the same examples. */
static int open_frozen(struct micro_pass *w, const struct objective *o, struct model *m,
                       const struct dataset *set, const struct label_rows *rows, struct head *h)
{
    const struct part *p = &w->part[o->role[0]];
    const struct seq *seqs = w->seqs + p->first_seq;
    struct label_rows *own = pass_take(w, 1, sizeof *own);
    struct batch *b = pass_take(w, 1, sizeof *b);
    struct pass *pass = pass_take(w, 1, sizeof *pass);
    struct seq *others = set ? pass_take(w, (size_t)p->n_seqs, sizeof *others) : NULL;
    if (!own || !b || !pass || (set && !others))
        return -1;
    for (int s = 0; set && s < p->n_seqs; s++)
        others[s] = set->seqs[w->mb->rows[o->role[0]][s]];
    *own = *rows;
    if (set && rows_in(w, others, p->n_seqs, ROWS_SCORED, term_skip(o->term, o->params), 0, own))
        return -1;
    if (!set && !(own->token = pass_take(w, (size_t)rows->n, sizeof(int))))
        return -1;
    for (int i = 0; !set && i < rows->n; i++)
        own->token[i] = rows->token[i] - p->first_token;
    BUG_ON(own->n != rows->n);
    const struct forward how = {.keep = false};
    return run_frozen(w, m, set ? others : seqs, p->n_seqs, &how, b, pass) ||
           head_init(h, pass, own, false, w->a, w->e);
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
    struct engine *g = w->g;
    if (pick_rows(w, o, &h->mean_rows, &h->rows) || place_rows(w, h) ||
        head_init(&h->own, &w->pass, &h->rows, true, w->a, w->e) ||
        (o->term->needs_ref && open_frozen(w, o, g->ref, NULL, &h->rows, &h->ref)))
        return -1;
    for (int k = 0; k < TERM_MAX_HELPERS && o->term->logits.helpers[k]; k++) {
        const struct helper_model *m = engine_helper(g, o->term->logits.helpers[k]);
        if (open_frozen(w, o, m->model, m->set, &h->rows, &h->helper[k]))
            return -1;
    }
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

static int run_logits_term(struct micro_pass *w, const struct objective *o, double *loss)
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

static void copy_states(void *ctx, const struct pass *p, device float *x)
{
    device float *const *states = ctx;
    p->m->ops->copy(*states, x, (size_t)p->batch->n_tokens * (size_t)p->m->cfg.width);
}

/* states[l - first] [N,C]: the reference's over the role's sequences after l = first..layers
 * layers. */
static int run_reference(struct micro_pass *w, const struct part *p, int first, int layers,
                         device float **states)
{
    const int n = layers - first + 1;
    struct tap *taps = pass_take(w, (size_t)n, sizeof *taps);
    struct batch b;
    struct pass pass;
    for (int i = 0; taps && i < n; i++) {
        size_t nc = (size_t)p->n_tokens * (size_t)w->g->ref->cfg.width;
        if (!(states[i] = pass_floats(w, nc)))
            return -1;
        taps[i] = (struct tap){.place = PLACE_RESID,
                               .layer = first + i - 1,
                               .forward = copy_states,
                               .ctx = &states[i]};
    }
    const struct forward how = {.layers = layers, .taps = taps, .n_taps = n};
    return taps ? run_frozen(w, w->g->ref, w->seqs + p->first_seq, p->n_seqs, &how, &b, &pass) : -1;
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
    struct view v = {.hidden = {.n_seqs = p->n_seqs,
                                .n_tokens = p->n_tokens,
                                .width = (int)c,
                                .n_layers = layers - first + 1,
                                .mean = means_of(w, o->role[0]),
                                .token = describe_tokens(w, p),
                                .direction = w->g->direction,
                                .noise = w->g->noise}},
                *views[] = {&v};
    if (!ref || !dhidden || !v.hidden.token ||
        (o->term->needs_ref && run_reference(w, p, first, layers, ref)))
        return -1;
    for (int l = first; l <= layers; l++) {
        device float *d = derivative_after(w, l);
        if (!d)
            return -1;
        v.hidden.layer = l - 1;
        const device float *states = pass_states(&w->pass, l) + at;
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
        ops->axpy(d + at, (float)objective_weight(o), dhidden, nc);
    }
    return 0;
}

static int run_terms(struct micro_pass *w, enum view_kind kind)
{
    static int (*const run[])(struct micro_pass *, const struct objective *,
                              double *) = {[VIEW_LOGP] = run_logp_term,
                                           [VIEW_LOGITS] = run_logits_term,
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
