/* Reading the logs of a report. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "report/cost.h"
#include "report/report.h"

enum kind { KIND_EVAL, KIND_SUMMARY, KIND_TABLE, KIND_COST, KIND_TOKENS, KIND_COUNT };
static const char *const endings[KIND_COUNT] = {"_EVAL.json", "_SUMMARY.json", "_TABLE.json",
                                                "_COST.json", "_TOKENS.json"};

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), k = strlen(end);
    return n > k && !strcmp(name + n - k, end);
}

static json_t *read_object(const char *path, struct err *e)
{
    json_t *j = json_read_log(path, e);
    if (!j || json_is_object(j))
        return j;
    json_decref(j);
    err_set(e, "'%s' is no evaluation log: it must be a json object", path);
    return NULL;
}

const char *const report_group_name[] = {"effectiveness", "utility", "privacy", "robustness"};

/* Those that the kind of the metric tells; NULL: its role does. */
static const char *group_of_kind(const struct metric_kind *kind)
{
    for (const struct metric_kind *k = metrics_robust; k->name; k++)
        if (k == kind)
            return report_group_name[GROUP_ROBUSTNESS];
    return kind->flags & (METRIC_ATTACK | METRIC_PRIVACY) ? report_group_name[GROUP_PRIVACY]
           : kind->flags & METRIC_FORGETTING              ? report_group_name[GROUP_EFFECTIVENESS]
                                                          : NULL;
}

enum report_group report_group_of(const json_t *sense)
{
    const char *group = json_string_value(json_object_get(sense, "group"));
    for (int g = 0; group && g <= GROUP_ROBUSTNESS; g++)
        if (!strcmp(group, report_group_name[g]))
            return (enum report_group)g;
    return sense_of_json(sense).role == ROLE_FORGET ? GROUP_EFFECTIVENESS : GROUP_UTILITY;
}

/* Adds the senses of a metric that are not there yet. */
static int add_sense(struct report *r, const char *metric, json_t *sense, bool summary,
                     struct err *e)
{
    json_t *own = json_object_get(r->senses, metric);
    int rc = 0;
    if (!own && !(rc = json_object_set_new(r->senses, metric, json_object())))
        own = json_object_get(r->senses, metric);
    rc = rc || (sense && json_object_update_missing(own, sense)) ||
         (summary && json_object_set_new(own, "summary", json_true()));
    return rc ? err_no_memory(e, "report") : 0;
}

/* Those of a suite of metrics. */
static int add_recipe(struct report *r, const struct suite_recipe *s, struct err *e)
{
    json_t *all = suite_senses(s, e), *sense;
    int rc = all ? 0 : -1;
    for (const struct metric *m = s->metrics; !rc && m && m->name; m++) {
        const char *group = group_of_kind(m->kind);
        sense = json_object_get(all, m->name);
        if (group && json_object_set_new(sense, "group", json_string(group)))
            rc = err_no_memory(e, "report");
        rc = rc || add_sense(r, m->name, sense, m->in_summary, e);
    }
    json_decref(all);
    return rc;
}

/* Those of the suites whose logs have this prefix. */
static int add_suites(struct report *r, const char *prefix, size_t n, struct err *e)
{
    int rc = 0;
    if (r->own && strlen(r->own->log) == n && !memcmp(prefix, r->own->log, n))
        return add_recipe(r, r->own, e);
    for (const struct suite_text *t = suite_texts; t->name && !rc; t++) {
        struct suite_recipe s;
        if ((rc = suite_recipe_open(&s, t->name, e)))
            break;
        if (strlen(s.log) == n && !memcmp(prefix, s.log, n) && !s.n_tasks)
            rc = add_recipe(r, &s, e);
        suite_recipe_close(&s);
    }
    return rc;
}

/* A key of a summary, of multiple choice "task/acc": the error is part of the interval. */
static int add_summary_key(struct report *r, const struct report_model *m, const char *key,
                           struct err *e)
{
    const char *slash = strchr(key, '/');
    if (slash && ends_with(key, "/acc_stderr"))
        return 0;
    if (!slash)
        return add_sense(r, key, NULL, true, e);
    char task[128];
    snprintf(task, sizeof task, "%.*s", (int)(slash - key), key);
    struct sense x = sense_of_json(json_object_get(m->table, task));
    if (x.role == ROLE_COUNT)
        x = task_sense(task, e);
    json_t *sense = json_object();
    int rc = sense_to_json(&x, sense, e) || add_sense(r, key, sense, true, e);
    json_decref(sense);
    return rc;
}

static int add_summary(struct report *r, struct report_model *m, json_t *log, struct err *e)
{
    const char *key;
    json_t *x;
    int rc = json_object_update_missing(m->log, log) ? err_no_memory(e, "report") : 0;
    json_object_foreach(log, key, x) if (!rc && (json_is_number(x) || json_is_null(x))) rc =
        add_summary_key(r, m, key, e);
    return rc;
}

/* The metrics of an EVAL file; those of multiple choice are in the summary only. */
static int add_eval(struct report *r, struct report_model *m, json_t *log, bool all, struct err *e)
{
    const char *key;
    json_t *x;
    int rc = 0;
    json_object_foreach(log, key, x)
    {
        if (rc || json_is_array(x))
            continue;
        if (peer_rows(log, key) && json_object_set(m->rows, key, x))
            rc = err_no_memory(e, "report");
        if (rc || json_object_get(m->log, key))
            continue;
        if (json_object_set(m->log, key, x))
            rc = err_no_memory(e, "report");
        else if (all && !json_object_get(r->senses, key))
            rc = add_sense(r, key, NULL, true, e);
    }
    return rc;
}

static int add_table(struct report *r, struct report_model *m, json_t *table, struct err *e)
{
    const char *key;
    json_t *line;
    int rc = json_object_update_missing(m->table, table) ? err_no_memory(e, "report") : 0;
    json_object_foreach(table, key, line)
    {
        const struct sense x = sense_of_json(line);
        json_t *sense = json_object();
        if (!rc && (x.direction || x.role < ROLE_COUNT) && !json_object_get(line, "acc"))
            rc = sense_to_json(&x, sense, e) || add_sense(r, key, sense, false, e);
        json_decref(sense);
    }
    return rc;
}

/* A suite's cost: of the model's run, and what the evaluation read and was told. */
static int add_cost(struct report_model *m, const json_t *cost, struct err *e)
{
    const json_t *evaluation = json_object_get(cost, "evaluation");
    json_t *files = json_object_get(evaluation, "files"),
           *options = json_object_get(evaluation, "options");
    int rc = 0;
    if (!m->cost)
        m->cost = json_incref(json_object_get(cost, "model"));
    if (!m->inputs)
        m->inputs = json_object();
    if (!m->evals)
        m->evals = json_array();
    if (json_is_object(files))
        rc |= json_object_update_missing(m->inputs, files);
    if (json_is_object(options))
        rc |= json_array_append(m->evals, options);
    return rc ? err_no_memory(e, "report") : 0;
}

static int add_tokens(struct report_model *m, json_t *tokens, struct err *e)
{
    if (!m->tokens)
        m->tokens = json_object();
    return json_object_update_missing(m->tokens, tokens) ? err_no_memory(e, "report") : 0;
}

/* One file; `alone`: it was named, not found in a directory. */
static int add_file(struct report *r, struct report_model *m, const char *path, enum kind kind,
                    bool alone, struct err *e)
{
    json_t *j = read_object(path, e);
    int rc = j ? 0 : -1;
    if (!rc && kind == KIND_TABLE)
        rc = add_table(r, m, j, e);
    else if (!rc && kind == KIND_SUMMARY)
        rc = add_summary(r, m, j, e);
    else if (!rc && kind == KIND_EVAL)
        rc = add_eval(r, m, j, alone, e);
    else if (!rc && kind == KIND_TOKENS)
        rc = add_tokens(m, j, e);
    else if (!rc)
        rc = add_cost(m, j, e);
    json_decref(j);
    return rc;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of a directory's files that end in endings[kind], sorted; the number, or -1. */
static int list_files(const char *dir, enum kind kind, char **names, int most, struct err *e)
{
    DIR *d = opendir(dir);
    int n = 0, rc = d ? 0 : err_set(e, "cannot open '%s': no such directory", dir);
    for (struct dirent *f = d ? readdir(d) : NULL; f && !rc && n < most; f = readdir(d))
        if (ends_with(f->d_name, endings[kind]) && !(names[n++] = mem_strdup(f->d_name, e)))
            rc = -1;
    if (d)
        closedir(d);
    if (n)
        qsort(names, (size_t)n, sizeof *names, compare_names);
    return rc ? -1 : n;
}

/* All files of one kind; counts them. */
static int add_kind(struct report *r, struct report_model *m, const char *dir, enum kind kind,
                    int *count, struct err *e)
{
    enum { MOST = 64 };
    char *names[MOST] = {NULL};
    int n = list_files(dir, kind, names, MOST, e), rc = n < 0 ? -1 : 0;
    for (int i = 0; i < n && !rc; i++) {
        char *path = file_join(dir, names[i], e);
        rc = path ? 0 : -1;
        if (!rc && kind < KIND_COST)
            rc = add_suites(r, names[i], strlen(names[i]) - strlen(endings[kind]), e);
        rc = rc || add_file(r, m, path, kind, false, e);
        free(path);
    }
    for (int i = 0; i < MOST; i++)
        free(names[i]);
    *count += n > 0 ? n : 0;
    return rc;
}

static int add_folder(struct report *r, struct report_model *m, const char *dir, bool bare,
                      struct err *e)
{
    static const enum kind order[] = {KIND_TABLE, KIND_SUMMARY, KIND_EVAL, KIND_COST, KIND_TOKENS};
    int found = 0, logs = 0, rc = 0;
    bool any = false;
    for (size_t i = 0; i < sizeof order / sizeof *order && !rc; i++)
        rc = add_kind(r, m, dir, order[i],
                      order[i] == KIND_EVAL || order[i] == KIND_SUMMARY ? &logs : &found, e);
    rc = rc || report_add_material(m, dir, &any, e);
    return rc || logs || any || bare
               ? rc
               : err_set(e,
                         "'%s' holds no TOFU_EVAL.json or other evaluation log, and no run.json or "
                         "attack.json",
                         dir);
}

/* A file of another name must have metrics of a built-in suite. */
static int add_named(struct report *r, struct report_model *m, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (enum kind k = KIND_EVAL; k <= KIND_SUMMARY; k++)
        if (ends_with(name, endings[k]))
            return add_suites(r, name, strlen(name) - strlen(endings[k]), e) ||
                   add_file(r, m, path, k, true, e);
    json_t *senses = r->senses;
    const json_t *log;
    const char *metric;
    json_t *sense;
    bool known = false;
    if (add_suites(r, "TOFU", 4, e) || add_suites(r, "MUSE", 4, e) ||
        add_file(r, m, path, KIND_EVAL, false, e))
        return -1;
    log = m->log;
    json_object_foreach(senses, metric, sense) known = known || json_object_get(log, metric);
    return known ? 0 : err_set(e, "'%s' is no evaluation log: it has none of the metrics", path);
}

char *report_name_of(const char *path, struct err *e)
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

char *report_text(const char *path, struct err *e)
{
    struct buf text = {0};
    if (utf8_clean(&text, path, strlen(path), e) || buf_add(&text, "", 0, e)) {
        buf_fini(&text);
        return NULL;
    }
    return text.data;
}

struct report_model *report_column(struct report *r, const char *name, struct err *e)
{
    char *own = report_text(name, e);
    for (int i = 0; own && i < r->n; i++)
        if (!strcmp(r->v[i].name, own)) {
            free(own);
            return &r->v[i];
        }
    if (!own || mem_reserve(&r->v, &r->room, (size_t)r->n + 1, sizeof *r->v, e)) {
        free(own);
        return NULL;
    }
    struct report_model *m = &r->v[r->n++];
    *m = (struct report_model){
        .name = own, .log = json_object(), .table = json_object(), .rows = json_object()};
    if (!r->senses)
        r->senses = json_object();
    if (m->log && m->table && m->rows && r->senses)
        return m;
    err_no_memory(e, "report");
    return NULL;
}

int report_add_path(struct report *r, const char *name, const char *path, bool bare, struct err *e)
{
    bool card = false;
    if (file_is_dir(path) && report_add_card(r, name, path, &card, e))
        return -1;
    struct report_model *m = card ? NULL : report_column(r, name, e);
    if (!m)
        return card ? 0 : -1;
    return file_is_dir(path) ? add_folder(r, m, path, bare, e) : add_named(r, m, path, e);
}

int report_add(struct report *r, const char *word, struct err *e)
{
    const char *equals = file_exists(word) ? NULL : strchr(word, '=');
    const char *at = equals ? equals + 1 : word;
    const bool whole = file_exists(at) || !strchr(at, '+');
    char *first = whole ? mem_strdup(at, e) : mem_strndup(at, strcspn(at, "+"), e);
    char *name = !first   ? NULL
                 : equals ? mem_strndup(word, (size_t)(equals - word), e)
                          : report_name_of(first, e);
    int rc = name ? 0 : -1;
    free(first);
    while (!rc && *at) {
        const size_t n = whole ? strlen(at) : strcspn(at, "+");
        char *path = mem_strndup(at, n, e);
        rc = path ? report_add_path(r, name, path, false, e) : -1;
        free(path);
        at += n + (at[n] == '+');
    }
    free(name);
    return rc;
}

void report_fini(struct report *r)
{
    for (int i = 0; i < r->n; i++) {
        verdict_fini(&r->v[i].verdict);
        free(r->v[i].name);
        json_decref(r->v[i].log);
        json_decref(r->v[i].table);
        json_t *const owned[] = {r->v[i].rows,    r->v[i].cost,   r->v[i].run,    r->v[i].steps,
                                 r->v[i].attacks, r->v[i].tokens, r->v[i].inputs, r->v[i].evals,
                                 r->v[i].card,    r->v[i].dirs,   r->v[i].ids};
        for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
            json_decref(owned[k]);
    }
    free(r->v);
    json_decref(r->senses);
    *r = (struct report){.n = 0};
}
