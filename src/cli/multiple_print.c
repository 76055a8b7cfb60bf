#include "cli/multiple_print.h"

#include <stdio.h>

#include "report/table.h"

/* The first of them always, the others where a line has them. */
enum { SHOWN_ALWAYS = 6 };
static const struct column columns[] = {
    {"questions", "rows", ""},        {"left out", "missing", ""},
    {"acc", "acc", "%.4f"},           {"stderr", "acc_stderr", "%.4f"},
    {"95 % low", "low", "%.4f"},      {"95 % high", "high", "%.4f"},
    {"acc_norm", "acc_norm", "%.4f"}, {"macro F1", "macro_f1", "%.4f"},
    {"mean", "acc_mean", "%.4f"},     {"sd", "acc_sd", "%.4f"},
    {"seconds", "seconds", "%.2f"},   {"rows/s", "rows_per_second", "%.1f"}};

enum { COLUMNS = sizeof columns / sizeof *columns };

/* The columns that are shown; how many. */
static int choose(const struct multiple *m, struct column *shown)
{
    int n = 0;
    for (int c = 0; c < COLUMNS; c++) {
        const char *name;
        json_t *line;
        bool wanted = c < SHOWN_ALWAYS;
        json_object_foreach(m->table, name, line) wanted |=
            json_is_number(json_object_get(line, columns[c].key));
        if (wanted)
            shown[n++] = columns[c];
    }
    return n;
}

int multiple_print(const struct multiple *m, struct err *e)
{
    struct column shown[COLUMNS];
    struct table t;
    struct buf text = {0};
    const char *name;
    json_t *line;
    int n = choose(m, shown), row = 1;
    if (table_init(&t, (int)json_object_size(m->table) + 1, n + 1, e))
        return -1;
    int rc = table_set(&t, 0, 0, e, "task") || columns_head(&t, shown, n, e);
    json_object_foreach(m->table, name, line)
    {
        rc = rc || table_set(&t, row, 0, e, "%s", name) || columns_fill(&t, row, shown, n, line, e);
        row++;
    }
    if (!rc && !(rc = table_write(&t, TABLE_PLAIN, &text, e)))
        printf("%s", text.data);
    buf_fini(&text);
    table_fini(&t);
    return rc ? -1 : 0;
}
