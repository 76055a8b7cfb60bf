#include "data/readers.h"

#include <stdbool.h>
#include <string.h>

static int no_memory(struct err *e)
{
    return err_no_memory(e, "rows of a table");
}

static json_t *first_value(json_t *object)
{
    return json_object_iter_value(json_object_iter(object));
}

/* Lists of one length, at least one of them of texts or of lists. */
static bool is_columns(json_t *object)
{
    size_t n = json_array_size(first_value(object)), i;
    const char *key;
    json_t *column, *cell;
    bool texts = false;
    json_object_foreach(object, key, column)
    {
        if (!json_is_array(column) || json_array_size(column) != n)
            return false;
        json_array_foreach(column, i, cell) texts |= json_is_string(cell) || json_is_array(cell);
    }
    return texts;
}

/* Objects whose keys are the same numbers. */
static bool is_numbered(json_t *object)
{
    json_t *first = first_value(object), *column, *cell;
    const char *key, *number;
    json_object_foreach(object, key, column)
    {
        if (!json_is_object(column) || json_object_size(column) != json_object_size(first))
            return false;
        json_object_foreach(column, number, cell) if (!*number ||
                                                      number[strspn(number, "0123456789")] ||
                                                      !json_object_get(first, number)) return false;
    }
    return json_object_size(first) > 0;
}

/* The rows that have these names and the cells of `list`, one list a row. */
static bool is_split(json_t *names, json_t *list)
{
    size_t i;
    json_t *one;
    if (!json_array_size(names) || !json_array_size(list))
        return false;
    json_array_foreach(names, i, one) if (!json_is_string(one)) return false;
    json_array_foreach(list, i, one) if (json_array_size(one) != json_array_size(names) ||
                                         !json_is_array(one)) return false;
    return true;
}

static bool is_rows(json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) if (!json_is_object(one) && !json_is_string(one)) return false;
    return json_array_size(list) > 0;
}

/* A new row at the end of `rows`; NULL on failure. */
static json_t *new_row(json_t *rows)
{
    json_t *row = json_object();
    return json_array_append_new(rows, row) ? NULL : row;
}

static int from_columns(json_t *object, json_t *rows)
{
    size_t n = json_array_size(first_value(object));
    const char *key;
    json_t *column, *row;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = (row = new_row(rows)) ? 0 : -1;
        json_object_foreach(object, key, column) rc |=
            json_object_set(row, key, json_array_get(column, i));
    }
    return rc;
}

static int from_numbered(json_t *object, json_t *rows)
{
    const char *key, *number;
    json_t *column, *cell, *row;
    int rc = 0;
    json_object_foreach(first_value(object), number, cell)
    {
        rc |= (row = new_row(rows)) ? 0 : -1;
        json_object_foreach(object, key, column) rc |=
            json_object_set(row, key, json_object_get(column, number));
    }
    return rc;
}

static int from_split(json_t *names, json_t *list, json_t *rows)
{
    size_t i, k;
    json_t *cells, *name, *row;
    int rc = 0;
    json_array_foreach(list, i, cells)
    {
        rc |= (row = new_row(rows)) ? 0 : -1;
        json_array_foreach(names, k, name) rc |=
            json_object_set(row, json_string_value(name), json_array_get(cells, k));
    }
    return rc;
}

int tabular_rows(json_t *object, json_t **rows, struct err *e)
{
    json_t *data = json_object_get(object, "data"), *names = json_object_get(object, "columns");
    int rc = 0;
    *rows = NULL;
    if (is_rows(data)) {
        *rows = json_incref(data);
        return 0;
    }
    bool split = is_split(names, data), columns = !split && is_columns(object);
    if (!split && !columns && !is_numbered(object))
        return 0;
    if (!(*rows = json_array()))
        return no_memory(e);
    rc = split     ? from_split(names, data, *rows)
         : columns ? from_columns(object, *rows)
                   : from_numbered(object, *rows);
    if (!rc)
        return 0;
    json_decref(*rows);
    *rows = NULL;
    return no_memory(e);
}
