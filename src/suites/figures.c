/* The figures of a task and of groups, from the samples of the log. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/stats.h"
#include "suites/part.h"
#include "suites/suite.h"

void part_note_bad(struct part *p, const struct questions *q)
{
    if (q->bad && !*p->m->first_bad.msg)
        p->m->first_bad = q->first;
    p->missing += q->bad;
}

/* Puts a line of the table, whose reference is taken, and its figures into the summary. */
static int report(struct multiple *m, const char *name, json_t *line, struct err *e)
{
    static const char *const figures[] = {"acc",      "acc_stderr", "acc_norm",
                                          "macro_f1", "acc_mean",   "acc_sd"};
    if (json_object_set_new(m->table, name, line))
        return suite_no_memory(e);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        char key[160];
        json_t *x = json_object_get(line, figures[i]);
        bool usual = json_is_real(x) || (x && i < 2);
        snprintf(key, sizeof key, "%s/%s", name, figures[i]);
        if (usual && json_object_set(m->log.summary, key, x))
            return suite_no_memory(e);
    }
    return 0;
}

/* How many folds the samples are of; 0: of none. */
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

/* Reports fold f, from 1; its accuracy. */
static int report_fold(const struct part *p, int f, double *acc, struct err *e)
{
    const struct fold_cost *cost = p->costs ? &p->costs[f - 1] : NULL;
    struct tally t = {.n = 0};
    char name[160];
    json_t *line = tally_add(&t, p->task->layouts, p->samples, f, e) ? NULL : tally_line(&t, e);
    int n = t.n, rc = line ? 0 : -1;
    *acc = stats_mean(t.acc, t.n);
    tally_fini(&t);
    snprintf(name, sizeof name, "%s_fold%d", p->task->name, f);
    if (!rc && cost)
        rc =
            add_time(line, cost->seconds, n, e) || json_object_set(line, "examples", cost->examples)
                ? suite_no_memory(e)
                : 0;
    if (!rc)
        return report(p->m, name, line, e);
    json_decref(line);
    return -1;
}

/* Mean and standard deviation over the folds, their time. */
static int add_folds(const struct part *p, json_t *line, const double *acc, int k, struct err *e)
{
    double mean = stats_mean(acc, k), sum = 0, seconds = 0;
    for (int f = 0; f < k; f++) {
        sum += (acc[f] - mean) * (acc[f] - mean);
        seconds += p->costs ? p->costs[f].seconds : 0;
    }
    if (json_object_set_new(line, "acc_mean", peer_number(mean)) ||
        json_object_set_new(line, "acc_sd", peer_number(k > 1 ? sqrt(sum / (k - 1)) : NAN)))
        return suite_no_memory(e);
    return p->costs ? add_time(line, seconds, (int)json_array_size(p->samples), e) : 0;
}

/* Adds a task to the tallies of its groups. */
static int join_groups(const struct part *p, const struct tally *own, struct err *e)
{
    for (int i = 0, g; p->task->groups[i]; i++) {
        struct tally *groups = p->m->groups;
        const char *name = p->task->groups[i];
        for (g = 0; g < MULTIPLE_GROUPS && groups[g].name && strcmp(groups[g].name, name);)
            g++;
        if (g == MULTIPLE_GROUPS)
            return err_set(e, "a suite has at most %d groups", MULTIPLE_GROUPS);
        groups[g].name = name;
        if (tally_join(&groups[g], own, e))
            return -1;
    }
    return 0;
}

/* Of all questions of the task, in so many folds. */
static int report_task(struct part *p, const double *acc, int k, struct err *e)
{
    struct tally own = {.missing = p->missing};
    json_t *line = NULL;
    int rc = tally_add(&own, p->task->layouts, p->samples, 0, e) || !(line = tally_line(&own, e)) ||
                     (k && add_folds(p, line, acc, k, e))
                 ? -1
                 : 0;
    if (rc)
        json_decref(line);
    else
        rc = report(p->m, p->task->name, line, e) || join_groups(p, &own, e) ? -1 : 0;
    tally_fini(&own);
    return rc;
}

int part_figures(struct part *p, struct err *e)
{
    int k = count_folds(p->samples), rc = 0;
    double *acc = mem_alloc((size_t)k, sizeof *acc, e);
    if (!acc)
        return -1;
    for (int f = 1; f <= k && !rc; f++)
        rc = report_fold(p, f, &acc[f - 1], e);
    if (!rc)
        rc = report_task(p, acc, k, e);
    free(acc);
    return rc;
}

/* From the narrowest to the widest. */
int part_group_figures(struct multiple *m, struct err *e)
{
    for (int i = MULTIPLE_GROUPS - 1; i >= 0; i--) {
        json_t *line = m->groups[i].n ? tally_line(&m->groups[i], e) : NULL;
        if (m->groups[i].n && (!line || report(m, m->groups[i].name, line, e)))
            return -1;
    }
    return 0;
}
