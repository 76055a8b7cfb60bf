/* Adapters in PEFT's files. Its names: base_model.model.MODULE.lora_A.weight [r,in] and ...lora_B
 * .weight [out,r], where MODULE.weight is what they are added to. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/layout.h"
#include "model/lora.h"
#include "tensor/out.h"

static const char config_name[] = "adapter_config.json", prefix[] = "base_model.model.",
                  tensors_name[] = "adapter_model.safetensors";

/* B has the rows of its weight, which GPT-NeoX's files hold in another order. A never differs, and
 * where a file holds the weight itself transposed B is as here. */
static bool rows_differ(const struct model *m, const struct weight *w)
{
    return family_slot(&m->cfg, w->slot)->hf_layout == LAYOUT_HEAD_QKV;
}

/* --- out --- */

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

static int write_config(const struct model *m, const char *dir, struct err *e)
{
    const struct lora *l = m->lora;
    bool whole = l->regex || !strcmp(l->targets, "all-linear");
    json_t *j = json_pack(
        "{s:s, s:s, s:s, s:i, s:f, s:f, s:b, s:s, s:b, s:b}", "peft_type", "LORA", "task_type",
        "CAUSAL_LM", "base_model_name_or_path", m->path, "r", l->rank, "lora_alpha", l->alpha,
        "lora_dropout", l->dropout, "use_rslora", (int)l->rslora, "bias", "none", "fan_in_fan_out",
        (int)(family_slot(&m->cfg, W_O)->hf_layout == LAYOUT_TRANSPOSED), "inference_mode", 1);
    char *path = j ? file_join(dir, config_name, e) : NULL;
    int rc = j ? -1 : err_set(e, "'%s' is no valid UTF-8", m->path);
    if (path) {
        json_object_set_new(j, "target_modules",
                            whole ? json_string(l->targets) : target_list(l->targets));
        rc = json_write_file(j, path, JSON_INDENT(2) | JSON_SORT_KEYS, e);
    }
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
        rc = tensor_out_write(
            o, is_b && rows_differ(m, w) ? layout_hf(&m->cfg, w, m->w[i], room) : m->w[i], e);
    }
    free(room);
    return rc;
}

int lora_save(const struct model *m, const char *dir, struct err *e)
{
    BUG_ON(!m->lora);
    if (file_make_dir(dir, e) || write_config(m, dir, e))
        return -1;
    char *path = file_join(dir, tensors_name, e);
    struct tensor_out *o = path ? tensor_out_open(path, e) : NULL;
    int rc = o ? write_tensors(m, o, e) : -1;
    free(path);
    if (!rc)
        return tensor_out_commit(o, e);
    tensor_out_abort(o);
    return -1;
}

/* --- in --- */

/* Anything but plain LoRA would be merged wrongly. */
static int check_plain(const json_t *j, struct err *e)
{
    static const char *const unset[] = {"modules_to_save", "rank_pattern", "alpha_pattern",
                                        "use_dora",        "lora_bias",    "megatron_config"};
    const char *type, *bias = "none";
    if (json_need_str(j, "peft_type", &type, e) || json_opt_str(j, "bias", &bias, e))
        return -1;
    if (strcmp(type, "LORA"))
        return err_set(e, "it is a '%s' adapter; only LORA is supported", type);
    if (strcmp(bias, "none"))
        return err_set(e, "its bias is '%s'; only 'none' is supported", bias);
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) {
        const json_t *v = json_object_get(j, unset[i]);
        if (json_is_true(v) || json_object_size(v) || json_array_size(v))
            return err_set(e, "its '%s' is not supported", unset[i]);
    }
    return 0;
}

static int read_scale(const char *dir, int64_t *rank, double *scale, struct err *e)
{
    char *path = file_join(dir, config_name, e);
    json_t *j = path ? json_read_file(path, e) : NULL;
    bool rslora = false;
    double alpha = 8;
    int rc = -1;
    if (j && !check_plain(j, e) && !json_need_int(j, "r", 1, 1 << 16, rank, e) &&
        !json_opt_real(j, "lora_alpha", &alpha, e) && !json_opt_bool(j, "use_rslora", &rslora, e)) {
        *scale = alpha / (rslora ? sqrt((double)*rank) : (double)*rank);
        rc = 0;
    }
    json_decref(j);
    free(path);
    return rc;
}

/* The row of the weight that the tensor `name` belongs to, if it is one that ends with `part`; or
 * -1. */
static int base_of(const struct model *m, const char *name, const char *part)
{
    char base[sizeof m->table.v->name];
    size_t n = strlen(name), tail = strlen(part), skip = sizeof prefix - 1;
    if (strncmp(name, prefix, skip) || n < skip + tail || strcmp(name + n - tail, part) ||
        n - skip - tail > sizeof base - sizeof ".weight")
        return -1;
    snprintf(base, sizeof base, "%.*s.weight", (int)(n - skip - tail), name + skip);
    int i = weight_by_name(&m->table, base);
    return i >= 0 && m->table.v[i].n_dims == 2 ? i : -1;
}

/* The weight's own copy, which may be changed. */
static float *own_copy(struct model *m, int i, struct err *e)
{
    const struct weight *w = &m->table.v[i];
    if (m->own)
        return m->own + w->offset;
    if (!m->merged && !(m->merged = mem_alloc((size_t)m->table.n_model, sizeof *m->merged, e)))
        return NULL;
    if (!m->merged[i]) {
        if (!(m->merged[i] = mem_alloc(w->count, sizeof(float), e)))
            return NULL;
        memcpy(m->merged[i], m->w[i], w->count * sizeof(float));
        m->w[i] = m->merged[i];
    }
    return m->merged[i];
}

/* W += s B A. b [out,r] is scaled, and put into the order of memory. */
static int merge(struct model *m, int i, const float *a, float *b, int rank, double scale,
                 struct err *e)
{
    const struct weight *w = &m->table.v[i];
    struct weight rows = *w;
    float *to = own_copy(m, i, e), *sorted = NULL;
    rows.shape[1] = rank;
    rows.count = (size_t)w->shape[0] * (size_t)rank;
    if (!to || !(sorted = mem_alloc(rows.count, sizeof(float), e)))
        return -1;
    if (rows_differ(m, w))
        layout_load(LAYOUT_HEAD_QKV, &m->cfg, &rows, sorted, b);
    else
        memcpy(sorted, b, rows.count * sizeof(float));
    m->ops->scale(sorted, (float)scale, rows.count);
    m->ops->linear_dx(to, sorted, a, (int)w->shape[0], (int)w->shape[1], rank, 1);
    free(sorted);
    if (!m->ops->all_finite(to, w->count))
        return err_set(e, "with it, weight '%s' holds NaN or infinity", w->name);
    return 0;
}

static bool has_shape(const struct tensor *t, int64_t rows, int64_t cols)
{
    return t && t->n_dims == 2 && t->shape[0] == rows && t->shape[1] == cols;
}

/* A weight that was saved whole beside the adapters. PEFT does so with the head and embedding. */
static int replace(struct model *m, int i, const struct tensor *t, struct err *e)
{
    const struct weight *w = &m->table.v[i];
    float *to = NULL, *v;
    if (family_slot(&m->cfg, w->slot)->hf_layout != LAYOUT_PLAIN ||
        !has_shape(t, w->shape[0], w->shape[1]))
        return err_set(e, "tensor '%s' cannot take the place of '%s': its shape or order differs",
                       t->name, w->name);
    if (!(v = tensor_f32(t, e)))
        return -1;
    if ((to = own_copy(m, i, e)))
        memcpy(to, v, w->count * sizeof(float));
    free(v);
    return !to                                ? -1
           : m->ops->all_finite(to, w->count) ? 0
                                              : err_set(e, "tensor '%s' is not finite", t->name);
}

/* The pair that begins with tensor `a`, lora_A's. */
static int merge_pair(struct model *m, const struct tensor_file *f, const struct tensor *a,
                      int64_t rank, double scale, struct err *e)
{
    static const char part_a[] = ".lora_A.weight", part_b[] = ".lora_B.weight";
    static const char *const whole[] = {".base_layer.weight", ".weight"}; /* before its pair */
    int i = base_of(m, a->name, part_a);
    if (i < 0 && base_of(m, a->name, part_b) >= 0)
        return 0; /* the other half of a pair */
    for (size_t k = 0; i < 0 && k < sizeof whole / sizeof *whole; k++)
        if (base_of(m, a->name, whole[k]) >= 0)
            return replace(m, base_of(m, a->name, whole[k]), a, e);
    if (i < 0)
        return err_set(e, "tensor '%s' belongs to no matrix of the model", a->name);
    const struct weight *w = &m->table.v[i];
    char name[sizeof prefix + sizeof w->name + sizeof part_b];
    snprintf(name, sizeof name, "%.*s%s", (int)(strlen(a->name) - strlen(part_a)), a->name, part_b);
    const struct tensor *b = tensor_find(f, name);
    if (!has_shape(a, rank, w->shape[1]) || !has_shape(b, w->shape[0], rank))
        return err_set(e, "tensor '%s' or its '%s' is missing or of the wrong shape for rank %lld",
                       a->name, part_b + 1, (long long)rank);
    float *fa = tensor_f32(a, e), *fb = fa ? tensor_f32(b, e) : NULL;
    int rc = fb ? merge(m, i, fa, fb, (int)rank, scale, e) : -1;
    free(fa);
    free(fb);
    return rc;
}

static int merge_file(struct model *m, const char *dir, struct err *e)
{
    struct tensor_file f;
    int64_t rank;
    double scale;
    if (read_scale(dir, &rank, &scale, e))
        return -1;
    char *path = file_join(dir, tensors_name, e);
    int rc = path ? tensor_file_open(&f, path, e) : -1;
    free(path);
    if (rc)
        return -1;
    if (!f.n_tensors)
        rc = err_set(e, "it holds no tensors");
    for (int i = 0; i < f.n_tensors && !rc; i++)
        rc = merge_pair(m, &f, &f.tensors[i], rank, scale, e);
    tensor_file_close(&f);
    return rc;
}

int lora_merge_dir(struct model *m, const char *dir, struct err *e)
{
    BUG_ON(m->lora);
    return merge_file(m, dir, e) ? err_prefix(e, "adapter '%s': ", dir) : 0;
}
