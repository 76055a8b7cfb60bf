/* A steering vector: a direction is added to the residual after a layer, or its component is taken
 * out, at every token.
 */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "guard/guard.h"
#include "tensor/file.h"

struct params {
    const char *vector, *tensor, *how;
    int64_t layer;
    double scale;
};

static const struct param params[] = {
    STRING_PARAM(struct params, vector, NULL, "FILE", "safetensors that holds the direction"),
    STRING_PARAM(struct params, tensor, "direction", "NAME",
                 "its tensor, as long as the model is wide"),
    INT_PARAM(struct params, layer, 0, 1 << 16, 0, "the layer after which, from 0"),
    REAL_PARAM(struct params, scale, -1e6, 1e6, 1, "times the direction"),
    CHOICE_PARAM(struct params, how, "add|ablate", "add",
                 "add: x + scale v; ablate: x - scale (x . v) v, with v of length 1"),
    {0}};

static int read_vector(struct guard_part *p, const struct params *o, const char *path,
                       struct err *e)
{
    struct tensor_file f;
    const int width = p->host->model->cfg.width;
    if (tensor_file_open(&f, path, e))
        return -1;
    const struct tensor *t = tensor_find(&f, o->tensor);
    int rc = 0;
    if (!t || t->n_dims != 1 || t->shape[0] != width)
        rc = err_code(e, ERR_BAD_FILE, "'%s' has no tensor '%s' of %d numbers, the model's width",
                      path, o->tensor, width);
    else
        rc = (p->state = tensor_f32(t, e)) ? 0 : -1;
    tensor_file_close(&f);
    return rc;
}

static int open_steer(struct guard_part *p, struct err *e)
{
    const struct params *o = p->choice.params;
    const struct model_config *c = &p->host->model->cfg;
    if (!o->vector)
        return err_set(e, "no direction is given: vector=FILE");
    if (o->layer >= c->layers)
        return err_set(e, "layer is %d, the model has %d layers", (int)o->layer, c->layers);
    char *path =
        p->dir && *o->vector != '/' ? file_join(p->dir, o->vector, e) : mem_strdup(o->vector, e);
    int rc = path ? read_vector(p, o, path, e) : -1;
    free(path);
    float *v = p->state;
    double square = 0;
    for (int j = 0; !rc && j < c->width; j++)
        square += (double)v[j] * (double)v[j];
    if (!rc && !(square > 0 && isfinite(square)))
        return err_set(e, "the direction in '%s' is zero or not finite", o->vector);
    for (int j = 0; !rc && !strcasecmp(o->how, "ablate") && j < c->width; j++)
        v[j] = (float)((double)v[j] / sqrt(square));
    return rc;
}

static void close_steer(struct guard_part *p)
{
    free(p->state);
}

static int layer_of(const struct guard_part *p)
{
    const struct params *o = p->choice.params;
    return (int)o->layer;
}

static int tap(struct guard_part *p, const struct guard_view *v, float *x, struct err *e)
{
    const struct params *o = p->choice.params;
    const int width = p->host->model->cfg.width;
    const float *d = p->state, scale = (float)o->scale;
    const bool ablate = !strcasecmp(o->how, "ablate");
    (void)e;
    for (int t = 0; t < v->n; t++, x += width) {
        double along = ablate ? 0 : -1;
        for (int j = 0; j < width && ablate; j++)
            along += (double)x[j] * (double)d[j];
        for (int j = 0; j < width; j++)
            x[j] -= (float)along * scale * d[j];
    }
    return 0;
}

const struct guard guard_steer = {
    .name = "steer",
    .params = params,
    .params_size = sizeof(struct params),
    .help = "adds a direction to the hidden states of a layer, or takes it out",
    .paper = "arXiv 2308.10248",
    .formula = "h + scale v, or h - scale (h . v) v",
    .access = "states",
    .cost = "x1",
    .verified = "a scale of 0",
    .open = open_steer,
    .close = close_steer,
    .tap = tap,
    .place = PLACE_RESID,
    .layer = layer_of,
};
