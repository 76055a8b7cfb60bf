/* One micro-batch: the sequences of all roles in use are packed into one batch and run through the
 * decoder, the terms compute losses and derivatives, and these are propagated backward. */
#include <math.h>
#include <string.h>

#include "model/lora.h"

#include "train/pass.h"

void *pass_take(struct micro_pass *w, size_t n, size_t size)
{
    return arena_zeros(w->a, n, size, w->e);
}

device float *pass_floats(struct micro_pass *w, size_t n)
{
    const struct ops *o = w->g->model->ops;
    device float *x = o->take(w->a, n + 1, w->e);
    if (x)
        o->fill(x, 0, n + 1);
    return x;
}

static int pad_to(struct micro_pass *w, struct seq *s, int n)
{
    int *ids = pass_take(w, (size_t)n, sizeof *ids),
        *labels = pass_take(w, (size_t)n, sizeof *labels);
    uint8_t *mask = pass_take(w, (size_t)n, 1);
    if (!ids || !labels || !mask)
        return -1;
    for (int t = 0; t < n; t++) {
        ids[t] = t < s->n ? s->ids[t] : w->g->pad_id;
        labels[t] = t < s->n && s->labels ? s->labels[t] : LABEL_NONE;
        mask[t] = t < s->n && (!s->mask || s->mask[t]);
    }
    *s = (struct seq){.n = n, .ids = ids, .labels = labels, .mask = mask};
    return 0;
}

int pack_seqs(struct batch *b, const struct seq *seqs, int n, const struct model *m, bool share,
              struct arena *a, struct err *e)
{
    const struct model_config *c = &m->cfg;
    int *from = arena_zeros(a, (size_t)n, sizeof *from, e),
        *common = arena_zeros(a, (size_t)n, sizeof *common, e);
    if (!from || !common)
        return -1;
    if (share)
        batch_find_common(seqs, n, from, common);
    return batch_pack_shared(b, seqs, n, from, common, c->vocab, c->positions, a, e);
}

/* Dropout and perturbations are drawn for each token of each sequence. */
static bool may_share(const struct engine *g)
{
    const struct lora *lora = g->model->lora;
    return !g->alone && !g->latent && !(lora && lora->dropout > 0 && !g->measuring);
}

/* Of each sequence what must be computed: all tokens where terms read hidden states or padding, or
 * tokens are perturbed, else those up to the last row that predicts a label. */
static void cut(const struct micro_pass *w, struct seq *seqs)
{
    const struct engine *g = w->g;
    unsigned whole = w->plan.padded;
    for (int i = 0; i < g->n_obj; i++)
        if (g->obj[i].term->kind == VIEW_HIDDEN)
            whole |= ROLE_BIT(g->obj[i].role[0]);
    memcpy(seqs, w->seqs, (size_t)w->n_seqs * sizeof *seqs);
    for (int r = 0; r < ROLE_COUNT; r++) {
        const struct part *p = &w->part[r];
        for (int s = p->first_seq; s < p->first_seq + p->n_seqs; s++)
            if (!(whole & ROLE_BIT(r)) && !g->latent)
                seqs[s].n = seq_needed(&seqs[s]);
    }
}

/* The batch: what must be computed of the sequences, shared prefixes once. */
static int pack(struct micro_pass *w)
{
    struct seq *seqs = pass_take(w, (size_t)w->n_seqs, sizeof *seqs);
    if (!seqs)
        return -1;
    cut(w, seqs);
    return pack_seqs(&w->batch, seqs, w->n_seqs, w->g->model, may_share(w->g), w->a, w->e);
}

static int collect(struct micro_pass *w)
{
    int total = 0;
    for (int r = 0; r < ROLE_COUNT; r++)
        total += w->mb->n[r];
    if (!(w->seqs = pass_take(w, (size_t)total, sizeof *w->seqs)))
        return -1;
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct part *p = &w->part[r];
        if (!(w->plan.roles & ROLE_BIT(r)))
            continue;
        p->first_seq = w->n_seqs;
        p->n_seqs = w->mb->n[r];
        int longest = 0;
        for (int i = 0; i < p->n_seqs; i++) {
            struct seq *s = &w->seqs[w->n_seqs++];
            *s = w->g->sets[r]->seqs[w->mb->rows[r][i]];
            longest = s->n > longest ? s->n : longest;
        }
        for (int i = 0; i < p->n_seqs && w->plan.padded & ROLE_BIT(r); i++)
            if (w->seqs[p->first_seq + i].n < longest &&
                pad_to(w, &w->seqs[p->first_seq + i], longest))
                return -1;
    }
    return 0;
}

static int locate_parts(struct micro_pass *w)
{
    for (int r = 0, row = 0; r < ROLE_COUNT; r++) {
        struct part *p = &w->part[r];
        if (!p->n_seqs)
            continue;
        p->first_token = w->batch.place[p->first_seq];
        for (int s = 0; s < p->n_seqs; s++)
            p->n_tokens += w->seqs[p->first_seq + s].n;
        w->n_tokens += p->n_tokens;
        p->first_row = row;
        while (row < w->rows.n && w->rows.seq[row] < p->first_seq + p->n_seqs)
            row++;
        p->n_rows = row - p->first_row;
        if (!(p->n_labels = pass_take(w, (size_t)p->n_seqs, sizeof(int))) ||
            !(p->nll = pass_take(w, (size_t)p->n_seqs, sizeof(double))) ||
            !(p->ref_nll = pass_take(w, (size_t)p->n_seqs, sizeof(double))))
            return -1;
        for (int i = p->first_row; i < row; i++) {
            w->rows.seq[i] -= p->first_seq; /* from here on an index within the role */
            p->n_labels[w->rows.seq[i]]++;
        }
    }
    return 0;
}

/* Gives tokens of another role the vectors of the forget tokens at the same positions. */
static void share_latent(struct micro_pass *w, const struct part *too, int *of)
{
    const struct part *forget = &w->part[ROLE_FORGET];
    int n = too->n_seqs < forget->n_seqs ? too->n_seqs : forget->n_seqs;
    for (int s = 0; s < n; s++) {
        int from = w->batch.start[forget->first_seq + s], to = w->batch.start[too->first_seq + s];
        for (int t = 0; t < w->seqs[forget->first_seq + s].n && t < w->seqs[too->first_seq + s].n;
             t++)
            of[to + t] = of[from + t];
    }
}

/* What a unit of delta is at its place: the embedding's rows are scaled after they are read. */
static float latent_scale(const struct micro_pass *w)
{
    const bool rows = w->g->latent->place == PLACE_EMBED;
    return rows ? w->g->model->cfg.embed_scale : 1;
}

/* x [N,C]: adds the perturbation of each token that has one. */
static void add_latent(void *ctx, const struct pass *p, device float *x)
{
    const struct micro_pass *w = ctx;
    const size_t c = (size_t)p->m->cfg.width;
    for (int i = 0; i < p->batch->n_tokens; i++)
        if (w->latent_of[i] >= 0)
            p->m->ops->axpy(x + (size_t)i * c, latent_scale(w),
                            w->g->latent->delta + (size_t)w->latent_of[i] * c, c);
}

/* d loss / d delta, from dx [N,C]. */
static void read_latent(void *ctx, const struct pass *p, device float *dx)
{
    const struct micro_pass *w = ctx;
    const struct latent *at = w->g->latent;
    const size_t c = (size_t)p->m->cfg.width;
    if (!at->ddelta)
        return;
    p->m->ops->fill(at->ddelta, 0, (size_t)at->n * c);
    for (int i = 0; i < p->batch->n_tokens; i++)
        if (w->latent_of[i] >= 0)
            p->m->ops->axpy(at->ddelta + (size_t)w->latent_of[i] * c, latent_scale(w),
                            dx + (size_t)i * c, c);
}

/* The input embedding of padding gets no gradient. */
static void drop_padding(void *ctx, const struct pass *p, device float *dx)
{
    const struct micro_pass *w = ctx;
    size_t c = (size_t)p->m->cfg.width;
    for (int i = 0; i < p->batch->n_tokens; i++)
        if (p->batch->ids[i] == w->g->pad_id)
            p->m->ops->fill(dx + (size_t)i * c, 0, c);
}

/* dx [N,C] += the derivative of terms on these hidden states. */
static void add_hidden(void *ctx, const struct pass *p, device float *dx)
{
    device float *const *d = ctx;
    if (*d)
        p->m->ops->add(dx, *d, (size_t)p->batch->n_tokens * (size_t)p->m->cfg.width);
}

static int place_latent(struct micro_pass *w)
{
    const struct latent *at = w->g->latent;
    const struct part *p = &w->part[ROLE_FORGET];
    if (!at->of && at->n != p->n_tokens)
        return err_about(w->e, "compat", "hidden states of padded forget rows cannot be perturbed");
    if (!(w->latent_of = pass_take(w, (size_t)w->batch.n_tokens, sizeof(int))))
        return -1;
    for (int i = 0; i < w->batch.n_tokens; i++) {
        int k = i - p->first_token;
        w->latent_of[i] = k < 0 || k >= p->n_tokens ? -1 : at->of ? at->of[k] : k;
    }
    if (at->too != ROLE_FORGET)
        share_latent(w, &w->part[at->too], w->latent_of);
    w->taps[w->n_taps++] = (struct tap){.place = at->place,
                                        .layer = at->layer,
                                        .forward = add_latent,
                                        .backward = read_latent,
                                        .ctx = w,
                                        .reads = at->ddelta != NULL};
    return 0;
}

/* The perturbation first: terms get the perturbed states. */
static int place_taps(struct micro_pass *w, int layers)
{
    const struct engine *g = w->g;
    if (!(w->taps = pass_take(w, (size_t)layers + 1, sizeof *w->taps)) ||
        !(w->dhidden = pass_take(w, (size_t)layers, sizeof *w->dhidden)) ||
        (g->latent && w->part[ROLE_FORGET].n_seqs && place_latent(w)))
        return -1;
    for (int l = 1; l < layers; l++)
        w->taps[w->n_taps++] = (struct tap){
            .place = PLACE_RESID, .layer = l - 1, .backward = add_hidden, .ctx = &w->dhidden[l]};
    if (g->compat & COMPAT_PAD_EMBED_FROZEN)
        w->taps[w->n_taps++] =
            (struct tap){.place = PLACE_EMBED, .backward = drop_padding, .ctx = w};
    return 0;
}

int pass_pack(struct micro_pass *w)
{
    arena_reset(&w->g->arena);
    w->plan = engine_plan(w->g);
    return collect(w) || pack(w) || batch_label_rows(&w->rows, &w->batch, w->seqs, w->a, w->e) ||
           locate_parts(w);
}

/* Packs, and runs the first `layers` layers, 0: as many as the plan needs; allocates dx. */
static int pass_forward(struct micro_pass *w, int layers)
{
    struct engine *g = w->g;
    const struct model_config *c = &g->model->cfg;
    if ((!g->frozen && engine_reserve_grads(g, w->e)) || pass_pack(w))
        return -1;
    layers = layers ? layers : w->plan.layers;
    if (place_taps(w, layers))
        return -1;
    const struct forward how = {.layers = layers,
                                .keep = true,
                                .recompute = g->recompute,
                                .training = !g->measuring,
                                .unset = g->frozen ? NULL : g->unset,
                                .taps = w->taps,
                                .n_taps = w->n_taps};
    w->grads = g->frozen ? NULL : g->grads;
    if (model_forward(g->model, &w->batch, &how, &w->pass, w->a, w->e) ||
        !(w->dx = pass_floats(w, (size_t)w->batch.n_tokens * (size_t)c->width)))
        return -1;
    for (int r = 0; r < ROLE_COUNT; r++)
        g->tokens.trained[r] += w->part[r].n_tokens;
    return 0;
}

int engine_micro(struct engine *g, const struct micro *mb, const struct norm *norm,
                 struct micro_result *r, struct err *e)
{
    struct micro_pass w = {.g = g, .mb = mb, .norm = norm, .a = &g->arena, .e = e, .result = r};
    *r = (struct micro_result){0};
    if (pass_forward(&w, 0) || pass_run_terms(&w))
        return -1;
    r->tokens = w.n_tokens;
    return pass_backward(&w.pass, w.dx, w.grads, w.a, e);
}

int engine_sampled(struct engine *g, const struct micro *mb, double n_labels, struct rng *r,
                   long *tokens, struct err *e)
{
    struct micro_pass w = {.g = g, .mb = mb, .a = &g->arena, .e = e};
    const struct model_config *c = &g->model->cfg;
    const struct ops *ops = g->model->ops;
    struct head h;
    if (pass_forward(&w, c->layers) || head_init(&h, &w.pass, &w.rows, true, w.a, e) ||
        !(w.logp = pass_take(&w, (size_t)w.rows.n, sizeof(float))) ||
        !(w.lse = pass_take(&w, (size_t)w.rows.n, sizeof(float))) ||
        !(w.dlogp = pass_take(&w, (size_t)w.rows.n, sizeof(float))))
        return -1;
    for (int first = 0, n; first < w.rows.n; first += n) {
        device float *block = head_logits(&h, first, &n);
        const float *z = ops->map_read(block, (size_t)n * (size_t)c->vocab);
        int *label = w.rows.label + first;
        for (int i = 0; i < n; i++) {
            label[i] = head_draw(z + (size_t)i * (size_t)c->vocab, c->vocab, (double)rng_float(r));
            w.dlogp[first + i] = (float)(-1 / n_labels);
        }
        ops->unmap(block);
        ops->label_logp(w.logp + first, w.lse + first, NULL, block, label, n, c->vocab);
        head_drop(&h);
        ops->label_logp_back(block, w.lse + first, w.dlogp + first, label, n, c->vocab);
        head_back(&h, first, n, block, w.grads);
    }
    *tokens = w.n_tokens;
    if (head_finish_back(&h, w.dx, w.grads, w.a, e))
        return -1;
    return pass_backward(&w.pass, w.dx, w.grads, w.a, e);
}
