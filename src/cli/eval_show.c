#include "cli/eval_show.h"

#include <stdio.h>

#include "cli/suite_print.h"
#include "report/cost.h"
#include "report/table.h"
#include "suites/recipe.h"

static const struct column cols[] = {{"rows", "rows", ""},
                                     {"tokens", "tokens", ""},
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

static int fill(struct table *t, json_t *beside, struct err *e)
{
    int row = 1,
        rc = table_set(t, 0, 0, e, "beside the retrained") || columns_head(t, cols, COLS, e);
    const char *name;
    json_t *line;
    json_object_foreach(beside, name, line)
    {
        rc = rc || table_set(t, row, 0, e, "%s", name) || columns_fill(t, row, cols, COLS, line, e);
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

/* The metrics' table, and the data sets' beside the retrained model. */
static int write_files(const struct suite *s, const json_t *cost, const char *dir, struct err *e)
{
    const char *name = s->recipe->log;
    json_t *table = json_copy(s->table);
    int rc =
        !table || (s->comparison && json_object_set(table, "beside", s->comparison))
            ? suite_no_memory(e)
        : suite_write(&s->log, table, dir, name, e) || peer_write(cost, dir, name, "COST", 0, e)
            ? -1
            : 0;
    json_decref(table);
    return rc;
}

int eval_show(const struct suite *s, json_t *cost, const char *out, bool json, struct err *e)
{
    json_t *more = json_pack("{s:O}", "cost", cost);
    int rc = !more || (s->comparison && json_object_set(more, "beside", s->comparison))
                 ? suite_no_memory(e)
                 : 0;
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
