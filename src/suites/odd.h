/* Rows of which a reader of a figure must know: those that are left out of it, or count and are not
 * what they look like. They are kept as {"missing": {"count": 2, "of": 40, "rows": ["3", "17"]}},
 * the first few by name: a row's number, of non-members "holdout 3".
 */
#ifndef SUITES_ODD_H
#define SUITES_ODD_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

enum odd {
    ODD_MISSING,           /* has no value */
    ODD_MISSING_RETRAINED, /* has none in the retrained model's log */
    ODD_UNSCORED,          /* no token of the answer is left to score */
    ODD_CUT,               /* cut to the greatest length */
    ODD_EMPTY,             /* the model's own answer says nothing */
    ODD_GARBLED,           /* it holds bytes that are no text */
    ODD_KINDS
};

/* Notes a row; *odd is made if it is NULL. `side` goes before its name, `of` is how many rows there
 * are. */
int odd_add(json_t **odd, enum odd kind, int of, const char *side, const char *row, struct err *e);
/* How many are noted. */
int odd_count(const json_t *odd, enum odd kind);
/* Appends what is to be said of them, "2 of 40 rows have no value (3, 17)"; nothing if there are
 * none. */
int odd_say(const json_t *odd, enum odd kind, struct buf *out, struct err *e);

#endif
