#include "cli/suite_print.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/foot_print.h"
#include "cli/print.h"
#include "report/table.h"
#include "suites/recipe.h"

static const struct {
    const char *heading, *key;
    const char *format; /* NULL: a whole number */
} cols[] = {{"value", "value", "%.6g"},    {"95 % low", "low", "%.4g"},
            {"95 % high", "high", "%.4g"}, {"rows", "rows", NULL},
            {"missing", "missing", NULL},  {"retrained", "retrained", "%.6g"},
            {"KS p", "ks", "%.3g"}};

enum { COLS = sizeof cols / sizeof *cols, COMPARED = 2 };

/* The last ones are for a retrained model's log. */
static int n_cols(const struct suite *s)
{
    return s->retain_log ? COLS : COLS - COMPARED;
}

static int set_number(struct table *t, int row, int col, const json_t *x, const char *format,
                      struct err *e)
{
    char text[32];
    if (!json_is_number(x))
        return table_set(t, row, col, e, "-");
    if (format)
        snprintf(text, sizeof text, format, json_number_value(x));
    else
        snprintf(text, sizeof text, "%d", (int)json_integer_value(x));
    return table_set(t, row, col, e, "%s", text);
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
    int n = n_cols(s), row = 1, rc = table_set(t, 0, 0, e, "metric");
    for (int c = 0; c < n && !rc; c++)
        rc = table_set(t, 0, c + 1, e, "%s", cols[c].heading);
    if (held && !rc)
        rc = table_set(t, 0, n + 1, e, "in the log");
    const char *name;
    json_t *line;
    json_object_foreach(s->table, name, line)
    {
        if (!is_shown(s, held, name))
            continue;
        rc = rc || table_set(t, row, 0, e, "%s", name);
        for (int c = 0; c < n && !rc; c++)
            rc = set_number(t, row, c + 1, json_object_get(line, cols[c].key), cols[c].format, e);
        json_t *x = peer_number(peer_aggregate(held, name));
        if (held && !rc)
            rc = set_number(t, row, n + 1, x, "%.6g", e);
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
    struct buf file = {0};
    char *path = NULL;
    int rc = peer_log_write(log, dir, name, e) || buf_printf(&file, e, "%s_TABLE.json", name) ||
                     !(path = file_join(dir, file.data, e)) ||
                     json_write_file(table, path, JSON_INDENT(4), e)
                 ? -1
                 : 0;
    free(path);
    buf_fini(&file);
    return rc;
}
