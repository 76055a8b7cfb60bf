/* Added tokens: texts like <|im_end|> that are split off before pre-tokenisation. The leftmost
 * match comes first, the longest at each position.
 */
#ifndef TEXT_ADDED_H
#define TEXT_ADDED_H

#include <stdbool.h>

#include "text/normal.h"
#include "text/vocab.h"

struct added_token {
    int id;
    size_t at, n; /* its text, in `texts` */
};

struct added {
    const struct vocab *vocab; /* borrowed */
    struct added_token *v;     /* [n] owned, by first byte, then longest first */
    int n;
    struct buf texts;
    int first[257]; /* tokens with first byte b are at [first[b], first[b + 1]) */
};

/* A match: n bytes at `at`; with the white space that it strips [from, to). */
struct added_hit {
    int id;
    size_t at, n, from, to;
};

/* The added tokens of the vocabulary that are matched before (or after) normalisation. `normal`,
 * unless NULL, is applied to their own texts first, except those with TOKEN_AS_IS. */
int added_init(struct added *a, const struct vocab *v, bool after, const struct normal *normal,
               struct err *e);
void added_fini(struct added *a);
/* The next one in s[from..n), special ones only if asked for. */
bool added_find(const struct added *a, const char *s, size_t n, size_t from, bool specials,
                struct added_hit *hit);

#endif
