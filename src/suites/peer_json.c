#include "suites/peer_json.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

json_t *peer_number(double x)
{
    return isnan(x) ? json_null() : json_real(fmax(-DBL_MAX, fmin(x, DBL_MAX)));
}

double peer_value(const json_t *j)
{
    double x = json_is_number(j) ? json_number_value(j) : NAN;
    return fabs(x) == DBL_MAX ? copysign(INFINITY, x) : x;
}

double peer_aggregate(const json_t *log, const char *metric)
{
    const json_t *m = json_object_get(log, metric);
    return peer_value(json_is_object(m) ? json_object_get(m, "agg_value") : m);
}

json_t *peer_rows(const json_t *eval, const char *metric)
{
    json_t *rows = json_object_get(json_object_get(eval, metric), "value_by_index");
    return json_is_object(rows) ? rows : NULL;
}

/* Keys in the order that they are written. */
static const char *const column_keys[COLUMN_COUNT] = {
    [COLUMN_PROB] = "prob",          [COLUMN_LOSS] = "avg_loss",
    [COLUMN_SCORE] = "score",        [COLUMN_ROUGE_1] = "rouge1_recall",
    [COLUMN_ROUGE_F1] = "rougeL_f1", [COLUMN_ROUGE_L] = "rougeL_recall"};
static const char *const text_keys[TEXT_COUNT] = {
    [TEXT_INPUT] = "input", [TEXT_TRUTH] = "ground_truth", [TEXT_ANSWER] = "generation"};

static int read_row(const char *index, const json_t *row, unsigned columns, unsigned texts,
                    struct records *out, struct err *e)
{
    size_t n = 1;
    bool list = false;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        const json_t *x = json_object_get(row, column_keys[c]);
        if (!(columns & COLUMN_BIT(c)) || !json_is_array(x))
            continue;
        list = true;
        n = json_array_size(x) > n ? json_array_size(x) : n;
    }
    struct cell *cell = records_add(out, index, (int)n, list, e);
    if (!cell)
        return -1;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        const json_t *x = json_object_get(row, column_keys[c]);
        for (size_t i = 0; columns & COLUMN_BIT(c) && i < n; i++)
            cell[i].x[c] = peer_value(json_is_array(x) ? json_array_get(x, i) : x);
    }
    for (int t = 0; t < TEXT_COUNT; t++) {
        const json_t *text = json_object_get(row, text_keys[t]);
        if (texts & TEXT_BIT(t) && json_is_string(text) &&
            cell_set_text(cell, (enum text_id)t, json_string_value(text), json_string_length(text),
                          e))
            return -1;
    }
    return 0;
}

int peer_read_rows(json_t *rows, unsigned columns, unsigned texts, struct records *out,
                   struct err *e)
{
    const char *index;
    json_t *row;
    json_object_foreach(rows, index,
                        row) if (read_row(index, row, columns, texts, out, e)) return -1;
    return 0;
}

/* A column of one row: a number, or a list of them. */
static json_t *write_column(const struct records *r, int i, enum column_id column)
{
    const struct cell *cell = records_cell(r, i);
    if (!r->v[i].list)
        return peer_number(cell->x[column]);
    json_t *list = json_array();
    for (int k = 0; k < r->v[i].n; k++)
        json_array_append_new(list, peer_number(cell[k].x[column]));
    return list;
}

static json_t *write_row(const struct records *r, int i, unsigned columns, unsigned texts,
                         struct err *e)
{
    json_t *row = json_object();
    const struct cell *cell = records_cell(r, i);
    int rc = row ? 0 : -1;
    for (int c = 0; c < COLUMN_COUNT && !rc; c++)
        if (columns & COLUMN_BIT(c))
            rc = json_object_set_new(row, column_keys[c], write_column(r, i, (enum column_id)c));
    for (int t = 0; t < TEXT_COUNT && !rc; t++)
        if (texts & TEXT_BIT(t))
            rc = json_object_set_new(row, text_keys[t],
                                     json_stringn(cell->text[t].s, cell->text[t].n));
    if (!rc)
        return row;
    json_decref(row);
    if (texts)
        err_set(e, "a text is not valid UTF-8");
    else
        err_no_memory(e, "rows");
    return NULL;
}

json_t *peer_write_rows(const struct records *r, unsigned columns, unsigned texts, struct err *e)
{
    json_t *rows = json_object(), *row;
    int rc = rows ? 0 : err_no_memory(e, "rows");
    for (int i = 0; i < r->n && !rc; i++)
        rc = !(row = write_row(r, i, columns, texts, e))    ? -1
             : json_object_set_new(rows, r->v[i].name, row) ? err_no_memory(e, "rows")
                                                            : 0;
    if (!rc)
        return rows;
    json_decref(rows);
    return NULL;
}

const json_t *peer_truth(const json_t *eval, const char *metric, const char *index)
{
    size_t n = strcspn(metric, "_");
    const char *name;
    json_t *of;
    json_object_foreach((json_t *)eval, name, of)
    {
        const json_t *row = json_object_get(json_object_get(of, "value_by_index"), index);
        const json_t *text = json_object_get(row, text_keys[TEXT_TRUTH]);
        if (json_is_string(text) && !strncmp(name, metric, n))
            return text;
    }
    return NULL;
}

int peer_log_add(struct peer_log *log, const char *name, json_t *metric, bool in_summary,
                 struct err *e)
{
    if (!log->eval)
        log->eval = json_object();
    if (!log->summary)
        log->summary = json_object();
    json_t *agg = json_object_get(metric, "agg_value");
    if (json_object_set_new(log->eval, name, metric) ||
        (in_summary && json_object_set(log->summary, name, agg)))
        return err_code(e, ERR_NO_MEMORY, "out of memory (metric '%s')", name);
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Only the names of metrics are sorted: the rows within keep their order. */
static json_t *sorted(const json_t *object, struct err *e)
{
    size_t n = json_object_size(object), i = 0;
    const char **names = mem_alloc(n, sizeof *names, e), *name;
    json_t *out = names ? json_object() : NULL, *value;
    if (!out) {
        free(names);
        return NULL;
    }
    json_object_foreach((json_t *)object, name, value) names[i++] = name;
    if (n)
        qsort(names, n, sizeof *names, compare_names);
    int rc = 0;
    for (i = 0; i < n; i++)
        rc |= json_object_set(out, names[i], json_object_get(object, names[i]));
    free(names);
    if (!rc)
        return out;
    json_decref(out);
    err_no_memory(e, "sorting metrics");
    return NULL;
}

int peer_write(const json_t *j, const char *dir, const char *suite, const char *kind, size_t flags,
               struct err *e)
{
    struct buf name = {0};
    char *path = NULL;
    int rc = buf_printf(&name, e, "%s_%s.json", suite, kind) ||
             !(path = file_join(dir, name.data, e)) ||
             json_write_file(j, path, JSON_INDENT(4) | flags, e);
    free(path);
    buf_fini(&name);
    return rc;
}

static int write_one(const json_t *object, bool nan, const char *dir, const char *suite,
                     const char *kind, struct err *e)
{
    json_t *out = sorted(object, e);
    int rc =
        out ? peer_write(out, dir, suite, kind, JSON_ENSURE_ASCII | (nan ? JSON_NULL_IS_NAN : 0), e)
            : -1;
    json_decref(out);
    return rc;
}

int peer_log_write(const struct peer_log *log, const char *dir, const char *suite, struct err *e)
{
    if (file_make_dir(dir, e) || write_one(log->eval, log->nan, dir, suite, "EVAL", e))
        return -1;
    return write_one(log->summary, log->nan, dir, suite, "SUMMARY", e);
}

void peer_log_fini(struct peer_log *log)
{
    json_decref(log->eval);
    json_decref(log->summary);
    *log = (struct peer_log){0};
}
