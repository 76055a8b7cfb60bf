/* Rows of a data file: JSON Lines, a JSON array of objects, or CSV later. A row is a JSON object; its
 * number is its place in the file, from 0. FILE[a:b] takes a half-open range of rows; FILE+FILE joins.
 */
#ifndef DATA_ROWS_H
#define DATA_ROWS_H

#include <jansson.h>

#include "base/err.h"

struct rows {
    json_t **v; /* owned references */
    int n;
    char *path; /* owned, for messages */
};

/* Refuses invalid UTF-8, rows that are no objects, and empty files, naming the line. */
int rows_open(struct rows *r, const char *spec, struct err *e);
void rows_close(struct rows *r);

#endif
