#include "suites/odd.h"

#include <stdio.h>

enum { NAMED = 6 };

static const struct {
    const char *key, *says;
} kinds[ODD_KINDS] = {
    [ODD_MISSING] = {"missing", "rows have no value and are left out"},
    [ODD_MISSING_RETRAINED] = {"missing_retrained",
                               "rows of the retrained model's log have no value and are left out"},
    [ODD_UNSCORED] = {"unscored", "rows have no token of an answer to score"},
    [ODD_CUT] = {"cut", "rows are cut to the greatest length"},
    [ODD_EMPTY] = {"empty", "answers of the model are empty"},
    [ODD_GARBLED] = {"garbled", "answers of the model hold bytes that are no text"}};

static json_t *get(json_t **odd, enum odd kind)
{
    if (!*odd)
        *odd = json_object();
    json_t *one = json_object_get(*odd, kinds[kind].key);
    if (one)
        return one;
    one = json_pack("{s:i, s:i, s:[]}", "count", 0, "of", 0, "rows");
    return json_object_set_new(*odd, kinds[kind].key, one) ? NULL : one;
}

int odd_add(json_t **odd, enum odd kind, int of, const char *side, const char *row, struct err *e)
{
    char name[64];
    json_t *one = get(odd, kind);
    if (!one)
        return err_set(e, "out of memory (rows of note)");
    snprintf(name, sizeof name, "%s%s", side, row);
    int count = (int)json_integer_value(json_object_get(one, "count"));
    int rc = json_object_set_new(one, "count", json_integer(count + 1)) |
             json_object_set_new(one, "of", json_integer(of));
    if (count < NAMED)
        rc |= json_array_append_new(json_object_get(one, "rows"), json_string(name));
    return rc ? err_set(e, "out of memory (rows of note)") : 0;
}

int odd_count(const json_t *odd, enum odd kind)
{
    return (int)json_integer_value(json_object_get(json_object_get(odd, kinds[kind].key), "count"));
}

int odd_say(const json_t *odd, enum odd kind, struct buf *out, struct err *e)
{
    const json_t *one = json_object_get(odd, kinds[kind].key), *rows = json_object_get(one, "rows");
    int count = odd_count(odd, kind), rc = 0;
    if (!count)
        return 0;
    rc = buf_printf(out, e, "%d of %d %s (", count,
                    (int)json_integer_value(json_object_get(one, "of")), kinds[kind].says);
    for (size_t i = 0; !rc && i < json_array_size(rows); i++)
        rc = buf_printf(out, e, "%s%s", i ? ", " : "", json_string_value(json_array_get(rows, i)));
    return rc || buf_printf(out, e, "%s)", count > NAMED ? " ..." : "") ? -1 : 0;
}
