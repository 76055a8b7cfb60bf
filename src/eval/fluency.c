#include "eval/texts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/buf.h"
#include "base/mem.h"
#include "eval/backend.h"
#include "eval/example.h"

int fluency_of(const char *text, int n, struct fluency *out, struct err *e)
{
    struct buf words = {0};
    struct ngrams g;
    int count = rouge_tokens(text, strlen(text), ROUGE_LATIN, &words, e), rc = -1;
    int *ids = count < 0 ? NULL : mem_alloc((size_t)count, sizeof *ids, e);
    int different = ids ? words_number(words.data, count, ids, e) : -1;
    if (different >= 0)
        rc = ngrams_compare(ids, count, 0, n, &g, e);
    if (!rc)
        *out = (struct fluency){.words = count,
                                .unique = count ? (double)different / count : NAN,
                                .repetition = g.a ? 1 - (double)g.distinct_a / g.a : NAN,
                                .entropy = g.a ? g.entropy_a : NAN};
    free(ids);
    buf_fini(&words);
    return rc;
}

enum { FORM_NGRAM = 4 };

/* 1 - distinct / all 4-grams of ids; 0 if there are none. */
static int repetition_of(const int *ids, int n, double *out, struct err *e)
{
    struct ngrams g;
    if (ngrams_compare(ids, n, 0, FORM_NGRAM, &g, e))
        return -1;
    *out = g.a ? 1 - (double)g.distinct_a / g.a : 0;
    return 0;
}

static bool is_text(const char *text, size_t n)
{
    int letters = 0, others = 0;
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t bytes =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
        if (bytes <= 0 || c == 0xFFFD)
            return false;
        i += (size_t)bytes;
        const char *kind = utf8proc_category_string(c);
        letters += *kind == 'L' || *kind == 'M' || *kind == 'N';
        others += *kind == 'P' || *kind == 'S' || *kind == 'C';
    }
    return letters && letters >= others;
}

int text_form_of(const char *text, size_t n, struct text_form *out, struct err *e)
{
    struct buf words = {0};
    *out = (struct text_form){0, is_text(text, n)};
    int count = out->is_text ? words_unicode(text, n, &words, e) : 0;
    const bool by_words = count > FORM_NGRAM;
    const int n_ids = by_words ? count : (int)n;
    int *ids = count < 0 ? NULL : mem_alloc((size_t)n_ids, sizeof *ids, e), rc = -1;
    for (int i = 0; ids && !by_words && i < n_ids; i++)
        ids[i] = (unsigned char)text[i];
    if (ids && (!by_words || words_number(words.data, count, ids, e) >= 0))
        rc = repetition_of(ids, n_ids, &out->repetition, e);
    free(ids);
    buf_fini(&words);
    return rc;
}

/* Texts as sequences whose tokens are all scored but the first; short ones have no labels. */
struct texts {
    struct seq *seqs; /* owned [n]; pointing into the pool */
    int *pool;        /* owned: ids, then labels, of each in turn */
    size_t len, cap;
};

static int add_text(struct texts *t, int i, const char *text, const struct encoder *enc,
                    struct err *e)
{
    const int *prompt, *whole;
    int n_prompt, n;
    if (enc->encode(enc->ctx, NULL, text, &prompt, &n_prompt, &whole, &n, e) ||
        mem_reserve(&t->pool, &t->cap, t->len + 2 * (size_t)n, sizeof *t->pool, e))
        return -1;
    int *ids = t->pool + t->len, *labels = ids + n;
    for (int k = 0; k < n; k++) {
        ids[k] = whole[k];
        labels[k] = k ? whole[k] : LABEL_NONE;
    }
    t->seqs[i].n = n;
    t->len += 2 * (size_t)n;
    return 0;
}

int perplexity_of(const char *const *texts, int n, const struct backend *judge,
                  const struct encoder *encoder, double *out, struct err *e)
{
    struct texts t = {.seqs = mem_alloc((size_t)n, sizeof *t.seqs, e)};
    struct dataset d = {.role = ROLE_GENERIC, .n = n, .seqs = t.seqs};
    struct scores s;
    int rc = t.seqs ? 0 : -1;
    for (int i = 0; i < n && !rc; i++)
        rc = *texts[i] ? add_text(&t, i, texts[i], encoder, e) : 0;
    size_t at = 0;
    for (int i = 0; i < n && !rc; i++) { /* the pool does not move any more */
        t.seqs[i].ids = t.pool + at;
        t.seqs[i].labels = t.pool + at + t.seqs[i].n;
        at += 2 * (size_t)t.seqs[i].n;
    }
    if (!rc && !(rc = judge->score(judge->ctx, &d, false, &s, e))) {
        for (int i = 0; i < n; i++)
            out[i] = exp(example_loss(&s.v[i]));
        scores_fini(&s);
    }
    free(t.seqs);
    free(t.pool);
    return rc;
}
