/* Columns of a table whose lines are JSON objects: under each heading stands what a line has at one
 * key.
 */
#ifndef REPORT_COLUMNS_H
#define REPORT_COLUMNS_H

#include <jansson.h>

#include "report/table.h"

struct column {
    const char *heading, *key;
    const char *format; /* of numbers that are not whole */
};

/* The headings of columns[n], from column 1 on. */
int columns_head(struct table *t, const struct column *columns, int n, struct err *e);
/* What a line has of them, in a row. */
int columns_fill(struct table *t, int row, const struct column *columns, int n, const json_t *line,
                 struct err *e);
/* One cell: whole numbers as they are, others by the format, "-" where there is no number. */
int column_set(struct table *t, int row, int col, const json_t *x, const char *format,
               struct err *e);

#endif
