/* A task asked in k folds. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "suites/folds.h"
#include "suites/part.h"
#include "suites/suite.h"

/* The task's questions and how they are divided. */
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

/* The rows of these questions: arrays of its own, of borrowed rows. */
static int pick_rows(const struct part *p, const struct division *d, const int *pick, int n,
                     struct rows *out, struct err *e)
{
    const struct rows *from = &p->rows;
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

/* Which rows are questions, and their labels. */
static int find_questions(struct part *p, struct division *d, struct err *e)
{
    struct rows first = p->rows; /* borrows */
    struct questions q = {0};
    if (p->o->limit && p->o->limit < first.n)
        first.n = (int)p->o->limit;
    if (questions_build(&q, p->task->layouts, p->task->subject, &first, NULL, 0, e))
        return -1;
    int rc = 0;
    for (; d->n < q.n && !rc; d->n++) {
        d->row[d->n] = q.v[d->n].row;
        d->label[d->n] = q.v[d->n].gold;
        rc = json_array_append_new(p->samples, json_null()) ? suite_no_memory(e) : 0;
    }
    part_note_bad(p, &q);
    questions_fini(&q);
    if (!rc && d->k > d->n)
        rc = err_set(e, "%d questions cannot be dealt into %d folds", d->n, d->k);
    return rc;
}

/* The fold's samples, in the places of their rows. */
static int put_samples(struct part *p, const struct division *d, int f, struct batch *b,
                       struct err *e)
{
    for (int i = 0; i < b->q.n; i++) {
        b->q.v[i].row = d->row[d->mine[i]];
        json_t *one = batch_sample(b, i);
        int rc = json_object_set_new(one, "fold", json_integer(f + 1));
        if (json_array_set_new(p->samples, (size_t)d->mine[i], one) || rc)
            return suite_no_memory(e);
    }
    return 0;
}

static int run_fold(struct part *p, struct division *d, int f, struct err *e)
{
    const struct multiple_options *o = p->o;
    struct rows rows = {0}, shots = {0};
    struct batch b = {.s = NULL};
    int n = 0;
    for (int i = 0; i < d->n; i++)
        if (d->fold[i] == f)
            d->mine[n++] = i;
    log_note("%s: fold %d of %d, %d questions", p->task->name, f + 1, d->k, n);
    int rc =
        folds_draw(d->label, d->fold, d->n, f, (int)o->shots, (uint32_t)o->seed, d->drawn, e) ||
                pick_rows(p, d, d->mine, n, &rows, e) ||
                pick_rows(p, d, d->drawn, (int)o->shots, &shots, e) ||
                batch_ask(&b, p->task, &rows, &shots, (int)o->shots, p->who, e) ||
                put_samples(p, d, f, &b, e)
            ? -1
            : 0;
    p->costs[f] = (struct fold_cost){b.seconds, json_array()};
    for (int i = 0; i < (int)o->shots && !rc; i++)
        json_array_append_new(p->costs[f].examples, json_integer(d->row[d->drawn[i]]));
    batch_fini(&b);
    unpick_rows(&rows);
    unpick_rows(&shots);
    return rc;
}

int part_ask_folds(struct part *p, struct err *e)
{
    struct division d;
    int rc = division_init(&d, p->rows.n, (int)p->o->folds, e) || find_questions(p, &d, e) ||
                     folds_deal(d.label, d.n, d.k, (uint32_t)p->o->seed, d.fold, e) ||
                     !(p->costs = mem_alloc((size_t)d.k, sizeof *p->costs, e))
                 ? -1
                 : 0;
    for (int f = 0; f < d.k && !rc; f++)
        rc = run_fold(p, &d, f, e);
    division_fini(&d);
    return rc;
}
