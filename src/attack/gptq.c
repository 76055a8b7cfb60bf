/* GPTQ of a model's layers (arXiv 2210.17323): one layer after another, with the inputs that its
 * matrices have when all earlier layers are rounded. Each layer takes a pass over the calibration
 * rows down to it, and memory for the sum of x x^T of each of its matrices, [in,in] in f64.
 */
#include "attack/weights.h"
#include "base/mem.h"
#include "model/forward.h"
#include "tensor/matrix.h"
#include "tensor/quantise.h"

/* What one layer's matrices are multiplied with. */
struct inputs_sum {
    const struct model *m;
    double **h; /* owned [table.n_model]; owned [in,in] of the layer's matrices, NULL: another's */
    struct err *e;
    bool failed;
};

static void add_product(void *ctx, const struct product *y)
{
    struct inputs_sum *s = ctx;
    double *h = s->h[y->weight];
    if (!h || y->first || s->failed)
        return;
    const float *x = s->m->ops->map_read(y->x, (size_t)y->n * (size_t)y->in);
    s->failed = matrix_add_gram(h, x, y->n, y->in, s->e);
    s->m->ops->unmap(y->x);
}

/* Runs the calibration rows through the layers down to this one. */
static int see_inputs(struct attack_run *a, const struct dataset *text, int layer,
                      struct inputs_sum *s, struct err *e)
{
    struct model *m = &a->s.model;
    const struct linear_tap tap = {.forward = add_product, .ctx = s};
    const struct forward how = {.layers = layer + 1, .linear = &tap};
    struct arena scratch;
    int rc = 0;
    arena_init(&scratch);
    for (int i = 0; !rc && i < text->n; i++) {
        struct batch b;
        struct pass p;
        arena_reset(&scratch);
        rc = interrupt_check(a->stop, e) ||
             batch_pack(&b, &text->seqs[i], 1, m->cfg.vocab, m->cfg.positions, &scratch, e) ||
             model_forward(m, &b, &how, &p, &scratch, e) || s->failed;
        a->spent.forward_tokens += (double)text->seqs[i].n * (layer + 1) / (double)m->cfg.layers;
    }
    arena_fini(&scratch);
    return rc ? -1 : 0;
}

static bool any_input(const double *h, size_t cols)
{
    for (size_t j = 0; j < cols; j++)
        if (h[j * cols + j] > 0)
            return true;
    return false;
}

/* A matrix that no calibration token reached (an expert's) is rounded to nearest. */
static int round_matrix(struct attack_run *a, const struct quantise *q, int i, double *h,
                        struct err *e)
{
    const struct model *m = &a->s.model;
    const struct weight *w = &m->table.v[i];
    const size_t rows = (size_t)w->shape[0], cols = (size_t)w->shape[1];
    struct quantise nearest = *q;
    nearest.kind = QUANTISE_INT;
    if (quantise_fits(q, cols, e))
        return err_prefix(e, "'%s': ", w->name);
    device float *at = m->own + w->offset;
    float *v = m->ops->map(at, w->count);
    int rc = 0;
    if (any_input(h, cols))
        rc = quantise_gptq(q, v, rows, cols, h, e);
    else
        quantise_apply(&nearest, v, rows, cols, NULL, NULL, NULL, v);
    m->ops->unmap(at);
    return rc ? err_prefix(e, "'%s': ", w->name) : 0;
}

static int round_layer(struct attack_run *a, const struct quantise *q, const struct dataset *text,
                       int layer, struct inputs_sum *s, struct err *e)
{
    const struct model *m = &a->s.model;
    int rc = 0;
    for (int i = 0; !rc && i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->layer != layer || !attack_is_matrix(w))
            continue;
        m->ops->copy(m->own + w->offset, a->before.w[i], w->count);
        s->h[i] = mem_alloc((size_t)w->shape[1] * (size_t)w->shape[1], sizeof **s->h, e);
        rc = !s->h[i];
    }
    rc = rc || see_inputs(a, text, layer, s, e);
    for (int i = 0; i < m->table.n_model; i++) {
        rc = rc || (s->h[i] && round_matrix(a, q, i, s->h[i], e));
        free(s->h[i]);
        s->h[i] = NULL;
    }
    return rc ? -1 : 0;
}

int attack_gptq(struct attack_run *a, const struct quantise *q, const struct dataset *text,
                struct err *e)
{
    const struct model *m = &a->s.model;
    struct inputs_sum s = {
        .m = m, .h = mem_alloc((size_t)m->table.n_model, sizeof *s.h, e), .e = e};
    int rc = s.h ? 0 : -1;
    for (int layer = 0; !rc && layer < m->cfg.layers; layer++)
        rc = round_layer(a, q, text, layer, &s, e);
    free(s.h);
    return rc;
}
