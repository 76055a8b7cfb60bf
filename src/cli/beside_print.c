#include "cli/beside_print.h"

#include <stdio.h>

#include "report/table.h"

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

int beside_print(json_t *beside, struct err *e)
{
    struct table t;
    struct buf text = {0};
    if (table_init(&t, (int)json_object_size(beside) + 1, COLS + 1, e))
        return -1;
    int rc = fill(&t, beside, e) || table_write(&t, TABLE_PLAIN, &text, e) ? -1 : 0;
    if (!rc)
        printf("\n%s", text.data);
    buf_fini(&text);
    table_fini(&t);
    return rc;
}
