/* Accuracy, its error and macro F1 of tasks, folds and groups, from the samples of a log. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/stats.h"
#include "suites/metrics.h"
#include "suites/multiple_private.h"
#include "suites/suite.h"

static double stderr_of(const double *v, int n)
{
    double mean = stats_mean(v, n), sum = 0;
    for (int i = 0; i < n; i++)
        sum += (v[i] - mean) * (v[i] - mean);
    return n > 1 ? sqrt(sum / (n - 1) / n) : NAN;
}

/* Room for n more accuracies. */
static int grow(struct accuracy *t, int n, struct err *e)
{
    double *acc = mem_alloc((size_t)(t->n + n), sizeof *acc, e);
    if (!acc)
        return -1;
    if (t->n)
        memcpy(acc, t->acc, (size_t)t->n * sizeof *acc);
    free(t->acc);
    t->acc = acc;
    return 0;
}

/* The index of a label; -1: unknown. */
static int class_of(const struct choice_task *task, const json_t *label)
{
    int c = (int)json_array_size(task->classes) - 1;
    while (c >= 0 && !json_equal(json_array_get(task->classes, (size_t)c), label))
        c--;
    return c;
}

static int add_sample(struct accuracy *t, const struct choice_task *task, const json_t *sample,
                      struct err *e)
{
    const json_t *acc = json_object_get(sample, "acc"), *gold = json_object_get(sample, "target");
    if (!json_is_number(acc))
        return err_set(e, "a sample has no number 'acc'");
    t->acc[t->n++] = json_number_value(acc);
    t->norm += json_number_value(json_object_get(sample, "acc_norm"));
    t->chance += 1.0 / (double)json_array_size(json_object_get(sample, "resps"));
    if (!t->classes)
        return 0;
    int chosen = class_of(task, json_object_get(sample, "chosen"));
    int64_t own = json_is_integer(gold) ? json_integer_value(gold) : -1;
    if (chosen < 0 || own < 0 || own >= t->classes)
        return err_set(e, "a sample's 'chosen' or 'target' is none of the labels");
    t->gold[own]++;
    t->chosen[chosen]++;
    t->hits[chosen] += chosen == own;
    return 0;
}

/* Adds the samples of a log (batch_sample), those of one fold or, fold = 0, all. Fails if one has
 * no 'acc'. */
static int accuracy_add(struct accuracy *t, const struct choice_task *task, const json_t *samples,
                        int fold, struct err *e)
{
    size_t i;
    json_t *sample;
    if (grow(t, (int)json_array_size(samples), e))
        return -1;
    t->classes = (int)json_array_size(task->classes);
    t->shares = task->answer_is == ANSWER_TRUTHS;
    t->normalised = task->normalised;
    json_array_foreach((json_t *)samples, i, sample)
    {
        if (fold && json_integer_value(json_object_get(sample, "fold")) != fold)
            continue;
        if (add_sample(t, task, sample, e))
            return -1;
    }
    return 0;
}

/* Adds another accuracy as one part of a group: the errors of the parts are pooled. */
static int accuracy_join(struct accuracy *t, const struct accuracy *part, struct err *e)
{
    if (grow(t, part->n, e))
        return -1;
    memcpy(t->acc + t->n, part->acc, (size_t)part->n * sizeof *t->acc);
    double error = stderr_of(part->acc, part->n);
    t->variance += part->n > 1 ? (double)(part->n - 1) * part->n * error * error : 0;
    t->n += part->n;
    t->missing += part->missing;
    t->norm += part->norm;
    t->chance += part->chance;
    t->parts++;
    t->shares = part->shares;
    t->normalised = part->normalised;
    return 0;
}

/* Mean over the labels that occur of 2 hits / (gold + chosen); NaN if there are none. */
static double accuracy_macro_f1(const struct accuracy *t)
{
    double sum = 0;
    int n = 0;
    for (int c = 0; c < t->classes; c++) {
        int all = t->gold[c] + t->chosen[c];
        sum += all ? 2.0 * t->hits[c] / all : 0;
        n += all > 0;
    }
    return n ? sum / n : NAN;
}

/* A row of the table, a new object: {rows, missing, acc, acc_stderr, low, high, acc_norm} and, with
 * labels, macro_f1; low and high bound acc at 95 %. */
static json_t *accuracy_line(const struct accuracy *t, struct err *e)
{
    double acc = stats_mean(t->acc, t->n), norm = t->n ? t->norm / t->n : NAN;
    double error =
        t->parts > 1 ? sqrt(t->variance / (t->n - t->parts) / t->n) : stderr_of(t->acc, t->n);
    struct interval i = interval_of_rate(t->n ? (int)lround(acc * t->n) : 0, t->n, SUITE_LEVEL);
    if (t->shares && interval_of_mean(t->acc, t->n, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED, &i, e))
        return NULL;
    json_t *line = json_pack("{s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "rows", t->n, "missing",
                             t->missing, "acc", peer_number(acc), "acc_stderr", peer_number(error),
                             "low", peer_number(i.low), "high", peer_number(i.high), "acc_norm",
                             t->normalised ? peer_number(norm) : json_null());
    if (line && !t->shares && t->n && isfinite(t->chance) &&
        json_object_set_new(line, "chance", json_real(t->chance / t->n)))
        err_no_memory(e, "chance");
    else if (line && (!t->classes ||
                      !json_object_set_new(line, "macro_f1", peer_number(accuracy_macro_f1(t)))))
        return line;
    json_decref(line);
    suite_no_memory(e);
    return NULL;
}

void accuracy_fini(struct accuracy *t)
{
    free(t->acc);
    *t = (struct accuracy){.n = 0};
}

void task_note_bad(struct task_run *run, const struct questions *q)
{
    if (q->bad && !*run->m->first_bad.msg)
        run->m->first_bad = q->first;
    run->missing += q->bad;
}

/* Adds a row of the table, whose reference is taken, and its values to the summary. */
static int report(struct multiple *m, const char *name, json_t *line, struct err *e)
{
    static const char *const keys[] = {"acc",      "acc_stderr", "acc_norm",
                                       "macro_f1", "acc_mean",   "acc_sd"};
    const struct sense sense = task_sense_of(m->role);
    if (json_object_set_new(m->table, name, line))
        return suite_no_memory(e);
    if (sense_to_json(&sense, line, e))
        return -1;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char key[160];
        json_t *x = json_object_get(line, keys[i]);
        bool reported = json_is_real(x) || (x && i < 2);
        snprintf(key, sizeof key, "%s/%s", name, keys[i]);
        if (reported && json_object_set(m->log.summary, key, x))
            return suite_no_memory(e);
    }
    return 0;
}

/* The number of folds of the samples; 0: no folds. */
static int count_folds(const json_t *samples)
{
    size_t i;
    json_t *sample;
    int k = 0;
    json_array_foreach((json_t *)samples, i, sample)
    {
        json_int_t fold = json_integer_value(json_object_get(sample, "fold"));
        k = fold > k && fold <= (json_int_t)json_array_size(samples) ? (int)fold : k;
    }
    return k;
}

static int add_time(json_t *line, double seconds, int rows, struct err *e)
{
    return json_object_set_new(line, "seconds", json_real(seconds)) ||
                   json_object_set_new(line, "rows_per_second",
                                       peer_number(seconds > 0 ? rows / seconds : NAN))
               ? suite_no_memory(e)
               : 0;
}

/* Reports fold f, from 1, and returns its accuracy in *acc. */
static int report_fold(const struct task_run *run, int f, double *acc, struct err *e)
{
    const struct fold_cost *cost = run->costs ? &run->costs[f - 1] : NULL;
    struct accuracy t = {.n = 0};
    char name[160];
    json_t *line =
        accuracy_add(&t, run->task->layouts, run->samples, f, e) ? NULL : accuracy_line(&t, e);
    int n = t.n, rc = line ? 0 : -1;
    *acc = stats_mean(t.acc, t.n);
    accuracy_fini(&t);
    snprintf(name, sizeof name, "%s_fold%d", run->task->name, f);
    if (!rc && cost)
        rc =
            add_time(line, cost->seconds, n, e) || json_object_set(line, "examples", cost->examples)
                ? suite_no_memory(e)
                : 0;
    if (!rc)
        return report(run->m, name, line, e);
    json_decref(line);
    return -1;
}

/* Mean and standard deviation over the folds, their time. */
static int add_folds(const struct task_run *run, json_t *line, const double *acc, int k,
                     struct err *e)
{
    double mean = stats_mean(acc, k), sum = 0, seconds = 0;
    for (int f = 0; f < k; f++) {
        sum += (acc[f] - mean) * (acc[f] - mean);
        seconds += run->costs ? run->costs[f].seconds : 0;
    }
    if (json_object_set_new(line, "acc_mean", peer_number(mean)) ||
        json_object_set_new(line, "acc_sd", peer_number(k > 1 ? sqrt(sum / (k - 1)) : NAN)))
        return suite_no_memory(e);
    return run->costs ? add_time(line, seconds, (int)json_array_size(run->samples), e) : 0;
}

/* Adds a task to the accuracies of its groups. */
static int join_groups(const struct task_run *run, const struct accuracy *own, struct err *e)
{
    for (int i = 0, g; run->task->groups[i]; i++) {
        struct accuracy *groups = run->m->groups;
        const char *name = run->task->groups[i];
        for (g = 0; g < MULTIPLE_GROUPS && groups[g].name && strcmp(groups[g].name, name);)
            g++;
        if (g == MULTIPLE_GROUPS)
            return err_set(e, "a suite has at most %d groups", MULTIPLE_GROUPS);
        groups[g].name = name;
        if (accuracy_join(&groups[g], own, e))
            return -1;
    }
    return 0;
}

/* Reports all questions of the task, in k folds. */
static int report_task(struct task_run *run, const double *acc, int k, struct err *e)
{
    struct accuracy own = {.missing = run->missing};
    json_t *line = NULL;
    int rc = accuracy_add(&own, run->task->layouts, run->samples, 0, e) ||
             !(line = accuracy_line(&own, e)) || (k && add_folds(run, line, acc, k, e));
    if (rc)
        json_decref(line);
    else
        rc = report(run->m, run->task->name, line, e) || join_groups(run, &own, e);
    accuracy_fini(&own);
    return rc;
}

int task_report(struct task_run *run, struct err *e)
{
    int k = count_folds(run->samples), rc = 0;
    double *acc = mem_alloc((size_t)k, sizeof *acc, e);
    if (!acc)
        return -1;
    for (int f = 1; f <= k && !rc; f++)
        rc = report_fold(run, f, &acc[f - 1], e);
    if (!rc)
        rc = report_task(run, acc, k, e);
    free(acc);
    return rc;
}

/* From the narrowest group to the widest. */
int groups_report(struct multiple *m, struct err *e)
{
    for (int i = MULTIPLE_GROUPS - 1; i >= 0; i--) {
        json_t *line = m->groups[i].n ? accuracy_line(&m->groups[i], e) : NULL;
        if (m->groups[i].n && (!line || report(m, m->groups[i].name, line, e)))
            return -1;
    }
    return 0;
}
