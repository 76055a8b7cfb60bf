/* Writing a model as an HF directory, and making one from nothing. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/layout.h"
#include "model/lora.h"
#include "model/save.h"
#include "model/store.h"
#include "tensor/file.h"

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

/* The numbers of a weight, from memory or from its file. */
static const device float *values(struct save_source *s, int i, struct err *e)
{
    const struct model *m = s->m;
    const size_t room = m->w ? lora_room(m) : largest(m);
    if (room && !s->loaded && !(s->loaded = m->ops->alloc(room, e)))
        return NULL;
    if (m->w)
        return lora_merged(m, i, s->loaded);
    return store_read(m, &m->table.v[i], s->loaded, e) ? NULL : s->loaded;
}

const float *save_values(struct save_source *s, int i, enum layout y, struct err *e)
{
    const struct model *m = s->m;
    const struct weight *w = &m->table.v[i];
    if (s->mapped)
        m->ops->unmap(s->mapped);
    if (!(s->mapped = values(s, i, e)))
        return NULL;
    const float *x = m->ops->map_read(s->mapped, w->count);
    if (y == LAYOUT_PLAIN)
        return x;
    if (!s->turned && !(s->turned = mem_alloc(largest(m), sizeof *s->turned, e)))
        return NULL;
    layout_store(y, &m->cfg, w, s->turned, x);
    return s->turned;
}

void save_source_fini(struct save_source *s)
{
    if (s->mapped)
        s->m->ops->unmap(s->mapped);
    s->m->ops->free(s->loaded);
    free(s->turned);
}

static int write_weights(struct shards_out *out, const struct model *m,
                         const struct save_options *o, struct err *e)
{
    struct save_source s = {.m = m};
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
