/* Writing a model as an HF directory, and making one from nothing. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
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
    struct shards_out *o = shards_out_open(dir, limit, e);
    int rc = o ? 0 : -1;
    for (int i = 0; !rc && i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        rc = shards_out_add(o, w->name, dtype, w->n_dims, w->shape, e);
    }
    for (int i = 0; !rc && i < m->table.n; i++)
        rc = shards_out_write(o, m->w[i], e);
    if (!rc)
        return shards_out_commit(o, e);
    shards_out_abort(o);
    return -1;
}

int model_save(const struct model *m, const char *dir, enum dtype dtype, uint64_t limit,
               struct err *e)
{
    if (file_make_dir(dir, e) || write_weights(m, dir, dtype, limit, e) ||
        write_json(config_to_json(&m->cfg, torch_name(dtype)), dir, "config.json", e))
        return -1;
    return write_json(config_generation_json(&m->cfg), dir, "generation_config.json", e);
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
        bool residual = w->slot == W_O || w->slot == W_DOWN;
        double std = 0.02 / (residual ? sqrt(2.0 * m->cfg.layers) : 1);
        float *p = m->own + w->offset;
        for (size_t k = 0; k < w->count; k++)
            p[k] = w->n_dims == 1 ? 1.0f : (float)(std * rng_normal(&r));
        m->w[i] = p;
    }
    return 0;
}
