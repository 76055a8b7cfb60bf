#include "eval/texts.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"

/* Scripts without spaces between words. */
static const struct {
    utf8proc_int32_t first, last;
} unspaced[] = {
    {0x0E00, 0x0EFF},   /* Thai, Lao */
    {0x1000, 0x109F},   /* Myanmar */
    {0x1780, 0x17FF},   /* Khmer */
    {0x1950, 0x19DF},   /* Tai Le, New Tai Lue */
    {0x1A20, 0x1AAF},   /* Tai Tham */
    {0x2E80, 0x2FDF},   /* radicals */
    {0x3005, 0x3007},   /* iteration mark, zero */
    {0x3021, 0x3029},   /* Hangzhou numerals */
    {0x3040, 0x312F},   /* Hiragana, Katakana, Bopomofo */
    {0x31A0, 0x31BF},   /* Bopomofo */
    {0x31F0, 0x31FF},   /* Katakana */
    {0x3400, 0x4DBF},   /* Han */
    {0x4E00, 0x9FFF},   /* Han */
    {0xA000, 0xA4CF},   /* Yi */
    {0xA9E0, 0xA9FF},   /* Myanmar */
    {0xAA60, 0xAADF},   /* Myanmar, Tai Viet */
    {0xF900, 0xFAFF},   /* Han */
    {0x1AFF0, 0x1B16F}, /* Kana */
    {0x20000, 0x3FFFF}, /* Han */
};

static bool is_unspaced(utf8proc_int32_t c)
{
    for (size_t i = 0; i < sizeof unspaced / sizeof *unspaced && c >= unspaced[i].first; i++)
        if (c <= unspaced[i].last)
            return true;
    return false;
}

enum class { APART, LETTER, MARK };

static enum class class_of(utf8proc_int32_t c) {
    utf8proc_category_t k = utf8proc_category(c);
    if (k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME) return MARK;
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO ? LETTER : APART;
}

/* The code points of the normalised text, owned by the caller; NULL on failure. */
static utf8proc_int32_t *fold(const char *text, size_t n, utf8proc_ssize_t *count, struct err *e)
{
    const utf8proc_option_t how =
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD;
    const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t need = utf8proc_decompose(s, (utf8proc_ssize_t)n, NULL, 0, how);
    utf8proc_int32_t *points = need < 0 ? NULL : mem_alloc((size_t)need + 1, sizeof *points, e);
    if (points && utf8proc_decompose(s, (utf8proc_ssize_t)n, points, need, how) == need &&
        (*count = utf8proc_normalize_utf32(points, need, how)) >= 0)
        return points;
    if (need < 0 || points)
        err_set(e, "a text is not valid UTF-8");
    free(points);
    return NULL;
}

int words_unicode(const char *text, size_t n, struct buf *out, struct err *e)
{
    enum { NONE, RUN, SINGLE } open = NONE; /* the word that may continue */
    utf8proc_ssize_t count = 0;
    utf8proc_int32_t *c = fold(text, n, &count, e);
    int words = 0, rc = c ? 0 : -1;
    for (utf8proc_ssize_t i = 0; i < count && !rc; i++) {
        utf8proc_uint8_t bytes[4];
        enum class k = class_of(c[i]);
        bool alone = k == LETTER && is_unspaced(c[i]);
        bool goes_on = open && (k == MARK || (k == LETTER && !alone && open == RUN));
        if (open && !goes_on)
            rc = buf_add(out, "", 1, e);
        if (rc || k == APART) {
            open = NONE;
            continue;
        }
        words += !goes_on;
        open = goes_on ? open : alone ? SINGLE : RUN;
        rc = buf_add(out, bytes, (size_t)utf8proc_encode_char(c[i], bytes), e);
    }
    if (!rc && open)
        rc = buf_add(out, "", 1, e);
    free(c);
    return rc ? -1 : words;
}

bool words_are_unseen(const char *text, size_t n)
{
    size_t seen = 0, all = 0;
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c = 0;
        utf8proc_ssize_t len =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(n - i), &c);
        i += len > 0 ? (size_t)len : 1;
        if (len > 0 && class_of(c) == LETTER) {
            all++;
            seen += c < 0x80;
        }
    }
    return 2 * seen < all;
}

struct numbered_word {
    const char *text;
    int at; /* its place in the list */
};

static int compare_words(const void *a, const void *b)
{
    return strcmp(((const struct numbered_word *)a)->text, ((const struct numbered_word *)b)->text);
}

int words_number(const char *text, int n, int *ids, struct err *e)
{
    struct numbered_word *w = mem_alloc((size_t)n, sizeof *w, e);
    int words = 0;
    if (!w)
        return -1;
    for (int i = 0; i < n; i++, text += strlen(text) + 1)
        w[i] = (struct numbered_word){text, i};
    if (n)
        qsort(w, (size_t)n, sizeof *w, compare_words);
    for (int i = 0; i < n; i++) {
        words += !i || strcmp(w[i - 1].text, w[i].text);
        ids[w[i].at] = words - 1;
    }
    free(w);
    return words;
}

struct ngram_order {
    const int *ids;
    int n;
};

static int compare_ngrams(const void *a, const void *b, void *ctx)
{
    const struct ngram_order *o = ctx;
    const int *x = o->ids + *(const int *)a, *y = o->ids + *(const int *)b;
    int i = 0;
    while (i < o->n - 1 && x[i] == y[i])
        i++;
    return (x[i] > y[i]) - (x[i] < y[i]);
}

static int count_ngrams(int words, int n)
{
    return words >= n ? words - n + 1 : 0;
}

int ngrams_compare(const int *ids, int n_a, int n_b, int n, struct ngrams *out, struct err *e)
{
    *out = (struct ngrams){.a = count_ngrams(n_a, n), .b = count_ngrams(n_b, n)};
    int all = out->a + out->b;
    int *at = mem_alloc((size_t)all, sizeof *at, e); /* where each begins, equal ones together */
    if (!at)
        return -1;
    for (int i = 0; i < all; i++)
        at[i] = i < out->a ? i : n_a + i - out->a;
    struct ngram_order o = {ids, n};
    if (all)
        qsort_r(at, (size_t)all, sizeof *at, compare_ngrams, &o);
    for (int i = 0; i < all;) {
        int in_a = 0, in_b = 0, first = i;
        for (; i < all && !compare_ngrams(&at[first], &at[i], &o); i++) {
            in_a += at[i] < n_a;
            in_b += at[i] >= n_a;
        }
        out->common += in_a < in_b ? in_a : in_b;
        if (in_a) {
            double p = (double)in_a / out->a;
            out->b_in_a += in_b;
            out->distinct_a++;
            out->entropy_a -= p * log2(p);
        }
    }
    free(at);
    return 0;
}
