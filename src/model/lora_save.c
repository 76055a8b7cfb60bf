/* Writing adapters as PEFT does; lora_merge.c reads them. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/store.h"
#include "model/lora.h"
#include "tensor/file.h"

static const char prefix[] = "base_model.model.";

static json_t *target_list(const char *names)
{
    json_t *list = json_array();
    for (size_t n; *names; names += n + (names[n] == ',')) {
        n = strcspn(names, ",");
        if (n)
            json_array_append_new(list, json_stringn(names, n));
    }
    return list;
}

/* The last parts of the names of modules that have adapters: where PEFT would mean others, too, by
 * all-linear, as the router of experts. */
static json_t *adapted_list(const struct model *m)
{
    json_t *list = json_array(), *seen = json_object();
    for (int i = 0; i < m->table.n_model; i++) {
        char name[sizeof m->table.v->name];
        snprintf(name, sizeof name, "%s", m->table.v[i].name);
        char *end = strstr(name, ".weight"), *dot;
        if (m->lora->of[i] < 0 || !end)
            continue;
        *end = 0;
        dot = strrchr(name, '.');
        const char *last = dot ? dot + 1 : name;
        if (!json_object_get(seen, last))
            json_array_append_new(list, json_string(last));
        json_object_set_new(seen, last, json_true());
    }
    json_decref(seen);
    return list;
}

static json_t *targets_json(const struct model *m)
{
    const struct lora *l = m->lora;
    bool all = !strcmp(l->targets, "all-linear");
    if (all && weight_has(&m->table, W_ROUTER))
        return adapted_list(m);
    return l->regex || all ? json_string(l->targets) : target_list(l->targets);
}

/* What adapter_config.json has in addition to what is the same for all. */
struct about {
    int rank;
    double alpha, dropout;
    bool rslora;
    json_t *targets; /* a reference that write_config takes */
};

/* Makes the directory, too. */
static int write_config(const struct model *m, const struct about *l, const char *dir,
                        struct err *e)
{
    if (file_make_dir(dir, e)) {
        json_decref(l->targets);
        return -1;
    }
    json_t *j = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:b, s:s, s:b, s:b, s:o}", "peft_type",
                          "LORA", "task_type", "CAUSAL_LM", "base_model_name_or_path", m->path, "r",
                          l->rank, "lora_alpha", l->alpha, "lora_dropout", l->dropout, "use_rslora",
                          (int)l->rslora, "bias", "none", "fan_in_fan_out",
                          (int)(family_slot(&m->cfg, W_O)->hf_layout == LAYOUT_TRANSPOSED),
                          "inference_mode", 1, "target_modules", l->targets);
    char *path = j ? file_join(dir, "adapter_config.json", e) : NULL;
    int rc = j ? -1 : err_set(e, "'%s' is no valid UTF-8", m->path);
    if (path)
        rc = json_write_file(j, path, JSON_INDENT(2) | JSON_SORT_KEYS, e);
    free(path);
    json_decref(j);
    return rc;
}

static int write_tensors(const struct model *m, struct tensor_out *o, struct err *e)
{
    const struct weight_table *t = &m->table;
    char name[sizeof prefix + sizeof t->v->name];
    size_t most = 0;
    for (int i = t->n_model; i < t->n; i++) {
        const struct weight *w = &t->v[i];
        snprintf(name, sizeof name, "%s%s", prefix, w->name);
        if (tensor_out_add(o, name, DT_F32, 2, w->shape, e))
            return -1;
        most = w->count > most ? w->count : most;
    }
    float *room = mem_alloc(most, sizeof(float), e);
    int rc = room ? 0 : -1;
    for (int i = t->n_model; i < t->n && !rc; i++) {
        const struct weight *w = &t->v[i];
        bool is_b = (i - t->n_model) % 2;
        const float *x = m->ops->map_read(m->w[i], w->count);
        rc = tensor_out_write(o, is_b && lora_reorders(m, w) ? layout_hf(&m->cfg, w, x, room) : x,
                              e);
        m->ops->unmap(m->w[i]);
    }
    free(room);
    return rc;
}

static struct tensor_out *open_tensors(const char *dir, struct err *e)
{
    char *path = file_join(dir, "adapter_model.safetensors", e);
    struct tensor_out *o = path ? tensor_out_open(path, e) : NULL;
    free(path);
    return o;
}

int lora_save(const struct model *m, const char *dir, struct err *e)
{
    BUG_ON(!m->lora);
    const struct lora *l = m->lora;
    const struct about about = {l->rank, l->alpha, l->dropout, l->rslora, targets_json(m)};
    if (write_config(m, &about, dir, e))
        return -1;
    struct tensor_out *o = open_tensors(dir, e);
    if (o && !write_tensors(m, o, e))
        return tensor_out_commit(o, e);
    tensor_out_abort(o);
    return -1;
}

/* --- pairs that are given --- */

/* The module of a weight: its name without ".weight". */
static int module_of(const struct weight *w)
{
    const char *end = strstr(w->name, ".weight");
    return end ? (int)(end - w->name) : (int)strlen(w->name);
}

/* Whole names, so that no other module is meant. */
static json_t *pair_list(const struct lora_pair *p, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_stringn(p[i].w->name, (size_t)module_of(p[i].w)));
    return list;
}

static int write_pairs(const struct model *m, int rank, const struct lora_pair *p, int n,
                       struct tensor_out *o, struct err *e)
{
    char name[sizeof prefix + sizeof p->w->name + 16];
    size_t most = 0;
    for (int i = 0; i < 2 * n; i++) {
        const struct weight *w = p[i / 2].w;
        const int64_t shape[2] = {i % 2 ? w->shape[0] : rank, i % 2 ? rank : w->shape[1]};
        const size_t count = (size_t)(shape[0] * shape[1]);
        snprintf(name, sizeof name, "%s%.*s.lora_%c.weight", prefix, module_of(w), w->name,
                 "AB"[i % 2]);
        if (tensor_out_add(o, name, DT_F32, 2, shape, e))
            return -1;
        most = count > most ? count : most;
    }
    float *room = mem_alloc(most, sizeof *room, e);
    int rc = room ? 0 : -1;
    for (int i = 0; i < 2 * n && !rc; i++) {
        struct weight b = *p[i / 2].w; /* with the shape of B, whose rows are those of w */
        const float *x = i % 2 ? p[i / 2].b : p[i / 2].a;
        b.shape[1] = rank;
        b.count = (size_t)b.shape[0] * (size_t)rank;
        rc = tensor_out_write(
            o, i % 2 && lora_reorders(m, &b) ? layout_hf(&m->cfg, &b, x, room) : x, e);
    }
    free(room);
    return rc;
}

int lora_save_pairs(const struct model *m, int rank, const struct lora_pair *p, int n,
                    const char *dir, struct err *e)
{
    const struct about about = {rank, rank, 0, false, pair_list(p, n)};
    if (write_config(m, &about, dir, e))
        return -1;
    struct tensor_out *o = open_tensors(dir, e);
    if (o && !write_pairs(m, rank, p, n, o, e))
        return tensor_out_commit(o, e);
    tensor_out_abort(o);
    return -1;
}
