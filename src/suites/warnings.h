/* Row warnings: rows excluded from a metric (missing) and rows that count but are suspicious
 * (truncated, empty, invalid UTF-8). For each kind their number, the number of rows, and the first
 * few names.
 */
#ifndef SUITES_WARNINGS_H
#define SUITES_WARNINGS_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

enum warning {
    WARN_MISSING,           /* it has no value and is left out */
    WARN_MISSING_RETRAINED, /* the same in the retrained model's log */
    WARN_UNSCORED,          /* the answer has no scored token */
    WARN_CUT,               /* truncated to the maximum length */
    WARN_EMPTY,             /* the generated answer is empty */
    WARN_GARBLED,           /* the generated answer is not valid UTF-8 */
    WARN_UNSEEN,            /* mostly letters that the metric ignores: its words are a-z and 0-9 */
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
/* Appends "2 of 40 rows have no value (3, 17)"; nothing if there are no such rows. */
int warnings_write(const struct warnings *w, enum warning kind, struct buf *out, struct err *e);
/* Sets line["odd"] = {kind: {"count", "of", "rows"}} for the kinds that occur, if any. */
int warnings_to_json(const struct warnings *w, json_t *line, struct err *e);

#endif
