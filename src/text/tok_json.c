/* Reader of HF's tokenizer.json, with what tokenizer_config.json beside it adds. */
#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tok.h"

/* Ids may have holes, but a file of a few bytes must not make us allocate for a huge id. */
enum { IDS_PER_TOKEN = 8, IDS_SPARE = 4096 };

static int read_size(const json_t *vocab, const json_t *added, int *n, struct err *e)
{
    const json_t *v;
    const char *key;
    size_t i;
    int64_t max = -1, id,
            limit = (int64_t)(json_object_size(vocab) + json_array_size(added)) * IDS_PER_TOKEN +
                    IDS_SPARE;
    limit = limit < INT_MAX / 4 ? limit : INT_MAX / 4;
    json_object_foreach((json_t *)vocab, key, v)
    {
        id = json_is_integer(v) ? json_integer_value(v) : -1;
        if (id < 0 || id >= limit)
            return err_set(e, "token '%.64s' must have an id from 0 to %lld", key,
                           (long long)limit - 1);
        max = id > max ? id : max;
    }
    json_array_foreach(added, i, v)
    {
        if (json_need_int(v, "id", 0, limit - 1, &id, e))
            return err_prefix(e, "added token %zu: ", i);
        max = id > max ? id : max;
    }
    if (max < 0)
        return err_set(e, "the vocabulary is empty");
    *n = (int)max + 1;
    return 0;
}

static int read_added(struct tokenizer *t, const json_t *j, struct err *e)
{
    static const char *const refused[] = {"single_word", "lstrip", "rstrip"};
    int64_t id;
    const char *text;
    bool special = false, normal = false;
    if (json_need_int(j, "id", 0, t->vocab.n - 1, &id, e) ||
        json_need_str(j, "content", &text, e) || json_opt_bool(j, "special", &special, e) ||
        json_opt_bool(j, "normalized", &normal, e))
        return -1;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        bool on = false;
        if (json_opt_bool(j, refused[i], &on, e))
            return -1;
        if (on)
            return err_set(e, "added token '%.64s' has '%s', which is not supported", text,
                           refused[i]);
    }
    size_t n = json_string_length(json_object_get(j, "content"));
    if (vocab_find(&t->vocab, text, n) != (int)id && vocab_set(&t->vocab, (int)id, text, n, e))
        return -1;
    t->vocab.flags[id] |=
        (uint8_t)(TOKEN_ADDED | (special ? TOKEN_SPECIAL : 0) | (normal ? TOKEN_NORMAL : 0));
    return 0;
}

static int read_vocab(struct tokenizer *t, const json_t *vocab, const json_t *added, struct err *e)
{
    int n = 0;
    size_t i;
    const json_t *v;
    if (read_size(vocab, added, &n, e) || vocab_init(&t->vocab, n, e))
        return -1;
    for (void *it = json_object_iter((json_t *)vocab); it;
         it = json_object_iter_next((json_t *)vocab, it))
        if (vocab_set(&t->vocab, (int)json_integer_value(json_object_iter_value(it)),
                      json_object_iter_key(it), json_object_iter_key_len(it), e))
            return -1;
    json_array_foreach(added, i,
                       v) if (read_added(t, v, e)) return err_prefix(e, "added token %zu: ", i);
    return 0;
}

/* A merge is "left right" or ["left", "right"]. */
static int read_merge(struct bpe *b, const json_t *m, struct err *e)
{
    const char *s = json_string_value(m), *space = s ? strchr(s, ' ') : NULL;
    if (space)
        return bpe_add(b, s, (size_t)(space - s), space + 1,
                       json_string_length(m) - (size_t)(space + 1 - s), e);
    const json_t *l = json_array_get(m, 0), *r = json_array_get(m, 1);
    if (json_array_size(m) != 2 || !json_is_string(l) || !json_is_string(r))
        return err_set(e, "merge %d is not two tokens", b->n);
    return bpe_add(b, json_string_value(l), json_string_length(l), json_string_value(r),
                   json_string_length(r), e);
}

static int read_merges(struct tokenizer *t, const json_t *model, struct err *e)
{
    const json_t *merges = json_object_get(model, "merges"), *m;
    const char *unk = NULL;
    size_t i;
    if (!json_is_array(merges) || json_array_size(merges) > INT_MAX / 4)
        return err_set(e, "'merges' must be an array");
    if (bpe_init(&t->bpe, &t->vocab, (int)json_array_size(merges), e))
        return -1;
    json_array_foreach(merges, i, m) if (read_merge(&t->bpe, m, e)) return -1;
    if (json_opt_str(model, "unk_token", &unk, e) ||
        json_opt_bool(model, "fuse_unk", &t->bpe.fuse_unk, e) ||
        json_opt_bool(model, "ignore_merges", &t->bpe.whole_words, e))
        return -1;
    t->bpe.unk = unk ? vocab_find(&t->vocab, unk, strlen(unk)) : -1;
    if (unk && t->bpe.unk < 0)
        return err_set(e, "unk_token '%.64s' is not in the vocabulary", unk);
    return 0;
}

static int refuse_options(const json_t *model, struct err *e)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const char *affix = "";
        if (json_opt_str(model, affixes[i], &affix, e))
            return -1;
        if (*affix)
            return err_set(e, "BPE with '%s' is not supported", affixes[i]);
    }
    double dropout = 0;
    if (json_opt_real(model, "dropout", &dropout, e))
        return -1;
    return dropout > 0 ? err_set(e, "BPE with 'dropout' is not supported") : 0;
}

/* null, NFC, or a Sequence of these. */
static int read_normal(struct tokenizer *t, const json_t *j, struct err *e)
{
    if (!j || json_is_null(j))
        return 0;
    const json_t *list = json_object_get(j, "normalizers"), *one;
    size_t i;
    json_array_foreach(list, i, one) if (read_normal(t, one, e)) return -1;
    if (list)
        return 0;
    const char *type;
    if (json_need_str(j, "type", &type, e))
        return -1;
    if (strcmp(type, "NFC"))
        return err_set(e, "normaliser '%.64s' is not supported (NFC is)", type);
    t->nfc = true;
    return 0;
}

/* Whether the post-processor puts a special token in front of a text. */
static bool adds_bos(const json_t *post, int depth)
{
    const json_t *list = json_object_get(post, "processors"), *p;
    size_t i;
    if (depth < 4)
        json_array_foreach(list, i, p) if (adds_bos(p, depth + 1)) return true;
    const json_t *single = json_object_get(post, "single");
    return json_object_get(json_array_get(single, 0), "SpecialToken") != NULL;
}

static int read_model(struct tokenizer *t, const json_t *j, struct err *e)
{
    const json_t *model = json_object_get(j, "model"), *vocab = json_object_get(model, "vocab"),
                 *added = json_object_get(j, "added_tokens");
    const char *type = "BPE"; /* early files do not say */
    if (!json_is_object(model))
        return err_set(e, "'model' is missing; is this a tokenizer.json?");
    if (json_opt_str(model, "type", &type, e))
        return -1;
    if (strcmp(type, "BPE"))
        return tok_refuse_kind(type, e);
    if (!json_is_object(vocab))
        return err_set(e, "'vocab' must be an object");
    /* The pre-tokeniser first: it tells byte-level BPE from other kinds. */
    if (tok_read_pretok(t, json_object_get(j, "pre_tokenizer"), e) ||
        read_normal(t, json_object_get(j, "normalizer"), e) || refuse_options(model, e) ||
        read_vocab(t, vocab, added, e) || read_merges(t, model, e))
        return -1;
    t->unk = t->bpe.unk;
    t->add_bos = adds_bos(json_object_get(j, "post_processor"), 0);
    return 0;
}

/* "bos_token": a string, or an object with its "content". */
static int read_named(const struct tokenizer *t, const json_t *config, const char *key, int *id,
                      struct err *e)
{
    const json_t *v = json_object_get(config, key), *content = json_object_get(v, "content");
    const char *s = json_string_value(content ? content : v);
    if (!s)
        return 0;
    *id = tokenizer_id(t, s);
    return *id < 0 ? err_set(e, "%s '%.64s' is not in the vocabulary", key, s) : 0;
}

/* "chat_template": a string, or a list of {"name", "template"} of which "default" counts. */
static const char *find_template(const json_t *config)
{
    const json_t *v = json_object_get(config, "chat_template"), *one;
    size_t i;
    json_array_foreach(v, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && !strcmp(name, "default"))
            return json_string_value(json_object_get(one, "template"));
    }
    return json_string_value(v);
}

static int read_config(struct tokenizer *t, const json_t *config, struct err *e)
{
    const char *chat = find_template(config);
    if (read_named(t, config, "bos_token", &t->bos, e) ||
        read_named(t, config, "eos_token", &t->eos, e) ||
        read_named(t, config, "pad_token", &t->pad, e) ||
        read_named(t, config, "unk_token", &t->unk, e))
        return -1;
    if (chat && !t->chat_template && !(t->chat_template = mem_strdup(chat, e)))
        return -1;
    return 0;
}

/* A file beside tokenizer.json, if it is there. */
static int read_beside(struct tokenizer *t, const char *name, struct err *e)
{
    char *path = file_join(t->dir, name, e);
    if (!path)
        return -1;
    int rc = 0;
    if (file_exists(path)) {
        json_t *j = json_read_file(path, e);
        rc = j ? read_config(t, j, e) : -1;
        if (j && rc)
            err_prefix(e, "'%s': ", path);
        json_decref(j);
    }
    free(path);
    return rc;
}

/* Newer checkpoints keep the template in a file of its own, which then is the one that counts. */
static int read_template(struct tokenizer *t, struct err *e)
{
    char *path = file_join(t->dir, "chat_template.jinja", e);
    if (!path)
        return -1;
    int rc = 0;
    if (file_exists(path) && !(t->chat_template = file_read(path, NULL, e)))
        rc = -1;
    free(path);
    return rc;
}

static int read_file(struct tokenizer *t, struct err *e)
{
    json_t *j = json_read_file(t->file, e);
    if (!j)
        return -1;
    int rc = read_model(t, j, e);
    json_decref(j);
    if (rc)
        return err_prefix(e, "'%s': ", t->file);
    return read_template(t, e) || read_beside(t, "special_tokens_map.json", e) ||
                   read_beside(t, "tokenizer_config.json", e)
               ? -1
               : 0;
}

int tok_read_json(struct tokenizer *t, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    if (file_is_dir(path)) {
        t->dir = mem_strdup(path, e);
        t->file = t->dir ? file_join(path, "tokenizer.json", e) : NULL;
    } else {
        t->dir = slash ? mem_strndup(path, (size_t)(slash - path) + 1, e) : mem_strdup(".", e);
        t->file = t->dir ? mem_strdup(path, e) : NULL;
    }
    return t->file ? read_file(t, e) : -1;
}
