/* Merging PEFT's adapters into a model's weights: in PEFT's order, first what loading changes of
 * the weights themselves, then A and B. What the files hold is read and checked before (adapter.h).
 */
#include <string.h>

#include "base/mem.h"
#include "model/adapter.h"
#include "model/store.h"
#include "model/lora.h"
#include "tensor/matrix.h"

bool lora_reorders(const struct model *m, const struct weight *w)
{
    return family_slot(&m->cfg, w->slot)->hf_layout == LAYOUT_HEAD_QKV;
}

/* --- numbers --- */

/* The numbers of a weight, which may be changed. */
static device float *own_copy(struct model *m, int i, struct err *e)
{
    const struct weight *w = &m->table.v[i];
    if (m->own)
        return m->own + w->offset;
    if (!m->merged && !(m->merged = mem_alloc((size_t)m->table.n_model, sizeof *m->merged, e)))
        return NULL;
    if (!m->merged[i]) {
        if (!(m->merged[i] = m->ops->alloc(w->count, e)))
            return NULL;
        model_copy_weight(m, i, m->merged[i]);
        m->w[i] = m->merged[i];
        if (m->stored)
            m->stored[i].x = NULL;
    }
    return m->merged[i];
}

static int check_finite(const struct model *m, int i, struct err *e)
{
    const struct weight *w = &m->table.v[i];
    return m->ops->all_finite(m->w[i], w->count)
               ? 0
               : err_set(e, "with it, weight '%s' holds NaN or infinity", w->name);
}

/* The model's weight that is row i of the adapter's table: of a head that is tied, the embedding.
 */
static int model_row(const struct model *m, const struct adapter_file *f, int i)
{
    const struct weight *w = &f->table.v[i];
    int row = weight_by_name(&m->table, w->name);
    return row < 0 ? weight_index(&m->table, W_EMBED, -1) : row;
}

/* A tensor with a row for each of the weight's, in the order of memory; owned by the caller. */
float *adapter_rows(const struct model *m, const struct weight *w, const struct tensor *t,
                    struct err *e)
{
    float *file = tensor_f32(t, e);
    if (!file || !lora_reorders(m, w))
        return file;
    struct weight rows = *w;
    rows.shape[1] = t->n_dims > 1 ? t->shape[1] : 1;
    rows.count = t->count;
    float *sorted = mem_alloc(t->count, sizeof *sorted, e);
    if (sorted)
        layout_load(LAYOUT_HEAD_QKV, &m->cfg, &rows, sorted, file);
    free(file);
    return sorted;
}

/* The weight = the tensor. */
static int put_whole(const struct model *m, const struct weight *w, float *to,
                     const struct tensor *t, struct err *e)
{
    float *file = t ? tensor_f32(t, e) : NULL;
    if (file)
        layout_load(family_slot(&m->cfg, w->slot)->hf_layout, &m->cfg, w, to, file);
    free(file);
    return t && !file ? -1 : 0;
}

static int put_tokens(const struct adapter_file *f, const struct weight *w, float *to,
                      const struct tensor *t, struct err *e)
{
    const json_t *list = adapter_config_tokens(&f->config, w);
    const size_t c = (size_t)w->shape[1];
    float *rows = t ? tensor_f32(t, e) : NULL;
    for (size_t i = 0; rows && i < json_array_size(list); i++)
        memcpy(to + (size_t)json_integer_value(json_array_get(list, i)) * c, rows + i * c,
               c * sizeof *to);
    free(rows);
    return t && !rows ? -1 : 0;
}

static int take_part(const struct adapter_file *f, const struct weight *w, float *to,
                     const struct adapter_part *p, struct err *e)
{
    const int rows = (int)w->shape[0], cols = (int)w->shape[1];
    if (!p->a || p->base || adapter_is_embedding(w) || f->config.init == ADAPTER_NO_PART)
        return 0;
    return (f->config.init == ADAPTER_PISSA ? matrix_take_principal(to, rows, cols, p->rank, e)
                                            : matrix_take_qr(to, rows, cols, p->rank, p->scale, e))
               ? err_prefix(e, "'%s': ", w->name)
               : 0;
}

/* --- A and B --- */

/* a [r,in] and b [out,r] of a linear layer; of an embedding, whose memory is [V,C], B^T and A^T. */
static int read_pair(const struct model *m, const struct weight *w, const struct adapter_part *p,
                     float **a, float **b, struct err *e)
{
    if (!adapter_is_embedding(w)) {
        *a = tensor_f32(p->a, e);
        *b = *a ? adapter_rows(m, w, p->b, e) : NULL;
        return *b ? 0 : -1;
    }
    float *fa = tensor_f32(p->a, e), *fb = fa ? tensor_f32(p->b, e) : NULL;
    *a = fb ? mem_alloc(p->b->count, sizeof **a, e) : NULL;
    *b = *a ? mem_alloc(p->a->count, sizeof **b, e) : NULL;
    if (*b) {
        matrix_transpose(*a, fb, (int)p->b->shape[0], p->rank);
        matrix_transpose(*b, fa, p->rank, (int)p->a->shape[1]);
    }
    free(fa);
    free(fb);
    return *b ? 0 : -1;
}

/* DoRA: rows, or columns of an embedding, of the length that was trained. */
static int set_lengths(const struct model *m, const struct weight *w, float *to,
                       const struct tensor *t, struct err *e)
{
    const int rows = (int)w->shape[0], cols = (int)w->shape[1];
    float *length = t ? adapter_rows(m, w, t, e) : NULL;
    int rc = t && !length ? -1 : 0;
    if (length && adapter_is_embedding(w))
        rc = matrix_set_column_lengths(to, rows, cols, length, e);
    else if (length)
        matrix_set_row_lengths(to, rows, cols, length);
    free(length);
    return rc;
}

/* w += s B A; then DoRA's lengths. */
static int add_pair(const struct model *m, const struct weight *w, device float *to,
                    const struct adapter_part *p, struct err *e)
{
    const struct ops *o = m->ops;
    const int rows = (int)w->shape[0], cols = (int)w->shape[1];
    const size_t count_a = (size_t)cols * (size_t)p->rank, count_b = (size_t)rows * (size_t)p->rank;
    float *a = NULL, *b = NULL;
    device float *on_a = NULL, *on_b = NULL;
    int rc = read_pair(m, w, p, &a, &b, e);
    if (rc || !(on_a = ops_upload(o, a, count_a, e)) || !(on_b = ops_upload(o, b, count_b, e))) {
        rc = -1;
    } else {
        o->scale(on_b, (float)p->scale, count_b);
        o->linear_dx(to, on_b, on_a, rows, cols, p->rank, 1);
        rc = set_lengths(m, w, o->map(to, w->count), p->magnitude, e);
        o->unmap(to);
    }
    o->free(on_a);
    o->free(on_b);
    free(a);
    free(b);
    return rc;
}

/* The bias of weight i += s times B's. */
static int add_bias(struct model *m, int i, const struct adapter_part *p, struct err *e)
{
    const struct weight *w = &m->table.v[i];
    if (!p->b_bias)
        return 0;
    BUG_ON(!weight_has(&m->table, slot_bias(w->slot)));
    int at = weight_index(&m->table, slot_bias(w->slot), w->layer);
    const size_t n = p->b_bias->count;
    device float *to = own_copy(m, at, e), *add = NULL;
    float *read = to ? adapter_rows(m, w, p->b_bias, e) : NULL;
    if (read && (add = ops_upload(m->ops, read, n, e))) {
        m->ops->scale(add, (float)p->scale, n);
        m->ops->add(to, add, n);
    }
    free(read);
    m->ops->free(add);
    return add ? check_finite(m, at, e) : -1;
}

/* --- an adapter --- */

/* Whether the weight has a whole tensor for itself: a tied embedding or head, not both. */
static bool is_single(const struct adapter_file *f, int i)
{
    return f->parts[i].whole && adapter_config_saves(&f->config, &f->table.v[i]);
}

/* What PEFT changes in weights when it loads an adapter, which reaches both the embedding and the
 * head that is tied to it. */
static int change_weight(struct model *m, const struct adapter_file *f, int i, struct err *e)
{
    const struct adapter_part *p = &f->parts[i];
    const struct tensor *whole = is_single(f, i) ? NULL : p->whole;
    if (!p->base && !whole && !p->tokens && !(p->a && f->config.init))
        return 0;
    int row = model_row(m, f, i);
    const struct weight *w = &m->table.v[row];
    device float *own = own_copy(m, row, e);
    if (!own)
        return -1;
    float *to = m->ops->map(own, w->count);
    int rc = take_part(f, w, to, p, e) || put_whole(m, w, to, p->base, e) ||
             put_whole(m, w, to, whole, e) || put_tokens(f, w, to, p->tokens, e);
    m->ops->unmap(own);
    return rc ? -1 : check_finite(m, row, e);
}

static int adapt_weight(struct model *m, const struct adapter_file *f, int i, struct err *e)
{
    const struct adapter_part *p = &f->parts[i];
    const struct tensor *whole = is_single(f, i) ? p->whole : NULL;
    if (!whole && !p->a)
        return 0;
    int row = model_row(m, f, i);
    const struct weight *w = &m->table.v[row];
    device float *to = own_copy(m, row, e);
    if (!to)
        return -1;
    int rc = put_whole(m, w, m->ops->map(to, w->count), whole, e);
    m->ops->unmap(to);
    return rc || (p->a && add_pair(m, w, to, p, e)) || add_bias(m, row, p, e)
               ? -1
               : check_finite(m, row, e);
}

static int merge(struct model *m, const struct adapter_file *f, struct err *e)
{
    for (int i = 0; i < f->table.n; i++)
        if (change_weight(m, f, i, e))
            return -1;
    if (adapter_unties(f) && model_untie(m, e))
        return -1;
    for (int i = 0; i < f->table.n; i++)
        if (adapt_weight(m, f, i, e))
            return -1;
    return 0;
}

/* A bias that lora_bias adds to has to be there. */
static int check_biases(const struct adapter_file *f, struct err *e)
{
    for (int i = 0; i < f->table.n; i++)
        if (f->parts[i].b_bias && (adapter_is_embedding(&f->table.v[i]) ||
                                   !weight_has(&f->table, slot_bias(f->table.v[i].slot))))
            return err_set(e, "'lora_bias' is true, but the model has no bias for '%s' to add to",
                           f->table.v[i].name);
    return 0;
}

int lora_merge_dir(struct model *m, const char *dir, struct err *e)
{
    struct adapter_file f;
    BUG_ON(m->lora);
    int rc = adapter_open(&f, m, dir, e) || check_biases(&f, e) || merge(m, &f, e);
    adapter_close(&f);
    return rc ? err_prefix(e, "adapter '%s': ", dir) : 0;
}

static void gather_facts(const struct adapter_file *f, struct lora_facts *facts)
{
    *facts = (struct lora_facts){.dora = f->config.dora};
    for (int i = 0; i < f->table.n; i++) {
        const struct adapter_part *p = &f->parts[i];
        facts->whole += (p->base != NULL) + (p->whole != NULL) + (p->tokens != NULL);
        if (!p->a)
            continue;
        bool first = !facts->pairs++;
        facts->rank = first || p->rank < facts->rank ? p->rank : facts->rank;
        facts->scale = first || p->scale < facts->scale ? p->scale : facts->scale;
        facts->rank_most = p->rank > facts->rank_most ? p->rank : facts->rank_most;
        facts->scale_most = p->scale > facts->scale_most ? p->scale : facts->scale_most;
    }
    for (int i = 0; i < f->tensors.n_tensors; i++)
        facts->numbers += f->tensors.tensors[i].count;
}

int lora_look(const struct model *m, const char *dir, struct lora_facts *facts, struct err *e)
{
    struct adapter_file f;
    int rc = adapter_open(&f, m, dir, e) || check_biases(&f, e);
    if (!rc)
        gather_facts(&f, facts);
    adapter_close(&f);
    return rc ? err_prefix(e, "adapter '%s': ", dir) : 0;
}
