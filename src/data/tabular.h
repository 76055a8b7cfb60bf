/* Tables that are one JSON object, as rows: an object of columns ({"question": [...], "answer":
 * [...]}, of datasets.to_dict), columns by row number ({"question": {"0": ...}}, of
 * pandas.to_json), rows under "data" ({"data": [...]}), and pandas' split form ({"columns": [...],
 * "data": [[...], ...]}).
 */
#ifndef DATA_TABULAR_H
#define DATA_TABULAR_H

#include <jansson.h>

#include "base/err.h"

/* *rows: a new array of the table's rows, which are not checked; NULL if the object is a row,
 * not a table. Lists of numbers or of objects alone, as token ids and messages are,
 * make no table. */
int tabular_rows(json_t *object, json_t **rows, struct err *e);

#endif
