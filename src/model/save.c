/* Writing a model as an HF directory, and making one from nothing. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/layout.h"
#include "model/model.h"
#include "tensor/out.h"

static const char *torch_name(enum dtype t)
{
    return t == DT_BF16 ? "bfloat16" : t == DT_F16 ? "float16" : "float32";
}

static int write_json(json_t *j, const char *dir, const char *name, struct err *e)
{
    char *path = file_join(dir, name, e);
    int rc = !j     ? err_set(e, "out of memory")
             : path ? json_write_file(j, path, JSON_INDENT(2) | JSON_SORT_KEYS, e)
                    : -1;
    json_decref(j);
    free(path);
    return rc;
}

static int write_weights(const struct model *m, const char *dir, enum dtype dtype, uint64_t limit,
                         struct err *e)
{
    const struct model_config *c = &m->cfg;
    float *room = mem_alloc(layout_hf_room(c, &m->table), sizeof(float), e);
    struct shards_out *o = room ? shards_out_open(dir, limit, e) : NULL;
    int rc = o ? 0 : -1;
    for (int i = 0; !rc && i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        int64_t shape[2];
        layout_hf_shape(c, w, shape);
        rc = shards_out_add(o, w->name, dtype, w->n_dims, shape, e);
    }
    for (int i = 0; !rc && i < m->table.n; i++)
        rc = shards_out_write(o, layout_hf(c, &m->table.v[i], m->w[i], room), e);
    if (!rc)
        rc = shards_out_commit(o, e);
    else
        shards_out_abort(o);
    free(room);
    return rc;
}

int model_save(const struct model *m, const char *dir, enum dtype dtype, uint64_t limit,
               struct err *e)
{
    if (file_make_dir(dir, e) || write_weights(m, dir, dtype, limit, e) ||
        write_json(config_to_json(&m->cfg, torch_name(dtype)), dir, "config.json", e))
        return -1;
    return write_json(config_generation_json(&m->cfg), dir, "generation_config.json", e);
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
    char *path = file_join(dir, "config.json", e);
    json_t *config = path ? json_read_file(path, e) : NULL;
    free(path);
    if (!config || config_from_json(&m->cfg, config, NULL, e) || !(m->path = mem_strdup(dir, e)) ||
        weight_table_init(&m->table, &m->cfg, e) ||
        !(m->own = mem_alloc(m->table.total, sizeof(float), e)) ||
        !(m->w = mem_alloc((size_t)m->table.n, sizeof *m->w, e))) {
        json_decref(config);
        model_close(m);
        return -1;
    }
    json_decref(config);
    struct rng r;
    rng_stream(&r, seed, RNG_INIT, 0);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        float *p = m->own + w->offset;
        draw(&r, &m->cfg, w, p);
        m->w[i] = p;
    }
    return 0;
}
