/* unlearn attack meta: which metrics tell models that hold the knowledge from models that do not,
 * and keep doing so under attack (arXiv 2506.12618). Models are given by their evaluation logs. */
#include <glob.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "eval/robustness.h"
#include "report/report.h"

enum meta_pool {
    HOLDS,
    LACKS,
    UNLEARNED,
    RELEARNED,
    QUANTISED,
    RETRAINED,
    RETRAINED_RELEARNED,
    POOLS
};

struct meta_options {
    const char *pool[POOLS];
    bool json;
};

#define POOL_PARAM(name, i, help)                                                                  \
    {                                                                                              \
        name, PARAM_STRING, offsetof(struct meta_options, pool[i]), 0, 0, NULL, NULL, "DIRS", help \
    }
static const struct param params[] = {
    POOL_PARAM("holds", HOLDS, "logs of models that hold the knowledge"),
    POOL_PARAM("lacks", LACKS, "logs of models that were never trained on it"),
    POOL_PARAM("unlearned", UNLEARNED, "logs of unlearned models, for R and Q"),
    POOL_PARAM("relearned", RELEARNED, "of the same models after relearning, in the same order"),
    POOL_PARAM("quantised", QUANTISED, "of the same models after rounding"),
    POOL_PARAM("retrained", RETRAINED, "log of the retrained model, for R"),
    POOL_PARAM("retrained_relearned", RETRAINED_RELEARNED, "the same after relearning"),
    BOOL_PARAM(struct meta_options, json, false, "print JSON instead of the table"),
    {0}};

static const char about[] =
    "Rates metrics by models of which it is known what they hold: faithfulness is the AUC, the "
    "probability that a\n"
    "metric is higher for a model that holds the knowledge than for one that does not (known: low, "
    "and 1 - AUC, for a metric that\n"
    "is lower). R and Q are its robustness under relearning and rounding, two-sided and one-sided "
    "(doc/evaluation.md), means over\n"
    "the unlearned models; RQ is their harmonic mean.\n"
    "DIRS are directories with evaluation logs, or directories of such, joined by commas:\n\n"
    "  unlearn attack meta --holds runs/with --lacks runs/without\n";

struct meta {
    struct report pool[POOLS];
};

/* --- the pools --- */

static bool has_logs(const char *dir)
{
    bool any = false;
    static const char *const ends[] = {"SUMMARY", "EVAL"};
    for (int i = 0; i < 2; i++) {
        char pattern[4096];
        glob_t g = {0};
        snprintf(pattern, sizeof pattern, "%s/*_%s.json", dir, ends[i]);
        any = any || !glob(pattern, 0, NULL, &g);
        globfree(&g);
    }
    return any;
}

/* Columns are named by their number: directories of one name are different models here. */
static int add_log(struct report *r, const char *path, struct err *e)
{
    struct buf word = {0};
    const int rc = buf_printf(&word, e, "%d=%s", r->n, path) || report_add(r, word.data, e);
    buf_fini(&word);
    return rc;
}

/* A directory of logs, or each one in it, by name. */
static int add_directory(struct report *r, const char *dir, struct err *e)
{
    glob_t g = {0};
    char pattern[4096];
    if (!file_is_dir(dir) || has_logs(dir))
        return add_log(r, dir, e);
    snprintf(pattern, sizeof pattern, "%s/*", dir);
    int rc = glob(pattern, 0, NULL, &g), n = 0;
    for (size_t i = 0; !rc && i < g.gl_pathc; i++)
        if (has_logs(g.gl_pathv[i])) {
            rc = add_log(r, g.gl_pathv[i], e);
            n++;
        }
    globfree(&g);
    return rc || n ? rc : err_code(e, ERR_NO_FILE, "'%s' has no evaluation logs", dir);
}

static int read_pools(struct meta *m, const struct meta_options *o, struct err *e)
{
    for (int k = 0; k < POOLS; k++)
        for (const char *at = o->pool[k] ? o->pool[k] : ""; *at;) {
            const size_t n = strcspn(at, ",");
            char *dir = mem_strndup(at, n, e);
            const int rc = !dir || add_directory(&m->pool[k], dir, e);
            free(dir);
            if (rc)
                return -1;
            at += n + (at[n] == ',');
        }
    for (int k = RELEARNED; k <= QUANTISED; k++)
        if (m->pool[k].n && m->pool[k].n != m->pool[UNLEARNED].n)
            return err_code(e, ERR_ARGUMENT,
                            "there are %d logs of attacked models and %d of unlearned ones: each "
                            "must have its own",
                            m->pool[k].n, m->pool[UNLEARNED].n);
    if (!m->pool[HOLDS].n || !m->pool[LACKS].n)
        return err_code(e, ERR_ARGUMENT,
                        "two pools are needed: --holds and --lacks, models with the knowledge and "
                        "without it");
    return 0;
}

/* --- one metric --- */

static double value(const struct meta *m, enum meta_pool k, int i, const char *metric)
{
    return i < m->pool[k].n ? report_value(&m->pool[k].v[i], metric) : NAN;
}

static int put_auc(const struct meta *m, const char *metric, json_t *line, bool *low, struct err *e)
{
    double *v[2] = {NULL, NULL}, auc = NAN;
    int n[2] = {0, 0}, rc = 0;
    for (int k = HOLDS; k <= LACKS && !rc; k++) {
        const int all = m->pool[k].n;
        if (!(v[k] = mem_alloc((size_t)all, sizeof *v[k], e)))
            rc = -1;
        for (int i = 0; !rc && i < all; i++)
            v[k][i] = value(m, (enum meta_pool)k, i, metric);
        n[k] = rc ? 0 : stats_present(v[k], all);
    }
    rc = rc || stats_auc(v[LACKS], n[LACKS], v[HOLDS], n[HOLDS], &auc, e);
    *low = auc < 0.5;
    json_put_real(line, "auc", *low ? 1 - auc : auc);
    json_object_set_new(line, "known", json_string(*low ? "low" : "high"));
    json_object_set_new(line, "holds", json_integer(n[HOLDS]));
    json_object_set_new(line, "lacks", json_integer(n[LACKS]));
    free(v[HOLDS]);
    free(v[LACKS]);
    return rc;
}

/* Means over the unlearned models. Ratios of the one-sided forms suppose that high means known. */
static void put_robustness(const struct meta *m, const char *metric, bool low, json_t *line)
{
    const double r[2] = {value(m, RETRAINED, 0, metric), value(m, RETRAINED_RELEARNED, 0, metric)};
    const int n = m->pool[UNLEARNED].n;
    double R = 0, R1 = 0, Q = 0, Q1 = 0;
    for (int i = 0; i < n; i++) {
        const double u = value(m, UNLEARNED, i, metric);
        const double relearned = value(m, RELEARNED, i, metric);
        const double quantised = value(m, QUANTISED, i, metric);
        const bool has_r = isfinite(u + relearned + r[0] + r[1]), has_q = isfinite(u + quantised);
        R += has_r ? robust_relearn(u, relearned, r[0], r[1]) / n : NAN;
        R1 += has_r ? robust_relearn_one_sided(u, relearned, r[0], r[1]) / n : NAN;
        Q += has_q ? robust_quantise(u, quantised) / n : NAN;
        Q1 += has_q ? robust_quantise_one_sided(u, quantised) / n : NAN;
    }
    json_put_real(line, "R", n ? R : NAN);
    json_put_real(line, "Q", n ? Q : NAN);
    json_put_real(line, "RQ", n && isfinite(R + Q) ? robust_aggregate(R, Q) : NAN);
    json_put_real(line, "R_one_sided", n ? R1 : NAN);
    json_put_real(line, "Q_one_sided", n && !low ? Q1 : NAN);
}

static int rate(const struct meta *m, json_t *lines, struct err *e)
{
    const char *metric;
    json_t *sense;
    json_object_foreach(m->pool[HOLDS].senses, metric, sense)
    {
        json_t *line = json_object();
        bool low;
        const int rc = put_auc(m, metric, line, &low, e);
        if (!rc && json_is_number(json_object_get(line, "auc"))) {
            put_robustness(m, metric, low, line);
            json_object_set(lines, metric, line);
        }
        json_decref(line);
        if (rc)
            return rc;
    }
    return json_object_size(lines)
               ? 0
               : err_code(e, ERR_BAD_FILE, "the two pools have no metric in common");
}

static int print(json_t *lines, struct err *e)
{
    static const struct column columns[] = {{"faithfulness", "auc", NULL, NULL},
                                            {"R", "R", NULL, NULL},
                                            {"Q", "Q", NULL, NULL},
                                            {"RQ", "RQ", NULL, NULL}};
    enum { COLUMNS = sizeof columns / sizeof *columns };
    struct table t;
    struct buf out = {0};
    const char *metric;
    json_t *line;
    int row = 1;
    if (table_init(&t, (int)json_object_size(lines) + 1, COLUMNS + 1, e))
        return -1;
    int rc = table_set(&t, 0, 0, e, "metric") || columns_head(&t, columns, COLUMNS, e);
    json_object_foreach(lines, metric, line)
    {
        const bool low = !strcmp(json_string_value(json_object_get(line, "known")), "low");
        rc = rc || table_set(&t, row, 0, e, "%s%s", metric, low ? " (low: known)" : "") ||
             columns_fill(&t, row, columns, COLUMNS, line, e);
        row++;
    }
    rc = rc || table_write(&t, TABLE_PLAIN, &out, e);
    if (!rc)
        fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
    table_fini(&t);
    return rc;
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct meta_options *o = options;
    struct meta m = {.pool = {{.n = 0}}};
    json_t *lines = json_object();
    (void)a;
    const int rc = read_pools(&m, o, e) || rate(&m, lines, e) ||
                   (o->json ? command_print_json(lines, JSON_INDENT(1), e) : print(lines, e));
    json_decref(lines);
    for (int k = 0; k < POOLS; k++)
        report_fini(&m.pool[k]);
    return rc;
}

int cmd_meta(int argc, char **argv)
{
    struct meta_options o;
    struct args a = {.command = "attack meta",
                     .usage = "--holds DIRS --lacks DIRS [options]",
                     .about = about,
                     .tables = {{"options", params, &o}}};
    return args_run(&a, argc, argv, run, &o);
}
