/* Terms on hidden states: the gradient through a view after each layer is that of the loss. */
#include "job.h"

/* A term on hidden states, for the test alone: mean over scored tokens of |h - 2 u|^2 / 2 and, on
 * retain, of |h - h_ref|^2 / 2 after layer `at`. */
static int at;

static int layer_at(const void *params)
{
    (void)params;
    return at;
}

static int distance(const void *params, struct view *const *views, double *loss, struct err *e)
{
    struct hidden_view *v = &views[0]->hidden;
    (void)params, (void)e;
    for (int t = 0; t < v->n_tokens; t++)
        for (int c = 0; v->token[t].scored && c < v->width; c++) {
            size_t i = (size_t)t * (size_t)v->width + (size_t)c;
            double want = v->ref ? (double)v->ref[i] : 2 * (double)v->direction[c];
            double d = (double)v->hidden[i] - want;
            *loss += d * d / 2 / v->mean.rows;
            v->dhidden[i] += (float)(d / v->mean.rows);
        }
    return 0;
}

static double hidden_loss(struct bench *b, const struct micro *mb)
{
    struct err e;
    struct norm norm;
    struct micro_result res;
    struct micro one = *mb;
    struct order o = {.micro = &one, .n = 1, .per_epoch = 1};
    engine_count(&b->g, &o, 0, 1, &norm);
    engine_zero_grads(&b->g);
    BUG_ON(engine_micro(&b->g, mb, &norm, &res, &e));
    return b->g.obj[0].weight * res.loss[0] + b->g.obj[1].weight * res.loss[1];
}

/* The gradient through a hidden view is that of the loss, and nothing above the layer gets any. */
static void check_hidden(int layer)
{
    static const struct term to_direction = {.name = "d",
                                             .kind = VIEW_HIDDEN,
                                             .n_views = 1,
                                             .hidden = {.loss = distance, .layer = layer_at}};
    static const struct term to_ref = {.name = "r",
                                       .kind = VIEW_HIDDEN,
                                       .n_views = 1,
                                       .needs_ref = true,
                                       .hidden = {.loss = distance, .layer = layer_at}};
    static const struct {
        enum slot slot;
        int layer;
    } places[] = {{W_EMBED, -1}, {W_Q, 0}, {W_DOWN, 1}, {W_NORM_MLP, 0}};
    struct bench b;
    struct err e;
    struct tensor_file f;
    struct micro mb;
    float u[24];
    bench_open(&b, "m_cur", "m_ref", "FT", "NLL", 1, 0);
    BUG_ON(tensor_file_open(&f, path_of("methods/", "batches.safetensors"), &e));
    bench_read(&b, &f, "", ROLE_FORGET, false);
    bench_read(&b, &f, "", ROLE_RETAIN, false);
    tensor_file_close(&f);
    for (int i = 0; i < 24; i++)
        u[i] = (float)(i + 1) / 70;
    b.g.direction = u;
    at = layer;
    BUG_ON(engine_add(
        &b.g, &(struct objective){.term = &to_direction, .role = {ROLE_FORGET}, .weight = 1.5},
        &e));
    BUG_ON(engine_add(
        &b.g, &(struct objective){.term = &to_ref, .role = {ROLE_RETAIN}, .weight = 0.5}, &e));
    whole(&b, &mb);
    hidden_loss(&b, &mb);
    float *grads = mem_alloc(b.m.table.total, sizeof(float), &e);
    memcpy(grads, b.g.grads, b.m.table.total * sizeof(float));
    for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
        const struct weight *w =
            &b.m.table.v[weight_index(&b.m.table, places[p].slot, places[p].layer)];
        double top = 0;
        size_t k = 0;
        for (size_t i = 0; i < w->count; i++) /* the largest entry: the least noise */
            if (fabs((double)grads[w->offset + i]) > top)
                top = fabs((double)grads[w->offset + (k = i)]);
        if (places[p].layer > layer) {
            ok(top == 0, "hidden after layer %d: %s gets no gradient", layer, w->name);
            continue;
        }
        float *x = b.m.own + w->offset + k, old = *x, h = 2e-3f;
        *x = old + h;
        double up = hidden_loss(&b, &mb), width = (double)*x;
        *x = old - h;
        double slope = (up - hidden_loss(&b, &mb)) / (width - (double)*x);
        *x = old;
        near((double)grads[w->offset + k], slope, 2e-3, 0, "hidden after layer %d: d/d %s[%zu]",
             layer, w->name, k);
    }
    int head = weight_index(&b.m.table, b.m.cfg.tied_head ? W_EMBED : W_HEAD, -1);
    ok(grads[b.m.table.v[head].offset] == 0, "hidden after layer %d: the head gets no gradient",
       layer);
    free(grads);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    check_hidden(0);
    check_hidden(1);
    check_hidden(2);
    free(dir);
    return done();
}
