/* Reading PEFT's adapters. Its names: base_model.model.MODULE.lora_A.weight [r,in] and
 * ...lora_B.weight [out,r], which belong to MODULE.weight. A head or embedding that is an adapter's
 * target, or was trained beside it, may be there whole. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/layout.h"
#include "model/lora.h"

static const char prefix[] = "base_model.model.";

bool lora_reorders(const struct model *m, const struct weight *w)
{
    return family_slot(&m->cfg, w->slot)->hf_layout == LAYOUT_HEAD_QKV;
}

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

static int read_config(const char *dir, struct lora_facts *f, struct err *e)
{
    char *path = file_join(dir, "adapter_config.json", e);
    json_t *j = path ? json_read_file(path, e) : NULL;
    bool rslora = false;
    double alpha = 8;
    int64_t rank;
    int rc = -1;
    if (j && !check_plain(j, e) && !json_need_int(j, "r", 1, 1 << 16, &rank, e) &&
        !json_opt_real(j, "lora_alpha", &alpha, e) && !json_opt_bool(j, "use_rslora", &rslora, e)) {
        *f = (struct lora_facts){.rank = (int)rank};
        f->scale = alpha / (rslora ? sqrt((double)rank) : (double)rank);
        rc = 0;
    }
    json_decref(j);
    free(path);
    return rc;
}

/* The row of the matrix that the tensor `name`, which ends with `part`, belongs to; or -1. */
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

static bool has_shape(const struct tensor *t, int64_t rows, int64_t cols)
{
    return t && t->n_dims == 2 && t->shape[0] == rows && t->shape[1] == cols;
}

/* What a tensor of the file is for. */
struct part {
    int i;                      /* the model's weight; -1: nothing, it is the second of a pair */
    const struct tensor *a, *b; /* a pair; or b NULL: a stands in for the weight */
};

static int find_pair(const struct model *m, const struct tensor_file *f, int rank, struct part *p,
                     struct err *e)
{
    static const char a[] = ".lora_A.weight", b[] = ".lora_B.weight";
    const struct weight *w = &m->table.v[p->i];
    char name[sizeof prefix + sizeof w->name + sizeof b];
    snprintf(name, sizeof name, "%.*s%s", (int)(strlen(p->a->name) - strlen(a)), p->a->name, b);
    p->b = tensor_find(f, name);
    if (has_shape(p->a, rank, w->shape[1]) && has_shape(p->b, w->shape[0], rank))
        return 0;
    return err_set(e, "tensor '%s' or its '%s' is missing or of the wrong shape for rank %d",
                   p->a->name, b + 1, rank);
}

static int find_part(const struct model *m, const struct tensor_file *f, const struct tensor *t,
                     int rank, struct part *p, struct err *e)
{
    static const char *const whole[] = {".base_layer.weight", ".weight"};
    *p = (struct part){.i = base_of(m, t->name, ".lora_A.weight"), .a = t};
    if (p->i >= 0)
        return find_pair(m, f, rank, p, e);
    if (base_of(m, t->name, ".lora_B.weight") >= 0)
        return 0;
    for (int k = 0; k < 2 && p->i < 0; k++)
        p->i = base_of(m, t->name, whole[k]);
    if (p->i < 0)
        return err_set(e, "tensor '%s' belongs to no matrix of the model", t->name);
    const struct weight *w = &m->table.v[p->i];
    if (family_slot(&m->cfg, w->slot)->hf_layout == LAYOUT_PLAIN &&
        has_shape(t, w->shape[0], w->shape[1]))
        return 0;
    return err_set(e, "tensor '%s' cannot stand in for '%s': its shape or order differs", t->name,
                   w->name);
}

/* The numbers of a weight, which may be changed. */
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

/* w += s B A; b [out,r] is overwritten. */
static int add_pair(const struct model *m, int i, float *to, const float *a, float *b,
                    const struct lora_facts *f, struct err *e)
{
    const struct weight *w = &m->table.v[i];
    struct weight rows = *w;
    rows.shape[1] = f->rank;
    rows.count = (size_t)w->shape[0] * (size_t)f->rank;
    float *sorted = lora_reorders(m, w) ? mem_alloc(rows.count, sizeof(float), e) : b;
    if (!sorted)
        return -1;
    if (sorted != b)
        layout_load(LAYOUT_HEAD_QKV, &m->cfg, &rows, sorted, b);
    m->ops->scale(sorted, (float)f->scale, rows.count);
    m->ops->linear_dx(to, sorted, a, (int)w->shape[0], (int)w->shape[1], f->rank, 1);
    if (sorted != b)
        free(sorted);
    return 0;
}

static int merge_part(struct model *m, const struct part *p, const struct lora_facts *f,
                      struct err *e)
{
    const struct weight *w = &m->table.v[p->i];
    float *to = own_copy(m, p->i, e), *a = to ? tensor_f32(p->a, e) : NULL,
          *b = a && p->b ? tensor_f32(p->b, e) : NULL;
    int rc = !a || (p->b && !b) ? -1 : 0;
    if (!rc && p->b)
        rc = add_pair(m, p->i, to, a, b, f, e);
    else if (!rc)
        memcpy(to, a, w->count * sizeof(float));
    free(a);
    free(b);
    if (!rc && !m->ops->all_finite(to, w->count))
        rc = err_set(e, "with it, weight '%s' holds NaN or infinity", w->name);
    return rc;
}

/* Checks the adapter against the model, and merges it if there is one to be changed. */
static int read_adapter(const struct model *m, struct model *into, const char *dir,
                        struct lora_facts *facts, struct err *e)
{
    struct tensor_file f;
    if (read_config(dir, facts, e))
        return -1;
    char *path = file_join(dir, "adapter_model.safetensors", e);
    int rc = path ? tensor_file_open(&f, path, e) : -1;
    free(path);
    if (rc)
        return -1;
    for (int i = 0; i < f.n_tensors && !rc; i++) {
        struct part p;
        rc = find_part(m, &f, &f.tensors[i], facts->rank, &p, e);
        if (rc || p.i < 0)
            continue;
        facts->pairs += p.b != NULL;
        facts->numbers += p.a->count + (p.b ? p.b->count : 0);
        if (into) /* a whole weight comes before its pair: files are sorted by name */
            rc = merge_part(into, &p, facts, e);
    }
    if (!rc && !facts->pairs)
        rc = err_set(e, "it holds no adapters");
    tensor_file_close(&f);
    return rc;
}

int lora_merge_dir(struct model *m, const char *dir, struct err *e)
{
    struct lora_facts f;
    BUG_ON(m->lora);
    return read_adapter(m, m, dir, &f, e) ? err_prefix(e, "adapter '%s': ", dir) : 0;
}

int lora_look(const struct model *m, const char *dir, struct lora_facts *f, struct err *e)
{
    return read_adapter(m, NULL, dir, f, e) ? err_prefix(e, "adapter '%s': ", dir) : 0;
}
