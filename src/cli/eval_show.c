#include "cli/eval_show.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/suite_print.h"
#include "report/cost.h"
#include "report/table.h"
#include "suites/recipe.h"

static const struct {
    const char *heading, *key;
    const char *format; /* NULL: a whole number */
} cols[] = {{"rows", "rows", NULL},
            {"tokens", "tokens", NULL},
            {"KL", "kl", "%.4g"},
            {"95 % low", "kl_low", "%.4g"},
            {"95 % high", "kl_high", "%.4g"},
            {"same top-1", "top1", "%.4f"},
            {"95 % low", "top1_low", "%.4f"},
            {"95 % high", "top1_high", "%.4f"},
            {"KS p", "ks", "%.3g"},
            {"AUC", "auc", "%.4f"},
            {"95 % low", "auc_low", "%.4f"},
            {"95 % high", "auc_high", "%.4f"},
            {"AUC gap", "auc_gap", "%+.4f"}};

enum { COLS = sizeof cols / sizeof *cols };

static int set_cell(struct table *t, int row, int col, const json_t *x, struct err *e)
{
    char text[32];
    const char *format = cols[col - 1].format;
    if (!json_is_number(x))
        return table_set(t, row, col, e, "-");
    if (format)
        snprintf(text, sizeof text, format, json_number_value(x));
    else
        snprintf(text, sizeof text, "%d", (int)json_integer_value(x));
    return table_set(t, row, col, e, "%s", text);
}

static int fill(struct table *t, json_t *beside, struct err *e)
{
    int row = 1, rc = table_set(t, 0, 0, e, "beside the retrained");
    for (int c = 1; c <= COLS && !rc; c++)
        rc = table_set(t, 0, c, e, "%s", cols[c - 1].heading);
    const char *name;
    json_t *line;
    json_object_foreach(beside, name, line)
    {
        rc = rc || table_set(t, row, 0, e, "%s", name);
        for (int c = 1; c <= COLS && !rc; c++)
            rc = set_cell(t, row, c, json_object_get(line, cols[c - 1].key), e);
        row++;
    }
    return rc ? -1 : 0;
}

static int write_beside(json_t *beside, struct buf *out, struct err *e)
{
    struct table t;
    if (table_init(&t, (int)json_object_size(beside) + 1, COLS + 1, e))
        return -1;
    int rc = fill(&t, beside, e) || table_write(&t, TABLE_PLAIN, out, e) ? -1 : 0;
    table_fini(&t);
    return rc;
}

/* What stands below the metrics. */
static int print_more(json_t *more, struct err *e)
{
    struct buf text = {0};
    json_t *beside = json_object_get(more, "beside");
    int rc = buf_str(&text, "\n", e);
    if (!rc && beside)
        rc = write_beside(beside, &text, e) || buf_str(&text, "\n", e);
    if (!rc && !(rc = cost_write(json_object_get(more, "cost"), &text, e)))
        printf("%s", text.data);
    buf_fini(&text);
    return rc ? -1 : 0;
}

int eval_write_cost(const json_t *cost, const char *dir, const char *name, struct err *e)
{
    struct buf file = {0};
    char *path = NULL;
    int rc = buf_printf(&file, e, "%s_COST.json", name) || !(path = file_join(dir, file.data, e)) ||
                     json_write_file(cost, path, JSON_INDENT(4), e)
                 ? -1
                 : 0;
    free(path);
    buf_fini(&file);
    return rc;
}

/* The metrics' table, and the data sets' beside the retrained model. */
static int write_files(const struct suite *s, const json_t *cost, const char *dir, struct err *e)
{
    const char *name = s->recipe->log;
    json_t *table = json_copy(s->table);
    int rc = !table || (s->beside && json_object_set(table, "beside", s->beside))
                 ? suite_no_memory(e)
             : suite_write(&s->log, table, dir, name, e) || eval_write_cost(cost, dir, name, e) ? -1
                                                                                                : 0;
    json_decref(table);
    return rc;
}

int eval_show(const struct suite *s, json_t *cost, const char *out, bool json, struct err *e)
{
    json_t *more = json_pack("{s:O}", "cost", cost);
    int rc =
        !more || (s->beside && json_object_set(more, "beside", s->beside)) ? suite_no_memory(e) : 0;
    if (!rc && out)
        rc = write_files(s, cost, out, e);
    if (!rc && json && !cost_has_ledger(cost))
        json_object_del(more, "cost");
    if (!rc)
        rc = suite_print(s, NULL, json, more, e);
    if (!rc && !json)
        rc = print_more(more, e);
    json_decref(more);
    return rc;
}
