#include "train/checkpoint.h"

#include <string.h>

#include "base/json.h"
#include "tensor/out.h"

/* Array k of the file, of which only what moves is kept: the weights, then the optimiser's states.
 */
static float *array(const struct checkpoint *c, int k, const struct weight *w)
{
    return k ? c->state[k - 1] + w->at : c->model->own + w->offset;
}

static void tensor_name(char *name, size_t size, int k, const struct weight *w)
{
    if (k)
        snprintf(name, size, "state.%d.%s", k - 1, w->name);
    else
        snprintf(name, size, "%s", w->name);
}

static int announce(struct tensor_out *o, const struct checkpoint *c, size_t options, struct err *e)
{
    const struct weight_table *t = &c->model->table;
    const int64_t one = 1, length = (int64_t)options;
    char name[128];
    for (int k = 0; k <= c->n_states; k++)
        for (int i = 0; i < t->n; i++) {
            const struct weight *w = &t->v[i];
            tensor_name(name, sizeof name, k, w);
            if (w->trainable && tensor_out_add(o, name, DT_F32, w->n_dims, w->shape, e))
                return -1;
        }
    const int64_t terms = c->engine ? c->engine->n_obj : 0;
    if (terms && tensor_out_add(o, "term_weights", DT_F64, 1, &terms, e))
        return -1;
    return tensor_out_add(o, "options", DT_U8, 1, &length, e) ||
                   tensor_out_add(o, "step", DT_I32, 1, &one, e)
               ? -1
               : 0;
}

static int write_arrays(struct tensor_out *o, const struct checkpoint *c, struct err *e)
{
    const struct weight_table *t = &c->model->table;
    for (int k = 0; k <= c->n_states; k++)
        for (int i = 0; i < t->n; i++)
            if (t->v[i].trainable && tensor_out_write(o, array(c, k, &t->v[i]), e))
                return -1;
    double weights[ENGINE_MAX_OBJECTIVES];
    for (int i = 0; c->engine && i < c->engine->n_obj; i++)
        weights[i] = c->engine->obj[i].weight;
    return c->engine && c->engine->n_obj ? tensor_out_write_raw(o, weights, e) : 0;
}

int checkpoint_save(const struct checkpoint *c, long step, struct err *e)
{
    struct buf text = {0};
    int32_t step32 = (int32_t)step;
    json_t *none = json_object();
    int rc = json_write_buf(c->options ? c->options : none, &text, JSON_COMPACT, e);
    json_decref(none);
    struct tensor_out *o = rc ? NULL : tensor_out_open(c->path, e);
    if (!o || announce(o, c, text.len, e) || write_arrays(o, c, e) ||
        tensor_out_write_raw(o, text.data, e) || tensor_out_write_raw(o, &step32, e)) {
        if (o)
            tensor_out_abort(o);
        rc = -1;
    } else {
        rc = tensor_out_commit(o, e);
    }
    buf_fini(&text);
    return rc;
}

static int load_array(const struct tensor_file *f, const struct checkpoint *c, int k, struct err *e)
{
    char name[128];
    for (int i = 0; i < c->model->table.n; i++) {
        const struct weight *w = &c->model->table.v[i];
        if (!w->trainable)
            continue;
        tensor_name(name, sizeof name, k, w);
        const struct tensor *t = tensor_find(f, name);
        if (!t || t->dtype != DT_F32 || t->count != w->count)
            return err_set(
                e,
                "tensor '%s' is missing or of another size; the checkpoint is of another model "
                "or optimiser",
                name);
        memcpy(array(c, k, w), t->data, w->count * sizeof(float));
    }
    return 0;
}

static int load_term_weights(const struct tensor_file *f, const struct checkpoint *c, struct err *e)
{
    const struct tensor *t = tensor_find(f, "term_weights");
    struct engine *g = c->engine;
    if (!g || !g->n_obj)
        return 0;
    if (!t || t->dtype != DT_F64 || t->count != (size_t)g->n_obj)
        return err_set(e, "'%s' is of a method with other terms", c->path);
    for (int i = 0; i < g->n_obj; i++)
        memcpy(&g->obj[i].weight, (const char *)t->data + (size_t)i * sizeof(double),
               sizeof(double));
    return 0;
}

static int load_step(const struct tensor_file *f, const char *path, long *step, struct err *e)
{
    const struct tensor *t = tensor_find(f, "step");
    if (!t || t->dtype != DT_I32 || t->count != 1)
        return err_set(e, "'%s' is no training checkpoint", path);
    int *v = tensor_ints(t, e);
    int rc = !v ? -1 : v[0] < 0 ? err_set(e, "'%s' was made at step %d", path, v[0]) : 0;
    if (!rc)
        *step = v[0];
    free(v);
    return rc;
}

/* A value as a user would write it: NULL is an option that was not given. */
static void option_text(const json_t *value, char *text, size_t size)
{
    char *dumped = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10)) : NULL;
    snprintf(text, size, "%s", dumped ? dumped : "not given");
    free(dumped);
}

/* The first option of `a` that `b` has otherwise, or NULL. */
static const char *differing(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        if (!json_equal(value, json_object_get(b, key)))
            return key;
    }
    return NULL;
}

int checkpoint_compare(const json_t *then, const json_t *now, struct err *e)
{
    char was[80], is[80];
    const char *key = differing(now, then);
    if (!key)
        key = differing(then, now);
    if (!key)
        return 0;
    option_text(json_object_get(then, key), was, sizeof was);
    option_text(json_object_get(now, key), is, sizeof is);
    return err_set(e,
                   "'%s' was %s when the run began, now it is %s: give the same, or begin anew "
                   "without --resume",
                   key, was, is);
}

static int check_options(const struct tensor_file *f, const struct checkpoint *c, struct err *e)
{
    const struct tensor *t = tensor_find(f, "options");
    if (!t || t->dtype != DT_U8)
        return err_set(e, "'%s' is no training checkpoint", c->path);
    if (!c->options)
        return 0;
    json_t *then = json_read_text(t->data, t->count, "options", e);
    if (!then)
        return err_prefix(e, "'%s': ", c->path);
    int rc = checkpoint_compare(then, c->options, e);
    json_decref(then);
    return rc;
}

int checkpoint_load(const struct checkpoint *c, long *step, struct err *e)
{
    struct tensor_file f;
    if (tensor_file_open(&f, c->path, e))
        return -1;
    int rc = load_step(&f, c->path, step, e) || check_options(&f, c, e) ? -1 : 0;
    for (int k = 0; k <= c->n_states && !rc; k++)
        rc = load_array(&f, c, k, e);
    if (!rc)
        rc = load_term_weights(&f, c, e);
    tensor_file_close(&f);
    return rc;
}
