/* Reader of the tokenizer in a GGUF's metadata (keys tokenizer.ggml.* and tokenizer.chat_template).
 */
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/file.h"
#include "tensor/gguf.h"
#include "text/tokenizer_private.h"

static int read_vocab(struct tokenizer *t, struct gguf_meta *m, struct err *e)
{
    const struct gguf_str *tokens;
    const int32_t *types;
    size_t n, n_types;
    if (!gguf_strings(m, "tokenizer.ggml.tokens", &tokens, &n) || !n || n > INT_MAX / 4)
        return err_set(e, "it holds no vocabulary ('tokenizer.ggml.tokens')");
    if (!gguf_ints(m, "tokenizer.ggml.token_type", &types, &n_types))
        return err_set(e, "it does not mark special tokens ('tokenizer.ggml.token_type')");
    if (n_types != n)
        return err_set(e, "%zu token types for %zu tokens", n_types, n);
    if (vocab_init(&t->vocab, (int)n, e))
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (vocab_set(&t->vocab, (int)i, tokens[i].s, tokens[i].n, e))
            return -1;
        t->vocab.flags[i] |= tok_flags_of(types[i]);
    }
    return 0;
}

static int read_merges(struct tokenizer *t, struct gguf_meta *m, struct err *e)
{
    const struct gguf_str *merges;
    size_t n;
    if (!gguf_strings(m, "tokenizer.ggml.merges", &merges, &n))
        return err_set(e, "it holds no merges ('tokenizer.ggml.merges')");
    bpe_init(&t->bpe, &t->vocab);
    for (size_t i = 0; i < n; i++) {
        const char *s = merges[i].s, *space = memchr(s, ' ', merges[i].n);
        if (!space)
            return err_set(e, "merge %zu is not two tokens", i);
        size_t left = (size_t)(space - s);
        if (bpe_add(&t->bpe, s, left, space + 1, merges[i].n - left - 1, e))
            return -1;
    }
    return bpe_finish(&t->bpe, e);
}

/* A score for each token. */
static int read_scores(struct tokenizer *t, struct gguf_meta *m, struct err *e)
{
    const float *scores;
    size_t n;
    if (!gguf_reals(m, "tokenizer.ggml.scores", &scores, &n) || n != (size_t)t->vocab.n)
        return err_set(e, "it needs a score for each token ('tokenizer.ggml.scores')");
    if (!(t->scores = mem_alloc(n, sizeof *t->scores, e)))
        return -1;
    for (size_t i = 0; i < n; i++) {
        t->scores[i] = scores[i];
        if (!isfinite(scores[i]))
            return err_set(e, "the score of token %zu is no number", i);
    }
    return 0;
}

/* `needed`: an id that cannot be one is refused; else it is as if it were not there, as converters
 * write -1 for none. */
static int read_named(const struct gguf_meta *m, const char *key, bool needed, int *id,
                      struct err *e)
{
    int64_t v;
    if (!gguf_int(m, key, &v) || (!needed && (v < 0 || v > INT_MAX)))
        return 0;
    if (v < 0 || v > INT_MAX)
        return err_set(e, "'%s' is %lld", key, (long long)v);
    *id = (int)v;
    return 0;
}

/* A string of the metadata as a C string; NULL and success if it is absent. */
static int read_text(const struct gguf_meta *m, const char *key, char **out, struct err *e)
{
    struct gguf_str s;
    *out = NULL;
    if (!gguf_text(m, key, &s))
        return 0;
    *out = mem_strndup(s.s, s.n, e);
    return *out ? 0 : -1;
}

static int read_bytes(struct tokenizer *t, struct gguf_meta *m, struct err *e)
{
    char *name;
    if (read_merges(t, m, e) || read_text(m, "tokenizer.ggml.pre", &name, e))
        return -1;
    int rc = tok_named_pretok(t, name, e);
    free(name);
    return rc;
}

static int read_sentencepiece(struct tokenizer *t, struct gguf_meta *m, struct err *e)
{
    bool prefix = true;
    gguf_bool(m, "tokenizer.ggml.add_space_prefix", &prefix);
    t->add_bos = t->kind == TOK_CHARS;
    if (read_scores(t, m, e) || tok_usual_marks(t, prefix, e) ||
        read_named(m, "tokenizer.ggml.unknown_token_id", false, &t->unk, e))
        return -1;
    return tok_use_scores(t, true, e);
}

static const struct reader {
    const char *model;
    enum tok_kind kind;
    int (*read)(struct tokenizer *t, struct gguf_meta *m, struct err *e);
} readers[] = {
    {"gpt2", TOK_BYTES, read_bytes},
    {"llama", TOK_CHARS, read_sentencepiece},
    {"t5", TOK_UNIGRAM, read_sentencepiece},
};

static int read_kind(struct tokenizer *t, struct gguf_meta *m, struct err *e)
{
    struct gguf_str s;
    if (!gguf_text(m, "tokenizer.ggml.model", &s) || (s.n == 4 && !memcmp(s.s, "none", 4)))
        return err_set(e, "it holds no tokenizer");
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (s.n == strlen(readers[i].model) && !memcmp(s.s, readers[i].model, s.n)) {
            t->kind = readers[i].kind;
            return read_vocab(t, m, e) || readers[i].read(t, m, e);
        }
    char *name = mem_strndup(s.s, s.n, e);
    int rc = name ? tok_refuse_kind(name, e) : -1;
    free(name);
    return rc;
}

static int read_meta(struct tokenizer *t, struct gguf_meta *m, struct err *e)
{
    if (read_kind(t, m, e) || read_named(m, "tokenizer.ggml.bos_token_id", true, &t->bos, e) ||
        read_named(m, "tokenizer.ggml.eos_token_id", true, &t->eos, e) ||
        read_named(m, "tokenizer.ggml.padding_token_id", false, &t->pad, e) ||
        read_named(m, "tokenizer.ggml.unknown_token_id", false, &t->unk, e) ||
        tok_read_gguf_templates(t, m, e))
        return -1;
    gguf_bool(m, "tokenizer.ggml.add_bos_token", &t->add_bos);
    gguf_bool(m, "tokenizer.ggml.add_eos_token", &t->add_eos);
    return 0;
}

int tok_read_gguf(struct tokenizer *t, const char *path, struct err *e)
{
    struct tensor_file f = {0};
    if (tensor_file_open(&f, path, e))
        return -1;
    int rc = read_meta(t, f.meta, e);
    if (rc)
        err_prefix(e, "'%s': ", path);
    tensor_file_close(&f);
    return rc;
}
