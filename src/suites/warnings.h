/* Row warnings: rows excluded from a figure, because they have no value, and rows that count but
 * are suspicious. For each kind how many there are, of how many, and the first few by name.
 */
#ifndef SUITES_WARNINGS_H
#define SUITES_WARNINGS_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

enum warning {
    WARN_MISSING,           /* it has no value, and is left out */
    WARN_MISSING_RETRAINED, /* the same in the retrained model's log */
    WARN_UNSCORED,          /* no token of the answer is left to score */
    WARN_CUT,               /* truncated to the greatest length */
    WARN_EMPTY,             /* the model's answer is empty */
    WARN_GARBLED,           /* the model's answer is not valid UTF-8 */
    WARN_UNSEEN,            /* the metric's words are a-z and 0-9, the text's are mostly others */
    WARN_COUNT
};

enum { WARNINGS_NAMED = 6, WARNINGS_NAME = 40 };

/* Zero-initialise. */
struct warnings {
    struct {
        int count, of;
        char row[WARNINGS_NAMED][WARNINGS_NAME];
    } kind[WARN_COUNT];
};

/* `side` precedes the row's name, `of` is how many rows there are. */
void warnings_add(struct warnings *w, enum warning kind, int of, const char *side, const char *row);
/* Appends "2 of 40 rows have no value (3, 17)"; nothing if there are none. */
int warnings_write(const struct warnings *w, enum warning kind, struct buf *out, struct err *e);
/* Sets line["odd"] = {kind: {"count", "of", "rows"}} of those that there are, if any. */
int warnings_to_json(const struct warnings *w, json_t *line, struct err *e);

#endif
