/* The sequences of all roles in use, packed into one batch and run through the decoder. */
#include "train/work.h"

void *work_take(struct work *w, size_t n, size_t size)
{
    return arena_zeros(w->a, n, size, w->e);
}

bool work_is_widened(const struct engine *g, const struct objective *o)
{
    return (o->term->widen & g->compat) != 0;
}

/* Some objective averages over every row of this role's padded batch. */
static bool needs_padding(const struct engine *g, enum role role)
{
    for (int i = 0; i < g->n_obj; i++)
        if (engine_counts(g, &g->obj[i]) && g->obj[i].role[0] == role &&
            work_is_widened(g, &g->obj[i]))
            return true;
    return false;
}

static int pad_to(struct work *w, struct seq *s, int n)
{
    int *ids = work_take(w, (size_t)n, sizeof *ids),
        *labels = work_take(w, (size_t)n, sizeof *labels);
    uint8_t *mask = work_take(w, (size_t)n, 1);
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

static int collect(struct work *w)
{
    int total = 0;
    for (int r = 0; r < ROLE_COUNT; r++)
        total += w->mb->n[r];
    if (!(w->seqs = work_take(w, (size_t)total, sizeof *w->seqs)))
        return -1;
    for (int r = 0; r < ROLE_COUNT; r++) {
        struct part *p = &w->part[r];
        if (!engine_uses(w->g, (enum role)r))
            continue;
        p->first_seq = w->n_seqs;
        p->n_seqs = w->mb->n[r];
        int longest = 0;
        for (int i = 0; i < p->n_seqs; i++) {
            struct seq *s = &w->seqs[w->n_seqs++];
            *s = w->g->sets[r]->seqs[w->mb->rows[r][i]];
            longest = s->n > longest ? s->n : longest;
        }
        for (int i = 0; i < p->n_seqs && needs_padding(w->g, (enum role)r); i++)
            if (w->seqs[p->first_seq + i].n < longest &&
                pad_to(w, &w->seqs[p->first_seq + i], longest))
                return -1;
    }
    return 0;
}

static int locate_parts(struct work *w)
{
    for (int r = 0, row = 0; r < ROLE_COUNT; r++) {
        struct part *p = &w->part[r];
        if (!p->n_seqs)
            continue;
        p->first_token = w->batch.start[p->first_seq];
        p->n_tokens = w->batch.start[p->first_seq + p->n_seqs] - p->first_token;
        p->first_row = row;
        while (row < w->rows.n && w->rows.seq[row] < p->first_seq + p->n_seqs)
            row++;
        p->n_rows = row - p->first_row;
        if (!(p->n_labels = work_take(w, (size_t)p->n_seqs, sizeof(int))) ||
            !(p->nll = work_take(w, (size_t)p->n_seqs, sizeof(double))) ||
            !(p->ref_nll = work_take(w, (size_t)p->n_seqs, sizeof(double))))
            return -1;
        for (int i = p->first_row; i < row; i++) {
            w->rows.seq[i] -= p->first_seq; /* from here on: within the role */
            p->n_labels[w->rows.seq[i]]++;
        }
    }
    return 0;
}

/* Gives tokens of `too` the vectors of the forget tokens at the same places. */
static void share_latent(struct work *w, const struct part *forget, const struct part *too, int *of)
{
    int n = too->n_seqs < forget->n_seqs ? too->n_seqs : forget->n_seqs;
    for (int s = 0; s < n; s++) {
        int from = w->batch.start[forget->first_seq + s], to = w->batch.start[too->first_seq + s];
        for (int t = 0; t < w->seqs[forget->first_seq + s].n && t < w->seqs[too->first_seq + s].n;
             t++)
            of[to + t] = of[from + t];
    }
}

static int place_latent(struct work *w)
{
    struct engine *g = w->g;
    const struct part *p = &w->part[ROLE_FORGET];
    if (!g->latent || !p->n_seqs)
        return 0;
    if (g->latent->n != p->n_tokens)
        return err_set(w->e, "hidden states of padded forget rows cannot be perturbed: leave out "
                             "the --compat switches that average over padding");
    int *of = work_take(w, (size_t)w->batch.n_tokens, sizeof *of);
    if (!of)
        return -1;
    for (int i = 0; i < w->batch.n_tokens; i++) {
        int k = i - p->first_token;
        of[i] = k >= 0 && k < p->n_tokens ? k : -1;
    }
    if (g->latent_too != ROLE_FORGET)
        share_latent(w, p, &w->part[g->latent_too], of);
    g->latent->of = of;
    w->batch.latent = g->latent;
    return 0;
}

int work_forward(struct work *w, int layers)
{
    struct engine *g = w->g;
    const struct model_config *c = &g->model->cfg;
    arena_reset(&g->arena);
    if ((!g->frozen && engine_reserve_grads(g, w->e)) || collect(w) ||
        batch_pack(&w->batch, w->seqs, w->n_seqs, c->vocab, c->positions, w->a, w->e) ||
        batch_label_rows(&w->rows, &w->batch, w->seqs, w->a, w->e) || locate_parts(w))
        return -1;
    w->grads = g->frozen ? NULL : g->grads;
    if (place_latent(w) ||
        decoder_forward(g->model, &w->batch, layers, true, &w->pass, w->a, w->e) ||
        !(w->dx = work_take(w, (size_t)w->batch.n_tokens * (size_t)c->width, sizeof(float))))
        return -1;
    if (g->compat & COMPAT_PAD_EMBED_FROZEN)
        w->pass.frozen_id = g->pad_id;
    for (int r = 0; r < ROLE_COUNT; r++)
        g->tokens.trained[r] += w->part[r].n_tokens;
    return 0;
}
