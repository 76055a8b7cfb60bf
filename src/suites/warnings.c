#include "suites/warnings.h"

#include <stdio.h>

static const struct {
    const char *key, *text;
} kinds[WARN_COUNT] = {
    [WARN_MISSING] = {"missing", "rows have no value and are left out"},
    [WARN_MISSING_RETRAINED] = {"missing_retrained",
                                "rows of the retrained model's log have no value and are left out"},
    [WARN_UNSCORED] = {"unscored", "rows have no token of an answer to score"},
    [WARN_CUT] = {"cut", "rows are cut to the greatest length"},
    [WARN_EMPTY] = {"empty", "answers of the model are empty"},
    [WARN_GARBLED] = {"garbled", "answers of the model hold bytes that are no text"},
    [WARN_UNSEEN] = {"unseen", "rows are mostly in letters that the words of this metric, made of "
                               "a-z and 0-9, leave out"}};

static int n_named(const struct warnings *w, enum warning kind)
{
    return w->kind[kind].count < WARNINGS_NAMED ? w->kind[kind].count : WARNINGS_NAMED;
}

void warnings_add(struct warnings *w, enum warning kind, int of, const char *side, const char *row)
{
    if (w->kind[kind].count < WARNINGS_NAMED)
        snprintf(w->kind[kind].row[w->kind[kind].count], WARNINGS_NAME, "%s%s", side, row);
    w->kind[kind].count++;
    w->kind[kind].of = of;
}

int warnings_write(const struct warnings *w, enum warning kind, struct buf *out, struct err *e)
{
    int count = w->kind[kind].count, rc;
    if (!count)
        return 0;
    rc = buf_printf(out, e, "%d of %d %s (", count, w->kind[kind].of, kinds[kind].text);
    for (int i = 0; !rc && i < n_named(w, kind); i++)
        rc = buf_printf(out, e, "%s%s", i ? ", " : "", w->kind[kind].row[i]);
    return rc || buf_printf(out, e, "%s)", count > WARNINGS_NAMED ? " ..." : "");
}

int warnings_to_json(const struct warnings *w, json_t *line, struct err *e)
{
    json_t *all = json_object();
    int rc = 0;
    for (int k = 0; k < WARN_COUNT; k++) {
        json_t *rows = w->kind[k].count ? json_array() : NULL;
        for (int i = 0; rows && i < n_named(w, (enum warning)k); i++)
            rc |= json_array_append_new(rows, json_string(w->kind[k].row[i]));
        if (w->kind[k].count)
            rc |= json_object_set_new(all, kinds[k].key,
                                      json_pack("{s:i, s:i, s:o}", "count", w->kind[k].count, "of",
                                                w->kind[k].of, "rows", rows));
    }
    if (json_object_size(all))
        rc |= json_object_set(line, "odd", all);
    json_decref(all);
    return rc ? err_no_memory(e, "row warnings") : 0;
}
