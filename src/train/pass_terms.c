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

/* Log-probabilities of one role's labels, current and (from the cache) reference, and their sums.
 */
static int forward_logp(struct micro_pass *w, enum role role)
{
    struct part *p = &w->part[role];
    const struct ref_cache *c = &w->g->ref_logp[role];
    p->rows = part_rows(w, p);
    if (head_init(&p->head, &w->pass, &p->rows, true, w->a, w->e))
        return -1;
    head_logp(&p->head, w->logp + p->first_row, w->lse + p->first_row, NULL);
    for (int s = 0, row = p->first_row; s < p->n_seqs; row += p->n_labels[s++]) {
        const struct score *ref = c->at ? &c->scores.v[c->at[w->mb->rows[role][s]]] : NULL;
        for (int k = 0; k < p->n_labels[s]; k++) {
            p->nll[s] -= (double)w->logp[row + k];
            w->ref_logp[row + k] = ref ? ref->logp[k] : 0;
        }
        p->ref_nll[s] = ref ? ref->nll : 0;
    }
    return 0;
}

/* A view with the fields common to all kinds. */
static struct view view_of(const struct micro_pass *w, enum role role)
{
    const struct part *p = &w->part[role];
    bool own = w->g->compat & COMPAT_MICRO_MEAN;
    return (struct view){
        .n_seqs = p->n_seqs,
        .n_rows = p->n_rows,
        .row_seq = w->rows.seq + p->first_row,
        .label = w->rows.label + p->first_row,
        .n_labels = p->n_labels,
        .mean_rows = own ? (double)p->n_rows * w->norm->micros : w->norm->rows[role],
        .mean_seqs = own ? (double)p->n_seqs * w->norm->micros : w->norm->seqs[role],
        .mean_tokens = own ? (double)p->n_tokens * w->norm->micros : w->norm->tokens[role],
        .mean_prompts = w->norm->prompts[role],
        .noise = w->g->noise,
        .gap = w->g->gap,
        .compat = w->g->compat,
        .nll = p->nll,
        .ref_nll = p->ref_nll,
        .vocab = w->g->model->cfg.vocab,
        .width = w->g->model->cfg.width,
    };
}

static int run_logp_term(struct micro_pass *w, const struct objective *o, double *loss)
{
    struct view v[TERM_MAX_VIEWS], *views[TERM_MAX_VIEWS];
    for (int i = 0; i < o->term->n_views; i++) {
        const struct part *p = &w->part[o->role[i]];
        v[i] = view_of(w, o->role[i]);
        v[i].logp = w->logp + p->first_row;
        v[i].ref_logp = w->ref_logp + p->first_row;
        if (!(v[i].dlogp = pass_take(w, (size_t)p->n_rows, sizeof(float))))
            return -1;
        views[i] = &v[i];
    }
    if (term_loss(o->term, o->params, views, loss, w->e))
        return -1;
    const float weight = (float)objective_weight(o);
    for (int i = 0; i < o->term->n_views; i++)
        for (int r = 0; r < v[i].n_rows; r++)
            w->dlogp[w->part[o->role[i]].first_row + r] += weight * v[i].dlogp[r];
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

/* The rows of a logits term: the role's label rows without those skipped, or the widened set. */
static int pick_rows(struct micro_pass *w, const struct objective *o, struct view *v,
                     struct label_rows *rows)
{
    const struct part *p = &w->part[o->role[0]];
    bool wide = pass_is_widened(w->g, o), own = wide || w->g->compat & COMPAT_MICRO_MEAN;
    int skip = objective_skip(o);
    if (!wide && !skip) {
        *rows = part_rows(w, p);
        return 0;
    }
    if (rows_in(w, w->seqs + p->first_seq, p->n_seqs, wide ? o->term->widened : ROWS_SCORED, skip,
                p->first_token, rows))
        return -1;
    v->mean_rows = own ? (double)rows->n * w->norm->micros : w->norm->kept[o - w->g->obj];
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
    if (set && rows_in(w, others, p->n_seqs, ROWS_SCORED, objective_skip(o), 0, own))
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

/* The heads of all models whose logits a term uses. */
struct heads {
    struct label_rows rows;
    struct head own, ref, helper[TERM_MAX_HELPERS];
};

static int open_heads(struct micro_pass *w, const struct objective *o, struct view *v,
                      struct heads *h)
{
    struct engine *g = w->g;
    if (pick_rows(w, o, v, &h->rows) || head_init(&h->own, &w->pass, &h->rows, true, w->a, w->e) ||
        (o->term->needs_ref && open_frozen(w, o, g->ref, NULL, &h->rows, &h->ref)))
        return -1;
    for (int k = 0; k < TERM_MAX_HELPERS && o->term->helpers[k]; k++) {
        const struct helper_model *m = engine_helper(g, o->term->helpers[k]);
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

/* Fills the view with the block of rows that starts at `first`. */
static void show_block(const struct objective *o, struct heads *h, struct view *v, int first)
{
    int n;
    v->z = v->dz = show_logits(&h->own, first, &n);
    v->ref_z = o->term->needs_ref ? show_logits(&h->ref, first, &n) : NULL;
    for (int k = 0; k < TERM_MAX_HELPERS; k++)
        if (o->term->helpers[k])
            v->helper[k] = show_logits(&h->helper[k], first, &n);
    v->n_rows = n;
    v->first_row = first;
    v->label = h->rows.label + first;
    v->row_seq = h->rows.seq + first;
}

static void hide_block(const struct objective *o, const struct heads *h)
{
    const struct ops *ops = h->own.p->m->ops;
    ops->unmap(h->own.z);
    if (o->term->needs_ref)
        ops->unmap(h->ref.z);
    for (int k = 0; k < TERM_MAX_HELPERS; k++)
        if (o->term->helpers[k])
            ops->unmap(h->helper[k].z);
}

static int run_logits_term(struct micro_pass *w, const struct objective *o, double *loss)
{
    const struct engine *g = w->g;
    struct view v = view_of(w, o->role[0]), *views[] = {&v};
    struct heads h;
    if (open_heads(w, o, &v, &h))
        return -1;
    for (int first = 0; o->term->measure && first < h.rows.n; first += v.n_rows) {
        show_block(o, &h, &v, first);
        int rc = o->term->measure(o->params, views, &v.measured, w->e);
        hide_block(o, &h);
        if (rc)
            return -1;
    }
    const double weight = objective_weight(o);
    for (int first = 0; first < h.rows.n; first += v.n_rows) {
        show_block(o, &h, &v, first);
        head_drop(&h.own);
        int rc = term_loss(o->term, o->params, views, loss, w->e);
        hide_block(o, &h);
        if (rc)
            return -1;
        if (weight != 1)
            g->model->ops->scale(h.own.z, (float)weight, (size_t)v.n_rows * (size_t)v.vocab);
        head_back(&h.own, first, v.n_rows, h.own.z, w->grads);
    }
    return head_finish_back(&h.own, w->dx, w->grads, w->a, w->e);
}

/* Id and sequence of each token, and whether it is a label. */
static int describe_tokens(struct micro_pass *w, const struct part *p, struct view *v)
{
    int *token_seq = pass_take(w, (size_t)p->n_tokens, sizeof(int));
    uint8_t *scored = pass_take(w, (size_t)p->n_tokens, 1);
    if (!token_seq || !scored)
        return -1;
    for (int s = 0, i = 0; s < p->n_seqs; s++) {
        const struct seq *q = &w->seqs[p->first_seq + s];
        for (int t = 0; t < q->n; t++, i++) {
            token_seq[i] = s;
            scored[i] = q->labels && q->labels[t] != LABEL_NONE;
        }
    }
    v->n_tokens = p->n_tokens;
    v->token = w->batch.ids + p->first_token;
    v->token_seq = token_seq;
    v->scored = scored;
    v->direction = w->g->direction;
    return 0;
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
    struct view v = view_of(w, o->role[0]), *views[] = {&v};
    size_t c = (size_t)v.width, at = (size_t)p->first_token * c, nc = (size_t)p->n_tokens * c;
    int layers = objective_layers(w->g, o), first = o->term->all_layers ? 1 : layers;
    device float **ref = pass_take(w, (size_t)layers, sizeof *ref);
    device float *dhidden = pass_floats(w, nc);
    if (!ref || describe_tokens(w, p, &v) || !dhidden ||
        (o->term->needs_ref && run_reference(w, p, first, layers, ref)))
        return -1;
    v.n_layers = layers - first + 1;
    for (int l = first; l <= layers; l++) {
        device float *d = derivative_after(w, l);
        if (!d)
            return -1;
        v.layer = l - 1;
        const device float *states = pass_states(&w->pass, l) + at;
        ops->fill(dhidden, 0, nc);
        v.hidden = ops->map_read(states, nc);
        v.ref_hidden = ref[l - first] ? ops->map_read(ref[l - first], nc) : NULL;
        v.dhidden = ops->map(dhidden, nc);
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
        !(w->dlogp = pass_take(w, n, sizeof(float))) ||
        !(w->ref_logp = pass_take(w, n, sizeof(float))))
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
