/* Reader of llama2.c's tokenizer.bin, little-endian: int32 length of the longest token, then for
 * each token float32 score, int32 length, bytes. Spaces are written as such, and <0x00> to <0xFF>
 * are at ids 3 to 258. Ids 0, 1 and 2 are unk, bos and eos.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_private.h"

enum { HEADER = 4, ENTRY = 8, FIRST_ID = 3 };

/* The entry at data[*at..n); advances *at past it. */
static int next_token(const char *data, size_t n, size_t *at, float *score, const char **s,
                      uint32_t *len, struct err *e)
{
    if (n - *at < ENTRY)
        return err_set(e, "it ends inside a token at byte %zu", *at);
    memcpy(score, data + *at, 4);
    memcpy(len, data + *at + 4, 4);
    *s = data + *at + ENTRY;
    if (*len > n - *at - ENTRY)
        return err_set(e, "the token at byte %zu is longer than the file", *at);
    if (!isfinite(*score))
        return err_set(e, "the score of the token at byte %zu is no number", *at);
    *at += ENTRY + *len;
    return 0;
}

static int count(const char *data, size_t n, int *tokens, struct err *e)
{
    float score;
    uint32_t len;
    const char *s;
    *tokens = 0;
    for (size_t at = HEADER; at < n; ++*tokens)
        if (next_token(data, n, &at, &score, &s, &len, e))
            return -1;
    return *tokens < FIRST_ID ? err_set(e, "it holds fewer than %d tokens", FIRST_ID) : 0;
}

/* Its special tokens are written with line breaks around them. */
static int set_special(struct tokenizer *t, int id, const char *s, size_t n, struct err *e)
{
    while (n && *s == '\n')
        s++, n--;
    while (n && s[n - 1] == '\n')
        n--;
    if (vocab_set(&t->vocab, id, s, n, e))
        return -1;
    t->vocab.flags[id] |= TOKEN_ADDED | TOKEN_SPECIAL;
    return 0;
}

int tok_read_llama2c(struct tokenizer *t, const char *data, size_t n, struct err *e)
{
    int tokens;
    const char *s = NULL;
    uint32_t len = 0;
    if (count(data, n, &tokens, e) || vocab_init(&t->vocab, tokens, e) ||
        !(t->scores = mem_alloc((size_t)tokens, sizeof *t->scores, e)))
        return -1;
    size_t at = HEADER;
    for (int id = 0; id < tokens; id++)
        if (next_token(data, n, &at, &t->scores[id], &s, &len, e) ||
            (id < FIRST_ID ? set_special(t, id, s, len, e) : vocab_set(&t->vocab, id, s, len, e)))
            return -1;
    t->kind = TOK_CHARS;
    t->unk = 0;
    t->bos = 1;
    t->eos = 2;
    t->add_bos = true;
    const struct decoder_step steps[] = {
        {.kind = DECODE_BYTES},
        {.kind = DECODE_FUSE},
        {.kind = DECODE_STRIP, .from = " ", .start = 1},
    };
    for (int i = 0; i < 3; i++)
        if (decoder_add(&t->decoder, &steps[i], e))
            return -1;
    return normal_add(&t->normal, NORMAL_PREPEND, NULL, " ", false, e) ||
           tok_use_scores(t, true, e);
}
