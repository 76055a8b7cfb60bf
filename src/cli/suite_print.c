#include "cli/suite_print.h"

#include <string.h>

#include "base/json.h"
#include "cli/foot_print.h"
#include "cli/print.h"
#include "report/table.h"
#include "suites/recipe.h"

static const struct column cols[] = {
    {"value", "value", "%.6g"}, {"95 % low", "low", "%.4g"}, {"95 % high", "high", "%.4g"},
    {"rows", "rows", ""},       {"missing", "missing", ""},  {"retrained", "retrained", "%.6g"},
    {"KS p", "ks", "%.3g"}};

enum { COLS = sizeof cols / sizeof *cols, COMPARED = 2 };

/* The last ones are for a retrained model's log. */
static int n_cols(const struct suite *s)
{
    return s->retain_log ? COLS : COLS - COMPARED;
}

/* Whether a line is printed: all of a log that was computed again, else those of the summary. */
static bool is_shown(const struct suite *s, const json_t *held, const char *name)
{
    const struct metric *m = s->recipe->metrics;
    while (m->name && strcmp(m->name, name))
        m++;
    return held || m->in_summary;
}

static int fill(struct table *t, const struct suite *s, const json_t *held, struct err *e)
{
    int n = n_cols(s), row = 1;
    int rc = table_set(t, 0, 0, e, "metric") || columns_head(t, cols, n, e);
    if (held && !rc)
        rc = table_set(t, 0, n + 1, e, "in the log");
    const char *name;
    json_t *line;
    json_object_foreach(s->table, name, line)
    {
        if (!is_shown(s, held, name))
            continue;
        rc = rc || table_set(t, row, 0, e, "%s", name) || columns_fill(t, row, cols, n, line, e);
        json_t *x = peer_number(peer_aggregate(held, name));
        if (held && !rc)
            rc = column_set(t, row, n + 1, x, "%.6g", e);
        json_decref(x);
        row++;
    }
    return rc ? -1 : 0;
}

static int count_shown(const struct suite *s, const json_t *held)
{
    int n = 0;
    const char *name;
    json_t *line;
    json_object_foreach(s->table, name, line) n += is_shown(s, held, name);
    return n;
}

static int print_summary(const struct suite *s, json_t *more, struct err *e)
{
    json_t *all = json_copy(s->log.summary);
    int rc = !all || (more && json_object_update(all, more)) ? suite_no_memory(e)
                                                             : print_json(all, JSON_LIKE_PYTHON, e);
    json_decref(all);
    return rc;
}

int suite_print(const struct suite *s, const json_t *held, bool json, json_t *more, struct err *e)
{
    if (json)
        return print_summary(s, more, e) ? -1 : foot_print(s, true, e);
    struct table t;
    struct buf text = {0};
    if (table_init(&t, count_shown(s, held) + 1, n_cols(s) + 1 + (held != NULL), e))
        return -1;
    int rc = fill(&t, s, held, e) || table_write(&t, TABLE_PLAIN, &text, e) ? -1 : 0;
    if (!rc)
        printf("%s", text.data);
    buf_fini(&text);
    table_fini(&t);
    return rc ? -1 : foot_print(s, false, e);
}

int suite_write(const struct peer_log *log, const json_t *table, const char *dir, const char *name,
                struct err *e)
{
    return peer_log_write(log, dir, name, e) || peer_write(table, dir, name, "TABLE", 0, e) ? -1
                                                                                            : 0;
}
