/* Added tokens of a vocabulary: "added_tokens" of tokenizer.json, and those of the settings files:
 * "added_tokens_decoder" of tokenizer_config.json, or without it added_tokens.json; then every
 * named special token that was not added yet. transformers gives new ones the ids that follow the
 * vocabulary, in this order, and a listed id only orders them; the same is done here.
 */
#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "text/tok_settings.h"
#include "text/tokenizer_private.h"

int tok_read_flags(const json_t *token, unsigned *flags, struct err *e)
{
    static const struct {
        const char *key;
        unsigned flag;
    } marks[] = {{"special", TOKEN_SPECIAL},
                 {"lstrip", TOKEN_LSTRIP},
                 {"rstrip", TOKEN_RSTRIP},
                 {"single_word", TOKEN_WORD},
                 {"normalized", TOKEN_NORMAL}};
    *flags = TOKEN_ADDED;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        bool on = false;
        if (json_opt_bool(token, marks[i].key, &on, e))
            return -1;
        *flags |= on ? marks[i].flag : 0;
    }
    return 0;
}

/* One token to add; text and flags as the files have them. */
struct addition {
    const char *s;
    size_t n;
    int64_t id;        /* that the file lists; -1: none */
    unsigned flags;    /* token_flags */
    const char *named; /* key of a special token; NULL: the token is listed with an id */
};

/* As the `tokenizers` library has it: what is listed again may strip otherwise, but one that was
 * special already is looked for where it was. */
static void set_flags(struct vocab *v, int id, unsigned flags)
{
    const unsigned strips = TOKEN_LSTRIP | TOKEN_RSTRIP | TOKEN_WORD,
                   place = TOKEN_NORMAL | TOKEN_AS_IS;
    const unsigned old = v->flags[id], kept = old & TOKEN_SPECIAL ? place : 0;
    v->flags[id] = (uint16_t)((old & ~(strips | (place & ~kept))) | (flags & ~kept));
}

/* Tokens whose ids are not what a user may expect: the first in words, and how many. */
struct notice {
    char text[256];
    int n;
};

struct adding {
    struct tokenizer *t;
    const struct tok_settings *b;
    struct notice made, moved;
};

static void notice_print(const struct notice *n)
{
    if (n->n > 1)
        log_warn("%s, as with transformers; so do %d more", n->text, n->n - 1);
    else if (n->n)
        log_warn("%s, as with transformers", n->text);
}

static int make_token(struct tokenizer *t, const char *s, size_t n, int *id, struct err *e)
{
    *id = t->vocab.n;
    if (*id >= INT_MAX / 4)
        return err_set(e, "more than %d tokens", INT_MAX / 4);
    if (vocab_grow(&t->vocab, *id + 1, e) || vocab_set(&t->vocab, *id, s, n, e))
        return -1;
    t->vocab.flags[*id] |= TOKEN_EXTRA;
    return 0;
}

/* It keeps the id that it has, else gets the next one. */
static int add(struct adding *c, const struct addition *a, struct err *e)
{
    struct vocab *v = &c->t->vocab;
    int id = vocab_find(v, a->s, a->n);
    const bool is_new = id < 0;
    if (is_new && make_token(c->t, a->s, a->n, &id, e))
        return -1;
    set_flags(v, id, a->flags);
    if (is_new && a->named && !c->made.n++)
        snprintf(c->made.text, sizeof c->made.text,
                 "%s '%.64s' is not in the vocabulary of %d and becomes token %d", a->named, a->s,
                 id, id);
    if (a->id >= 0 && a->id != id && !c->moved.n++)
        snprintf(c->moved.text, sizeof c->moved.text,
                 "added token '%.64s' is listed as %lld and becomes token %d", a->s,
                 (long long)a->id, id);
    return 0;
}

/* --- lists with ids --- */

static int by_id(const void *a, const void *b)
{
    const struct addition *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* {"32000": {"content": "<|im_end|>", ...}}. */
static int read_decoder_entry(struct addition *a, const char *key, const json_t *token,
                              struct err *e)
{
    char *end;
    const json_t *content = json_object_get(token, "content");
    *a = (struct addition){.id = strtoll(key, &end, 10)};
    if (!*key || *end || a->id < 0 || a->id > INT_MAX)
        return err_set(e, "added_tokens_decoder: '%.32s' is no token id", key);
    if (!json_string_length(content))
        return err_set(e, "added_tokens_decoder: token %s must be an object with its 'content'",
                       key);
    a->s = json_string_value(content);
    a->n = json_string_length(content);
    return tok_read_flags(token, &a->flags, e);
}

/* {"<|im_end|>": 32000}; special if some key names it so. */
static int read_added_entry(struct addition *a, const char *key, const json_t *id, bool special,
                            struct err *e)
{
    *a = (struct addition){.s = key, .n = strlen(key), .id = json_integer_value(id)};
    if (!json_is_integer(id) || a->id < 0 || a->id > INT_MAX || !a->n)
        return err_set(e, "added_tokens.json: '%.64s' must have an id", key);
    a->flags = TOKEN_ADDED | (special ? TOKEN_SPECIAL : TOKEN_NORMAL);
    return 0;
}

static int read_list(const struct tok_settings *b, const json_t *decoder, struct addition *list,
                     struct err *e)
{
    json_t *names = tok_settings_names(b, e), *v;
    const char *key;
    size_t n = 0;
    int rc = names ? 0 : -1;
    json_object_foreach((json_t *)(decoder ? decoder : b->added), key, v)
    {
        struct addition *a = &list[n++];
        if (rc)
            break;
        rc = decoder ? read_decoder_entry(a, key, v, e)
                     : read_added_entry(a, key, v, json_object_get(names, key) != NULL, e);
        if (!rc && json_object_get(names, a->s))
            a->flags |= TOKEN_SPECIAL;
    }
    json_decref(names);
    return rc;
}

static int add_listed(struct adding *c, struct err *e)
{
    const struct tok_settings *b = c->b;
    const json_t *decoder = json_object_get(b->config, "added_tokens_decoder");
    if (decoder && !json_is_object(decoder) && !json_is_null(decoder))
        return err_set(e, "'added_tokens_decoder' must be an object of ids and tokens");
    if (b->added && !json_is_object(b->added))
        return err_set(e, "'added_tokens.json' must be an object of tokens and ids");
    if (!json_is_object(decoder))
        decoder = NULL;
    const size_t n = json_object_size(decoder ? decoder : b->added);
    struct addition *list = mem_alloc(n, sizeof *list, e);
    int rc = list ? read_list(b, decoder, list, e) : -1;
    if (!rc)
        qsort(list, n, sizeof *list, by_id);
    for (size_t i = 0; i < n && !rc; i++)
        rc = add(c, &list[i], e);
    free(list);
    return rc;
}

/* --- named ones --- */

static bool is_added(const struct tokenizer *t, const char *s, size_t n)
{
    int id = vocab_find(&t->vocab, s, n);
    return id >= 0 && t->vocab.flags[id] & TOKEN_ADDED;
}

/* A text, or an object with its "content", whose flags count unless a list has the token's. */
static int add_named(void *ctx, const char *key, const json_t *value, struct err *e)
{
    struct adding *c = ctx;
    const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
    struct addition a = {.s = json_string_value(content),
                         .n = json_string_length(content),
                         .id = -1,
                         .flags = TOKEN_ADDED,
                         .named = key};
    if (!a.s)
        return err_set(e, "'%s' must be a text, or an object with its 'content'", key);
    const bool counts = json_is_object(value) && !tok_settings_has_list(c->b);
    if (!a.n || (is_added(c->t, a.s, a.n) && !counts))
        return 0;
    if (json_is_object(value) && tok_read_flags(value, &a.flags, e))
        return err_prefix(e, "%s: ", key);
    a.flags |= TOKEN_SPECIAL;
    return add(c, &a, e);
}

/* Scores of the new tokens, which are never compared. */
static int fit_scores(struct tokenizer *t, int before, struct err *e)
{
    size_t cap = (size_t)before;
    if (!t->scores || t->vocab.n == before)
        return 0;
    if (mem_reserve(&t->scores, &cap, (size_t)t->vocab.n, sizeof *t->scores, e))
        return -1;
    for (int id = before; id < t->vocab.n; id++)
        t->scores[id] = 0;
    if (t->kind == TOK_UNIGRAM)
        t->unigram.scores = t->scores;
    return 0;
}

int tok_read_added(struct tokenizer *t, const struct tok_settings *b, struct err *e)
{
    const int before = t->vocab.n;
    struct adding c = {.t = t, .b = b};
    if (add_listed(&c, e) || tok_settings_each_named(b, add_named, &c, e) ||
        fit_scores(t, before, e))
        return -1;
    notice_print(&c.made);
    notice_print(&c.moved);
    return 0;
}
