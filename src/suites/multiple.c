#include "suites/multiple.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/template.h"
#include "suites/multiple_private.h"
#include "suites/suite.h"

int batch_score(struct question_batch *b, const struct suite_task *t, const struct rows *rows,
                const struct rows *shots, int n_shots, const struct multiple_model *model,
                struct err *e)
{
    double start = log_seconds();
    if (questions_build(&b->q, t->layouts, t->subject, rows, shots, n_shots, e) ||
        !(b->s = mem_alloc((size_t)b->q.n, sizeof *b->s, e)) ||
        choice_score(b->s, &b->q, model->tok, model->backend, model->positions, e))
        return -1;
    b->seconds = log_seconds() - start;
    return 0;
}

json_t *batch_sample(const struct question_batch *b, int i)
{
    const struct question *q = &b->q.v[i];
    const struct choice_score *s = &b->s[i];
    json_t *logp = json_array();
    for (int c = 0; c < s->n; c++)
        json_array_append_new(logp, peer_number(s->logp[c]));
    return json_pack("{s:i, s:i, s:o, s:f, s:f, s:O*}", "doc_id", q->row, "target", q->gold,
                     "resps", logp, "acc", s->acc, "acc_norm", s->acc_norm, "chosen",
                     json_array_get(b->q.task->classes, (size_t)s->best));
}

void batch_fini(struct question_batch *b)
{
    if (b->s)
        choice_scores_free(b->s, b->q.n);
    free(b->s);
    questions_fini(&b->q);
    *b = (struct question_batch){.s = NULL};
}

/* The path of a file of this folder, {subject} replaced. */
static char *file_of(const char *dir, const char *form, const char *subject, struct err *e)
{
    static const char mark[] = "{subject}";
    struct buf name = {0};
    const char *place = subject ? strstr(form, mark) : NULL;
    int rc = place ? buf_add(&name, form, (size_t)(place - form), e) ||
                         buf_printf(&name, e, "%s%s", subject, place + strlen(mark))
                   : buf_str(&name, form, e);
    char *path = rc ? NULL : file_join(dir, name.data, e);
    buf_fini(&name);
    return path;
}

static bool listed(const char *names, const char *name)
{
    size_t n = name ? strlen(name) : 0;
    for (const char *at = names; at && *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        if (name && strcspn(at, ",") == n && !memcmp(at, name, n))
            return true;
    return !names;
}

/* Fails unless all names are subjects of the suite. */
static int check_subjects(const struct suite_recipe *r, const char *names, struct err *e)
{
    for (const char *at = names; at && *at;) {
        size_t n = strcspn(at, ",");
        bool known = false;
        for (int i = 0; i < r->n_tasks && !known; i++) {
            const char *s = r->tasks[i].subject;
            known = s && strlen(s) == n && !memcmp(s, at, n);
        }
        if (!known)
            return err_set(e, "%s has no subject '%.*s'", r->name, (int)n, at);
        at += n + (at[n] == ',');
    }
    return 0;
}

/* The file of the task's questions in *path, owned; NULL if there is none. */
static int find_file(const struct suite_task *t, const char *data, char **path, struct err *e)
{
    bool dir = file_is_dir(data);
    *path = NULL;
    if (t->files[0] && strstr(t->files[0], "{subject}") && !dir)
        return err_set(e, "%s is read from a folder, '%s' is not one", t->name, data);
    if (!t->files[0] || !dir)
        return (*path = mem_strdup(data, e)) ? 0 : -1;
    for (int i = 0; t->files[i] && !*path; i++) {
        if (!(*path = file_of(data, t->files[i], t->subject, e)))
            return -1;
        if (!file_exists(*path)) {
            free(*path);
            *path = NULL;
        }
    }
    return 0;
}

int multiple_each_file(const struct suite_recipe *r, const struct multiple_options *o,
                       int (*fn)(void *ctx, const char *path, struct err *e), void *ctx,
                       struct err *e)
{
    int rc = 0;
    for (int i = 0; i < r->n_tasks && !rc; i++) {
        const struct suite_task *t = &r->tasks[i];
        char *file = NULL, *examples = NULL;
        if (!listed(o->subjects, t->subject))
            continue;
        rc = find_file(t, o->data, &file, e);
        if (!rc && file)
            rc = fn(ctx, file, e);
        if (!rc && file && o->shots && !o->folds && t->examples)
            rc = !(examples = file_of(o->data, t->examples, t->subject, e)) || fn(ctx, examples, e);
        free(examples);
        free(file);
    }
    return rc;
}

/* All rows at once. */
static int run_whole(struct task_run *run, struct err *e)
{
    struct rows first = run->rows, dev = {0}; /* `first` borrows the selected rows */
    struct question_batch b = {.s = NULL};
    if (run->o->limit && run->o->limit < first.n)
        first.n = (int)run->o->limit;
    if (run->examples && rows_open(&dev, run->examples, e))
        return -1;
    log_note("%s: %d questions", run->task->name, first.n);
    int rc = batch_score(&b, run->task, &first, &dev, (int)run->o->shots, run->model, e);
    for (int i = 0; i < b.q.n && !rc; i++)
        rc = json_array_append_new(run->samples, batch_sample(&b, i)) ? suite_no_memory(e) : 0;
    task_note_bad(run, &b.q);
    batch_fini(&b);
    rows_close(&dev);
    return rc;
}

/* Copies the field of the text to the name in the recipe. */
static int name_text(struct rows *rows, const char *key, struct err *e)
{
    for (int i = 0; key && i < rows->n; i++) {
        const json_t *text = template_field(rows->v[i], key);
        if (text && json_object_set(rows->v[i], "text", (json_t *)text))
            return suite_no_memory(e);
    }
    return 0;
}

/* Runs the task on the questions of this file. */
static int run_file(struct task_run *run, const char *file, struct err *e)
{
    int rc = rows_open_columns(&run->rows, file, run->o->columns, e) ||
                     name_text(&run->rows, run->o->text_key, e) ||
                     (run->o->folds ? task_run_folds(run, e) : run_whole(run, e)) ||
                     task_report(run, e)
                 ? -1
                 : 0;
    for (int f = 0; run->costs && f < (int)run->o->folds; f++)
        json_decref(run->costs[f].examples);
    free(run->costs);
    rows_close(&run->rows);
    return rc;
}

/* Runs the task if its questions exist; *n counts the tasks that were run. */
static int run_task(struct task_run *run, int *n, struct err *e)
{
    const struct suite_task *t = run->task;
    const struct multiple_options *o = run->o;
    char *file;
    if (!listed(o->subjects, t->subject))
        return 0;
    if (o->shots && !o->folds && !t->examples)
        return err_about(e, "shots", "%s has worked examples only with folds", t->name);
    if (find_file(t, o->data, &file, e))
        return -1;
    if (!file)
        return o->subjects ? err_set(e, "'%s' has no questions of %s", o->data, t->subject) : 0;
    if (o->shots && !o->folds && !(run->examples = file_of(o->data, t->examples, t->subject, e))) {
        free(file);
        return -1;
    }
    ++*n;
    run->samples = json_array();
    int rc = json_object_set_new(run->m->log.eval, t->name, run->samples) ? suite_no_memory(e)
                                                                          : run_file(run, file, e);
    free(run->examples);
    free(file);
    return rc;
}

static int start(struct multiple *m, const struct suite_recipe *r, struct err *e)
{
    *m = (struct multiple){
        .log = {json_object(), json_object()}, .table = json_object(), .role = r->role};
    return m->log.eval && m->log.summary && m->table ? 0 : suite_no_memory(e);
}

int multiple_run(struct multiple *m, const struct suite_recipe *r, const struct multiple_options *o,
                 const struct multiple_model *model, struct err *e)
{
    int n = 0;
    if (start(m, r, e))
        return -1;
    if (o->folds == 1)
        return err_about(e, "folds", "1 fold: at least 2 are needed");
    if (check_subjects(r, o->subjects, e))
        return -1;
    for (int i = 0; i < r->n_tasks; i++) {
        struct task_run run = {.m = m, .o = o, .model = model, .task = &r->tasks[i]};
        if (run_task(&run, &n, e))
            return -1;
    }
    if (groups_report(m, e))
        return -1;
    return n ? 0 : err_set(e, "'%s' has none of the files of %s", o->data, r->name);
}

int multiple_rescore(struct multiple *m, const struct suite_recipe *r, const json_t *eval,
                     struct err *e)
{
    if (start(m, r, e))
        return -1;
    for (int i = 0; i < r->n_tasks; i++) {
        json_t *samples = json_object_get(eval, r->tasks[i].name);
        struct task_run run = {.m = m, .task = &r->tasks[i], .samples = samples};
        if (!json_array_size(samples))
            continue;
        if (json_object_set(m->log.eval, run.task->name, samples))
            return suite_no_memory(e);
        if (task_report(&run, e))
            return err_prefix(e, "%s: ", run.task->name);
    }
    return json_object_size(m->table) ? groups_report(m, e)
                                      : err_set(e, "the log has none of the tasks of %s", r->name);
}

void multiple_fini(struct multiple *m)
{
    peer_log_fini(&m->log);
    json_decref(m->table);
    for (int i = 0; i < MULTIPLE_GROUPS; i++)
        accuracy_fini(&m->groups[i]);
    *m = (struct multiple){.table = NULL};
}
