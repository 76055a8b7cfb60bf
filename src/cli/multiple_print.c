#include "cli/multiple_print.h"

#include <stdio.h>

#include "report/table.h"

static const struct column {
    const char *heading, *key, *format; /* format: of numbers that are not whole */
    bool always;                        /* not only where a line has it */
} columns[] = {{"questions", "rows", "", true},
               {"left out", "missing", "", true},
               {"acc", "acc", "%.4f", true},
               {"stderr", "acc_stderr", "%.4f", true},
               {"95 % low", "low", "%.4f", true},
               {"95 % high", "high", "%.4f", true},
               {"acc_norm", "acc_norm", "%.4f", false},
               {"macro F1", "macro_f1", "%.4f", false},
               {"mean", "acc_mean", "%.4f", false},
               {"sd", "acc_sd", "%.4f", false},
               {"seconds", "seconds", "%.2f", false},
               {"rows/s", "rows_per_second", "%.1f", false}};

enum { COLUMNS = sizeof columns / sizeof *columns };

/* The columns that are shown; how many. */
static int choose(const struct multiple *m, const struct column **shown)
{
    int n = 0;
    for (int c = 0; c < COLUMNS; c++) {
        const char *name;
        json_t *line;
        bool wanted = columns[c].always;
        json_object_foreach(m->table, name, line) wanted |=
            json_is_number(json_object_get(line, columns[c].key));
        if (wanted)
            shown[n++] = &columns[c];
    }
    return n;
}

/* "-" where there is no number. */
static int set_number(struct table *t, int row, int col, const json_t *v, const char *format,
                      struct err *e)
{
    char text[32] = "-";
    if (json_is_integer(v))
        snprintf(text, sizeof text, "%d", (int)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(text, sizeof text, format, json_real_value(v));
    return table_set(t, row, col, e, "%s", text);
}

int multiple_print(const struct multiple *m, struct err *e)
{
    const struct column *shown[COLUMNS];
    struct table t;
    struct buf text = {0};
    const char *name;
    json_t *line;
    int n = choose(m, shown), row = 1;
    if (table_init(&t, (int)json_object_size(m->table) + 1, n + 1, e))
        return -1;
    int rc = table_set(&t, 0, 0, e, "task");
    for (int c = 0; c < n && !rc; c++)
        rc = table_set(&t, 0, c + 1, e, "%s", shown[c]->heading);
    json_object_foreach(m->table, name, line)
    {
        rc = rc || table_set(&t, row, 0, e, "%s", name);
        for (int c = 0; c < n && !rc; c++)
            rc = set_number(&t, row, c + 1, json_object_get(line, shown[c]->key), shown[c]->format,
                            e);
        row++;
    }
    if (!rc && !(rc = table_write(&t, TABLE_PLAIN, &text, e)))
        printf("%s", text.data);
    buf_fini(&text);
    table_fini(&t);
    return rc;
}
