/* Added tokens: texts like <|im_end|> that are cut out before the pre-tokeniser sees anything. At
 * each place the longest one counts, the leftmost first.
 */
#ifndef TEXT_ADDED_H
#define TEXT_ADDED_H

#include <stdbool.h>

#include "text/normal.h"
#include "text/vocab.h"

struct added_token {
    int id;
    size_t at, n; /* what is looked for, in `texts` */
};

struct added {
    const struct vocab *vocab; /* borrowed */
    struct added_token *v;     /* [n] owned, by first byte, then longest first */
    int n;
    struct buf texts;
    int first[257]; /* tokens with first byte b are at [first[b], first[b + 1]) */
};

/* Where one was found: n bytes at `at`; with the white space that it takes along [from, to). */
struct added_hit {
    int id;
    size_t at, n, from, to;
};

/* The added tokens of the vocabulary that are looked for before (or after) normalisation. `normal`,
 * unless NULL, is what their own texts go through first but for those with TOKEN_AS_IS. */
int added_init(struct added *a, const struct vocab *v, bool after, const struct normal *normal,
               struct err *e);
void added_fini(struct added *a);
/* The next one in s[from..n), special ones only if asked for. */
bool added_find(const struct added *a, const char *s, size_t n, size_t from, bool specials,
                struct added_hit *hit);

#endif
