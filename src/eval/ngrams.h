/* Counts n-grams of two lists of integers: words (words_number) or token ids. Used by BLEU,
 * extraction likelihood and repetition.
 */
#ifndef EVAL_NGRAMS_H
#define EVAL_NGRAMS_H

#include "base/err.h"

/* ids[i] for the n consecutive NUL-terminated words at `text`: equal words get equal numbers, from
 * 0. Returns the number of distinct words, or -1. */
int words_number(const char *text, int n, int *ids, struct err *e);

struct ngrams {
    int a, b;         /* n-grams of each list, repetitions counted */
    int common;       /* in both, each min(count in a, count in b) times */
    int b_in_a;       /* n-grams of b that occur in a, repetitions counted */
    int distinct_a;   /* distinct ones in a */
    double entropy_a; /* of their distribution, in bits; 0 if there are none */
};

/* ids: list a [n_a], then list b [n_b]. Fails only for lack of memory. */
int ngrams_compare(const int *ids, int n_a, int n_b, int n, struct ngrams *out, struct err *e);

#endif
