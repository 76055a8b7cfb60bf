/* Counting n-grams of two lists of numbers: words (words_number) or token ids. What BLEU,
 * extraction likelihood and repetition are made of.
 */
#ifndef EVAL_NGRAMS_H
#define EVAL_NGRAMS_H

#include "base/err.h"

/* ids[i] for the n NUL-terminated words that follow one another at `text`: equal words get equal
 * numbers, from 0. Returns how many different words there are, or -1. */
int words_number(const char *text, int n, int *ids, struct err *e);

struct ngrams {
    int a, b;         /* n-grams in either list, counted as often as they occur */
    int common;       /* in both, each as often as it occurs in both */
    int b_in_a;       /* those of b that occur in a at all */
    int distinct_a;   /* different ones in a */
    double entropy_a; /* of their distribution, in bits; 0 if there are none */
};

/* ids: list a [n_a], then list b [n_b]. Fails only for lack of memory. */
int ngrams_compare(const int *ids, int n_a, int n_b, int n, struct ngrams *out, struct err *e);

#endif
