/* The views of terms on hidden states, after one layer or after several, and their backward. */
#include <string.h>

#include "train/work.h"

/* Id and sequence of each token, and whether it is a label. */
static int describe_tokens(struct work *w, const struct part *p, struct view *v)
{
    int *token_seq = work_take(w, (size_t)p->n_tokens, sizeof(int));
    uint8_t *scored = work_take(w, (size_t)p->n_tokens, 1);
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

static void copy_states(void *ctx, const struct pass *p, float *x)
{
    size_t nc = (size_t)p->batch->n_tokens * (size_t)p->m->cfg.width;
    memcpy(ctx, x, nc * sizeof(float));
}

/* states[l - first] [N,C]: the reference's over the role's sequences after l = first..layers
 * layers. */
static int run_reference(struct work *w, const struct part *p, int first, int layers,
                         float **states)
{
    const int n = layers - first + 1;
    struct tap *taps = work_take(w, (size_t)n, sizeof *taps);
    struct batch b;
    struct pass pass;
    for (int i = 0; taps && i < n; i++) {
        size_t nc = (size_t)p->n_tokens * (size_t)w->g->ref->cfg.width;
        if (!(states[i] = work_take(w, nc, sizeof(float))))
            return -1;
        taps[i] = (struct tap){
            .place = PLACE_RESID, .layer = first + i - 1, .forward = copy_states, .ctx = states[i]};
    }
    const struct forward how = {.layers = layers, .taps = taps, .n_taps = n};
    return taps ? work_run_frozen(w, w->g->ref, w->seqs + p->first_seq, p->n_seqs, &how, &b, &pass)
                : -1;
}

/* The accumulated d loss / d hidden after so many layers, of the whole batch. */
static float *derivative_after(struct work *w, int layers)
{
    size_t n = (size_t)w->batch.n_tokens * (size_t)w->g->model->cfg.width;
    if (layers == w->pass.how.layers)
        return w->dx;
    if (!w->dhidden[layers])
        w->dhidden[layers] = work_take(w, n, sizeof(float));
    return w->dhidden[layers];
}

int work_run_hidden(struct work *w, const struct objective *o, double *loss)
{
    const struct part *p = &w->part[o->role[0]];
    struct view v = work_view(w, o->role[0]), *views[] = {&v};
    size_t c = (size_t)v.width, at = (size_t)p->first_token * c, nc = (size_t)p->n_tokens * c;
    int layers = objective_layers(w->g, o), first = o->term->all_layers ? 1 : layers;
    float **ref = work_take(w, (size_t)layers, sizeof *ref);
    if (!ref || describe_tokens(w, p, &v) || !(v.dhidden = work_take(w, nc, sizeof(float))) ||
        (o->term->needs_ref && run_reference(w, p, first, layers, ref)))
        return -1;
    v.n_layers = layers - first + 1;
    for (int l = first; l <= layers; l++) {
        float *d = derivative_after(w, l);
        if (!d)
            return -1;
        v.layer = l - 1;
        v.hidden = pass_states(&w->pass, l) + at;
        v.ref_hidden = ref[l - first];
        memset(v.dhidden, 0, nc * sizeof(float));
        if (term_loss(o->term, o->params, views, loss, w->e))
            return -1;
        w->g->model->ops->axpy(d + at, (float)objective_weight(o), v.dhidden, nc);
    }
    return 0;
}
