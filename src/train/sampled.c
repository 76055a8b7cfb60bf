/* The gradient under labels sampled from the model: its square, times the number of labels, is
 * an unbiased estimate of the Gauss-Newton matrix's diagonal (Gauss-Newton-Bartlett, arXiv
 * 2305.14342). */
#include <math.h>

#include "train/work.h"

/* A label from softmax(z), z [V]: where the cumulated probability passes u in [0,1). */
static int draw_label(const float *z, int vocab, double u)
{
    float top = z[0];
    for (int v = 1; v < vocab; v++)
        top = fmaxf(top, z[v]);
    double sum = 0, at = 0;
    for (int v = 0; v < vocab; v++)
        sum += exp((double)(z[v] - top));
    for (int v = 0; v + 1 < vocab; v++)
        if ((at += exp((double)(z[v] - top))) > u * sum)
            return v;
    return vocab - 1;
}

int engine_sampled(struct engine *g, const struct micro *mb, double n_labels, struct rng *r,
                   long *tokens, struct err *e)
{
    struct work w = {.g = g, .mb = mb, .a = &g->arena, .e = e};
    const struct model_config *c = &g->model->cfg;
    const struct ops *ops = g->model->ops;
    struct head h;
    if (work_forward(&w, c->layers) || head_init(&h, &w.pass, &w.rows, true, w.a, e) ||
        !(w.logp = work_take(&w, (size_t)w.rows.n, sizeof(float))) ||
        !(w.lse = work_take(&w, (size_t)w.rows.n, sizeof(float))) ||
        !(w.dlogp = work_take(&w, (size_t)w.rows.n, sizeof(float))))
        return -1;
    for (int first = 0, n; first < w.rows.n; first += n) {
        float *z = head_logits(&h, first, &n);
        int *label = w.rows.label + first;
        for (int i = 0; i < n; i++) {
            label[i] = draw_label(z + (size_t)i * (size_t)c->vocab, c->vocab, (double)rng_float(r));
            w.dlogp[first + i] = (float)(-1 / n_labels);
        }
        ops->label_logp(w.logp + first, w.lse + first, NULL, z, label, n, c->vocab);
        head_drop(&h);
        ops->label_logp_back(z, w.lse + first, w.dlogp + first, label, n, c->vocab);
        head_back(&h, first, n, z, w.grads);
    }
    *tokens = w.batch.n_tokens;
    if (head_finish_back(&h, w.dx, w.grads, w.a, e))
        return -1;
    return pass_backward(&w.pass, w.dx, w.grads, w.a, e);
}
