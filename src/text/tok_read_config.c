/* Applies a tokenizer's settings files (tok_settings.h): its special tokens, and its
 * templates (tok_read_template.c). */
#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "text/tok_settings.h"
#include "text/tokenizer_private.h"

/* --- the classes of transformers --- */

enum {
    REBUILDS = 1, /* the class replaces the post-processor, from add_bos_token and add_eos_token */
    ADDS_BOS = 2, /* add_bos_token is true unless it is given */
    LLAMA = 4     /* "legacy" and "add_prefix_space" control the conversion of tokenizer.model */
};

/* Classes, without "Fast": tokens that they name where the files do not. */
static const struct class
{
    const char *name;
    unsigned flags;
    const char *bos, *eos, *pad, *unk;
    const char *pre; /* the pre-tokeniser of vocab.json, as in a GGUF; NULL: GPT-2's */
} classes[] = {
    {"LlamaTokenizer", REBUILDS | ADDS_BOS | LLAMA, "<s>", "</s>", NULL, "<unk>", NULL},
    {"CodeLlamaTokenizer", REBUILDS | ADDS_BOS | LLAMA, "<s>", "</s>", NULL, "<unk>", NULL},
    {"GemmaTokenizer", REBUILDS | ADDS_BOS, "<bos>", "<eos>", "<pad>", "<unk>", NULL},
    {"CohereTokenizer", REBUILDS | ADDS_BOS, "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", NULL, "<UNK>",
     NULL},
#define GPT2_END "<|endoftext|>"
    {"GPTNeoXTokenizer", REBUILDS, GPT2_END, GPT2_END, NULL, GPT2_END, NULL},
    {"GPT2Tokenizer", 0, GPT2_END, GPT2_END, NULL, GPT2_END, NULL},
    {"CodeGenTokenizer", 0, GPT2_END, GPT2_END, NULL, GPT2_END, NULL},
    {"Qwen2Tokenizer", 0, NULL, GPT2_END, GPT2_END, GPT2_END, "qwen2"},
};

static const struct class *find_class(const json_t *config)
{
    const char *name = json_string_value(json_object_get(config, "tokenizer_class"));
    size_t n = name ? strlen(name) : 0;
    if (n > 4 && !strcmp(name + n - 4, "Fast"))
        n -= 4;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strlen(classes[i].name) == n && !memcmp(classes[i].name, name, n))
            return &classes[i];
    return NULL;
}

/* --- special tokens --- */

/* The first of a config's "eos_token_id", which may be a list; -1: none that is a token. */
static int model_id(const struct tokenizer *t, const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);
    v = json_is_array(v) ? json_array_get(v, 0) : v;
    return json_is_integer(v) ? vocab_id(&t->vocab, json_integer_value(v)) : -1;
}

/* By its key; else the class's default; else, for bos and eos, the ids of the model's files. */
static void find_named(struct tokenizer *t, const struct tok_settings *b, const struct class *c)
{
    const struct {
        const char *key, *of_class, *of_model;
        int *id;
    } named[] = {{"bos_token", c ? c->bos : NULL, "bos_token_id", &t->bos},
                 {"eos_token", c ? c->eos : NULL, "eos_token_id", &t->eos},
                 {"pad_token", c ? c->pad : NULL, NULL, &t->pad},
                 {"unk_token", c ? c->unk : NULL, NULL, &t->unk}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        const json_t *v = tok_settings_token(b, named[i].key),
                     *content = json_object_get(v, "content");
        const char *s = json_string_value(content ? content : v);
        int *id = named[i].id, found = s ? tokenizer_id(t, s) : -1;
        *id = found >= 0 ? found : *id;
        if (*id < 0 && !v && named[i].of_class && (*id = tokenizer_id(t, named[i].of_class)) >= 0)
            t->vocab.flags[*id] |= TOKEN_ADDED | TOKEN_SPECIAL;
        if (*id >= 0 || !named[i].of_model || (v && id == &t->bos))
            continue;
        *id = model_id(t, b->generation, named[i].of_model);
        if (*id < 0)
            *id = model_id(t, b->model, named[i].of_model);
    }
}

/* Whether bos is prepended to a text and eos appended. transformers' class decides whether the
 * keys or the post-processor of tokenizer.json count. */
static int read_around(struct tokenizer *t, const json_t *config, const struct class *c,
                       struct err *e)
{
    const bool rebuilds = c && c->flags & REBUILDS;
    const bool has_class = json_is_string(json_object_get(config, "tokenizer_class"));
    bool add_bos = rebuilds ? c->flags & ADDS_BOS : t->add_bos, add_eos = !rebuilds && t->add_eos;
    if (json_opt_bool(config, "add_bos_token", &add_bos, e) ||
        json_opt_bool(config, "add_eos_token", &add_eos, e))
        return -1;
    if (!rebuilds && has_class && t->source == SOURCE_JSON) {
        if (add_bos != t->add_bos || add_eos != t->add_eos)
            log_warn("tokenizer_config.json: %s is not what tokenizer.json does, which counts, as "
                     "with transformers",
                     add_bos != t->add_bos ? "'add_bos_token'" : "'add_eos_token'");
        return 0;
    }
    if (add_bos != t->add_bos || rebuilds)
        t->front = -1;
    if (add_eos != t->add_eos || rebuilds)
        t->back = -1;
    t->add_bos = add_bos;
    t->add_eos = add_eos;
    return 0;
}

/* --- normalisation and prefix space --- */

/* GPT-2's kind: a space in front of every piece of text. */
static int prefix_bytes(struct tokenizer *t, bool prefix, struct err *e)
{
    const bool has = t->pretok.n && t->pretok.steps[0].kind == PRETOK_SPACE;
    if (prefix == has)
        return 0;
    t->pre = NULL; /* no GGUF has a name for it */
    return pretok_prefix(&t->pretok, prefix, e);
}

/* Of a tokenizer.model by the Llama class. legacy: a space in front of every piece between special
 * tokens; else in front of the text only. */
static int prefix_llama(struct tokenizer *t, bool legacy, bool prefix, struct err *e)
{
    if (legacy && prefix)
        return 0;
    const struct pretok_step marks = {.kind = PRETOK_METASPACE,
                                      .prepend = prefix ? PREPEND_FIRST : PREPEND_NEVER};
    normal_fini(&t->normal);
    decoder_fini(&t->decoder);
    if (!legacy)
        return pretok_add(&t->pretok, &marks, e) || tok_usual_decoder(t, prefix, e);
    return tok_usual_marks(t, false, e);
}

static int read_prefix(struct tokenizer *t, const json_t *config, const struct class *c,
                       struct err *e)
{
    bool legacy = true, prefix = t->kind == TOK_CHARS;
    if (json_opt_bool(config, "legacy", &legacy, e) ||
        json_opt_bool(config, "add_prefix_space", &prefix, e) ||
        json_opt_bool(config, "split_special_tokens", &t->split_specials, e))
        return -1;
    const bool llama = c && c->flags & LLAMA && t->kind == TOK_CHARS;
    if (llama && t->source == SOURCE_MODEL)
        return prefix_llama(t, legacy, prefix, e);
    if (llama && t->source == SOURCE_JSON && !prefix && tok_marks_front(t))
        log_warn("tokenizer_config.json: 'add_prefix_space' is false, but tokenizer.json puts a "
                 "space in front of a text, which counts");
    if (c && c->pre && t->source == SOURCE_VOCAB) {
        normal_fini(&t->normal);
        pretok_fini(&t->pretok);
        return tok_named_pretok(t, c->pre, e);
    }
    return t->lone_bytelevel ? prefix_bytes(t, prefix, e) : 0;
}

static int read_config(struct tokenizer *t, const struct tok_settings *b, struct err *e)
{
    const struct class *c = find_class(b->config);
    if (tok_read_added(t, b, e) || read_around(t, b->config, c, e) ||
        ((b->config || b->model) && read_prefix(t, b->config, c, e)))
        return -1;
    find_named(t, b, c);
    tok_settings_warn(b);
    return tok_read_templates(t, b, e);
}

int tok_read_config(struct tokenizer *t, struct err *e)
{
    struct tok_settings b;
    if (tok_settings_read(&b, t->dir, e))
        return -1;
    int rc = read_config(t, &b, e);
    if (rc)
        err_prefix(e, "'%s', tokenizer_config.json and special_tokens_map.json: ", t->dir);
    tok_settings_fini(&b);
    return rc;
}
