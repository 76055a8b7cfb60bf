#include "model/store.h"

#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

static json_t *read_object(const struct model *m, const char *name, bool need, struct err *e)
{
    char *path = file_join(m->path, name, e);
    const bool read = path && (need || file_exists(path));
    json_t *j = read ? json_read_file(path, e) : NULL;
    if (j && !json_is_object(j)) {
        err_set(e, "%s must be an object, not %s", name, json_brief(j, (char[JSON_BRIEF]){0}));
        json_decref(j);
        j = NULL;
    }
    if (path && !read)
        j = json_null();
    free(path);
    return j;
}

static int keep_text_part(struct model *m, struct err *e)
{
    json_t *part = config_text_part(m->config);
    if (!part)
        return err_code(e, ERR_NO_MEMORY, "config.json: out of memory");
    if (part != m->config)
        log_warn("model '%s': only the text part of the whole is read, as %s", m->path,
                 json_string_value(json_object_get(part, "model_type")));
    json_decref(m->config);
    m->config = part;
    return 0;
}

int store_open_config(struct model *m, struct err *e)
{
    if (!(m->config = read_object(m, "config.json", true, e)) ||
        !(m->generation = read_object(m, "generation_config.json", false, e)))
        return -1;
    if (json_is_null(m->generation))
        m->generation = NULL;
    if (keep_text_part(m, e))
        return -1;
    return config_from_json(&m->cfg, m->config, m->generation, e);
}

/* The distinct file names of an index, in the order they first appear. */
static int add_shards(struct model *m, const json_t *index, struct err *e)
{
    json_t *map = json_object_get(index, "weight_map"), *file;
    const char *name;
    if (!json_object_size(map))
        return err_set(e, "model.safetensors.index.json has no 'weight_map'");
    json_t *seen = json_object();
    json_object_foreach(map, name, file) if (json_is_string(file))
        json_object_set_new(seen, json_string_value(file), json_true());
    int rc = -1;
    if (!json_object_size(seen))
        err_set(e, "model.safetensors.index.json names no files");
    else if ((m->files = mem_alloc(json_object_size(seen), sizeof *m->files, e)))
        rc = 0;
    json_object_foreach(seen, name, file)
    {
        if (rc)
            break;
        char *path = strchr(name, '/') ? NULL : file_join(m->path, name, e);
        if (strchr(name, '/'))
            err_set(e, "model.safetensors.index.json names a file outside the directory: '%s'",
                    name);
        rc = !path || tensor_file_open(&m->files[m->n_files], path, e) ? -1 : 0;
        m->n_files += !rc;
        free(path);
    }
    json_decref(seen);
    return rc;
}

static int open_in_dir(struct model *m, struct err *e)
{
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    char *one = file_join(m->path, "model.safetensors", e);
    char *many = one ? file_join(m->path, "model.safetensors.index.json", e) : NULL;
    int rc = -1;
    if (!many)
        goto out;
    if (file_exists(one)) {
        if ((m->files = mem_alloc(1, sizeof *m->files, e)) &&
            !(rc = tensor_file_open(m->files, one, e)))
            m->n_files = 1;
    } else if (file_exists(many)) {
        json_t *index = json_read_file(many, e);
        rc = index ? add_shards(m, index, e) : -1;
        json_decref(index);
    } else {
        err_set(e, "no model.safetensors in '%s'", m->path);
        for (int i = 0; i < 2; i++) {
            char *p = file_join(m->path, pickles[i], e);
            if (p && file_exists(p))
                err_set(
                    e,
                    "'%s' is a Python pickle, which can run code; convert it with save_pretrained("
                    "..., safe_serialization=True)",
                    p);
            free(p);
        }
    }
out:
    free(one);
    free(many);
    return rc;
}

int store_open(struct model *m, struct err *e)
{
    if (file_is_dir(m->path))
        return open_in_dir(m, e);
    if (!(m->files = mem_alloc(1, sizeof *m->files, e)) || tensor_file_open(m->files, m->path, e))
        return -1;
    m->n_files = 1;
    return 0;
}

const struct tensor *store_find(const struct model *m, const struct weight *w)
{
    char name[sizeof w->name + 24];
    const char *wanted = w->name, *dot = strchr(wanted, '.');
    if (m->files[0].format == TENSOR_GGUF) {
        snprintf(name, sizeof name, family_slot(&m->cfg, w->slot)->gguf, w->layer, w->expert);
        wanted = name;
        dot = NULL;
    }
    const struct tensor *t = NULL;
    for (int i = 0; i < m->n_files && !t; i++)
        t = tensor_find(&m->files[i], wanted);
    /* A checkpoint of the decoder without its head lacks the first part of the names, as GPT-2's
     * own. */
    for (int i = 0; i < m->n_files && !t && dot; i++)
        t = tensor_find(&m->files[i], dot + 1);
    /* An image model's text part. */
    static const char *const parts[] = {"language_model.", "model.language_model."};
    for (size_t p = 0; !t && dot && m->cfg.family->within && p < sizeof parts / sizeof *parts;
         p++) {
        snprintf(name, sizeof name, "%s%s", parts[p], p ? dot + 1 : w->name);
        for (int i = 0; i < m->n_files && !t; i++)
            t = tensor_find(&m->files[i], name);
    }
    return t;
}

static enum layout layout_of(const struct model *m, const struct weight *w)
{
    const struct slot_name *s = family_slot(&m->cfg, w->slot);
    switch (m->files[0].format) {
    case TENSOR_GGUF:
        return s->gguf_layout;
    case TENSOR_LLAMA2C:
        return w->slot == W_Q || w->slot == W_K ? LAYOUT_ROPE_PAIRS : LAYOUT_PLAIN;
    default:
        return s->hf_layout;
    }
}

/* Quantised weights stand under other names: W.qweight, W.weight_packed ... for W.weight. */
static int missing(const struct model *m, const struct weight *w, struct err *e)
{
    const char *end = strrchr(w->name, '.');
    const size_t n = end ? (size_t)(end - w->name) + 1 : 0;
    for (int i = 0; n && i < m->n_files; i++)
        for (int k = 0; k < m->files[i].n_tensors; k++) {
            const char *name = m->files[i].tensors[k].name;
            if (!strncmp(name, w->name, n) && strcmp(name + n, "bias") &&
                strcmp(name + n, "weight"))
                return err_set(e,
                               "tensor '%s' is missing, but there is '%.128s': a quantised "
                               "checkpoint must be dequantised first",
                               w->name, name);
        }
    return err_set(e, "tensor '%s' is missing", w->name);
}

/* Integers and types unknown here have no meaning without their scales. */
static int check_type(const struct tensor *t, struct err *e)
{
    switch (t->dtype) {
    case DT_I32:
    case DT_I64:
    case DT_U8:
    case DT_OTHER:
        return err_set(
            e,
            "tensor '%s' has type %s, which is no weight: a quantised checkpoint must be "
            "dequantised first",
            t->name, t->type ? t->type : dtype_info[t->dtype].name);
    default:
        return 0;
    }
}

static int check_shape(const struct model *m, const struct weight *w, const struct tensor *t,
                       struct err *e)
{
    int64_t shape[2];
    layout_shape(layout_of(m, w), w, shape);
    if (!t)
        return missing(m, w, e);
    if (check_type(t, e))
        return -1;
    bool same = t->n_dims == w->n_dims;
    for (int d = 0; same && d < w->n_dims; d++)
        same = t->shape[d] == shape[d];
    return same
               ? 0
               : err_set(e,
                         "tensor '%s' has the wrong shape: %d dimensions, %lld x %lld; wanted %lld "
                         "x %lld",
                         t->name, t->n_dims, (long long)t->shape[0],
                         (long long)(t->n_dims > 1 ? t->shape[1] : 1), (long long)shape[0],
                         (long long)shape[1]);
}

static bool can_borrow(const struct model *m, const struct weight *w, const struct tensor *t)
{
    return t->dtype == DT_F32 && (uintptr_t)t->data % sizeof(float) == 0 &&
           layout_of(m, w) == LAYOUT_PLAIN && m->ops->borrow(t->data);
}

/* A matrix that stays in its type, in rows that may have to be moved. Learned positions are read as
 * f32. */
static bool stays(const struct model *m, const struct weight *w, const struct tensor *t)
{
    const enum layout y = layout_of(m, w);
    return w->n_dims == 2 && w->slot != W_POS && dtype_stays(t->dtype) &&
           w->shape[1] % dtype_info[t->dtype].block == 0 &&
           (y == LAYOUT_PLAIN || layout_moves_rows(y));
}

static size_t row_bytes(const struct weight *w, enum dtype t)
{
    return (size_t)w->shape[1] / (size_t)dtype_info[t].block * (size_t)dtype_info[t].bytes;
}

/* Floats of storage that a weight needs in addition to its file. */
static size_t room_of(const struct model *m, enum model_access access, const struct weight *w,
                      const struct tensor *t)
{
    size_t n = w->count;
    if (t && access != MODEL_WRITE && can_borrow(m, w, t))
        return 0;
    if (t && access == MODEL_STORED && stays(m, w, t)) {
        if (layout_of(m, w) == LAYOUT_PLAIN)
            return 0;
        n = ((size_t)w->shape[0] * row_bytes(w, t->dtype) + 3) / sizeof(float);
    }
    return (n + 15) & ~(size_t)15;
}

size_t store_copied(const struct model *m, enum model_access access)
{
    size_t floats = 0;
    for (int i = 0; i < m->table.n; i++)
        floats += room_of(m, access, &m->table.v[i], store_find(m, &m->table.v[i]));
    return floats * sizeof(float);
}

static int check_all(const struct model *m, struct err *e)
{
    for (int i = 0; i < m->table.n; i++)
        if (check_shape(m, &m->table.v[i], store_find(m, &m->table.v[i]), e))
            return -1;
    return 0;
}

/* memory = the tensor's numbers, in f32 and in the order of memory. */
static int convert_mapped(const struct model *m, const struct weight *w, const struct tensor *t,
                          float *memory, struct err *e)
{
    enum layout y = layout_of(m, w);
    if (y == LAYOUT_PLAIN) {
        dtype_to_f32(t->dtype, memory, t->data, t->count);
        return 0;
    }
    float *file = tensor_f32(t, e);
    if (!file)
        return -1;
    layout_load(y, &m->cfg, w, memory, file);
    free(file);
    return 0;
}

static int convert(const struct model *m, const struct weight *w, const struct tensor *t,
                   device float *memory, struct err *e)
{
    int rc = convert_mapped(m, w, t, m->ops->map(memory, w->count), e);
    m->ops->unmap(memory);
    return rc;
}

static int check_finite(const struct model *m, const device float *x, const struct tensor *t,
                        struct err *e)
{
    return m->ops->all_finite(x, t->count)
               ? 0
               : err_set(e, "tensor '%s' holds NaN or infinity", t->name);
}

int store_read(const struct model *m, const struct weight *w, device float *memory, struct err *e)
{
    const struct tensor *t = store_find(m, w);
    return check_shape(m, w, t, e) || convert(m, w, t, memory, e) || check_finite(m, memory, t, e)
               ? -1
               : 0;
}

/* m->stored[i], which is in the file or, its rows moved, in `room`. */
static int put_stored(struct model *m, int i, const struct tensor *t, device float *room,
                      struct err *e)
{
    const struct weight *w = &m->table.v[i];
    const enum layout y = layout_of(m, w);
    if (!dtype_all_finite(t->dtype, t->data, t->count))
        return err_set(e, "tensor '%s' holds NaN or infinity", t->name);
    m->stored[i] = (struct stored){t->dtype, room, m->room};
    if (y == LAYOUT_PLAIN) {
        m->stored[i].x = m->ops->borrow(t->data);
    } else {
        const size_t bytes = row_bytes(w, t->dtype), n = room_of(m, MODEL_STORED, w, t);
        layout_load_rows(y, &m->cfg, w, m->ops->map(room, n), t->data, bytes);
        m->ops->unmap(room);
    }
    return 0;
}

static int put_weight(struct model *m, enum model_access access, int i, device float *room,
                      struct err *e)
{
    const struct weight *w = &m->table.v[i];
    const struct tensor *t = store_find(m, w);
    if (access != MODEL_WRITE && can_borrow(m, w, t))
        m->w[i] = m->ops->borrow(t->data);
    else if (access == MODEL_STORED && stays(m, w, t))
        return put_stored(m, i, t, room, e);
    else if (convert(m, w, t, room, e))
        return -1;
    else
        m->w[i] = room;
    if (m->w[i] == room)
        file_map_forget(t->data, (size_t)w->shape[0] * row_bytes(w, t->dtype));
    return check_finite(m, m->w[i], t, e);
}

int store_load(struct model *m, enum model_access access, struct err *e)
{
    const bool writes = access == MODEL_WRITE;
    const size_t n = (size_t)m->table.n;
    size_t floats, at = 0;
    device float **store = writes ? &m->own : &m->copies;
    if (check_all(m, e))
        return -1;
    floats = writes ? m->table.total : store_copied(m, access) / sizeof(float);
    if (!(m->w = mem_alloc(n, sizeof *m->w, e)) ||
        (access == MODEL_STORED && (!(m->stored = mem_alloc(n, sizeof *m->stored, e)) ||
                                    !(m->room = m->ops->alloc(STORED_ROOM, e)))) ||
        (floats && !(*store = m->ops->alloc(floats, e))))
        return -1;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        device float *room = *store ? *store + (writes ? w->offset : at) : NULL;
        if (put_weight(m, access, i, room, e))
            return -1;
        at += room_of(m, access, w, store_find(m, w));
    }
    return 0;
}
