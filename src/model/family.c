#include "model/family.h"

#include <string.h>

#include "base/mem.h"

#define LAYER     "model.layers.%d."
#define PADDED(n) (((n) + 15) & ~(size_t)15)

static const struct slot_name llama_names[] = {
    {W_EMBED, "model.embed_tokens.weight", "token_embd.weight", DIM_V, DIM_C, true},
    {W_Q, LAYER "self_attn.q_proj.weight", "blk.%d.attn_q.weight", DIM_Q, DIM_C, true},
    {W_K, LAYER "self_attn.k_proj.weight", "blk.%d.attn_k.weight", DIM_KV, DIM_C, true},
    {W_V, LAYER "self_attn.v_proj.weight", "blk.%d.attn_v.weight", DIM_KV, DIM_C, true},
    {W_O, LAYER "self_attn.o_proj.weight", "blk.%d.attn_output.weight", DIM_C, DIM_Q, true},
    {W_GATE, LAYER "mlp.gate_proj.weight", "blk.%d.ffn_gate.weight", DIM_F, DIM_C, true},
    {W_UP, LAYER "mlp.up_proj.weight", "blk.%d.ffn_up.weight", DIM_F, DIM_C, true},
    {W_DOWN, LAYER "mlp.down_proj.weight", "blk.%d.ffn_down.weight", DIM_C, DIM_F, true},
    {W_NORM_ATTN, LAYER "input_layernorm.weight", "blk.%d.attn_norm.weight", DIM_C, DIM_NONE,
     false},
    {W_NORM_MLP, LAYER "post_attention_layernorm.weight", "blk.%d.ffn_norm.weight", DIM_C, DIM_NONE,
     false},
    {W_NORM_OUT, "model.norm.weight", "output_norm.weight", DIM_C, DIM_NONE, false},
    {W_HEAD, "lm_head.weight", "output.weight", DIM_V, DIM_C, true},
    {SLOT_COUNT, NULL, NULL, DIM_NONE, DIM_NONE, false},
};

static const struct family families[] = {
    {"llama", "LlamaForCausalLM", "llama", true, llama_names},
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

static const struct family *unknown(const char *what, const char *name, size_t n, struct err *e)
{
    char known[256] = "";
    for (int i = 0; i < N_FAMILIES; i++) {
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
    for (int i = 0; i < N_FAMILIES; i++)
        if (!strcmp(families[i].architecture, architecture))
            return &families[i];
    return unknown("architecture", architecture, strlen(architecture), e);
}

const struct family *family_by_gguf(const char *name, size_t n, struct err *e)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (strlen(families[i].gguf) == n && !memcmp(families[i].gguf, name, n))
            return &families[i];
    return unknown("GGUF architecture", name, n, e);
}

static int64_t dim_size(enum dim d, const struct model_config *c)
{
    switch (d) {
    case DIM_C:
        return c->width;
    case DIM_Q:
        return (int64_t)c->heads * c->head_dim;
    case DIM_KV:
        return (int64_t)c->kv_heads * c->head_dim;
    case DIM_F:
        return c->ff;
    case DIM_V:
        return c->vocab;
    case DIM_NONE:
        break;
    }
    return 1;
}

static void add(struct weight_table *t, const struct slot_name *s, int layer,
                const struct model_config *c)
{
    if (t->first[s->slot] < 0)
        t->first[s->slot] = t->n;
    struct weight *w = &t->v[t->n++];
    if (layer < 0)
        snprintf(w->name, sizeof w->name, "%s", s->hf);
    else
        snprintf(w->name, sizeof w->name, s->hf, layer);
    w->slot = s->slot;
    w->layer = layer;
    w->n_dims = s->cols == DIM_NONE ? 1 : 2;
    w->shape[0] = dim_size(s->rows, c);
    w->shape[1] = dim_size(s->cols, c);
    w->count = (size_t)w->shape[0] * (size_t)w->shape[1];
    w->offset = t->total;
    w->decay = s->decay;
    w->trainable = w->wants_grad = true;
    t->total += PADDED(w->count);
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

int weight_table_init(struct weight_table *t, const struct model_config *c, struct err *e)
{
    *t = (struct weight_table){0};
    t->v = mem_alloc((size_t)SLOT_COUNT * ((size_t)c->layers + 1), sizeof *t->v, e);
    if (!t->v)
        return -1;
    for (int i = 0; i < SLOT_COUNT; i++)
        t->first[i] = -1;
    const struct slot_name *s = c->family->names;
    for (; s->hf && !strstr(s->hf, "%d"); s++) /* before the layers */
        add(t, s, -1, c);
    const struct slot_name *first = s, *after = s;
    for (int l = 0; l < c->layers; l++)
        for (after = first; after->hf && strstr(after->hf, "%d"); after++)
            add(t, after, l, c);
    t->per_layer = (int)(after - first);
    for (; after->hf; after++)
        if (after->slot != W_HEAD || !c->tied_head)
            add(t, after, -1, c);
    weight_table_place(t);
    return 0;
}

void weight_table_fini(struct weight_table *t)
{
    free(t->v);
    *t = (struct weight_table){0};
}

int weight_index(const struct weight_table *t, enum slot slot, int layer)
{
    int i = t->first[slot] + (layer > 0 ? layer * t->per_layer : 0);
    BUG_ON(t->first[slot] < 0 || i >= t->n);
    return i;
}

int weight_by_name(const struct weight_table *t, const char *name)
{
    for (int i = 0; i < t->n; i++)
        if (!strcmp(t->v[i].name, name))
            return i;
    return -1;
}
