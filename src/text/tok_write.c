/* Writer of a tokenizer as a directory that `transformers` loads. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/tokenizer_private.h"

static json_t *token_json(const struct tokenizer *t, int id)
{
    size_t n;
    const char *s = vocab_text(&t->vocab, id, &n);
    return s ? json_stringn(s, n) : json_null();
}

static json_t *added_json(const struct tokenizer *t)
{
    json_t *list = json_array();
    for (int id = 0; id < t->vocab.n; id++) {
        unsigned flags = t->vocab.flags[id];
        if (flags & TOKEN_ADDED)
            json_array_append_new(
                list, json_pack("{sisosbsbsbsbsb}", "id", id, "content", token_json(t, id),
                                "single_word", flags & TOKEN_WORD, "lstrip", flags & TOKEN_LSTRIP,
                                "rstrip", flags & TOKEN_RSTRIP, "normalized", flags & TOKEN_NORMAL,
                                "special", flags & TOKEN_SPECIAL));
    }
    return list;
}

/* {"SpecialToken": {"id": "<s>", "type_id": 0}}, or a "Sequence" of that id. */
static json_t *part_json(const char *kind, json_t *id, int type_id)
{
    return json_pack("{s{sosi}}", kind, "id", id, "type_id", type_id);
}

/* A special token, unless it is -1, at the end of these lists. */
static void add_part(const struct tokenizer *t, int id, int type_id, json_t *parts,
                     json_t *specials)
{
    size_t n;
    const char *s = vocab_text(&t->vocab, id, &n);
    if (!s)
        return;
    json_array_append_new(parts, part_json("SpecialToken", token_json(t, id), type_id));
    json_object_setn_new(
        specials, s, n,
        json_pack("{sos[i]s[o]}", "id", token_json(t, id), "ids", id, "tokens", token_json(t, id)));
}

/* The post-processor that adds special tokens, or null. */
static json_t *post_json(const struct tokenizer *t)
{
    static const char *const texts[] = {"A", "B"};
    if (t->front < 0 && t->back < 0)
        return json_null();
    json_t *specials = json_object(), *pair = json_array(), *single = NULL;
    for (int i = 0; i < 2; i++) {
        add_part(t, t->front, i, pair, specials);
        json_array_append_new(pair, part_json("Sequence", json_string(texts[i]), i));
        add_part(t, t->back, i, pair, specials);
        if (!single)
            single = json_copy(pair);
    }
    return json_pack("{sssososo}", "type", "TemplateProcessing", "single", single, "pair", pair,
                     "special_tokens", specials);
}

static json_t *vocab_json(const struct tokenizer *t)
{
    json_t *vocab = json_object();
    for (int id = 0; id < t->vocab.n; id++) {
        size_t n;
        const char *s = vocab_text(&t->vocab, id, &n);
        if (s)
            json_object_setn_new(vocab, s, n, json_integer(id));
    }
    return vocab;
}

/* Pairs of text and score; an unused id gets a text that is never matched. */
static json_t *scored_json(const struct tokenizer *t)
{
    json_t *list = json_array();
    for (int id = 0; id < t->vocab.n; id++) {
        json_t *text = token_json(t, id);
        if (json_is_null(text)) {
            json_decref(text);
            text = json_sprintf("[PAD%d]", id);
        }
        json_array_append_new(list, json_pack("[of]", text, (double)t->scores[id]));
    }
    return list;
}

static json_t *merges_json(const struct tokenizer *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->bpe.n; i++) {
        size_t n, m;
        const char *l = vocab_text(&t->vocab, t->bpe.merges[i].left, &n);
        const char *r = vocab_text(&t->vocab, t->bpe.merges[i].right, &m);
        json_array_append_new(list, json_pack("[s%s%]", l, n, r, m));
    }
    return list;
}

/* Whether characters without a token become bytes. */
static int falls_back(const int *byte_id)
{
    for (int i = 0; i < 256; i++)
        if (byte_id[i] >= 0)
            return 1;
    return 0;
}

static json_t *model_json(const struct tokenizer *t)
{
    if (t->kind == TOK_UNIGRAM)
        return json_pack("{sssososb}", "type", "Unigram", "unk_id",
                         t->unk < 0 ? json_null() : json_integer(t->unk), "vocab", scored_json(t),
                         "byte_fallback", falls_back(t->unigram.byte_id));
    json_t *unk = t->bpe.unk < 0 ? json_null() : token_json(t, t->bpe.unk);
    return json_pack("{sssnsosnsnsbsbsbsoso}", "type", "BPE", "dropout", "unk_token", unk,
                     "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", t->bpe.fuse_unk,
                     "byte_fallback", t->kind == TOK_CHARS && falls_back(t->bpe.byte_id),
                     "ignore_merges", t->bpe.whole_words, "vocab", vocab_json(t), "merges",
                     merges_json(t));
}

static json_t *tokenizer_json(const struct tokenizer *t)
{
    return json_pack("{sssnsnsosososososo}", "version", "1.0", "truncation", "padding",
                     "added_tokens", added_json(t), "normalizer", tok_normal_json(t),
                     "pre_tokenizer", tok_pretok_json(t), "post_processor", post_json(t), "decoder",
                     tok_decoder_json(t), "model", model_json(t));
}

/* The named special tokens ("bos_token", ...) that exist. */
static json_t *named_json(const struct tokenizer *t)
{
    const struct {
        const char *key;
        int id;
    } named[] = {
        {"bos_token", t->bos}, {"eos_token", t->eos}, {"pad_token", t->pad}, {"unk_token", t->unk}};
    json_t *j = json_object();
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (named[i].id >= 0)
            json_object_set_new(j, named[i].key, token_json(t, named[i].id));
    return j;
}

static json_t *config_json(const struct tokenizer *t)
{
    json_t *j = named_json(t);
    json_object_set_new(j, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    json_object_set_new(j, "add_prefix_space", json_false());
    json_object_set_new(j, "clean_up_tokenization_spaces", json_false());
    json_t *template = tok_template_json(t);
    if (template)
        json_object_set_new(j, "chat_template", template);
    return j;
}

static int write_json(const char *dir, const char *name, json_t *j, struct err *e)
{
    char *path = file_join(dir, name, e);
    int rc = !path ? -1
             : j   ? json_write_file(j, path, JSON_INDENT(2), e)
                   : err_code(e, ERR_NO_MEMORY, "out of memory while writing '%s'", path);
    free(path);
    json_decref(j);
    return rc;
}

static int copy(const char *from, const char *dir, const char *name, struct err *e)
{
    char *to = file_join(dir, name, e);
    int rc = to ? file_copy(from, to, e) : -1;
    free(to);
    return rc;
}

/* Copies a file of the directory that was read; *copied: it has one. */
static int copy_sidecar(const struct tokenizer *t, const char *dir, const char *name, bool *copied,
                        struct err *e)
{
    *copied = false;
    if (!t->dir)
        return 0;
    char *from = file_join(t->dir, name, e);
    int rc = !from;
    if (from && file_exists(from)) {
        *copied = true;
        rc = copy(from, dir, name, e);
    }
    free(from);
    return rc;
}

/* Copies a file, or writes the JSON of `make` where there is none (make NULL: nothing). */
static int copy_or_write(const struct tokenizer *t, const char *dir, const char *name,
                         json_t *(*make)(const struct tokenizer *t), struct err *e)
{
    bool copied;
    return copy_sidecar(t, dir, name, &copied, e) ||
           (!copied && make && write_json(dir, name, make(t), e));
}

/* Files that older or newer versions of the loader read. A tokenizer.json that was written here
 * has the tokens of added_tokens.json, with flags that a copy would override. */
static int copy_others(const struct tokenizer *t, const char *dir, struct err *e)
{
    static const char *const names[] = {
        "added_tokens.json", "chat_template.jinja", "vocab.json",
        "merges.txt",        "tokenizer.model",     "qwen.tiktoken",
    };
    for (size_t i = t->source != SOURCE_JSON; i < sizeof names / sizeof *names; i++)
        if (copy_or_write(t, dir, names[i], NULL, e))
            return -1;
    return 0;
}

int tokenizer_save(const struct tokenizer *t, const char *dir, struct err *e)
{
    const bool whole = t->source == SOURCE_JSON; /* its settings files are optional */
    return file_make_dir(dir, e) ||
           (whole ? copy(t->file, dir, "tokenizer.json", e)
                  : write_json(dir, "tokenizer.json", tokenizer_json(t), e)) ||
           copy_or_write(t, dir, "tokenizer_config.json", whole ? NULL : config_json, e) ||
           copy_or_write(t, dir, "special_tokens_map.json", whole ? NULL : named_json, e) ||
           copy_others(t, dir, e);
}
