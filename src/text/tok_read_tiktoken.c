/* Reader of tiktoken's lists of ranks: a line for each token, its bytes in base 64 and its rank,
 * which is its id. The split pattern and the special tokens are in the checkpoint's code, so they
 * are built in for the families that use this format.
 */
#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "text/vocab.h"
#include "text/tokenizer_private.h"

/* Llama 3's 256 special tokens as named since 3.1; reserved ones fill the gaps. */
static const char *const llama3_specials[] = {"<|begin_of_text|>",
                                              "<|end_of_text|>",
                                              NULL,
                                              NULL,
                                              "<|finetune_right_pad_id|>",
                                              NULL,
                                              "<|start_header_id|>",
                                              "<|end_header_id|>",
                                              "<|eom_id|>",
                                              "<|eot_id|>",
                                              "<|python_tag|>"};
/* Common to all generations of Qwen. */
static const char *const qwen_specials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

static const struct vocabulary {
    const char *name; /* in the name of a file with another number of ranks */
    const char *pre;  /* as in a GGUF */
    int n_ranks;
    const char *const *specials;
    int n_named, n_specials;
    int bos, eos; /* among the special tokens; -1: none */
} families[] = {
    {"llama3", "llama-bpe", 128000, llama3_specials, 11, 256, 0, 1},
    {"qwen", "qwen2", 151643, qwen_specials, 3, 3, -1, 0},
};

/* -1: no digit of base 64. */
static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* Appends the symbols (vocab.h) of the bytes that s[0..n) spells in base 64. */
static int add_bytes(const char *s, size_t n, struct buf *out, struct err *e)
{
    unsigned bits = 0, have = 0;
    if (n % 4)
        return err_set(e, "'%.*s' is no base 64", n > 40 ? 40 : (int)n, s);
    size_t digits = n;
    while (digits && digits + 2 > n && s[digits - 1] == '=')
        digits--;
    for (size_t i = 0; i < digits; i++) {
        int d = digit_of(s[i]);
        if (d < 0)
            return err_set(e, "'%.*s' is no base 64", n > 40 ? 40 : (int)n, s);
        bits = bits << 6 | (unsigned)d;
        have += 6;
        if (have >= 8) {
            char symbol[2];
            have -= 8;
            size_t len = bytelevel_symbol((uint8_t)(bits >> have), symbol);
            if (buf_add(out, symbol, len, e))
                return -1;
        }
    }
    return 0;
}

/* One line "dGhl 279": *id and in `text` the token. */
static int read_line(const char *s, size_t n, int *id, struct buf *text, struct err *e)
{
    const char *space = memchr(s, ' ', n), *end = s + n;
    long rank = 0;
    buf_clear(text);
    if (!space || space + 1 == end)
        return err_set(e, "a line must be a token in base 64 and its rank");
    for (const char *p = space + 1; p < end; p++) {
        if (*p < '0' || *p > '9' || rank > INT_MAX / 100)
            return err_set(e, "'%.*s' is no rank", end - space > 20 ? 20 : (int)(end - space - 1),
                           space + 1);
        rank = 10 * rank + (*p - '0');
    }
    *id = (int)rank;
    return add_bytes(s, (size_t)(space - s), text, e);
}

static size_t line_length(const char *s, const char *end)
{
    const char *newline = memchr(s, '\n', (size_t)(end - s));
    return (size_t)((newline ? newline : end) - s);
}

static int count_lines(const char *data, size_t n)
{
    int lines = 0;
    for (const char *s = data, *end = data + n; s < end; s += line_length(s, end) + 1)
        lines += line_length(s, end) > 0;
    return lines;
}

static const struct vocabulary *find_family(const char *path, int n_ranks, struct err *e)
{
    const char *slash = strrchr(path, '/');
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (families[i].n_ranks == n_ranks)
            return &families[i];
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strstr(slash ? slash : path, families[i].name))
            return &families[i];
    err_set(e,
            "a list of %d ranks is of no known family (llama3 has 128000, qwen 151643); a name of "
            "the file with 'llama3' or 'qwen' in it chooses one",
            n_ranks);
    return NULL;
}

static int add_special(struct tokenizer *t, const struct vocabulary *f, int first, int i,
                       int *reserved, struct err *e)
{
    char name[64];
    const char *text = i < f->n_named ? f->specials[i] : NULL;
    if (!text) {
        snprintf(name, sizeof name, "<|reserved_special_token_%d|>", (*reserved)++);
        text = name;
    }
    if (vocab_set(&t->vocab, first + i, text, strlen(text), e))
        return -1;
    t->vocab.flags[first + i] |= TOKEN_ADDED | TOKEN_SPECIAL;
    return 0;
}

static int read_ranks(struct tokenizer *t, const char *data, size_t n, int n_ranks, struct err *e)
{
    struct buf text = {0};
    int rc = 0, id = 0, line = 1;
    const char *end = data + n;
    for (const char *s = data; s < end && !rc; s += line_length(s, end) + 1, line++) {
        size_t len = line_length(s, end);
        if (len && s[len - 1] == '\r')
            len--;
        if (!len)
            continue;
        rc = read_line(s, len, &id, &text, e);
        if (!rc && id >= n_ranks)
            rc = err_set(e, "rank %d in a list of %d", id, n_ranks);
        if (!rc)
            rc = vocab_set(&t->vocab, id, text.data ? text.data : "", text.len, e);
        if (rc)
            err_prefix(e, "line %d: ", line);
    }
    buf_fini(&text);
    return rc;
}

/* tiktoken joins the pair that makes the token of the lowest rank. */
static int derive_merges(struct tokenizer *t, struct err *e)
{
    float *scores = mem_alloc((size_t)t->vocab.n, sizeof *scores, e);
    if (!scores)
        return -1;
    for (int id = 0; id < t->vocab.n; id++)
        scores[id] = -(float)id; /* exact up to 2^24 */
    int rc = bpe_derive(&t->bpe, scores, e) || bpe_finish(&t->bpe, e);
    free(scores);
    return rc;
}

int tok_read_tiktoken(struct tokenizer *t, const char *data, size_t n, struct err *e)
{
    int n_ranks = count_lines(data, n), reserved = 0;
    const struct vocabulary *f = find_family(t->file, n_ranks, e);
    if (!f || n_ranks > 1 << 24)
        return f ? err_set(e, "%d ranks are too many", n_ranks) : -1;
    if (vocab_init(&t->vocab, n_ranks + f->n_specials, e) || read_ranks(t, data, n, n_ranks, e))
        return -1;
    for (int i = 0; i < f->n_specials; i++)
        if (add_special(t, f, n_ranks, i, &reserved, e))
            return -1;
    bpe_init(&t->bpe, &t->vocab);
    if (derive_merges(t, e) || tok_named_pretok(t, f->pre, e))
        return -1;
    t->bpe.whole_words = true; /* as tiktoken does */
    t->bos = f->bos < 0 ? -1 : n_ranks + f->bos;
    t->eos = n_ranks + f->eos;
    return 0;
}
