/* Tables of text for a terminal, a Markdown page or LaTeX (booktabs). Row 0 is the heading; the
 * first column is left-aligned, all others right-aligned. Cells are UTF-8; widths count code
 * points.
 */
#ifndef REPORT_TABLE_H
#define REPORT_TABLE_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

struct table {
    int rows, cols;
    char **cells; /* [rows * cols] owned; NULL: empty */
    int width; /* of a plain table, in columns of the terminal; 0: no limit. One that is wider has
                  its columns in several blocks, each with the first column */
};

int table_init(struct table *t, int rows, int cols, struct err *e);
void table_fini(struct table *t);
/* Sets one cell, replacing its text. */
int table_set(struct table *t, int row, int col, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* A number with three significant digits: "0.145", "12.3", "1230", "1.83e-21", "-" for NaN; returns
 * text. */
enum { DIGITS_MOST = 24 };
const char *digits_of(double x, char text[DIGITS_MOST]);

enum table_style { TABLE_PLAIN, TABLE_MARKDOWN, TABLE_LATEX };

/* Appends all rows, each ended by a newline. */
int table_write(const struct table *t, enum table_style style, struct buf *out, struct err *e);

/* A column that is filled from JSON objects: heading, key of the value; keys of its interval, which
 * is in the same cell: "0.145 [0.112, 0.172]". */
struct column {
    const char *heading, *key;
    const char *low, *high; /* NULL: none */
};

/* The headings of columns[n], from column 1 on. */
int columns_head(struct table *t, const struct column *columns, int n, struct err *e);
/* Fills a row from the object's values. */
int columns_fill(struct table *t, int row, const struct column *columns, int n, const json_t *line,
                 struct err *e);

/* A cell of CSV: a text, in quotes where it needs them; a JSON number or text, nothing of others.
 */
int csv_field(struct buf *out, const char *text, struct err *e);
int csv_value(struct buf *out, const json_t *v, struct err *e);

#endif
