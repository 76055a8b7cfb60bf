/* Writing a model as an HF directory or a GGUF, and making one from nothing. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/lora.h"
#include "model/store.h"
#include "tensor/file.h"
#include "tensor/quantise.h"

static const char *torch_name(enum dtype t)
{
    return t == DT_BF16 ? "bfloat16" : t == DT_F16 ? "float16" : "float32";
}

static int write_json(json_t *j, const char *dir, const char *name, struct err *e)
{
    char *path = file_join(dir, name, e);
    int rc = !j     ? err_no_memory(e, NULL)
             : path ? json_write_file(j, path, JSON_INDENT(2) | JSON_SORT_KEYS, e)
                    : -1;
    json_decref(j);
    free(path);
    return rc;
}

static size_t largest(const struct model *m)
{
    size_t n = 0;
    for (int i = 0; i < m->table.n_model; i++)
        n = m->table.v[i].count > n ? m->table.v[i].count : n;
    return n;
}

/* For the two writers: weights one after another in the order that a file has them in. */
struct save_source {
    const struct model *m;        /* borrowed */
    const struct save_options *o; /* borrowed */
    device float *loaded;         /* owned: a weight from its file, or merged */
    float *turned;                /* owned: in another order */
    const device float *mapped;   /* until the next */
};

/* The numbers of a weight, from memory or from its file. */
static const device float *values(struct save_source *s, int i, struct err *e)
{
    const struct model *m = s->m;
    const size_t adapted = m->w ? lora_room(m) : 0, whole = m->w && !s->o->change ? 0 : largest(m),
                 room = adapted > whole ? adapted : whole;
    if (room && !s->loaded && !(s->loaded = m->ops->alloc(room, e)))
        return NULL;
    if (m->w)
        return lora_merged(m, i, s->loaded);
    return store_read(m, &m->table.v[i], s->loaded, e) ? NULL : s->loaded;
}

/* The same after the caller's change, which is made on a copy. */
static const device float *changed(struct save_source *s, int i, struct err *e)
{
    const struct ops *ops = s->m->ops;
    const size_t n = s->m->table.v[i].count;
    const device float *x = values(s, i, e);
    if (!x || !s->o->change)
        return x;
    if (x != s->loaded)
        ops->copy(s->loaded, x, n);
    int rc = s->o->change(s->o->ctx, i, ops->map(s->loaded, n), e);
    ops->unmap(s->loaded);
    return rc ? NULL : s->loaded;
}

/* Weight i in layout y; borrowed until the next call. NULL: failed. */
static const float *save_values(struct save_source *s, int i, enum layout y, struct err *e)
{
    const struct model *m = s->m;
    const struct weight *w = &m->table.v[i];
    if (s->mapped)
        m->ops->unmap(s->mapped);
    if (!(s->mapped = changed(s, i, e)))
        return NULL;
    const float *x = m->ops->map_read(s->mapped, w->count);
    if (y == LAYOUT_PLAIN)
        return x;
    if (!s->turned && !(s->turned = mem_alloc(largest(m), sizeof *s->turned, e)))
        return NULL;
    layout_store(y, &m->cfg, w, s->turned, x);
    return s->turned;
}

static void save_source_fini(struct save_source *s)
{
    if (s->mapped)
        s->m->ops->unmap(s->mapped);
    s->m->ops->free(s->loaded);
    free(s->turned);
}

static int write_weights(struct shards_out *out, const struct model *m,
                         const struct save_options *o, struct err *e)
{
    struct save_source s = {.m = m, .o = o};
    int rc = 0;
    for (int i = 0; !rc && i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        int64_t shape[2];
        layout_hf_shape(&m->cfg, w, shape);
        rc = shards_out_add(out, w->name, o->dtype, w->n_dims, shape, e);
    }
    for (int i = 0; !rc && i < m->table.n_model; i++) {
        const enum layout y = family_slot(&m->cfg, m->table.v[i].slot)->hf_layout;
        const float *x = save_values(&s, i, y, e);
        rc = x ? shards_out_write(out, x, e) : -1;
        if (o->bar)
            progress_step(o->bar, i + 1, 0, NULL);
    }
    save_source_fini(&s);
    return rc;
}

static int save_weights(const struct model *m, const char *dir, const struct save_options *o,
                        struct err *e)
{
    struct shards_out *out = shards_out_open(dir, o->shard_bytes, e);
    if (!out)
        return -1;
    if (!write_weights(out, m, o, e))
        return shards_out_commit(out, e);
    shards_out_abort(out);
    return -1;
}

int model_save(const struct model *m, const char *dir, const struct save_options *o, struct err *e)
{
    if (file_make_dir(dir, e) || save_weights(m, dir, o, e) ||
        write_json(config_to_json_kept(&m->cfg, torch_name(o->dtype), m->config), dir,
                   "config.json", e))
        return -1;
    return write_json(m->generation ? json_incref(m->generation) : config_generation_json(&m->cfg),
                      dir, "generation_config.json", e);
}

/* --- GGUF --- */

static enum dtype stored_as(const struct weight *w, enum dtype wanted)
{
    if (w->n_dims == 1 || w->slot == W_POS)
        return DT_F32;
    return quantise_type_for(wanted, (size_t)w->shape[1]);
}

/* Rope frequencies that a formula of llama.cpp's does not give are in tensors: what each one is
 * divided by. */
struct divisors {
    const char *name;
    float v[OPS_MAX_HEAD / 2];
};

static int rope_divisors(const struct rope_config *r, struct divisors d[2])
{
    const int half = r->rot / 2;
    if (r->kind == ROPE_LLAMA3) {
        d[0].name = "rope_freqs.weight";
        for (int i = 0; i < half; i++) {
            const double inv = pow(r->base, -2.0 * i / r->rot);
            d[0].v[i] = (float)(inv / rope_llama3_scale(r, inv));
        }
        return 1;
    }
    if (r->kind != ROPE_LONG)
        return 0;
    d[0].name = "rope_factors_long.weight";
    d[1].name = "rope_factors_short.weight";
    for (int i = 0; i < half; i++) {
        d[0].v[i] = (float)r->long_factor[i];
        d[1].v[i] = (float)r->short_factor[i];
    }
    return 2;
}

static int announce(struct tensor_out *out, const struct model *m, enum dtype dtype, struct err *e)
{
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        const struct slot_name *s = family_slot(&m->cfg, w->slot);
        char name[sizeof w->name];
        int64_t shape[3] = {m->cfg.experts, w->shape[0], w->shape[1]};
        const bool expert = slot_of_expert(w->slot);
        snprintf(name, sizeof name, s->gguf, w->layer, w->expert);
        if (expert && w->expert)
            continue;
        if (expert) /* one tensor for all: its name without the number */
            *strrchr(name, '.') = 0;
        if (tensor_out_add(out, name, stored_as(w, dtype), w->n_dims + expert,
                           expert ? shape : shape + 1, e))
            return -1;
    }
    return 0;
}

static int write_gguf_weights(struct tensor_out *out, const struct model *m,
                              const struct save_options *o, struct err *e)
{
    struct save_source s = {.m = m, .o = o};
    int rc = 0;
    for (int i = 0; !rc && i < m->table.n_model; i++) {
        const enum layout y = family_slot(&m->cfg, m->table.v[i].slot)->gguf_layout;
        const float *x = save_values(&s, i, y, e);
        const struct weight *w = &m->table.v[i];
        const int parts = slot_of_expert(w->slot) ? m->cfg.experts : 1;
        rc = x ? tensor_out_write_part(out, x, w->expert, parts, e) : -1;
        if (o->bar)
            progress_step(o->bar, i + 1, 0, NULL);
    }
    save_source_fini(&s);
    return rc;
}

static int write_gguf(struct tensor_out *out, const struct model *m, const struct save_options *o,
                      struct err *e)
{
    struct divisors d[2];
    const int n = rope_divisors(&m->cfg.rope, d);
    const int64_t half = m->cfg.rope.rot / 2;
    if (announce(out, m, o->dtype, e))
        return -1;
    for (int i = 0; i < n; i++)
        if (tensor_out_add(out, d[i].name, DT_F32, 1, &half, e))
            return -1;
    if (write_gguf_weights(out, m, o, e))
        return -1;
    for (int i = 0; i < n; i++)
        if (tensor_out_write(out, d[i].v, e))
            return -1;
    return 0;
}

int model_save_gguf(const struct model *m, const char *path, const struct gguf_pairs *extra,
                    const struct save_options *o, struct err *e)
{
    struct gguf_pairs p = {0};
    int rc = config_to_gguf(&m->cfg, o->dtype, &p, e);
    if (!rc)
        rc = buf_add(&p.bytes, extra->bytes.data, extra->bytes.len, e);
    p.n += extra->n;
    struct tensor_out *out = rc ? NULL : gguf_out_open(path, &p, e);
    rc = out ? write_gguf(out, m, o, e) : -1;
    if (out && rc)
        tensor_out_abort(out);
    else if (out)
        rc = tensor_out_commit(out, e);
    gguf_pairs_fini(&p);
    return rc;
}

/* --- from nothing --- */

static bool is_norm(enum slot slot)
{
    static const enum slot norms[] = {W_NORM_ATTN, W_NORM_Q,        W_NORM_K,  W_NORM_ATTN_POST,
                                      W_NORM_MLP,  W_NORM_MLP_POST, W_NORM_OUT};
    for (size_t i = 0; i < sizeof norms / sizeof norms[0]; i++)
        if (slot == norms[i])
            return true;
    return false;
}

/* Fresh numbers for one weight: a norm that multiplies by 1, no bias. */
static void draw(struct rng *r, const struct model_config *c, const struct weight *w, float *p)
{
    bool residual = w->slot == W_O || w->slot == W_DOWN;
    double std = 0.02 / (residual ? sqrt(2.0 * c->layers) : 1);
    float same = is_norm(w->slot) ? 1 - c->norm_offset : 0;
    for (size_t k = 0; k < w->count; k++)
        p[k] = w->n_dims == 1 ? same : (float)(std * rng_normal(r));
}

int model_init_random(struct model *m, const char *dir, unsigned seed, struct err *e)
{
    *m = (struct model){.ops = ops_cpu()};
    if (!(m->path = mem_strdup(dir, e)) || store_open_config(m, e) || model_refuse_experts(m, e) ||
        weight_table_init(&m->table, &m->cfg, e) || !(m->own = m->ops->alloc(m->table.total, e)) ||
        !(m->w = mem_alloc((size_t)m->table.n, sizeof *m->w, e)) || model_tell_unused(m, e)) {
        model_close(m);
        return -1;
    }
    struct rng r;
    rng_stream(&r, seed, RNG_INIT, 0);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        device float *p = m->own + w->offset;
        draw(&r, &m->cfg, w, m->ops->map(p, w->count));
        m->ops->unmap(p);
        m->w[i] = p;
    }
    return 0;
}
