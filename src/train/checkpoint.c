#include "train/checkpoint.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "tensor/file.h"

/* Array k of the file, trainable weights only: 0 is the weights, k > 0 the optimiser's state k - 1.
 */
static device float *array(const struct checkpoint *c, int k, const struct weight *w)
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

/* JSON objects, serialised. */
struct texts {
    struct buf options, run;
};

static int announce(struct tensor_out *o, const struct checkpoint *c, const struct texts *t,
                    struct err *e)
{
    const struct weight_table *table = &c->model->table;
    const int64_t one = 1, options = (int64_t)t->options.len, run = (int64_t)t->run.len;
    char name[128];
    for (int k = 0; k <= c->n_states; k++)
        for (int i = 0; i < table->n; i++) {
            const struct weight *w = &table->v[i];
            tensor_name(name, sizeof name, k, w);
            if (w->trainable && tensor_out_add(o, name, DT_F32, w->n_dims, w->shape, e))
                return -1;
        }
    const int64_t terms = c->engine ? c->engine->n_obj : 0;
    if (terms && tensor_out_add(o, "term_weights", DT_F64, 1, &terms, e))
        return -1;
    return tensor_out_add(o, "options", DT_U8, 1, &options, e) ||
           tensor_out_add(o, "run", DT_U8, 1, &run, e) ||
           tensor_out_add(o, "step", DT_I32, 1, &one, e) || tensor_out_add_check(o, e);
}

static int write_arrays(struct tensor_out *o, const struct checkpoint *c, struct err *e)
{
    const struct weight_table *t = &c->model->table;
    for (int k = 0; k <= c->n_states; k++)
        for (int i = 0; i < t->n; i++) {
            if (!t->v[i].trainable)
                continue;
            const device float *x = array(c, k, &t->v[i]);
            int rc = tensor_out_write(o, c->model->ops->map_read(x, t->v[i].count), e);
            c->model->ops->unmap(x);
            if (rc)
                return -1;
        }
    double weights[ENGINE_MAX_OBJECTIVES];
    for (int i = 0; c->engine && i < c->engine->n_obj; i++)
        weights[i] = c->engine->obj[i].weight;
    return c->engine && c->engine->n_obj ? tensor_out_write_raw(o, weights, e) : 0;
}

static int write_texts(struct texts *t, const struct checkpoint *c, struct err *e)
{
    json_t *none = json_object();
    json_t *run = json_pack("{s:s, s:i, s:b, s:O?, s:O?}", "isa", c->model->ops->name, "threads",
                            ops_threads(), "estimated", (int)c->estimated, "files", c->files,
                            "ledger", c->cost);
    int rc = !run || !none
                 ? err_no_memory(e, "checkpoint")
                 : json_write_buf(c->options ? c->options : none, &t->options, JSON_COMPACT, e) ||
                       json_write_buf(run, &t->run, JSON_COMPACT, e);
    json_decref(none);
    json_decref(run);
    return rc;
}

int checkpoint_save(const struct checkpoint *c, long step, struct err *e)
{
    struct texts t = {0};
    const int32_t step32 = (int32_t)step;
    struct tensor_out *o = write_texts(&t, c, e) ? NULL : tensor_out_open(c->path, e);
    int rc = !o || announce(o, c, &t, e) || write_arrays(o, c, e) ||
             tensor_out_write_raw(o, t.options.data, e) || tensor_out_write_raw(o, t.run.data, e) ||
             tensor_out_write_raw(o, &step32, e);
    if (rc)
        tensor_out_abort(o);
    else
        rc = tensor_out_commit(o, e);
    buf_fini(&t.options);
    buf_fini(&t.run);
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
                "tensor '%s' is missing or has another size; the checkpoint belongs to another "
                "model or optimiser",
                name);
        ops_write(c->model->ops, array(c, k, w), t->data, w->count);
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
        return err_set(e, "'%s' belongs to a method with other terms", c->path);
    for (int i = 0; i < g->n_obj; i++)
        memcpy(&g->obj[i].weight, (const char *)t->data + (size_t)i * sizeof(double),
               sizeof(double));
    return 0;
}

static int load_step(const struct tensor_file *f, const char *path, long *step, struct err *e)
{
    const struct tensor *t = tensor_find(f, "step");
    if (!t || t->dtype != DT_I32 || t->count != 1)
        return err_set(e, "'%s' is not a training checkpoint", path);
    int *v = tensor_ints(t, e);
    int rc = !v ? -1 : v[0] < 0 ? err_set(e, "'%s' has the step %d", path, v[0]) : 0;
    if (!rc)
        *step = v[0];
    free(v);
    return rc;
}

/* The value as JSON text; NULL: the option was not given. */
static void option_text(const json_t *value, char *text, size_t size)
{
    char *dumped = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(10)) : NULL;
    snprintf(text, size, "%s", dumped ? dumped : "not given");
    free(dumped);
}

/* The first key of `a` whose value differs in `b` or is missing there, or NULL. */
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
    return err_about(e, "resume", "'%s' was %s when the run started, now it is %s", key, was, is);
}

int checkpoint_compare_files(const json_t *then, const json_t *now, struct err *e)
{
    const char *key = differing(now, then);
    if (!key)
        key = differing(then, now);
    if (!key)
        return 0;
    const char *was = json_string_value(json_object_get(then, key));
    const char *is = json_string_value(json_object_get(now, key));
    if (!was || !is)
        return err_about(e, "files", "'%s' %s when the run started", key,
                         was ? "is missing, but existed" : "exists, but did not");
    return err_about(e, "files",
                     "'%s' has changed since the run started (SHA-256 %.8s... then, %.8s... now)",
                     key, was, is);
}

/* A serialised JSON object; NULL: the file has none. */
static json_t *read_text(const struct tensor_file *f, const char *name, struct err *e)
{
    const struct tensor *t = tensor_find(f, name);
    return t && t->dtype == DT_U8 ? json_read_text(t->data, t->count, name, e) : NULL;
}

/* The rounding of sums depends on both. */
static void warn_of_machine(const json_t *run, const struct checkpoint *c)
{
    const char *isa = json_string_value(json_object_get(run, "isa"));
    const int threads = (int)json_integer_value(json_object_get(run, "threads"));
    if (isa && strcmp(isa, c->model->ops->name))
        log_warn(
            "the run started with the operations '%s', now they are '%s': the last bits of its "
            "numbers will differ from those of an uninterrupted run",
            isa, c->model->ops->name);
    if (threads && threads != ops_threads())
        log_warn("the run started with %d threads, now there are %d: the last bits of its numbers "
                 "may differ from those of an uninterrupted run",
                 threads, ops_threads());
}

static int load_run(const struct tensor_file *f, struct checkpoint *c, struct err *e)
{
    json_t *run = read_text(f, "run", e);
    if (!json_is_object(run)) {
        json_decref(run);
        return err_set(e, "'%s' is not a training checkpoint of this version", c->path);
    }
    const json_t *files = json_object_get(run, "files");
    int rc = c->files && files ? checkpoint_compare_files(files, c->files, e) : 0;
    if (!rc) {
        warn_of_machine(run, c);
        c->estimated = json_is_true(json_object_get(run, "estimated"));
        c->cost = json_incref(json_object_get(run, "ledger"));
    }
    json_decref(run);
    return rc;
}

static int check_options(const struct tensor_file *f, const struct checkpoint *c, struct err *e)
{
    const struct tensor *t = tensor_find(f, "options");
    if (!t || t->dtype != DT_U8)
        return err_set(e, "'%s' is not a training checkpoint", c->path);
    if (!c->options)
        return 0;
    json_t *then = json_read_text(t->data, t->count, "options", e);
    if (!then)
        return err_prefix(e, "'%s': ", c->path);
    int rc = checkpoint_compare(then, c->options, e);
    json_decref(then);
    return rc;
}

static int check_whole(const struct tensor_file *f, const char *path, struct err *e)
{
    return tensor_file_is_whole(f)
               ? 0
               : err_set(e, "'%s' is damaged: its checksum does not match its content", path);
}

int checkpoint_load(struct checkpoint *c, long *step, struct err *e)
{
    struct tensor_file f;
    if (tensor_file_open(&f, c->path, e))
        return -1;
    int rc = load_step(&f, c->path, step, e) || check_whole(&f, c->path, e) ||
             check_options(&f, c, e) || load_run(&f, c, e);
    for (int k = 0; k <= c->n_states && !rc; k++)
        rc = load_array(&f, c, k, e);
    if (!rc)
        rc = load_term_weights(&f, c, e);
    tensor_file_close(&f);
    return rc;
}

char *checkpoint_path(const char *out, struct err *e)
{
    return file_join(out, "checkpoint.safetensors", e);
}

bool checkpoint_exists(const char *out)
{
    struct err ignored;
    char *path = checkpoint_path(out, &ignored);
    bool is = path && file_exists(path);
    free(path);
    return is;
}

void checkpoint_drop(const char *out)
{
    struct err ignored;
    char *path = checkpoint_path(out, &ignored);
    if (path)
        remove(path);
    free(path);
}
