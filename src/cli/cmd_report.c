/* unlearn report [NAME=]LOG ...: compare evaluation logs of several models in one table. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "report/table.h"
#include "suites/peer_json.h"
#include "suites/recipe.h"

struct options {
    const char *suite;
    bool json, markdown;
};

static const struct param params[] = {
    STRING_PARAM(struct options, suite, NULL, "NAME|FILE",
                 "a suite of your own whose logs are compared; built-in ones need no --suite"),
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    BOOL_PARAM(struct options, markdown, false, "print a Markdown table"),
    {0}};

static const char about[] =
    "Prints one table: a column for each model, a row for each metric that any log has. A log is a "
    "directory\n"
    "with TOFU_EVAL.json or another suite's log (or the _SUMMARY.json), or one such file, written "
    "by this\n"
    "program or by OpenUnlearning. The cost of making a model is read from the directory as well. "
    "Without\n"
    "a NAME a column is named after the directory.\n"
    "\n"
    "  unlearn report base=runs/base target=runs/target retrained=runs/gold npo=runs/npo\n";

/* The last rows, from SUITE_COST.json (report/cost.h). */
static const struct suite_line cost_lines[] = {
    {"cost_seconds", "cost: wall time, s", "%.1f"},
    {"cost_flops", "cost: FLOPs", "%.4g"},
    {"cost_tokens", "cost: tokens read", "%.0f"},
    {"cost_peak_bytes", "cost: peak memory, bytes", "%.4g"},
    {"cost_touched", "cost: parameters touched", "%.0f"}};

enum { COST_LINES = sizeof cost_lines / sizeof *cost_lines, MOST_SUITES = 32, MOST_LINES = 256 };

/* One column. */
struct logged {
    char *name;  /* owned */
    json_t *log; /* owned: the metrics of all its files */
};

struct report {
    struct suite_recipe suites[MOST_SUITES]; /* with metrics, not tasks */
    bool found[MOST_SUITES];                 /* whether a log of it was read */
    int n_suites;
    struct suite_line lines[MOST_LINES]; /* rows: those that any model has, each metric once */
    int n_lines;
    struct logged *models; /* owned [n] */
    int n;
};

static int open_suite(struct report *r, const char *name, struct err *e)
{
    struct suite_recipe *s = &r->suites[r->n_suites];
    BUG_ON(r->n_suites == MOST_SUITES);
    if (suite_recipe_open(s, name, e))
        return -1;
    if (s->n_report)
        r->n_suites++;
    else
        suite_recipe_close(s);
    return 0;
}

/* The user's, then the built-in ones. */
static int open_suites(struct report *r, const char *own, struct err *e)
{
    int rc = own ? open_suite(r, own, e) : 0;
    for (const struct suite_text *t = suite_texts; t->name && !rc; t++)
        rc = open_suite(r, t->name, e);
    return rc;
}

/* Adds the metrics of DIR/SUITE_KIND.json that are not there yet; no file is fine. */
static int merge(json_t *log, const char *dir, const char *file, struct err *e)
{
    char *path = file_join(dir, file, e);
    int rc = path ? 0 : -1;
    if (path && file_exists(path)) {
        json_t *more = json_read_log(path, e);
        if (!more || json_object_update_missing(log, more))
            rc =
                more ? err_set(e, "'%s' is no evaluation log: it must be a json object", path) : -1;
        json_decref(more);
    }
    free(path);
    return rc;
}

/* Adds the cost of making the model, if DIR/SUITE_COST.json has it (report/cost.h). */
static int merge_cost(json_t *log, const char *dir, const char *file, struct err *e)
{
    json_t *all = json_object(), *x;
    const char *key;
    int rc = all ? merge(all, dir, file, e) : err_no_memory(e, "report");
    json_object_foreach(json_object_get(all, "model"), key, x)
    {
        char name[64];
        snprintf(name, sizeof name, "cost_%s", key);
        if (!rc && json_is_number(x) && json_object_set(log, name, x))
            rc = err_no_memory(e, "report");
    }
    json_decref(all);
    return rc;
}

/* DIR/SUITE_KIND.json of one suite. */
static int read_suite(struct report *r, int suite, json_t *log, const char *dir, struct err *e)
{
    static const char *const kinds[] = {"EVAL", "SUMMARY", "COST"};
    enum { COST = 2 };
    const size_t before = json_object_size(log);
    char file[64];
    int rc = 0;
    for (int k = 0; k <= COST && !rc; k++) {
        snprintf(file, sizeof file, "%s_%s.json", r->suites[suite].log, kinds[k]);
        rc = k == COST ? merge_cost(log, dir, file, e) : merge(log, dir, file, e);
        r->found[suite] |= k < COST && json_object_size(log) > before;
    }
    return rc;
}

static json_t *read_folder(struct report *r, const char *dir, struct err *e)
{
    json_t *log = json_object();
    int rc = log ? 0 : err_no_memory(e, "report");
    for (int i = 0; !rc && i < r->n_suites; i++)
        rc = read_suite(r, i, log, dir, e);
    if (!rc && !json_object_size(log))
        rc = err_set(e, "'%s' holds no TOFU_EVAL.json or other evaluation log", dir);
    if (!rc)
        return log;
    json_decref(log);
    return NULL;
}

static json_t *read_file(struct report *r, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    json_t *log = json_read_log(path, e);
    for (int i = 0; i < r->n_suites; i++)
        r->found[i] |= !strncmp(name, r->suites[i].log, strlen(r->suites[i].log));
    if (!log || json_is_object(log))
        return log;
    json_decref(log);
    err_set(e, "'%s' is no evaluation log: it must be a json object", path);
    return NULL;
}

/* The last part of the path that is a name: the directory, of a file that it is in. */
static char *default_name(const char *path, struct err *e)
{
    size_t n = strlen(path);
    const char *slash = memrchr(path, '/', n);
    if (!file_is_dir(path) && slash && slash > path)
        n = (size_t)(slash - path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    slash = memrchr(path, '/', n);
    const char *start = slash && slash + 1 < path + n ? slash + 1 : path;
    return mem_strndup(start, (size_t)(path + n - start), e);
}

/* A log of none of the metrics is some other file. */
static int check_log(const struct report *r, const json_t *log, const char *path, struct err *e)
{
    for (int i = 0; i < r->n_suites; i++)
        for (int k = 0; k < r->suites[i].n_report; k++)
            if (json_object_get(log, r->suites[i].report[k].metric))
                return 0;
    return err_set(e, "'%s' is no evaluation log: it has none of the metrics", path);
}

static int read_model(struct report *r, struct logged *m, const char *word, struct err *e)
{
    const char *equals = file_exists(word) ? NULL : strchr(word, '=');
    const char *path = equals ? equals + 1 : word;
    m->name = equals ? mem_strndup(word, (size_t)(equals - word), e) : default_name(path, e);
    if (m->name)
        m->log = file_is_dir(path) ? read_folder(r, path, e) : read_file(r, path, e);
    return m->log ? check_log(r, m->log, path, e) : -1;
}

/* Adds the rows that any model has and that are not there yet. */
static void add_lines(struct report *r, const struct suite_line *lines, int n)
{
    for (int k = 0; k < n; k++) {
        bool wanted = false;
        for (int i = 0; i < r->n; i++)
            wanted |= json_object_get(r->models[i].log, lines[k].metric) != NULL;
        for (int i = 0; i < r->n_lines; i++)
            wanted &= strcmp(r->lines[i].metric, lines[k].metric) != 0;
        if (wanted && r->n_lines < MOST_LINES)
            r->lines[r->n_lines++] = lines[k];
    }
}

/* The rows of the suites whose files were read, then of others that have the same metrics. */
static void choose_lines(struct report *r)
{
    for (int found = 1; found >= 0; found--)
        for (int i = 0; i < r->n_suites; i++)
            if (r->found[i] == found)
                add_lines(r, r->suites[i].report, r->suites[i].n_report);
    add_lines(r, cost_lines, COST_LINES);
}

static int fill_row(struct table *t, int row, const struct suite_line *l, const struct report *r,
                    struct err *e)
{
    int rc = table_set(t, row, 0, e, "%s", l->label);
    for (int i = 0; !rc && i < r->n; i++) {
        char text[32];
        double x = peer_aggregate(r->models[i].log, l->metric);
        snprintf(text, sizeof text, l->format, x);
        rc = table_set(t, row, i + 1, e, "%s", isnan(x) ? "-" : text);
    }
    return rc;
}

static int write_table(const struct report *r, enum table_style style, struct buf *out,
                       struct err *e)
{
    struct table t;
    int rc = table_init(&t, r->n_lines + 1, r->n + 1, e) || table_set(&t, 0, 0, e, "metric");
    for (int i = 0; !rc && i < r->n; i++)
        rc = table_set(&t, 0, i + 1, e, "%s", r->models[i].name);
    for (int k = 0; !rc && k < r->n_lines; k++)
        rc = fill_row(&t, k + 1, &r->lines[k], r, e);
    rc = rc || table_write(&t, style, out, e);
    table_fini(&t);
    return rc;
}

/* {"models": [NAME, ...], "metrics": {METRIC: [value or null, ...], ...}} */
static int write_json(const struct report *r, struct buf *out, struct err *e)
{
    json_t *names = json_array(), *metrics = json_object();
    for (int i = 0; i < r->n; i++)
        json_array_append_new(names, json_string(r->models[i].name));
    for (int k = 0; k < r->n_lines; k++) {
        const char *metric = r->lines[k].metric;
        json_t *values = json_array();
        for (int i = 0; i < r->n; i++)
            json_array_append_new(values, peer_number(peer_aggregate(r->models[i].log, metric)));
        json_object_set_new(metrics, metric, values);
    }
    json_t *all = json_pack("{s:o, s:o}", "models", names, "metrics", metrics);
    int rc = all ? json_write_buf(all, out, JSON_INDENT(4) | JSON_ENSURE_ASCII, e)
                 : err_no_memory(e, "report");
    json_decref(all);
    return rc || buf_str(out, "\n", e);
}

static int write_report(struct report *r, const struct options *o, struct buf *out, struct err *e)
{
    choose_lines(r);
    return o->json ? write_json(r, out, e)
                   : write_table(r, o->markdown ? TABLE_MARKDOWN : TABLE_PLAIN, out, e);
}

static void report_fini(struct report *r)
{
    for (int i = 0; i < r->n; i++) {
        free(r->models[i].name);
        json_decref(r->models[i].log);
    }
    free(r->models);
    for (int i = 0; i < r->n_suites; i++)
        suite_recipe_close(&r->suites[i]);
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct report r = {.n_suites = 0};
    struct buf out = {0};
    int rc = open_suites(&r, o->suite, e) ||
             !(r.models = mem_alloc((size_t)a->n_words, sizeof *r.models, e));
    while (!rc && r.n < a->n_words) {
        const char *word = a->words[r.n];
        rc = read_model(&r, &r.models[r.n++], word, e);
    }
    rc = rc || write_report(&r, o, &out, e);
    if (!rc)
        fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
    report_fini(&r);
    return rc;
}

int cmd_report(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "report",
                     .usage = "[NAME=]LOG ... [options]",
                     .about = about,
                     .tables = {{"options", params, &o}},
                     .words_least = 1,
                     .words_most = 64};
    return args_run(&a, argc, argv, run, &o);
}
