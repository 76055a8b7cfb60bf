#include "model/model.h"

#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sizes.h"
#include "model/guarded.h"
#include "model/lora.h"
#include "model/store.h"

static int open_config(struct model *m, const char *path, struct err *e)
{
    *m = (struct model){.ops = ops_cpu()};
    if (!file_exists(path))
        return err_code(e, ERR_NO_FILE, "cannot open model '%s': no such file or directory", path);
    if (!(m->path = mem_strdup(path, e)))
        return -1;
    if (file_is_dir(path)) {
        if (store_open_config(m, e))
            return err_prefix(e, "model '%s': ", path);
    } else {
        if (store_open(m, e) ||
            (m->files[0].format == TENSOR_GGUF ? config_from_gguf(&m->cfg, m->files, e)
             : m->files[0].format == TENSOR_LLAMA2C
                 ? config_from_llama2c(&m->cfg, m->files, e)
                 : err_set(e, "give the directory that holds config.json, not this file")))
            return err_prefix(e, "model '%s': ", path);
    }
    return weight_table_init(&m->table, &m->cfg, e);
}

int model_open_header(struct model *m, const char *path, struct err *e)
{
    if (!open_config(m, path, e) && (m->files || !store_open(m, e)) && !model_tell_unused(m, e))
        return 0;
    model_close(m);
    return -1;
}

int model_refuse_experts(const struct model *m, struct err *e)
{
    return m->cfg.experts ? err_set(e,
                                    "model '%s': the weights of a model with experts (%s) are not "
                                    "trained; train LoRA adapters (locate lora)",
                                    m->path, m->cfg.family->name)
                          : 0;
}

int model_open(struct model *m, const char *path, enum model_access access, struct err *e)
{
    if (model_open_header(m, path, e))
        return -1;
    if (access == MODEL_WRITE && model_refuse_experts(m, e)) {
        model_close(m);
        return -1;
    }
    if (!store_load(m, access, e))
        return 0;
    err_prefix(e, "model '%s': ", path);
    model_close(m);
    return -1;
}

static void free_tables(const struct ops *o, struct rope_table t[2])
{
    for (int i = 0; i < 2; i++) {
        o->free(t[i].cos);
        o->free(t[i].sin);
        t[i] = (struct rope_table){NULL, NULL};
    }
}

void model_close(struct model *m)
{
    if (m->ops)
        free_tables(m->ops, m->rope);
    if (m->of || !m->ops) {
        *m = (struct model){0};
        return;
    }
    for (int i = 0; i < m->n_files; i++)
        tensor_file_close(&m->files[i]);
    free(m->files);
    free(m->w);
    free(m->stored);
    m->ops->free(m->own);
    m->ops->free(m->copies);
    m->ops->free(m->room);
    for (int i = 0; m->merged && i < m->table.n_model; i++)
        m->ops->free(m->merged[i]);
    free(m->merged);
    lora_free(m->lora, m->ops);
    json_decref(m->config);
    json_decref(m->generation);
    free(m->path);
    free(m->banned);
    weight_table_fini(&m->table);
    for (int i = 0; i < m->n_others; i++)
        model_close(&m->others[i]);
    free(m->others);
    *m = (struct model){0};
}

const device float *model_weight(const struct model *m, enum slot slot, int layer)
{
    const device float *w = m->w[weight_index(&m->table, slot, layer)];
    BUG_ON(!w);
    return w;
}

void model_copy_weight(const struct model *m, int i, device float *to)
{
    const struct stored *s = model_stored(m, i);
    if (s)
        m->ops->unpack(to, s, 0, m->table.v[i].count);
    else
        m->ops->copy(to, m->w[i], m->table.v[i].count);
}

const struct rope_table *model_rope(const struct model *m, int l)
{
    const struct model_config *c = &m->cfg;
    if (!c->rope.rot || c->layer[l] & LAYER_NO_ROPE)
        return NULL;
    return &m->rope[c->rope.local_base > 0 && c->layer[l] & LAYER_WINDOW];
}

static int make_table(struct rope_table *t, const struct ops *o, const struct rope_config *r, int n,
                      bool lengthy, struct err *e)
{
    size_t count = (size_t)n * ((size_t)r->rot / 2);
    if (!(t->cos = o->alloc(count, e)) || !(t->sin = o->alloc(count, e)))
        return -1;
    rope_tables(r, n, lengthy, o->map(t->cos, count), o->map(t->sin, count));
    o->unmap(t->cos);
    o->unmap(t->sin);
    return 0;
}

int model_reserve_positions(struct model *m, int n_pos, struct err *e)
{
    const struct rope_config *r = &m->cfg.rope;
    bool lengthy = r->kind == ROPE_LONG && n_pos > r->original_positions;
    if (n_pos <= m->rope_len && lengthy == m->rope_long)
        return 0;
    int n = n_pos < SIZE(256, 2) ? SIZE(256, 2) : n_pos;
    struct rope_table t[2] = {{NULL, NULL}, {NULL, NULL}};
    const struct rope_config local = rope_local(r);
    if (make_table(&t[0], m->ops, r, n, lengthy, e) ||
        (r->local_base > 0 && make_table(&t[1], m->ops, &local, n, false, e))) {
        free_tables(m->ops, t);
        return -1;
    }
    free_tables(m->ops, m->rope);
    memcpy(m->rope, t, sizeof t);
    m->rope_len = n;
    m->rope_long = lengthy;
    return 0;
}

/* The arrays of a model by its new table; those that were made are owned by the caller on failure,
 * too. */
struct arrays {
    const device float **w;
    struct stored *stored;
    device float **merged;
    device float *own;
};

static int make_arrays(const struct model *m, const struct weight_table *t, struct arrays *a,
                       struct err *e)
{
    size_t n = (size_t)t->n_model;
    return (a->w = mem_alloc(n, sizeof *a->w, e)) &&
                   (a->merged = mem_alloc(n, sizeof *a->merged, e)) &&
                   (!m->stored || (a->stored = mem_alloc(n, sizeof *a->stored, e))) &&
                   (!m->own || (a->own = m->ops->alloc(t->total, e)))
               ? 0
               : -1;
}

static void free_arrays(const struct ops *o, struct arrays *a)
{
    free(a->w);
    free(a->stored);
    free(a->merged);
    o->free(a->own);
}

static int move_weight(struct model *m, const struct weight *row, struct arrays *a, int i,
                       struct err *e)
{
    bool head = row->slot == W_HEAD;
    int from = head ? weight_index(&m->table, W_EMBED, -1) : weight_by_name(&m->table, row->name);
    device float *copy = a->own ? a->own + row->offset : NULL;
    if (model_stored(m, from)) {
        a->stored[i] = m->stored[from];
        return 0;
    }
    if (head && !copy && !(copy = a->merged[i] = m->ops->alloc(row->count, e)))
        return -1;
    a->w[i] = m->w[from];
    if (copy) {
        m->ops->copy(copy, m->w[from], row->count);
        a->w[i] = copy;
    } else if (m->merged) {
        a->merged[i] = m->merged[from];
    }
    return 0;
}

int model_untie(struct model *m, struct err *e)
{
    struct model_config cfg = m->cfg;
    struct weight_table t = {0};
    struct arrays a = {.w = NULL};
    BUG_ON(m->lora || m->of);
    if (!cfg.tied_head)
        return 0;
    cfg.tied_head = false;
    int rc = weight_table_init(&t, &cfg, e) || make_arrays(m, &t, &a, e) ? -1 : 0;
    for (int i = t.n_model - 1; i >= 0 && !rc; i--) /* the head, which may fail, comes first */
        rc = move_weight(m, &t.v[i], &a, i, e);
    if (rc) {
        free_arrays(m->ops, &a);
        weight_table_fini(&t);
        return -1;
    }
    free_arrays(m->ops, &(struct arrays){m->w, m->stored, m->merged, m->own});
    weight_table_fini(&m->table);
    m->cfg = cfg;
    m->table = t;
    m->w = a.w;
    m->stored = a.stored;
    m->merged = a.merged;
    m->own = a.own;
    return 0;
}

size_t model_n_params(const struct model *m)
{
    size_t n = 0;
    for (int i = 0; i < m->table.n_model; i++)
        n += m->table.v[i].count;
    return n;
}

double model_n_active(const struct model *m)
{
    double n = 0;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        double part = slot_of_expert(w->slot) ? m->cfg.experts_used / (double)m->cfg.experts : 1;
        n += part * (double)w->count;
    }
    return n;
}

/* --- which model it is --- */

/* Takes the reference. */
static int add_json(uint64_t *h, json_t *j, struct err *e)
{
    struct buf b = {0};
    int rc = j ? json_write_buf(j, &b, JSON_SORT_KEYS, e) : err_no_memory(e, "model");
    if (!rc)
        *h = hash_bytes(*h, b.data, b.len);
    buf_fini(&b);
    json_decref(j);
    return rc;
}

/* hash_bytes of a weight's numbers in f32; room [PIECE]. */
enum { PIECE = 4096 }; /* whole words, and blocks of every type */

static uint64_t hash_weight(const struct model *m, int i, device float *room)
{
    const size_t count = m->table.v[i].count;
    const struct stored *s = model_stored(m, i);
    uint64_t h = hash_word(HASH_START, count * sizeof(float));
    for (size_t at = 0, n; at < count; at += n) {
        const device float *from = room;
        n = s && count - at > PIECE ? PIECE : count - at;
        if (s)
            m->ops->unpack(room, s, at, n);
        else
            from = m->w[i];
        const float *x = m->ops->map_read(from, n);
        h = hash_words(h, x, n * sizeof(float));
        if (at + n == count)
            h = hash_rest(h, x, n * sizeof(float));
        m->ops->unmap(from);
    }
    return h;
}

int model_fingerprint(const struct model *m, uint64_t *out, struct err *e)
{
    const int n = m->table.n;
    uint64_t h = HASH_START, *each = mem_alloc((size_t)n, sizeof *each, e);
    device float *room = NULL;
    int rc = !each || (m->stored && !(room = m->ops->alloc((size_t)n * PIECE, e))) ||
                     add_json(&h, config_to_json(&m->cfg, "float32"), e) ||
                     add_json(&h, config_generation_json(&m->cfg), e)
                 ? -1
                 : 0;
    if (!rc) {
#pragma omp parallel for schedule(dynamic)
        for (int i = 0; i < n; i++)
            each[i] = hash_weight(m, i, room ? room + (size_t)i * PIECE : NULL);
        *out = hash_bytes(h, each, (size_t)n * sizeof *each);
    }
    m->ops->free(room);
    free(each);
    for (int i = 0; i < m->n_others && !rc; i++) {
        uint64_t other;
        if (!(rc = model_fingerprint(&m->others[i], &other, e)))
            *out = hash_bytes(*out, &other, sizeof other);
    }
    if (m->guard)
        *out = hash_bytes(*out, &m->guard->fingerprint, sizeof m->guard->fingerprint);
    return rc;
}
