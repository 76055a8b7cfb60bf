/* One micro-batch: pack the roles, run the decoder, let the terms look, take the derivatives back.
 */
#include "train/work.h"

int engine_micro(struct engine *g, const struct micro *mb, const struct norm *norm,
                 struct micro_result *r, struct err *e)
{
    struct work w = {.g = g, .mb = mb, .norm = norm, .a = &g->arena, .e = e, .result = r};
    int layers = engine_depth(g);
    *r = (struct micro_result){0};
    if (work_forward(&w, layers) || !(w.dhidden = work_take(&w, (size_t)layers, sizeof(float *))) ||
        work_run_terms(&w))
        return -1;
    r->tokens = w.batch.n_tokens;
    return decoder_backward(g->model, &w.pass, w.dx, w.dhidden, w.grads, w.a, e);
}
