/* Which weight each tensor of adapter_model.safetensors is for. PEFT names them
 * base_model.model.MODULE.lora_A.weight; other programs leave out or add parts. */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/adapter.h"
#include "model/store.h"

/* --- names --- */

/* Classes around a decoder, which a name may begin with or not. */
static const char *const wrappers[] = {"base_model", "model",       "module",
                                       "_orig_mod",  "transformer", "gpt_neox"};

static const char *skip_wrappers(const char *name)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++) {
        size_t n = strlen(wrappers[i]);
        if (!strncmp(name, wrappers[i], n) && name[n] == '.') {
            name += n + 1;
            i = (size_t)-1;
        }
    }
    return name;
}

/* What stands between a module's name and the end of a tensor's. `named`: the adapter's own name
 * may follow. */
static const struct mark {
    const char *text, *leaf; /* leaf "": nothing; else its last part */
    bool named;
    const char *of; /* the weight's last part */
    size_t field;   /* of struct adapter_part */
} marks[] = {
#define FIELD(name) offsetof(struct adapter_part, name)
    {".lora_A", ".weight", true, ".weight", FIELD(a)},
    {".lora_B", ".weight", true, ".weight", FIELD(b)},
    {".lora_B", ".bias", true, ".weight", FIELD(b_bias)},
    {".lora_embedding_A", "", true, ".weight", FIELD(a)},
    {".lora_embedding_B", "", true, ".weight", FIELD(b)},
    {".lora_magnitude_vector", "", true, ".weight", FIELD(magnitude)},
    {".lora_magnitude_vector", ".weight", true, ".weight", FIELD(magnitude)},
    {".token_adapter.trainable_tokens_delta", "", true, ".weight", FIELD(tokens)},
    {".token_adapter.base_layer", ".weight", false, ".weight", FIELD(base)},
    {".base_layer", ".weight", false, ".weight", FIELD(base)},
    {".base_layer", ".bias", false, ".bias", FIELD(base)},
    {".modules_to_save", ".weight", true, ".weight", FIELD(whole)},
    {".modules_to_save", ".bias", true, ".bias", FIELD(whole)},
    {"", ".weight", false, ".weight", FIELD(whole)},
    {"", ".bias", false, ".bias", FIELD(whole)},
};

/* Whether s, which begins after a mark, is its leaf, with a name of an adapter before it or not. */
static bool is_rest(const struct mark *k, const char *s)
{
    if (!strcmp(s, k->leaf))
        return true;
    if (!k->named || *s != '.')
        return false;
    const char *next = s + 1 + strcspn(s + 1, ".");
    return next > s + 1 && !strcmp(next, k->leaf);
}

/* The length of the module's name, or 0: the name has not this mark. */
static size_t find_mark(const struct mark *k, const char *name)
{
    size_t n = strlen(name), leaf = strlen(k->leaf);
    if (!*k->text)
        return n > leaf && !strcmp(name + n - leaf, k->leaf) ? n - leaf : 0;
    const char *at = strstr(name, k->text);
    return at && at > name && is_rest(k, at + strlen(k->text)) ? (size_t)(at - name) : 0;
}

/* The row of the table that is `module`[0..n) and `last`; -1: none. bare: the table's names without
 * wrappers. */
static int find_row(const struct weight_table *t, const struct hash_index *bare, const char *module,
                    size_t n, const char *last)
{
    char name[sizeof t->v->name];
    if (snprintf(name, sizeof name, "%.*s%s", (int)n, module, last) >= (int)sizeof name)
        return -1;
    for (size_t i, p = 0; hash_index_next(bare, hash_text(name), &p, &i);)
        if (!strcmp(skip_wrappers(t->v[i].name), name))
            return (int)i;
    return -1;
}

static int place_tensor(struct adapter_file *f, const struct hash_index *bare,
                        const struct tensor *t, struct err *e)
{
    const char *name = skip_wrappers(t->name);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const struct mark *k = &marks[i];
        size_t n = find_mark(k, name);
        int row = n ? find_row(&f->table, bare, name, n, k->of) : -1;
        if (row < 0)
            continue;
        const struct tensor **to =
            (const struct tensor **)(void *)((char *)&f->parts[row] + k->field);
        if (*to)
            return err_set(e, "tensors '%.100s' and '%.100s' are the same part of one weight",
                           (*to)->name, t->name);
        *to = t;
        return 0;
    }
    return err_set(e, "tensor '%.200s' belongs to no weight of the model", t->name);
}

static int place_tensors(struct adapter_file *f, struct err *e)
{
    struct hash_index bare = {0};
    int rc = 0;
    for (int i = 0; !rc && i < f->table.n; i++)
        rc = hash_index_add(&bare, hash_text(skip_wrappers(f->table.v[i].name)), (size_t)i, e);
    for (int i = 0; !rc && i < f->tensors.n_tensors; i++)
        rc = place_tensor(f, &bare, &f->tensors.tensors[i], e);
    hash_index_fini(&bare);
    return rc;
}

/* --- checks --- */

static bool has_shape(const struct tensor *t, int dims, int64_t rows, int64_t cols)
{
    return t->n_dims == dims && t->shape[0] == rows && (dims == 1 || t->shape[1] == cols);
}

static int check_shape(const struct tensor *t, int dims, int64_t rows, int64_t cols, struct err *e)
{
    if (!t || has_shape(t, dims, rows, cols))
        return 0;
    return err_set(e, "tensor '%.200s' has the wrong shape: %lld x %lld; wanted %lld x %lld",
                   t->name, (long long)t->shape[0], (long long)(t->n_dims > 1 ? t->shape[1] : 1),
                   (long long)rows, (long long)(dims > 1 ? cols : 1));
}

static int check_whole(const struct adapter_file *f, const struct weight *w, const struct tensor *t,
                       struct err *e)
{
    int64_t shape[2];
    layout_shape(family_slot(&f->shape, w->slot)->hf_layout, w, shape);
    return check_shape(t, w->n_dims, shape[0], shape[1], e);
}

/* `has` goes with use_dora, or lora_bias. */
static int check_pair_with(const struct weight *w, bool asked, bool has, const char *key,
                           const char *tensor, struct err *e)
{
    if (asked == has)
        return 0;
    return asked ? err_set(e, "'%s' has no '%s', though '%s' is true", w->name, tensor, key)
                 : err_set(e, "'%s' has a '%s', though '%s' is false", w->name, tensor, key);
}

static int check_init(const struct adapter_file *f, const struct weight *w, int rank, struct err *e)
{
    if (!f->config.init || adapter_is_embedding(w))
        return 0;
    if (rank > w->shape[0] || rank > w->shape[1])
        return err_set(e, "'init_lora_weights' takes a part of rank %d from '%s', which is smaller",
                       rank, w->name);
    if (f->config.init == ADAPTER_OLORA &&
        family_slot(&f->shape, w->slot)->hf_layout == LAYOUT_TRANSPOSED)
        return err_set(e, "'init_lora_weights' is 'olora', which PEFT does not undo for '%s'",
                       w->name);
    return 0;
}

static int check_pair(const struct adapter_file *f, const struct weight *w, struct adapter_part *p,
                      struct err *e)
{
    const struct adapter_config *c = &f->config;
    bool embedding = adapter_is_embedding(w);
    const int64_t out = w->shape[embedding], in = w->shape[!embedding], r = p->rank;
    if (w->n_dims != 2)
        return err_set(e, "'%s' is no matrix, and has an adapter", w->name);
    if (!p->a || !p->b)
        return err_set(e, "'%s' has a lora_%s but no lora_%s", w->name, p->a ? "A" : "B",
                       p->a ? "B" : "A");
    if (check_shape(p->a, 2, r, in, e) || check_shape(p->b, 2, out, r, e))
        return err_prefix(e, "rank %d: ", p->rank);
    if (embedding && !strstr(p->a->name, ".lora_embedding_A"))
        return err_set(e, "tensor '%.200s' is for a linear layer, '%s' is an embedding", p->a->name,
                       w->name);
    if (p->tokens)
        return err_set(e, "'%s' has an adapter and rows of 'trainable_token_indices'", w->name);
    return check_pair_with(w, c->dora, p->magnitude, "use_dora", "lora_magnitude_vector", e) ||
           check_pair_with(w, c->bias, p->b_bias, "lora_bias", "lora_B.bias", e) ||
           check_shape(p->magnitude, 1, out, 1, e) || check_shape(p->b_bias, 1, out, 1, e) ||
           check_init(f, w, p->rank, e);
}

static int check_tokens(const struct adapter_file *f, const struct weight *w,
                        const struct adapter_part *p, struct err *e)
{
    const json_t *list = adapter_config_tokens(&f->config, w);
    if (!list && !p->tokens)
        return 0;
    if (!json_is_array(list) || !p->tokens)
        return err_set(e, "'trainable_token_indices' and the tensors of '%s' do not agree",
                       w->name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 ||
            json_integer_value(v) >= w->shape[0])
            return err_set(e, "'trainable_token_indices' must hold token ids below %lld",
                           (long long)w->shape[0]);
    }
    return check_shape(p->tokens, 2, (int64_t)json_array_size(list), w->shape[1], e);
}

/* Modules for which the configuration and the tensors do not agree; PEFT goes by the configuration.
 */
struct strays {
    const char *untargeted, *missing, *over;
    int n_untargeted, n_missing, n_over;
};

static void count(const struct weight *w, const char **first, int *n)
{
    if (!(*n)++)
        *first = w->name;
}

static void warn_strays(const struct strays *s)
{
    if (s->n_untargeted)
        log_warn("adapter: tensors of %d modules that 'target_modules' does not name have no "
                 "effect; the first is of '%s'",
                 s->n_untargeted, s->untargeted);
    if (s->n_missing)
        log_warn("adapter: %d modules that 'target_modules' names have no tensors and are left as "
                 "they are; the first is of '%s'",
                 s->n_missing, s->missing);
    if (s->n_over)
        log_warn("adapter: %d whole weights have no effect, as PEFT adapts their modules; the "
                 "first is '%s'",
                 s->n_over, s->over);
}

static int check_row(struct adapter_file *f, int i, struct strays *s, struct err *e)
{
    const struct weight *w = &f->table.v[i];
    struct adapter_part *p = &f->parts[i];
    const struct adapter_config *c = &f->config;
    bool targeted, saved = adapter_config_saves(c, w);
    if (adapter_config_targets(c, w, &targeted, e) ||
        adapter_config_scale(c, w, &p->rank, &p->scale, e))
        return -1;
    if (saved && !p->whole)
        return err_set(e, "'modules_to_save' names '%s', which is not in the file", w->name);
    if (!c->targets.list && !c->targets.pattern.code && !c->targets.all_linear)
        targeted = p->a || p->b;
    bool any = p->a || p->b || p->b_bias || p->magnitude;
    if (any && !targeted) {
        count(w, &s->untargeted, &s->n_untargeted);
        p->a = p->b = p->b_bias = p->magnitude = NULL;
    } else if (targeted && !any && !saved) {
        count(w, &s->missing, &s->n_missing);
    }
    if (p->whole && p->a && !saved) {
        count(w, &s->over, &s->n_over);
        p->whole = NULL;
    }
    if ((p->a || p->b || p->b_bias || p->magnitude) && check_pair(f, w, p, e))
        return -1;
    return check_tokens(f, w, p, e) || check_whole(f, w, p->whole, e) ||
           check_whole(f, w, p->base, e);
}

static int check_rows(struct adapter_file *f, struct err *e)
{
    struct strays s = {0};
    int used = 0;
    for (int i = 0; i < f->table.n; i++) {
        struct adapter_part *p = &f->parts[i];
        if (check_row(f, i, &s, e))
            return -1;
        used += p->a || p->whole || p->base || p->tokens;
    }
    if (!used)
        return s.n_untargeted
                   ? err_set(e,
                             "'target_modules' names none of the modules that have tensors; the "
                             "first is of '%s'",
                             s.untargeted)
                   : err_set(e, "it holds no adapters");
    warn_strays(&s);
    return 0;
}

/* --- opening --- */

static int open_tensors(struct adapter_file *f, const char *dir, struct err *e)
{
    char *path = file_join(dir, "adapter_model.safetensors", e),
         *pickle = path ? file_join(dir, "adapter_model.bin", e) : NULL;
    int rc = -1;
    if (pickle && !file_exists(path) && file_exists(pickle))
        err_set(e, "adapter_model.bin is a Python pickle, which can run code; convert it with "
                   "save_pretrained(..., safe_serialization=True)");
    else if (pickle)
        rc = tensor_file_open(&f->tensors, path, e);
    free(path);
    free(pickle);
    return rc;
}

static bool may_untie(const struct model_config *c)
{
    struct model_config own = *c;
    own.tied_head = false;
    return family_slot(&own, W_HEAD);
}

int adapter_place(struct adapter_file *f, const struct model *m, struct err *e)
{
    f->shape = m->cfg;
    if (m->cfg.tied_head && may_untie(&m->cfg))
        f->shape.tied_head = false;
    if (weight_table_init(&f->table, &f->shape, e) ||
        !(f->parts = mem_alloc((size_t)f->table.n, sizeof *f->parts, e)))
        return -1;
    return place_tensors(f, e) || check_rows(f, e) ? -1 : 0;
}

int adapter_open(struct adapter_file *f, const struct model *m, const char *dir, struct err *e)
{
    *f = (struct adapter_file){0};
    char *path = file_join(dir, "adapter_config.json", e);
    int rc = path ? adapter_config_read(&f->config, path, e) : -1;
    free(path);
    return rc || open_tensors(f, dir, e) || adapter_place(f, m, e) ? -1 : 0;
}

void adapter_close(struct adapter_file *f)
{
    adapter_config_fini(&f->config);
    tensor_file_close(&f->tensors);
    weight_table_fini(&f->table);
    free(f->parts);
    *f = (struct adapter_file){0};
}

bool adapter_unties(const struct adapter_file *f)
{
    for (int i = 0; i < f->table.n; i++) {
        const struct weight *w = &f->table.v[i];
        const struct adapter_part *p = &f->parts[i];
        if ((w->slot == W_EMBED || w->slot == W_HEAD) &&
            (p->a || (p->whole && adapter_config_saves(&f->config, w))))
            return true;
    }
    return false;
}
