/* CSV (RFC 4180): fields separated by commas, or by tabs or semicolons, "quoted" where they hold
 * those, quotes (doubled) or line breaks; LF or CRLF, or CR if the first line ends in it. The first
 * record names the fields. Values stay text.
 */
#ifndef DATA_CSV_H
#define DATA_CSV_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct csv {
    const char *at, *end; /* borrowed text, moving forward */
    int line;             /* of `at`, from 1 */
    char separator;       /* of fields */
    bool cr_ends;         /* lines end in CR alone; found with the header */
    json_t *names;        /* owned array of the header's fields */
    struct buf field;     /* owned scratch */
};

/* Reads the header. Zero-initialise but for at, end, line, separator. Errors begin with "line N: ".
 */
int csv_header(struct csv *c, struct err *e);
/* Takes the names from `header` instead: the text has no header line. */
int csv_names(struct csv *c, const char *header, struct err *e);
/* The next record as a new object {name: text} and the line it starts on; *row = NULL after the
 * last. Blank lines are skipped. */
int csv_row(struct csv *c, json_t **row, int *line, struct err *e);
void csv_fini(struct csv *c);

#endif
