#include "eval/ngrams.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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
