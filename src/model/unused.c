/* What a checkpoint holds and the decoder does not use: said when it is opened, as transformers
 * does. Masks, counters and frequencies, which every program makes anew, are left out without a
 * word.
 */
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/config_keys.h"
#include "model/store.h"

static int tell_keys(const struct model *m, struct err *e)
{
    struct buf keys = {0}, settings = {0};
    const bool gguf = m->files && m->files[0].format == TENSOR_GGUF;
    int rc = (gguf ? config_gguf_unread(m->files, m->cfg.family->gguf, &keys, e)
                   : config_unread(&m->cfg, m->config, &keys, e)) ||
                     config_generation_unread(m->generation, &settings, e)
                 ? -1
                 : 0;
    if (!rc && keys.len)
        log_warn("model '%s': keys of %s that are not read in the family %s and change nothing "
                 "here: %s",
                 m->path, gguf ? "the GGUF" : "config.json", m->cfg.family->name, keys.data);
    if (!rc && settings.len)
        log_warn("model '%s': settings of generation_config.json that change nothing here: %s",
                 m->path, settings.data);
    buf_fini(&keys);
    buf_fini(&settings);
    return rc;
}

/* --- a head in a checkpoint with tied embeddings --- */

static const struct tensor *find_in_files(const struct model *m, const char *name)
{
    const struct tensor *t = NULL;
    for (int i = 0; i < m->n_files && !t; i++)
        t = tensor_find(&m->files[i], name);
    return t;
}

static const char *head_name(const struct family *f)
{
    const struct slot_name *s = f->names;
    while (s->hf && s->slot != W_HEAD)
        s++;
    return s->hf;
}

static int same_numbers(const struct tensor *a, const struct tensor *b, bool *same, struct err *e)
{
    size_t bytes;
    *same = a->count == b->count;
    if (!*same || !a->count)
        return 0;
    if (a->dtype == b->dtype && !dtype_bytes(a->dtype, a->count, &bytes)) {
        *same = !memcmp(a->data, b->data, bytes);
        return 0;
    }
    float *x = tensor_f32(a, e), *y = x ? tensor_f32(b, e) : NULL;
    if (y)
        *same = !memcmp(x, y, a->count * sizeof *x);
    free(x);
    free(y);
    return y ? 0 : -1;
}

/* transformers ties after it has loaded: the embedding counts. */
static int tell_head(const struct model *m, struct err *e)
{
    const char *name = head_name(m->cfg.family);
    const struct tensor *head = name ? find_in_files(m, name) : NULL;
    if (!m->cfg.tied_head || !head)
        return 0;
    bool same = true;
    const struct weight *w = &m->table.v[weight_index(&m->table, W_EMBED, 0)];
    const struct tensor *embedding = store_find(m, w);
    if (!embedding)
        return 0;
    if (same_numbers(head, embedding, &same, e))
        return -1;
    if (!same)
        log_warn("model '%s': tensor '%s' differs from '%s', but the head is tied to the embedding "
                 "('tie_word_embeddings' of config.json): the embedding is used for both",
                 m->path, head->name, embedding->name);
    return 0;
}

/* --- tensors without a place --- */

static const char *const remade[] = {".inv_freq",
                                     ".attn.bias",
                                     ".attn.masked_bias",
                                     ".attention.bias",
                                     ".attention.masked_bias",
                                     ".position_ids",
                                     "rope_freqs.weight",
                                     "rope_factors_long.weight",
                                     "rope_factors_short.weight"};

static bool ends_like(const char *name, const char *end)
{
    const size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end);
}

static bool is_remade(const struct model *m, const struct tensor *t)
{
    const char *head = head_name(m->cfg.family);
    bool left_out = t->dtype == DT_OTHER || t->dtype == DT_I32 || t->dtype == DT_I64 ||
                    t->dtype == DT_U8 || (m->cfg.tied_head && head && !strcmp(t->name, head));
    for (size_t i = 0; i < sizeof remade / sizeof *remade && !left_out; i++)
        left_out = ends_like(t->name, remade[i]);
    return left_out;
}

/* Which tensors hold a weight, those of all files one after another: owned. */
static bool *find_used(const struct model *m, struct err *e)
{
    size_t n = 0;
    for (int i = 0; i < m->n_files; i++)
        n += (size_t)m->files[i].n_tensors;
    bool *used = mem_alloc(n, sizeof *used, e);
    for (int k = 0; used && m->n_files && k < m->table.n_model; k++) {
        const struct tensor *t = store_find(m, &m->table.v[k]);
        size_t at = 0;
        for (int i = 0; t && i < m->n_files; at += (size_t)m->files[i++].n_tensors) {
            const struct tensor_file *f = &m->files[i];
            if (f->n_tensors && t >= f->tensors && t < f->tensors + f->n_tensors)
                used[at + (size_t)(t - f->tensors)] = true;
        }
    }
    return used;
}

enum { NAMED = 4 };

static int tell_tensors(const struct model *m, struct err *e)
{
    struct buf names = {0};
    bool *used = find_used(m, e);
    size_t at = 0;
    int n = 0, rc = used ? 0 : -1;
    for (int i = 0; i < m->n_files; i++)
        for (int k = 0; !rc && k < m->files[i].n_tensors; k++) {
            const struct tensor *t = &m->files[i].tensors[k];
            if (!used[at++] && !is_remade(m, t) && n++ < NAMED)
                rc = buf_printf(&names, e, "%s'%.96s'", n > 1 ? ", " : "", t->name);
        }
    if (!rc && n)
        log_warn("model '%s': %d tensor%s without a place in the family %s %s not used: %s%s",
                 m->path, n, n > 1 ? "s" : "", m->cfg.family->name, n > 1 ? "are" : "is",
                 names.data, n > NAMED ? " ..." : "");
    buf_fini(&names);
    free(used);
    return rc;
}

int model_tell_unused(const struct model *m, struct err *e)
{
    return tell_keys(m, e) || tell_head(m, e) || tell_tensors(m, e) ? -1 : 0;
}
