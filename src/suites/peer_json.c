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
        return err_set(e, "out of memory (metric '%s')", name);
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
    err_set(e, "out of memory (sorting metrics)");
    return NULL;
}

int peer_write(const json_t *j, const char *dir, const char *suite, const char *kind, size_t flags,
               struct err *e)
{
    struct buf name = {0};
    char *path = NULL;
    int rc = buf_printf(&name, e, "%s_%s.json", suite, kind) ||
                     !(path = file_join(dir, name.data, e)) ||
                     json_write_file(j, path, JSON_INDENT(4) | flags, e)
                 ? -1
                 : 0;
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
