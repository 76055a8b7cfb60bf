/* Reader of HF's tokenizer.json. */
#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "text/tokenizer_private.h"

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
    int64_t id;
    const char *text;
    unsigned flags;
    if (json_need_int(j, "id", 0, t->vocab.n - 1, &id, e) ||
        json_need_str(j, "content", &text, e) || tok_read_flags(j, &flags, e))
        return -1;
    size_t n = json_string_length(json_object_get(j, "content"));
    if (vocab_find(&t->vocab, text, n) != (int)id) {
        if (vocab_set(&t->vocab, (int)id, text, n, e))
            return -1;
        flags |= TOKEN_EXTRA;
    }
    t->vocab.flags[id] |= (uint16_t)flags;
    return 0;
}

int tok_read_tokens(struct tokenizer *t, const json_t *vocab, const json_t *added, struct err *e)
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

/* Where to cut "left right": at the only space, or, as tokens may hold spaces too, where both sides
 * are tokens. NULL: nowhere. */
static const char *find_cut(const struct vocab *v, const char *s, size_t n)
{
    const char *first = memchr(s, ' ', n);
    for (const char *c = first; c; c = memchr(c + 1, ' ', (size_t)(s + n - c - 1)))
        if (vocab_find(v, s, (size_t)(c - s)) >= 0 &&
            vocab_find(v, c + 1, (size_t)(s + n - c - 1)) >= 0)
            return c;
    return first;
}

/* A merge is "left right" or ["left", "right"]. */
static int read_merge(struct bpe *b, const json_t *m, struct err *e)
{
    size_t n = json_string_length(m);
    const char *s = json_string_value(m), *cut = s ? find_cut(b->vocab, s, n) : NULL;
    if (cut)
        return bpe_add(b, s, (size_t)(cut - s), cut + 1, n - (size_t)(cut + 1 - s), e);
    const json_t *l = json_array_get(m, 0), *r = json_array_get(m, 1);
    if (json_array_size(m) != 2 || !json_is_string(l) || !json_is_string(r))
        return err_set(e, "merge %zu is not two tokens", b->n);
    return bpe_add(b, json_string_value(l), json_string_length(l), json_string_value(r),
                   json_string_length(r), e);
}

static int read_merges(struct tokenizer *t, const json_t *model, struct err *e)
{
    const json_t *merges = json_object_get(model, "merges"), *m;
    const char *unk = NULL;
    bool fallback = false;
    size_t i;
    if (!json_is_array(merges))
        return err_set(e, "'merges' must be an array");
    if (json_opt_bool(model, "byte_fallback", &fallback, e))
        return -1;
    if (t->kind == TOK_BYTES)
        bpe_init(&t->bpe, &t->vocab);
    else
        bpe_init_chars(&t->bpe, &t->vocab, fallback);
    json_array_foreach(merges, i, m) if (read_merge(&t->bpe, m, e)) return -1;
    if (json_opt_str(model, "unk_token", &unk, e) ||
        json_opt_bool(model, "fuse_unk", &t->bpe.fuse_unk, e) ||
        json_opt_bool(model, "ignore_merges", &t->bpe.whole_words, e) || bpe_finish(&t->bpe, e))
        return -1;
    t->bpe.unk = unk ? vocab_find(&t->vocab, unk, strlen(unk)) : -1;
    if (unk && t->bpe.unk < 0)
        log_warn("tokenizer.json: unk_token '%.64s' is not in the vocabulary: what has no token is "
                 "left out",
                 unk);
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

static int read_bpe(struct tokenizer *t, const json_t *model, const json_t *added, struct err *e)
{
    const json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab))
        return err_set(e, "'vocab' must be an object");
    if (refuse_options(model, e) || tok_read_tokens(t, vocab, added, e) || read_merges(t, model, e))
        return -1;
    t->unk = t->bpe.unk;
    return 0;
}

/* "vocab" as a list of [text, log-probability], whose places are the ids, made an object of ids. A
 * new reference, or NULL. */
static json_t *list_ids(const json_t *vocab, struct err *e)
{
    const json_t *pair;
    size_t i;
    if (!json_is_array(vocab)) {
        err_set(e, "'vocab' must be an array");
        return NULL;
    }
    json_t *ids = json_object();
    json_array_foreach(vocab, i, pair)
    {
        const json_t *text = json_array_get(pair, 0);
        if (!json_is_string(text) || !json_is_number(json_array_get(pair, 1)) ||
            json_object_setn_new(ids, json_string_value(text), json_string_length(text),
                                 json_integer((json_int_t)i))) {
            json_decref(ids);
            err_set(e, "token %zu is not a text and a number", i);
            return NULL;
        }
    }
    if (json_object_size(ids) == json_array_size(vocab))
        return ids;
    json_decref(ids);
    err_set(e, "'vocab' gives a token twice");
    return NULL;
}

static int read_unigram(struct tokenizer *t, const json_t *model, const json_t *added,
                        struct err *e)
{
    const json_t *vocab = json_object_get(model, "vocab"), *pair;
    json_t *ids = list_ids(vocab, e);
    int64_t unk = -1;
    bool fallback = false;
    size_t i;
    int rc = ids ? tok_read_tokens(t, ids, added, e) : -1;
    json_decref(ids);
    if (rc || !(t->scores = mem_alloc((size_t)t->vocab.n, sizeof *t->scores, e)))
        return -1;
    json_array_foreach(vocab, i, pair) t->scores[i] =
        (float)json_number_value(json_array_get(pair, 1));
    if (json_opt_int(model, "unk_id", 0, t->vocab.n - 1, &unk, e) ||
        json_opt_bool(model, "byte_fallback", &fallback, e))
        return -1;
    t->unk = (int)unk;
    return tok_use_scores(t, fallback, e);
}

static int read_doc(struct tokenizer *t, const json_t *j, struct err *e)
{
    const json_t *model = json_object_get(j, "model"), *decoder = json_object_get(j, "decoder"),
                 *added = json_object_get(j, "added_tokens");
    const char *type = "BPE"; /* absent in early files */
    bool bytes;
    if (!json_is_object(model))
        return err_set(e, "'model' is missing; is this a tokenizer.json?");
    if (json_opt_str(model, "type", &type, e))
        return -1;
    bool unigram = !strcmp(type, "Unigram");
    if (!unigram && strcmp(type, "BPE"))
        return tok_refuse_kind(type, e);
    /* The pre-tokeniser first: it distinguishes byte-level BPE from other kinds. */
    if (tok_read_pretok(t, json_object_get(j, "pre_tokenizer"), &bytes, e) ||
        tok_read_normal(t, json_object_get(j, "normalizer"), e))
        return -1;
    t->kind = unigram ? TOK_UNIGRAM : bytes ? TOK_BYTES : TOK_CHARS;
    if ((unigram ? read_unigram(t, model, added, e) : read_bpe(t, model, added, e)) ||
        (json_is_object(decoder) && tok_read_decoder(t, decoder, e)))
        return -1;
    return tok_read_post(t, json_object_get(j, "post_processor"), e);
}

int tok_read_json(struct tokenizer *t, const char *data, size_t n, struct err *e)
{
    json_t *j = json_read_text(data, n, "tokenizer.json", e);
    if (!j)
        return -1;
    t->source = SOURCE_JSON;
    int rc = read_doc(t, j, e);
    json_decref(j);
    return rc;
}
