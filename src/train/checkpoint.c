#include "train/checkpoint.h"

#include <string.h>

#include "tensor/out.h"

/* Array k of the file, of which only what moves is kept: the weights, then the optimiser's states.
 */
static float *array(const struct model *m, float *const *state, int k, const struct weight *w)
{
    return k ? state[k - 1] + w->at : m->own + w->offset;
}

static void tensor_name(char *name, size_t size, int k, const struct weight *w)
{
    if (k)
        snprintf(name, size, "state.%d.%s", k - 1, w->name);
    else
        snprintf(name, size, "%s", w->name);
}

int checkpoint_save(const char *path, const struct model *m, float *const *state, int n_states,
                    long step, struct err *e)
{
    char name[128];
    const int64_t one = 1;
    int32_t step32 = (int32_t)step;
    struct tensor_out *o = tensor_out_open(path, e);
    if (!o)
        return -1;
    for (int k = 0; k <= n_states; k++)
        for (int i = 0; i < m->table.n; i++) {
            const struct weight *w = &m->table.v[i];
            tensor_name(name, sizeof name, k, w);
            if (w->trainable && tensor_out_add(o, name, DT_F32, w->n_dims, w->shape, e))
                goto fail;
        }
    if (tensor_out_add(o, "step", DT_I32, 1, &one, e))
        goto fail;
    for (int k = 0; k <= n_states; k++)
        for (int i = 0; i < m->table.n; i++)
            if (m->table.v[i].trainable &&
                tensor_out_write(o, array(m, state, k, &m->table.v[i]), e))
                goto fail;
    if (tensor_out_write_raw(o, &step32, e))
        goto fail;
    return tensor_out_commit(o, e);
fail:
    tensor_out_abort(o);
    return -1;
}

static int load_array(const struct tensor_file *f, const struct model *m, float *const *state,
                      int k, struct err *e)
{
    char name[128];
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
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
        memcpy(array(m, state, k, w), t->data, w->count * sizeof(float));
    }
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

int checkpoint_load(const char *path, struct model *m, float *const *state, int n_states,
                    long *step, struct err *e)
{
    struct tensor_file f;
    if (tensor_file_open(&f, path, e))
        return -1;
    int rc = load_step(&f, path, step, e);
    for (int k = 0; k <= n_states && !rc; k++)
        rc = load_array(&f, m, state, k, e);
    tensor_file_close(&f);
    return rc;
}
