/* Writer of a tokenizer into the metadata of a GGUF; tok_read_gguf.c reads the same keys. */
#include <string.h>

#include "base/mem.h"
#include "tensor/gguf.h"
#include "text/tokenizer_private.h"

#define KEY "tokenizer.ggml."

static int32_t token_type(const struct tokenizer *t, int id)
{
    unsigned flags = id < t->vocab.n ? t->vocab.flags[id] : 0;
    if (!(flags & TOKEN_USED) || flags & TOKEN_UNUSED)
        return TYPE_UNUSED;
    if (flags & TOKEN_BYTE)
        return TYPE_BYTE;
    if (flags & TOKEN_SPECIAL)
        return id == t->unk && t->kind != TOK_BYTES ? TYPE_UNKNOWN : TYPE_CONTROL;
    return flags & TOKEN_ADDED ? TYPE_USER : TYPE_TEXT;
}

/* The lists of a vocabulary of `n` ids; texts of unused ones are in `names`. */
struct lists {
    struct gguf_str *tokens, *merges; /* owned */
    size_t n_merges;
    int32_t *types;  /* owned */
    struct buf text; /* storage of generated strings */
};

static void lists_fini(struct lists *l)
{
    free(l->tokens);
    free(l->merges);
    free(l->types);
    buf_fini(&l->text);
}

/* llama.cpp looks for added tokens before it marks spaces, so theirs are spaces here. */
static int add_spaced(struct buf *out, const char *s, size_t n, struct err *e)
{
    const size_t len = strlen(PRETOK_MARK);
    const char *end = s + n, *hit;
    for (; (hit = memmem(s, (size_t)(end - s), PRETOK_MARK, len)); s = hit + len)
        if (buf_add(out, s, (size_t)(hit - s), e) || buf_add(out, " ", 1, e))
            return -1;
    return buf_add(out, s, (size_t)(end - s), e);
}

static int list_tokens(struct lists *l, const struct tokenizer *t, int n, struct err *e)
{
    l->tokens = mem_alloc((size_t)n, sizeof *l->tokens, e);
    l->types = l->tokens ? mem_alloc((size_t)n, sizeof *l->types, e) : NULL;
    if (!l->types)
        return -1;
    for (int i = 0; i < n; i++) {
        struct gguf_str *token = &l->tokens[i];
        l->types[i] = token_type(t, i);
        const char *s = vocab_text(&t->vocab, i, &token->n);
        const size_t at = l->text.len;
        const bool spaced = s && l->types[i] == TYPE_USER && t->vocab.flags[i] & TOKEN_AS_IS;
        token->s = spaced ? NULL : s;
        if (spaced ? add_spaced(&l->text, s, token->n, e)
                   : !s && buf_printf(&l->text, e, "[PAD%d]", i))
            return -1;
        if (!token->s)
            token->n = l->text.len - at;
    }
    const char *made = l->text.data;
    for (int i = 0; i < n; i++)
        if (!l->tokens[i].s) {
            l->tokens[i].s = made;
            made += l->tokens[i].n;
        }
    return 0;
}

/* Merges of tokens below `rows`. */
static int list_merges(struct lists *l, const struct tokenizer *t, int rows, struct err *e)
{
    l->merges = mem_alloc(t->bpe.n, sizeof *l->merges, e);
    if (!l->merges)
        return -1;
    buf_clear(&l->text);
    for (size_t i = 0; i < t->bpe.n; i++) {
        const struct bpe_merge *m = &t->bpe.merges[i];
        const size_t at = l->text.len;
        size_t left, right;
        if (m->left >= rows || m->right >= rows || m->id >= rows)
            continue;
        const char *a = vocab_text(&t->vocab, t->bpe.merges[i].left, &left);
        const char *b = vocab_text(&t->vocab, t->bpe.merges[i].right, &right);
        if (buf_add(&l->text, a, left, e) || buf_add(&l->text, " ", 1, e) ||
            buf_add(&l->text, b, right, e))
            return -1;
        l->merges[l->n_merges++].n = l->text.len - at;
    }
    const char *made = l->text.data;
    for (size_t i = 0; i < l->n_merges; made += l->merges[i++].n)
        l->merges[i].s = made;
    return 0;
}

static int put_scores(const struct tokenizer *t, int n, struct gguf_pairs *p, struct err *e)
{
    float *scores = mem_alloc((size_t)n, sizeof *scores, e);
    if (!scores)
        return -1;
    for (int i = 0; i < n && i < t->vocab.n; i++)
        scores[i] = t->scores[i];
    int rc = gguf_put_reals(p, KEY "scores", scores, (size_t)n, e);
    free(scores);
    return rc;
}

static int put_merges(struct lists *l, const struct tokenizer *t, int rows, struct gguf_pairs *p,
                      struct err *e)
{
    return list_merges(l, t, rows, e) ||
           gguf_put_strings(p, KEY "merges", l->merges, l->n_merges, e);
}

static int put_vocab(const struct tokenizer *t, int n, struct gguf_pairs *p, struct err *e)
{
    struct lists l = {0};
    int rc = list_tokens(&l, t, n, e) ||
             gguf_put_strings(p, KEY "tokens", l.tokens, (size_t)n, e) ||
             gguf_put_ints(p, KEY "token_type", l.types, (size_t)n, e) ||
             (t->kind == TOK_BYTES ? put_merges(&l, t, n, p, e) : put_scores(t, n, p, e));
    lists_fini(&l);
    return rc;
}

static int put_ids(const struct tokenizer *t, int rows, struct gguf_pairs *p, struct err *e)
{
    const struct {
        const char *key;
        int id;
    } ids[] = {{KEY "bos_token_id", t->bos},
               {KEY "eos_token_id", t->eos},
               {KEY "padding_token_id", t->pad},
               {KEY "unknown_token_id", t->unk}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id >= 0 && ids[i].id < rows &&
            gguf_put_u32(p, ids[i].key, (uint32_t)ids[i].id, e))
            return -1;
    return gguf_put_bool(p, KEY "add_bos_token", t->front >= 0, e) ||
           gguf_put_bool(p, KEY "add_eos_token", t->back >= 0, e);
}

/* Text is prepared as SentencePiece does it; *prefix: with a space in front. */
static bool marks_spaces(const struct tokenizer *t, bool *prefix)
{
    const struct normal_step *s = t->normal.steps;
    const struct pretok_step *p = t->pretok.steps;
    int n = t->normal.n;
    *prefix = n && s[0].kind == NORMAL_PREPEND;
    if (*prefix)
        s++, n--;
    if (n == 1 && !t->pretok.n)
        return s[0].kind == NORMAL_REPLACE && !s[0].regex && !strcmp(s[0].from, " ") &&
               !strcmp(s[0].to, PRETOK_MARK);
    if (n || t->pretok.n != 1 || p->kind != PRETOK_METASPACE)
        return false;
    *prefix = p->prepend != PREPEND_NEVER;
    return true;
}

static int put_kind(const struct tokenizer *t, struct gguf_pairs *p, struct err *e)
{
    static const char *const models[] = {
        [TOK_BYTES] = "gpt2", [TOK_CHARS] = "llama", [TOK_UNIGRAM] = "t5"};
    bool prefix = false, marks = t->kind != TOK_BYTES && marks_spaces(t, &prefix);
    const char *pre = t->kind == TOK_BYTES ? tok_pretok_name(t) : marks ? "default" : NULL;
    if (!pre)
        return err_set(e, "llama.cpp has no name for the way this tokenizer splits text");
    return gguf_put_text(p, KEY "model", models[t->kind], e) ||
           gguf_put_text(p, KEY "pre", pre, e) ||
           (marks && gguf_put_bool(p, KEY "add_space_prefix", prefix, e));
}

int tokenizer_to_gguf(const struct tokenizer *t, int rows, struct gguf_pairs *p, struct err *e)
{
    if (put_kind(t, p, e) || put_vocab(t, rows, p, e) || put_ids(t, rows, p, e))
        return -1;
    const char *template = tokenizer_chat_template(t, NULL);
    return template ? gguf_put_text(p, "tokenizer.chat_template", template, e) : 0;
}
