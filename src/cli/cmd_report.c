/* unlearn report [NAME=]LOG ...: evaluation logs of several models side by side. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "report/table.h"
#include "suites/peer_json.h"

struct options {
    bool json, markdown;
};

static const struct param params[] = {
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    BOOL_PARAM(struct options, markdown, false, "print a Markdown table"),
    {0}};

static const char about[] =
    "Prints one table: a column for each model, a row for each metric that any log holds. A log "
    "is\n"
    "a directory with TOFU_EVAL.json or MUSE_EVAL.json (or the _SUMMARY.json), or one such file,\n"
    "written by this program or by OpenUnlearning. What a model cost to make is in the directory,\n"
    "too. Without a NAME a column is named after the directory.\n\n"
    "  unlearn report base=runs/base target=runs/target retrained=runs/gold npo=runs/npo\n";

/* Rows in the order printed; a metric that no log holds has none. */
static const struct line {
    const char *label, *metric, *format;
} lines[] = {{"forget: probability", "forget_Q_A_Prob", "%.4f"},
             {"forget: ROUGE-L recall", "forget_Q_A_ROUGE", "%.4f"},
             {"forget: truth ratio", "forget_truth_ratio", "%.4f"},
             {"retain: probability", "retain_Q_A_Prob", "%.4f"},
             {"retain: ROUGE-L recall", "retain_Q_A_ROUGE", "%.4f"},
             {"retain: truth ratio", "retain_Truth_Ratio", "%.4f"},
             {"real authors: probability", "ra_Q_A_Prob_normalised", "%.4f"},
             {"real authors: ROUGE-L recall", "ra_Q_A_ROUGE", "%.4f"},
             {"real authors: truth ratio", "ra_Truth_Ratio", "%.4f"},
             {"world facts: probability", "wf_Q_A_Prob_normalised", "%.4f"},
             {"world facts: ROUGE-L recall", "wf_Q_A_ROUGE", "%.4f"},
             {"world facts: truth ratio", "wf_Truth_Ratio", "%.4f"},
             {"forget: verbatim ROUGE-L F", "forget_verbmem_ROUGE", "%.4f"},
             {"forget: knowledge ROUGE-L F", "forget_knowmem_ROUGE", "%.4f"},
             {"retain: knowledge ROUGE-L F", "retain_knowmem_ROUGE", "%.4f"},
             {"exact memorisation", "exact_memorization", "%.4f"},
             {"extraction strength", "extraction_strength", "%.4f"},
             {"membership AUC: loss", "mia_loss", "%.4f"},
             {"membership AUC: zlib", "mia_zlib", "%.4f"},
             {"membership AUC: reference", "mia_reference", "%.4f"},
             {"membership AUC: min-k", "mia_min_k", "%.4f"},
             {"membership AUC: min-k++", "mia_min_k_plus_plus", "%.4f"},
             {"membership AUC: gradient", "mia_gradnorm", "%.4f"},
             {"privacy leak, %", "privleak", "%.2f"},
             {"forget quality (p)", "forget_quality", "%.3g"},
             {"model utility", "model_utility", "%.4f"},
             {"cost: wall time, s", "cost_seconds", "%.1f"},
             {"cost: FLOPs", "cost_flops", "%.4g"},
             {"cost: tokens read", "cost_tokens", "%.0f"},
             {"cost: peak memory, bytes", "cost_peak_bytes", "%.4g"},
             {"cost: parameters touched", "cost_touched", "%.0f"}};

enum { N_LINES = sizeof lines / sizeof *lines };

/* One column. */
struct model {
    char *name;  /* owned */
    json_t *log; /* owned: the metrics of all its files */
};

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

/* Adds what the model cost to make, if DIR/SUITE_COST.json says so (report/cost.h). */
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

static json_t *read_log(const char *path, struct err *e)
{
    static const char *const files[] = {"TOFU_EVAL.json", "TOFU_SUMMARY.json", "MUSE_EVAL.json",
                                        "MUSE_SUMMARY.json"};
    static const char *const costs[] = {"TOFU_COST.json", "MUSE_COST.json"};
    if (!file_is_dir(path)) {
        json_t *log = json_read_log(path, e);
        if (!log || json_is_object(log))
            return log;
        json_decref(log);
        err_set(e, "'%s' is no evaluation log: it must be a json object", path);
        return NULL;
    }
    json_t *log = json_object();
    int rc = 0;
    for (size_t i = 0; !rc && i < sizeof files / sizeof *files; i++)
        rc = merge(log, path, files[i], e);
    if (!rc && !json_object_size(log))
        rc = err_set(e, "'%s' holds no TOFU_EVAL.json or other evaluation log", path);
    for (size_t i = 0; !rc && i < sizeof costs / sizeof *costs; i++)
        rc = merge_cost(log, path, costs[i], e);
    if (!rc)
        return log;
    json_decref(log);
    return NULL;
}

/* The last part of the path that says something: the directory, of a file that it is in. */
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
static int check_log(const json_t *log, const char *path, struct err *e)
{
    for (int k = 0; k < N_LINES; k++)
        if (json_object_get(log, lines[k].metric))
            return 0;
    return err_set(e, "'%s' is no evaluation log: it has none of the metrics", path);
}

static int read_model(struct model *m, const char *word, struct err *e)
{
    const char *equals = file_exists(word) ? NULL : strchr(word, '=');
    const char *path = equals ? equals + 1 : word;
    m->name = equals ? mem_strndup(word, (size_t)(equals - word), e) : default_name(path, e);
    m->log = m->name ? read_log(path, e) : NULL;
    return m->log ? check_log(m->log, path, e) : -1;
}

static bool anyone_has(const struct model *m, int n, const char *metric)
{
    for (int i = 0; i < n; i++)
        if (json_object_get(m[i].log, metric))
            return true;
    return false;
}

static int fill_row(struct table *t, int row, const struct line *l, const struct model *m, int n,
                    struct err *e)
{
    int rc = table_set(t, row, 0, e, "%s", l->label);
    for (int i = 0; !rc && i < n; i++) {
        char text[32];
        double x = peer_aggregate(m[i].log, l->metric);
        snprintf(text, sizeof text, l->format, x);
        rc = table_set(t, row, i + 1, e, "%s", isnan(x) ? "-" : text);
    }
    return rc;
}

static int write_table(const struct model *m, int n, enum table_style style, struct buf *out,
                       struct err *e)
{
    int rows = 1;
    for (int k = 0; k < N_LINES; k++)
        rows += anyone_has(m, n, lines[k].metric);
    struct table t;
    int rc = table_init(&t, rows, n + 1, e) || table_set(&t, 0, 0, e, "metric") ? -1 : 0;
    for (int i = 0; !rc && i < n; i++)
        rc = table_set(&t, 0, i + 1, e, "%s", m[i].name);
    for (int k = 0, row = 1; !rc && k < N_LINES; k++)
        if (anyone_has(m, n, lines[k].metric))
            rc = fill_row(&t, row++, &lines[k], m, n, e);
    if (!rc)
        rc = table_write(&t, style, out, e);
    table_fini(&t);
    return rc;
}

/* {"models": [NAME, ...], "metrics": {METRIC: [value or null, ...], ...}} */
static int write_json(const struct model *m, int n, struct buf *out, struct err *e)
{
    json_t *names = json_array(), *metrics = json_object();
    for (int i = 0; i < n; i++)
        json_array_append_new(names, json_string(m[i].name));
    for (int k = 0; k < N_LINES; k++) {
        json_t *values = json_array();
        for (int i = 0; i < n; i++)
            json_array_append_new(values, peer_number(peer_aggregate(m[i].log, lines[k].metric)));
        if (anyone_has(m, n, lines[k].metric))
            json_object_set(metrics, lines[k].metric, values);
        json_decref(values);
    }
    json_t *all = json_pack("{s:o, s:o}", "models", names, "metrics", metrics);
    int rc = all ? json_write_buf(all, out, JSON_INDENT(4) | JSON_ENSURE_ASCII, e)
                 : err_no_memory(e, "report");
    json_decref(all);
    return rc || buf_str(out, "\n", e) ? -1 : 0;
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    const int n = a->n_words;
    struct model *m = mem_alloc((size_t)n, sizeof *m, e);
    struct buf out = {0};
    int rc = m ? 0 : -1;
    for (int i = 0; !rc && i < n; i++)
        rc = read_model(&m[i], a->words[i], e);
    if (!rc && o->json)
        rc = write_json(m, n, &out, e);
    else if (!rc)
        rc = write_table(m, n, o->markdown ? TABLE_MARKDOWN : TABLE_PLAIN, &out, e);
    if (!rc)
        fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
    for (int i = 0; m && i < n; i++) {
        free(m[i].name);
        json_decref(m[i].log);
    }
    free(m);
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
