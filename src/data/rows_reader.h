/* Parses one file's text into rows: the formats of data/rows.h. Private to rows.c and
 * rows_reader.c.
 */
#ifndef DATA_ROWS_READER_H
#define DATA_ROWS_READER_H

#include <stddef.h>

#include "data/rows.h"

/* What is being read: the text of one file, and the rows it goes to. */
struct rows_reader {
    struct rows *r;
    size_t cap_v, cap_at;
    const char *columns; /* names of a CSV file's fields; NULL: its first line */
    /* What begins with neither '{' nor '[' is a row {line_key: line} a line; NULL: it is not. */
    const char *line_key;
    const char *at, *end;
    int line; /* of `at` */
};

/* Appends the rows of one file's text, which is called `name`; it may be gzip-compressed. */
int rows_reader_text(struct rows_reader *rd, const char *name, const char *text, size_t len,
                     struct err *e);

#endif
