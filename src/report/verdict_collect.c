/* The figures of a verdict, taken from evaluation logs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/stats.h"
#include "report/verdict.h"

static bool is_kept(enum role r)
{
    return r == ROLE_RETAIN || r == ROLE_NEIGHBOUR || r == ROLE_GENERIC;
}

static bool is_used(const struct sense *x)
{
    return (x->role == ROLE_FORGET && x->direction == DIRECTION_LOW && x->aspect) ||
           (is_kept(x->role) && x->direction == DIRECTION_HIGH);
}

/* The numbers of a metric's rows, those that there are; *v owned by the caller. */
static int read_rows(const json_t *log, const char *metric, double **v, int *n, struct err *e)
{
    struct records r = {0};
    const unsigned columns = COLUMN_BIT(COLUMN_PROB) | COLUMN_BIT(COLUMN_SCORE);
    *v = NULL;
    *n = 0;
    int rc = peer_read_rows(peer_rows(log, metric), columns, 0, &r, e);
    if (!rc && !(*v = mem_alloc((size_t)r.n, sizeof **v, e)))
        rc = -1;
    for (int i = 0; !rc && i < r.n; i++) {
        const double p = records_mean(&r, COLUMN_PROB, i);
        (*v)[i] = isnan(p) ? records_mean(&r, COLUMN_SCORE, i) : p;
    }
    if (!rc)
        *n = stats_present(*v, r.n);
    records_fini(&r);
    return rc;
}

/* KS test between the rows of a metric in both logs; NaN where one has none. */
static int test_rows(const struct verdict_logs *logs, const char *metric, struct ks *ks, int n[2],
                     struct err *e)
{
    const json_t *both[] = {logs->eval, logs->retrained};
    double *v[2] = {NULL, NULL};
    *ks = (struct ks){NAN, NAN};
    int rc = read_rows(both[0], metric, &v[0], &n[0], e) ||
             read_rows(both[1], metric, &v[1], &n[1], e) ||
             ks_two_sample(v[0], n[0], v[1], n[1], ks, e);
    free(v[0]);
    free(v[1]);
    return rc ? -1 : 0;
}

static int add_figure(struct verdict *v, const struct verdict_logs *logs, const char *metric,
                      const struct sense *x, struct err *e)
{
    struct verdict_figure *f = &v->figures[v->n];
    struct ks ks = {NAN, NAN};
    int n[2] = {0, 0};
    *f = (struct verdict_figure){.metric = metric,
                                 .sense = *x,
                                 .value = peer_aggregate(logs->eval, metric),
                                 .retrained = peer_aggregate(logs->retrained, metric),
                                 .before = peer_aggregate(logs->before, metric),
                                 .bound = NAN};
    if (x->role == ROLE_FORGET && x->aspect == ASPECT_PROBABILITY && logs->retrained &&
        test_rows(logs, metric, &ks, n, e))
        return -1;
    f->ks = ks.p;
    if (isnan(v->p) && !isnan(ks.p)) { /* forget quality overrides it */
        v->p = ks.p;
        v->rows = n[0];
        v->retrained_rows = n[1];
    }
    v->n += !isnan(f->value);
    return 0;
}

/* Forget quality: that of the log, else of the rows of its truth ratio. */
static int find_quality(struct verdict *v, const struct verdict_logs *logs, const char *metric,
                        struct err *e)
{
    struct ks ks;
    int n[2];
    const double logged = peer_aggregate(logs->eval, "forget_quality");
    if (!logs->retrained && isnan(logged))
        return 0;
    if (test_rows(logs, metric, &ks, n, e))
        return -1;
    if (isnan(ks.p) && isnan(logged))
        return 0;
    v->p = isnan(logged) ? ks.p : logged;
    v->rows = n[0];
    v->retrained_rows = n[1];
    return 0;
}

/* Adds the generated answers of a metric's rows. */
static int add_texts(struct verdict_texts *t, const json_t *eval, const char *metric, struct err *e)
{
    struct records r = {0};
    int rc = peer_read_rows(peer_rows(eval, metric), 0, TEXT_BIT(TEXT_ANSWER), &r, e);
    for (int i = 0; !rc && i < r.n; i++) {
        const struct record_text *text = &records_cell(&r, i)->text[TEXT_ANSWER];
        struct text_form form;
        if (!text->s)
            continue;
        if (!(rc = text_form_of(text->s, text->n, &form, e))) {
            t->n++; /* means so far */
            t->repetition += (form.repetition - t->repetition) / t->n;
            t->not_text += (!form.is_text - t->not_text) / t->n;
        }
    }
    records_fini(&r);
    return rc;
}

/* Model utility of a log, else the highest figure of what is kept. */
static double utility_of(const struct verdict *v, const json_t *log, bool before)
{
    double best = peer_aggregate(log, "model_utility");
    for (int i = 0; i < v->n && !json_object_get(log, "model_utility"); i++) {
        const struct verdict_figure *f = &v->figures[i];
        if (is_kept(f->sense.role) &&
            (f->sense.aspect == ASPECT_TEXT || f->sense.aspect == ASPECT_PROBABILITY))
            best = fmax(best, before ? f->before : f->value); /* of a number and NaN, the number */
    }
    return best;
}

static void find_utility(struct verdict *v, const struct verdict_logs *logs)
{
    bool any = json_object_get(logs->eval, "model_utility") != NULL;
    const char *name;
    json_t *line;
    v->utility = utility_of(v, logs->eval, false);
    v->utility_before = utility_of(v, logs->before, true);
    json_object_foreach((json_t *)logs->senses, name, line)
    {
        const struct sense x = sense_of_json(line);
        any = any || (is_used(&x) && is_kept(x.role) && json_object_get(logs->eval, name));
    }
    v->no_utility = any && isnan(v->utility);
}

static int collect(struct verdict *v, const struct verdict_logs *logs, const char *metric,
                   const json_t *line, struct err *e)
{
    const struct sense x = sense_of_json(line);
    if (!json_object_get(logs->eval, metric))
        return 0;
    if (is_used(&x) && add_figure(v, logs, metric, &x, e))
        return -1;
    if (x.role == ROLE_HOLDOUT)
        return 0;
    return add_texts(x.role == ROLE_FORGET ? &v->forget : &v->rest, logs->eval, metric, e);
}

int verdict_collect(struct verdict *v, const struct verdict_logs *logs, struct err *e)
{
    const char *metric;
    json_t *line;
    int rc = 0;
    *v = (struct verdict){.p = NAN,
                          .p_least = NAN,
                          .utility = NAN,
                          .utility_before = NAN,
                          .has_before = logs->before != NULL,
                          .has_retrained = logs->retrained != NULL};
    const size_t most = json_object_size(logs->senses);
    if (!(v->figures = mem_alloc(most, sizeof *v->figures, e)))
        return -1;
    json_object_foreach((json_t *)logs->senses, metric, line) rc =
        rc || collect(v, logs, metric, line, e);
    json_object_foreach((json_t *)logs->senses, metric, line)
    {
        const struct sense x = sense_of_json(line);
        if (x.role == ROLE_FORGET && x.aspect == ASPECT_TRUTH)
            rc = rc || find_quality(v, logs, metric, e);
    }
    v->p_least = v->rows ? ks_least_p(v->rows, v->retrained_rows) : NAN;
    find_utility(v, logs);
    return rc ? -1 : 0;
}

void verdict_fini(struct verdict *v)
{
    free(v->figures);
    v->figures = NULL;
    v->n = 0;
}
