/* Cross-validation: a task's questions in k folds, with worked examples from the other folds. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "suites/multiple_private.h"
#include "suites/suite.h"

static int *shuffled(int n, uint32_t seed, enum rng_purpose purpose, int index, struct err *e)
{
    struct rng r;
    int *order = mem_alloc((size_t)n, sizeof *order, e);
    if (!order)
        return NULL;
    for (int i = 0; i < n; i++)
        order[i] = i;
    rng_stream(&r, seed, purpose, (uint32_t)index);
    rng_permutation(&r, order, n);
    return order;
}

static int count_labels(const int *label, int n)
{
    int labels = 0;
    for (int i = 0; i < n; i++)
        labels = label[i] < labels ? labels : label[i] + 1;
    return labels;
}

int folds_deal(const int *label, int n, int k, uint32_t seed, int *fold, struct err *e)
{
    int *order = shuffled(n, seed, RNG_ORDER, 0, e), labels = count_labels(label, n), dealt = 0;
    if (!order)
        return -1;
    for (int l = 0; l < labels; l++)
        for (int i = 0; i < n; i++)
            if (label[order[i]] == l)
                fold[order[i]] = dealt++ % k;
    free(order);
    return 0;
}

/* Removes and returns the first remaining row of the label drawn least often; -1 in `order` marks
 * removed rows. -1: none is left. */
static int take_next(int *order, const int *label, int n, int *times)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (order[i] >= 0 && (best < 0 || times[label[order[i]]] < times[label[order[best]]]))
            best = i;
    if (best < 0)
        return -1;
    int row = order[best];
    order[best] = -1;
    times[label[row]]++;
    return row;
}

int folds_draw(const int *label, const int *fold, int n, int f, int shots, uint32_t seed, int *pick,
               struct err *e)
{
    int *order = shuffled(n, seed, RNG_SAMPLE, f, e), drawn = 0;
    int *times = order ? mem_alloc((size_t)count_labels(label, n), sizeof *times, e) : NULL;
    for (int i = 0; times && i < n; i++)
        if (fold[order[i]] == f)
            order[i] = -1;
    while (times && drawn < shots && (pick[drawn] = take_next(order, label, n, times)) >= 0)
        drawn++;
    int rc = times ? 0 : -1;
    free(times);
    free(order);
    return !rc && drawn < shots
               ? err_set(e, "%d worked examples requested, the other folds have %d", shots, drawn)
               : rc;
}

/* The task's questions and their folds. */
struct division {
    int n, k;
    int *row, *label, *fold; /* [n] owned: of each question; row is its number in the file */
    int *mine, *drawn;       /* [n] owned, for one fold: its questions, its worked examples */
};

static int division_init(struct division *d, int n, int k, struct err *e)
{
    int **arrays[] = {&d->row, &d->label, &d->fold, &d->mine, &d->drawn};
    *d = (struct division){.k = k};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (!(*arrays[i] = mem_alloc((size_t)n, sizeof **arrays[i], e)))
            return -1;
    return 0;
}

static void division_fini(struct division *d)
{
    free(d->row);
    free(d->label);
    free(d->fold);
    free(d->mine);
    free(d->drawn);
}

/* The rows of these questions: new arrays of borrowed rows. */
static int pick_rows(const struct task_run *run, const struct division *d, const int *pick, int n,
                     struct rows *out, struct err *e)
{
    const struct rows *from = &run->rows;
    *out = *from;
    out->n = n;
    out->v = mem_alloc((size_t)n, sizeof *out->v, e);
    out->at = mem_alloc((size_t)n, sizeof *out->at, e);
    if (!out->v || !out->at)
        return -1;
    for (int i = 0; i < n; i++) {
        out->v[i] = from->v[d->row[pick[i]]];
        out->at[i] = from->at[d->row[pick[i]]];
    }
    return 0;
}

static void unpick_rows(struct rows *r)
{
    free(r->v);
    free(r->at);
}

/* Finds the rows that are questions, and their labels. */
static int find_questions(struct task_run *run, struct division *d, struct err *e)
{
    struct rows first = run->rows; /* borrows */
    struct questions q = {0};
    if (run->o->limit && run->o->limit < first.n)
        first.n = (int)run->o->limit;
    if (questions_build(&q, run->task->layouts, run->task->subject, &first, NULL, 0, e))
        return -1;
    int rc = 0;
    for (; d->n < q.n && !rc; d->n++) {
        d->row[d->n] = q.v[d->n].row;
        d->label[d->n] = q.v[d->n].gold;
        rc = json_array_append_new(run->samples, json_null()) ? suite_no_memory(e) : 0;
    }
    task_note_bad(run, &q);
    questions_fini(&q);
    if (!rc && d->k > d->n)
        rc = err_set(e, "%d questions are too few for %d folds", d->n, d->k);
    return rc;
}

/* Puts the fold's samples at the indices of their rows. */
static int put_samples(struct task_run *run, const struct division *d, int f,
                       struct question_batch *b, struct err *e)
{
    for (int i = 0; i < b->q.n; i++) {
        b->q.v[i].row = d->row[d->mine[i]];
        json_t *one = batch_sample(b, i);
        int rc = json_object_set_new(one, "fold", json_integer(f + 1));
        if (json_array_set_new(run->samples, (size_t)d->mine[i], one) || rc)
            return suite_no_memory(e);
    }
    return 0;
}

static int run_fold(struct task_run *run, struct division *d, int f, struct err *e)
{
    const struct multiple_options *o = run->o;
    struct rows rows = {0}, shots = {0};
    struct question_batch b = {.s = NULL};
    int n = 0;
    for (int i = 0; i < d->n; i++)
        if (d->fold[i] == f)
            d->mine[n++] = i;
    log_note("%s: fold %d of %d, %d questions", run->task->name, f + 1, d->k, n);
    int rc =
        folds_draw(d->label, d->fold, d->n, f, (int)o->shots, (uint32_t)o->seed, d->drawn, e) ||
        pick_rows(run, d, d->mine, n, &rows, e) ||
        pick_rows(run, d, d->drawn, (int)o->shots, &shots, e) ||
        batch_score(&b, run->task, &rows, &shots, (int)o->shots, run->model, e) ||
        put_samples(run, d, f, &b, e);
    run->costs[f] = (struct fold_cost){b.seconds, json_array()};
    for (int i = 0; i < (int)o->shots && !rc; i++)
        json_array_append_new(run->costs[f].examples, json_integer(d->row[d->drawn[i]]));
    batch_fini(&b);
    unpick_rows(&rows);
    unpick_rows(&shots);
    return rc;
}

int task_run_folds(struct task_run *run, struct err *e)
{
    struct division d;
    int rc = division_init(&d, run->rows.n, (int)run->o->folds, e) || find_questions(run, &d, e) ||
             folds_deal(d.label, d.n, d.k, (uint32_t)run->o->seed, d.fold, e) ||
             !(run->costs = mem_alloc((size_t)d.k, sizeof *run->costs, e));
    for (int f = 0; f < d.k && !rc; f++)
        rc = run_fold(run, &d, f, e);
    division_fini(&d);
    return rc;
}
