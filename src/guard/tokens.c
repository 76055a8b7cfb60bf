/* Guards on single tokens of the next-token distribution: a bias on words, and a ban on tokens that
 * would complete an n-gram of the forget texts (MemFree decoding).
 */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "data/rows.h"
#include "eval/answers.h"
#include "guard/guard.h"

/* --- logit bias --- */

struct bias_params {
    const char *words;
    double bias;
};

static const struct param bias_params[] = {
    STRING_PARAM(
        struct bias_params, words, NULL, "TEXT",
        "words separated by bars; the first token of each, with and without a space before it"),
    REAL_PARAM(struct bias_params, bias, -1e4, 1e4, -5, "added to their logits"),
    {0}};

static int open_bias(struct guard_part *p, struct err *e)
{
    const struct bias_params *o = p->choice.params;
    struct ids *ids = p->state = mem_alloc(1, sizeof *ids, e), one = {0};
    struct stop_list words = {0};
    struct buf text = {0};
    if (!ids)
        return -1;
    if (!o->words)
        return err_set(e, "no words are given");
    int rc = stop_list_parse(&words, o->words, e);
    for (const char *const *w = words.v; !rc && *w; w++)
        for (int space = 0; space < 2 && !rc; space++) {
            one.n = 0;
            buf_clear(&text);
            rc = buf_printf(&text, e, "%s%s", space ? " " : "", *w) ||
                 tokenizer_encode(p->host->tok, text.data, text.len, false, &one, e) ||
                 (one.n && ids_add(ids, one.v[0], e));
        }
    stop_list_fini(&words);
    buf_fini(&text);
    free(one.v);
    return rc ? -1 : 0;
}

static void close_bias(struct guard_part *p)
{
    struct ids *ids = p->state;
    free(ids ? ids->v : NULL);
    free(ids);
}

static int bias_logits(struct guard_part *p, struct guard_prompt *q, const int *ids, int n,
                       float *z, struct err *e)
{
    const struct bias_params *o = p->choice.params;
    const struct ids *of = p->state;
    (void)q, (void)ids, (void)n, (void)e;
    for (size_t i = 0; i < of->n; i++) {
        bool again = false; /* a token of two words is changed once */
        for (size_t k = 0; k < i; k++)
            again |= of->v[k] == of->v[i];
        if (!again)
            z[of->v[i]] += (float)o->bias;
    }
    return 0;
}

const struct guard guard_logit_bias = {
    .name = "logit-bias",
    .params = bias_params,
    .params_size = sizeof(struct bias_params),
    .help = "makes words less likely",
    .formula = "z_v + bias for v in words",
    .access = "logits",
    .cost = "x1",
    .verified = "the log-probabilities of the model without it",
    .reads_text = true,
    .open = open_bias,
    .close = close_bias,
    .logits = bias_logits,
};

/* --- n-gram blocking --- */

struct block_params {
    const char *texts, *key;
    int64_t ngram;
};

static const struct param block_params[] = {
    STRING_PARAM(struct block_params, texts, NULL, "FILE", "rows whose texts are to be forgotten"),
    STRING_PARAM(struct block_params, key, "answer", "KEY", "field of those texts"),
    INT_PARAM(struct block_params, ngram, 2, 64, 4, "tokens of an n-gram that is not completed"),
    {0}};

/* The last token of every n-gram, under the hash of those before it. */
struct block {
    struct hash_index index; /* numbers: positions in `last` */
    struct ids last;
};

static int add_text(struct guard_part *p, struct block *b, const char *text, struct err *e)
{
    const struct block_params *o = p->choice.params;
    const int n = (int)o->ngram;
    struct ids ids = {0};
    struct buf with = {0};
    int rc = 0;
    for (int space = 0; space < 2 && !rc; space++) { /* at the start of an answer, and within one */
        ids.n = 0;
        buf_clear(&with);
        rc = buf_printf(&with, e, "%s%s", space ? " " : "", text) ||
             tokenizer_encode(p->host->tok, with.data, with.len, false, &ids, e);
        for (int t = n - 1; t < (int)ids.n && !rc; t++)
            rc = hash_index_add(
                     &b->index,
                     hash_bytes(HASH_START, ids.v + t - n + 1, (size_t)(n - 1) * sizeof(int)),
                     b->last.n, e) ||
                 ids_add(&b->last, ids.v[t], e);
    }
    free(ids.v);
    buf_fini(&with);
    return rc ? -1 : 0;
}

static int open_block(struct guard_part *p, struct err *e)
{
    const struct block_params *o = p->choice.params;
    struct block *b = p->state = mem_alloc(1, sizeof *b, e);
    struct rows rows = {0};
    if (!b)
        return -1;
    if (!o->texts)
        return err_set(e, "no texts are given: texts=FILE");
    int rc = rows_open(&rows, o->texts, e);
    for (int i = 0; i < rows.n && !rc; i++) {
        const char *text = rows_text(&rows, i, o->key, e);
        rc = text ? add_text(p, b, text, e) : -1;
    }
    rows_close(&rows);
    return rc ? -1 : 0;
}

static void close_block(struct guard_part *p)
{
    struct block *b = p->state;
    if (b) {
        hash_index_fini(&b->index);
        free(b->last.v);
    }
    free(b);
}

static int block_logits(struct guard_part *p, struct guard_prompt *q, const int *ids, int n,
                        float *z, struct err *e)
{
    const struct block_params *o = p->choice.params;
    const struct block *b = p->state;
    const int before = (int)o->ngram - 1;
    size_t probe = 0, at;
    if (n < before)
        return 0;
    const uint64_t h = hash_bytes(HASH_START, ids + n - before, (size_t)before * sizeof *ids);
    bool any = false;
    while (hash_index_next(&b->index, h, &probe, &at)) {
        z[b->last.v[at]] = -INFINITY;
        any = true;
    }
    return any && !(q->fired & 1u << p->number)
               ? guard_note(p, q, "blocked", e, "an n-gram of %d tokens of the texts", before + 1)
               : 0;
}

const struct guard guard_ngram_block = {
    .name = "ngram-block",
    .params = block_params,
    .params_size = sizeof(struct block_params),
    .help = "bans tokens that complete an n-gram of the forget texts",
    .paper = "arXiv 2210.17546",
    .formula = "z_v = -inf if (y_{t-n+1} .. y_{t-1}, v) is an n-gram of the texts",
    .access = "logits",
    .cost = "x1",
    .verified = "no answer has an n-gram of the texts",
    .reads_text = true,
    .open = open_block,
    .close = close_block,
    .logits = block_logits,
};
