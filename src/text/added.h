/* Added tokens: texts like <|im_end|> that are cut out before the pre-tokeniser sees anything. At
 * each place the longest one counts, the leftmost first.
 */
#ifndef TEXT_ADDED_H
#define TEXT_ADDED_H

#include <stdbool.h>

#include "text/vocab.h"

struct added {
    const struct vocab *vocab; /* borrowed */
    int *ids;                  /* [n] owned, by first byte, then longest first */
    int n;
    int first[257]; /* ids of tokens with first byte b are at [first[b], first[b + 1]) */
};

/* The added tokens of the vocabulary that are looked for before (or after) normalisation. */
int added_init(struct added *a, const struct vocab *v, bool after, struct err *e);
void added_fini(struct added *a);
/* The next one in s[from..n), special ones only if asked for: its id and place, or -1. */
int added_find(const struct added *a, const char *s, size_t n, size_t from, bool specials,
               size_t *at);

#endif
