#include "cli/results.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/command.h"
#include "report/cost.h"
#include "report/table.h"
#include "suites/metrics.h"
#include "suites/recipe.h"
#include "train/checkpoint.h"

/* Whether OUT/SUITE_NAME is there, as a file; never one that is read. */
static int find_log(const struct inputs *in, const struct results_claim *c, const char *name,
                    struct buf *path, bool *there, struct err *e)
{
    buf_clear(path);
    if (buf_printf(path, e, "%s/%s_%s", c->out, c->suite, name) || inputs_keep(in, path->data, e))
        return -1;
    *there = file_exists(path->data) && !file_is_dir(path->data);
    return 0;
}

/* Finished results, whose cost is at `path`, are those that are asked for. */
static int check_finished(const struct results_claim *c, const char *path, struct err *e)
{
    struct err ignored;
    json_t *cost = file_exists(path) ? json_read_file(path, &ignored) : NULL;
    const json_t *of = json_object_get(cost, "evaluation");
    const json_t *files = json_object_get(of, "files"), *options = json_object_get(of, "options");
    int rc =
        !files || !options
            ? err_about(e, "overwrite",
                        "cannot resume: '%s' holds results of %s, and does not tell of which "
                        "model and data",
                        c->out, c->suite)
        : checkpoint_compare(options, c->options, e) || checkpoint_compare_files(files, c->files, e)
            ? err_prefix(e, "cannot resume: '%s' holds other results: ", c->out)
            : 0;
    json_decref(cost);
    return rc;
}

int results_claim(const struct inputs *in, const struct results_claim *c, bool *finished,
                  struct err *e)
{
    static const char *const logs[] = {"EVAL.json", "SUMMARY.json", "TABLE.json", "COST.json"};
    enum { LOGS = sizeof logs / sizeof *logs };
    struct buf path = {0};
    bool there = false, begun = false, any = false;
    int rc = inputs_keep(in, c->out, e) || find_log(in, c, "EVIDENCE.bin", &path, &begun, e);
    if (!rc && begun && !c->overwrite && !c->resume)
        rc = err_about(e, c->files ? "out_resume" : "out",
                       "'%s' is of an evaluation that was interrupted", path.data);
    for (int i = 0; i < LOGS && !rc; i++) {
        rc = find_log(in, c, logs[i], &path, &there, e);
        if (!rc && there && !c->overwrite && !c->resume)
            rc = err_about(e, c->files ? "out_resume" : "out", "'%s' is there already", path.data);
        any |= there;
    }
    *finished = !rc && any && !begun && !c->overwrite;
    if (*finished)
        rc = check_finished(c, path.data, e);
    buf_fini(&path);
    return rc;
}

/* A table of JSON objects: a row for each, named in the first column. */
static int write_lines(const char *what, json_t *lines, const struct column *columns, int n,
                       struct buf *out, struct err *e)
{
    struct table t;
    const char *name;
    json_t *line;
    int row = 1;
    if (table_init(&t, (int)json_object_size(lines) + 1, n + 1, e))
        return -1;
    t.width = command_width();
    int rc = table_set(&t, 0, 0, e, "%s", what) || columns_head(&t, columns, n, e);
    json_object_foreach(lines, name, line)
    {
        rc = rc || table_set(&t, row, 0, e, "%s", name) ||
             columns_fill(&t, row, columns, n, line, e);
        row++;
    }
    rc = rc || table_write(&t, TABLE_PLAIN, out, e);
    table_fini(&t);
    return rc;
}

static int print_lines(const char *what, json_t *lines, const struct column *columns, int n,
                       struct err *e)
{
    struct buf text = {0};
    int rc = write_lines(what, lines, columns, n, &text, e);
    if (!rc)
        printf("%s", text.data);
    buf_fini(&text);
    return rc;
}

/* The first of them always, the others where a line has them. */
enum { ALWAYS_OF_TASKS = 4 };
static const struct column task_columns[] = {{"questions", "rows", NULL, NULL},
                                             {"left out", "missing", NULL, NULL},
                                             {"acc", "acc", "low", "high"},
                                             {"stderr", "acc_stderr", NULL, NULL},
                                             {"chance", "chance", NULL, NULL},
                                             {"acc_norm", "acc_norm", NULL, NULL},
                                             {"macro F1", "macro_f1", NULL, NULL},
                                             {"mean", "acc_mean", NULL, NULL},
                                             {"sd", "acc_sd", NULL, NULL},
                                             {"seconds", "seconds", NULL, NULL},
                                             {"rows/s", "rows_per_second", NULL, NULL}};

enum { TASK_COLUMNS = sizeof task_columns / sizeof *task_columns };

/* The first `always` of the columns, the others where a line has a number, of counts above 0; how
 * many. */
static int choose_columns(json_t *lines, const struct column *columns, int n, int always,
                          struct column *shown)
{
    int count = 0;
    for (int c = 0; c < n; c++) {
        const char *name;
        json_t *line;
        bool wanted = c < always;
        json_object_foreach(lines, name, line)
        {
            const json_t *x = json_object_get(line, columns[c].key);
            wanted |= json_is_real(x) || json_integer_value(x) > 0;
        }
        if (wanted)
            shown[count++] = columns[c];
    }
    return count;
}

int results_print_tasks(const struct multiple *m, bool json, struct err *e)
{
    struct column shown[TASK_COLUMNS];
    return json ? command_print_json(m->log.summary, JSON_LIKE_PYTHON, e)
                : print_lines(
                      "task", m->table, shown,
                      choose_columns(m->table, task_columns, TASK_COLUMNS, ALWAYS_OF_TASKS, shown),
                      e);
}

static int print_wrapped(const char *before, const char *line, struct err *e)
{
    struct buf text = {0};
    int rc = buf_wrap(&text, line, 2, command_width(), e);
    if (!rc)
        printf("%s%s\n", before, text.data);
    buf_fini(&text);
    return rc;
}

/* What a reader of the figures must know: rows that are left out or counted in another way than
 * they appear, and how figures came about. One line a fact, with the metrics of which it is true.
 */
static int add_sentence(json_t *notes, const char *sentence, const char *name, struct err *e)
{
    json_t *names = json_object_get(notes, sentence);
    if (!names && !json_object_set_new(notes, sentence, json_array()))
        names = json_object_get(notes, sentence);
    return json_array_append_new(names, json_string(name)) ? err_no_memory(e, "notes") : 0;
}

/* {sentence: [metrics of which it is true]}, in the order of the table. */
static json_t *make_notes(const struct suite *s, struct err *e)
{
    json_t *notes = json_object();
    struct buf text = {0};
    int rc = notes ? 0 : err_no_memory(e, "notes");
    for (int i = 0; i < s->n_results && !rc; i++) {
        const struct result *r = &s->results[i];
        const char *name = s->recipe->metrics[i].name;
        for (int k = 0; k < WARN_COUNT && !rc; k++) {
            buf_clear(&text);
            rc = warnings_write(&r->warnings, (enum warning)k, &text, e);
            if (!rc && text.len)
                rc = add_sentence(notes, text.data, name, e);
        }
        if (!rc && *r->note)
            rc = add_sentence(notes, r->note, name, e);
    }
    buf_fini(&text);
    if (!rc)
        return notes;
    json_decref(notes);
    return NULL;
}

/* "forget_Q_A_Prob, mia_loss and 3 more: 1 of 9 rows ..." */
static int write_line(struct buf *text, const char *sentence, const json_t *names, struct err *e)
{
    enum { NAMED = 4 };
    size_t n = json_array_size(names), most = n > NAMED + 1 ? NAMED : n;
    int rc = 0;
    buf_clear(text);
    for (size_t i = 0; i < most && !rc; i++)
        rc =
            buf_printf(text, e, "%s%s", i ? ", " : "", json_string_value(json_array_get(names, i)));
    if (!rc && most < n)
        rc = buf_printf(text, e, " and %zu more", n - most);
    return rc || buf_printf(text, e, ": %s", sentence) ? -1 : 0;
}

/* On standard output; as notes on standard error where that holds JSON. */
static int print_notes(const struct suite *s, bool json, struct err *e)
{
    json_t *notes = make_notes(s, e), *names;
    struct buf text = {0};
    const char *sentence, *gap = "\n";
    int rc = notes ? 0 : -1;
    json_object_foreach(notes, sentence, names)
    {
        if (rc || (rc = write_line(&text, sentence, names, e)))
            break;
        if (json)
            log_note("%s", text.data);
        else
            rc = print_wrapped(gap, text.data, e);
        gap = "";
    }
    buf_fini(&text);
    json_decref(notes);
    return rc;
}

/* Columns of a suite's metrics; the last ones where there is a retrained model's log, or a log
 * whose aggregates were computed again. */
static const struct column metric_columns[] = {
    {"direction", "direction", NULL, NULL}, {"value", "value", "low", "high"},
    {"retrained", "retrained", NULL, NULL}, {"KS p", "ks", NULL, NULL},
    {"in the log", "held", NULL, NULL},     {"rows", "rows", NULL, NULL},
    {"missing", "missing", NULL, NULL}};

enum { METRIC_COLUMNS = sizeof metric_columns / sizeof *metric_columns, ALWAYS_OF_METRICS = 2 };

/* Whether a line is printed: all of a log that was computed again, else those of the summary. */
static bool is_shown(const struct suite *s, const json_t *held, const char *name)
{
    const struct metric *m = s->recipe->metrics;
    while (m->name && strcmp(m->name, name))
        m++;
    return held || m->in_summary;
}

/* The lines that are printed; a new reference. */
static json_t *shown_lines(const struct suite *s, const json_t *held, struct err *e)
{
    json_t *shown = json_object(), *line;
    const char *name;
    bool bad = !shown;
    json_object_foreach(s->table, name, line)
    {
        if (!is_shown(s, held, name))
            continue;
        json_t *own = json_copy(line);
        bad = bad ||
              (held && json_object_set_new(own, "held", peer_number(peer_aggregate(held, name))));
        bad = json_object_set_new(shown, name, own) || bad;
    }
    if (!bad)
        return shown;
    suite_no_memory(e);
    json_decref(shown);
    return NULL;
}

static int print_metrics(const struct suite *s, const json_t *held, struct err *e)
{
    struct column shown[METRIC_COLUMNS];
    json_t *lines = shown_lines(s, held, e);
    int rc = lines ? print_lines("metric", lines, shown,
                                 choose_columns(lines, metric_columns, METRIC_COLUMNS,
                                                ALWAYS_OF_METRICS, shown),
                                 e)
                   : -1;
    json_decref(lines);
    return rc;
}

static int print_summary(const struct suite *s, json_t *more, struct err *e)
{
    json_t *all = json_copy(s->log.summary);
    int rc = !all || (more && json_object_update(all, more))
                 ? suite_no_memory(e)
                 : command_print_json(all, JSON_LIKE_PYTHON, e);
    json_decref(all);
    return rc;
}

int results_print(const struct suite *s, const json_t *held, bool json, json_t *more, struct err *e)
{
    return (json ? print_summary(s, more, e) : print_metrics(s, held, e)) ||
           print_notes(s, json, e);
}

int results_write(const struct peer_log *log, const json_t *table, const char *dir,
                  const char *name, struct err *e)
{
    return peer_log_write(log, dir, name, e) || peer_write(table, dir, name, "TABLE", 0, e);
}

/* Of the comparison with the retrained model, a line for each data set. */
static const struct column pair_columns[] = {
    {"rows", "rows", NULL, NULL},      {"tokens", "tokens", NULL, NULL},
    {"KL", "kl", "kl_low", "kl_high"}, {"same top-1", "top1", "top1_low", "top1_high"},
    {"KS p", "ks", NULL, NULL},        {"AUC", "auc", "auc_low", "auc_high"},
    {"AUC gap", "auc_gap", NULL, NULL}};

enum { PAIR_COLUMNS = sizeof pair_columns / sizeof *pair_columns };

/* Printed after the metrics: the comparison with the retrained model, the verdict, the cost. */
static int print_rest(json_t *more, const struct verdict *v, const struct results_options *o,
                      struct err *e)
{
    struct buf text = {0};
    json_t *pairs = json_object_get(more, "beside");
    int rc = buf_str(&text, "\n", e);
    if (!rc && pairs)
        rc = write_lines("compared with retrained", pairs, pair_columns, PAIR_COLUMNS, &text, e) ||
             buf_str(&text, "\n", e);
    rc = rc || verdict_write(v, o->limits, command_width(), &text, e) || buf_str(&text, "\n", e) ||
         cost_write(json_object_get(more, "cost"), command_width(), &text, e);
    if (!rc)
        printf("%s", text.data);
    buf_fini(&text);
    return rc;
}

/* The table of the metrics, with the members of `more` but the cost, which differs from run to run.
 */
static int write_files(const struct suite *s, json_t *more, const char *dir, struct err *e)
{
    const char *name = s->recipe->log;
    const json_t *cost = json_object_get(more, "cost");
    json_t *table = json_copy(s->table);
    int rc = !table || json_object_update(table, more) || json_object_del(table, "cost")
                 ? suite_no_memory(e)
                 : results_write(&s->log, table, dir, name, e) ||
                       (s->tokens && peer_write(s->tokens, dir, name, "TOKENS", 0, e)) ||
                       peer_write(cost, dir, name, "COST", 0, e);
    json_decref(table);
    return rc;
}

static int collect_more(json_t *more, const struct suite *s, json_t *cost, const struct verdict *v,
                        const struct verdict_limits *l, struct err *e)
{
    json_t *verdict = verdict_json(v, l, e);
    int rc = !verdict || json_object_set_new(more, "verdict", verdict) ||
             json_object_set(more, "cost", cost) ||
             (s->comparison && json_object_set(more, "beside", s->comparison));
    return rc ? suite_no_memory(e) : 0;
}

int results_show(const struct suite *s, json_t *cost, const struct results_options *o,
                 struct err *e)
{
    const struct verdict_logs logs = {s->log.eval, s->table, s->retain_log, o->before};
    struct verdict v;
    json_t *more = json_object();
    int rc = verdict_collect(&v, &logs, e);
    if (!rc) {
        verdict_judge(&v, o->limits);
        rc = collect_more(more, s, cost, &v, o->limits, e);
    }
    if (!rc && o->out)
        rc = write_files(s, more, o->out, e);
    if (!rc && o->json && !cost_has_record(cost))
        json_object_del(more, "cost");
    rc = rc || results_print(s, NULL, o->json, more, e) || (!o->json && print_rest(more, &v, o, e));
    verdict_fini(&v);
    json_decref(more);
    return rc;
}
