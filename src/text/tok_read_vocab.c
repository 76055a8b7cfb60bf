/* Reader of GPT-2's two files: vocab.json, an object of tokens and their ids, and merges.txt, a
 * line for each merge. */
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer_private.h"

static int add_merge(struct bpe *b, const char *s, size_t n, struct err *e)
{
    const char *space = memchr(s, ' ', n);
    if (!space)
        return err_set(e, "'%.*s' is not two tokens", n > 64 ? 64 : (int)n, s);
    return bpe_add(b, s, (size_t)(space - s), space + 1, n - (size_t)(space + 1 - s), e);
}

/* A first line may say "#version: 0.2"; tokens begin with # too, so only that is skipped. */
static int read_merges(struct tokenizer *t, const char *s, size_t n, struct err *e)
{
    bpe_init(&t->bpe, &t->vocab);
    int line = 1;
    for (const char *end = s + n, *next; s < end; s = next + 1, line++) {
        next = memchr(s, '\n', (size_t)(end - s));
        next = next ? next : end;
        size_t len = (size_t)(next - s);
        if (len && s[len - 1] == '\r')
            len--;
        if (len && !(line == 1 && len > 8 && !memcmp(s, "#version", 8)) &&
            add_merge(&t->bpe, s, len, e))
            return err_prefix(e, "line %d: ", line);
    }
    return bpe_finish(&t->bpe, e);
}

static int read_merges_file(struct tokenizer *t, struct err *e)
{
    size_t n;
    char *path = file_join(t->dir, "merges.txt", e);
    char *text = path ? file_read(path, &n, e) : NULL;
    int rc = text ? read_merges(t, text, n, e) : -1;
    if (text && rc)
        err_prefix(e, "'merges.txt': ");
    free(text);
    free(path);
    return rc;
}

/* GPT-2's only special token; others are in the settings files. */
static void mark_end(struct tokenizer *t)
{
    t->eos = t->bos = tokenizer_id(t, "<|endoftext|>");
    if (t->eos >= 0)
        t->vocab.flags[t->eos] |= TOKEN_ADDED | TOKEN_SPECIAL;
}

int tok_read_vocab(struct tokenizer *t, const char *data, size_t n, struct err *e)
{
    json_t *j = json_read_text(data, n, "vocab.json", e);
    if (!j)
        return -1;
    int rc = json_is_object(j) ? tok_read_tokens(t, j, NULL, e)
                               : err_set(e, "it must be an object of tokens and ids");
    json_decref(j);
    if (rc || read_merges_file(t, e))
        return -1;
    mark_end(t);
    t->source = SOURCE_VOCAB;
    t->lone_bytelevel = true;
    return tok_named_pretok(t, "gpt-2", e);
}
