#include "report/columns.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

int columns_head(struct table *t, const struct column *columns, int n, struct err *e)
{
    int rc = 0;
    for (int c = 0; c < n && !rc; c++)
        rc = table_set(t, 0, c + 1, e, "%s", columns[c].heading);
    return rc;
}

int column_set(struct table *t, int row, int col, const json_t *x, const char *format,
               struct err *e)
{
    char text[32] = "-";
    if (json_is_integer(x))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(x));
    else if (fabs(json_number_value(x)) == DBL_MAX) /* as logs write an infinite number */
        snprintf(text, sizeof text, json_number_value(x) < 0 ? "-inf" : "inf");
    else if (json_is_real(x))
        snprintf(text, sizeof text, format, json_real_value(x));
    return table_set(t, row, col, e, "%s", text);
}

int columns_fill(struct table *t, int row, const struct column *columns, int n, const json_t *line,
                 struct err *e)
{
    int rc = 0;
    for (int c = 0; c < n && !rc; c++)
        rc = column_set(t, row, c + 1, json_object_get(line, columns[c].key), columns[c].format, e);
    return rc;
}
