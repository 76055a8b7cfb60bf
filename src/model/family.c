#include "model/family.h"

#include <string.h>

#include "base/mem.h"

#define PADDED(n) (((n) + 15) & ~(size_t)15)

static const struct family *unknown(const char *what, const char *name, size_t n, struct err *e)
{
    char known[1024] = "";
    for (int i = 0; families[i].name; i++) {
        size_t at = strlen(known);
        snprintf(known + at, sizeof known - at, "%s%s (%s)", i ? ", " : "", families[i].name,
                 families[i].architecture);
    }
    err_set(e, "%s '%.*s' is not supported; supported: %s", what, (int)(n > 80 ? 80 : n), name,
            known);
    return NULL;
}

const struct family *family_by_architecture(const char *architecture, struct err *e)
{
    for (int i = 0; families[i].name; i++)
        if (!strcmp(families[i].architecture, architecture))
            return &families[i];
    return unknown("architecture", architecture, strlen(architecture), e);
}

const struct family *family_by_type(const char *model_type)
{
    const struct family *f = families;
    while (f->name && strcmp(f->name, model_type))
        f++;
    return f->name ? f : NULL;
}

const struct family *family_by_gguf(const char *name, size_t n, bool experts, struct err *e)
{
    for (int i = 0; families[i].name; i++)
        if (families[i].gguf && (families[i].preset.experts > 0) == experts &&
            strlen(families[i].gguf) == n && !memcmp(families[i].gguf, name, n))
            return &families[i];
    return unknown(experts ? "GGUF architecture with experts" : "GGUF architecture", name, n, e);
}

static bool is_there(const struct model_config *c, enum when when)
{
    const bool there[] = {
        [ALWAYS] = true,
        [IF_UNTIED] = !c->tied_head,
        [IF_QKV_BIAS] = c->qkv_bias,
        [IF_OUT_BIAS] = c->out_bias,
        [IF_MLP_BIAS] = c->mlp_bias,
    };
    return there[when];
}

const struct slot_name *family_slot(const struct model_config *c, enum slot slot)
{
    for (const struct slot_name *s = c->family->names; s->hf; s++)
        if (s->slot == slot && is_there(c, s->when))
            return s;
    return NULL;
}

static int64_t dim_size(enum dim d, const struct model_config *c)
{
    const int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    const int64_t size[] = {
        [DIM_NONE] = 1,        [DIM_C] = c->width,
        [DIM_D] = c->head_dim, [DIM_Q] = q,
        [DIM_KV] = kv,         [DIM_QKV] = q + 2 * kv,
        [DIM_F] = c->ff,       [DIM_2F] = 2 * (int64_t)c->ff,
        [DIM_V] = c->vocab,    [DIM_POS] = (int64_t)c->positions + c->position_offset,
        [DIM_E] = c->experts,
    };
    return size[d];
}

static void add_one(struct weight_table *t, const struct slot_name *s, int layer, int expert,
                    const struct model_config *c)
{
    struct weight *w = &t->v[t->n++];
    if (layer < 0)
        snprintf(w->name, sizeof w->name, "%s", s->hf);
    else
        snprintf(w->name, sizeof w->name, s->hf, layer, expert);
    w->slot = s->slot;
    w->layer = layer;
    w->expert = expert;
    w->n_dims = s->cols == DIM_NONE ? 1 : 2;
    w->shape[0] = dim_size(s->rows, c);
    w->shape[1] = dim_size(s->cols, c);
    w->count = (size_t)w->shape[0] * (size_t)w->shape[1];
    w->offset = t->total;
    w->decay = w->n_dims == 2;
    w->trainable = w->wants_grad = true;
    t->total += PADDED(w->count);
}

static void add(struct weight_table *t, const struct slot_name *s, int layer,
                const struct model_config *c)
{
    if (!is_there(c, s->when))
        return;
    if (t->first[s->slot] < 0)
        t->first[s->slot] = t->n;
    for (int x = 0; x < (slot_of_expert(s->slot) ? c->experts : 1); x++)
        add_one(t, s, layer, x, c);
}

void weight_table_place(struct weight_table *t)
{
    size_t at = 0;
    for (int frozen = 0; frozen < 2; frozen++) {
        for (int i = 0; i < t->n; i++) {
            struct weight *w = &t->v[i];
            if (w->trainable == frozen || !w->wants_grad)
                continue;
            w->at = at;
            at += PADDED(w->count);
        }
        *(frozen ? &t->grads : &t->moving) = at;
    }
}

/* Sizes come from a file: beyond these no sum of them is a size_t. */
static int check_total(const struct weight_table *t, struct err *e)
{
    double n = 0;
    for (int i = 0; i < t->n; i++)
        n += (double)t->v[i].count;
    return n < 1e15 ? 0 : err_set(e, "a model of %g parameters is too large", n);
}

int weight_table_init(struct weight_table *t, const struct model_config *c, struct err *e)
{
    *t = (struct weight_table){0};
    const size_t per_layer = SLOT_COUNT + 3 * (size_t)c->experts;
    t->v = mem_alloc(per_layer * ((size_t)c->layers + 1), sizeof *t->v, e);
    if (!t->v)
        return -1;
    for (int i = 0; i < SLOT_COUNT; i++)
        t->first[i] = -1;
    const struct slot_name *s = c->family->names, *first;
    for (; s->hf && !strstr(s->hf, "%d"); s++) /* before the layers */
        add(t, s, -1, c);
    first = s;
    for (int l = 0, before = t->n; l < c->layers; l++) {
        for (s = first; s->hf && strstr(s->hf, "%d"); s++)
            add(t, s, l, c);
        if (!l)
            t->per_layer = t->n - before;
    }
    for (; s->hf; s++)
        add(t, s, -1, c);
    t->n_model = t->n;
    weight_table_place(t);
    for (int i = 0; i < t->n; i++)
        if (hash_index_add(&t->names, hash_text(t->v[i].name), (size_t)i, e))
            return -1;
    return check_total(t, e);
}

void weight_table_decay_norms(struct weight_table *t, const struct model_config *c)
{
    bool known = c->norm == NORM_LAYER || c->family->norm_registered;
    for (int i = 0; i < t->n && !known; i++)
        t->v[i].decay = !strstr(t->v[i].name, "bias");
}

void weight_table_fini(struct weight_table *t)
{
    free(t->v);
    hash_index_fini(&t->names);
    *t = (struct weight_table){0};
}

bool weight_has(const struct weight_table *t, enum slot slot)
{
    return t->first[slot] >= 0;
}

int weight_index(const struct weight_table *t, enum slot slot, int layer)
{
    int i = t->first[slot] + (layer > 0 ? layer * t->per_layer : 0);
    BUG_ON(t->first[slot] < 0 || i >= t->n);
    return i;
}

device float *weight_grad(const struct weight_table *t, enum slot slot, int layer,
                          device float *grads)
{
    if (!grads || !weight_has(t, slot))
        return NULL;
    const struct weight *w = &t->v[weight_index(t, slot, layer)];
    return w->wants_grad ? grads + w->at : NULL;
}

int weight_by_name(const struct weight_table *t, const char *name)
{
    for (size_t i, p = 0; hash_index_next(&t->names, hash_text(name), &p, &i);)
        if (!strcmp(t->v[i].name, name))
            return (int)i;
    return -1;
}
