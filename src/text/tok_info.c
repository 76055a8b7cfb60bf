/* Properties of a tokenizer: kind, special tokens, flags. */
#include <string.h>

#include "text/tokenizer_private.h"

/* Kinds by their name in a GGUF and in tokenizer.json, as enum tok_kind; then those not built in.
 */
static const struct kind {
    const char *gguf, *json, *name;
} kinds[] = {
    {"gpt2", "BPE", "byte-level BPE"},          {"llama", "BPE", "SentencePiece BPE"},
    {"t5", "Unigram", "SentencePiece unigram"}, {"bert", "WordPiece", "WordPiece"},
    {"rwkv", "WordLevel", "word-level"},
};

int tok_refuse_kind(const char *what, struct err *e)
{
    const char *name = what;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(what, kinds[i].gguf) || !strcmp(what, kinds[i].json))
            name = kinds[i].name;
    return err_set(e, "a %.64s tokenizer is not supported; %s, %s and %s are", name, kinds[0].name,
                   kinds[1].name, kinds[2].name);
}

const char *tokenizer_kind(const struct tokenizer *t)
{
    return kinds[t->kind].name;
}

int tokenizer_vocab_size(const struct tokenizer *t)
{
    return t->vocab.n;
}

int tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int tokenizer_eos(const struct tokenizer *t)
{
    return t->eos;
}

int tokenizer_pad(const struct tokenizer *t)
{
    return t->pad;
}

bool tokenizer_adds_bos(const struct tokenizer *t)
{
    return t->front >= 0;
}

int tokenizer_front(const struct tokenizer *t)
{
    return t->front;
}

int tokenizer_back(const struct tokenizer *t)
{
    return t->back;
}

void tokenizer_limit(struct tokenizer *t, int rows)
{
    t->limit = rows;
}

int tokenizer_id(const struct tokenizer *t, const char *token)
{
    return vocab_find(&t->vocab, token, strlen(token));
}

const char *tokenizer_token(const struct tokenizer *t, int id, size_t *n)
{
    return vocab_text(&t->vocab, id, n);
}

bool tokenizer_has_text(const struct tokenizer *t, int id)
{
    char filler[32];
    size_t n;
    const char *s = vocab_text(&t->vocab, id, &n);
    const int len = snprintf(filler, sizeof filler, "[PAD%d]", id);
    return s && !(t->vocab.flags[id] & TOKEN_UNUSED && n == (size_t)len && !memcmp(s, filler, n));
}

bool tokenizer_is_special(const struct tokenizer *t, int id)
{
    return id >= 0 && id < t->vocab.n && t->vocab.flags[id] & TOKEN_SPECIAL;
}
