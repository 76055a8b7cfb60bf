#include "suites/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/kinds.h"
#include "suites/recipe.h"

int suite_no_memory(struct err *e)
{
    return err_set(e, "out of memory (results)");
}

int suite_add_row(json_t *rows, int number, json_t *row, struct err *e)
{
    char key[16];
    snprintf(key, sizeof key, "%d", number);
    return json_object_set_new(rows, key, row) ? suite_no_memory(e) : 0;
}

void result_fini(struct result *r)
{
    json_decref(r->json);
    json_decref(r->odd);
    free(r->values);
    *r = (struct result){0};
}

int suite_mean(json_t *rows, double *value, int n, struct result *out, struct err *e)
{
    const char *index;
    json_t *row;
    int i = 0;
    out->values = value;
    out->n = n;
    out->json = json_pack("{s:o, s:o}", "agg_value", peer_number(stats_mean(value, n)),
                          "value_by_index", rows);
    if (!out->json)
        return suite_no_memory(e);
    json_object_foreach(rows, index,
                        row) if (isnan(value[i++]) &&
                                 odd_add(&out->odd, ODD_MISSING, n, "", index, e)) return -1;
    return 0;
}

int suite_figure(double x, struct result *out, struct err *e)
{
    out->json = json_pack("{s:o}", "agg_value", peer_number(x));
    return out->json ? 0 : suite_no_memory(e);
}

const struct rows *suite_rows(const struct suite *s, int set, const char *answer)
{
    const struct rows *rows = s->sets ? s->sets[set] : NULL;
    for (int i = 0; rows && i < rows->n; i++)
        if (json_object_get(rows->v[i], answer))
            return rows;
    return NULL;
}

const struct exhibit *suite_exhibit(const struct suite *s, const struct metric *m, int set)
{
    return s->sets && s->sets[set] ? evidence_find(&s->evidence, s->sets[set], m->answer) : NULL;
}

struct questioning suite_questioning(const struct suite *s, int set)
{
    const struct suite_set *of = &s->recipe->sets[set];
    return (struct questioning){
        .question = of->plain      ? NULL
                    : of->question ? of->question
                                   : s->question,
        .continued = of->continued,
        .limit = {.max_new_tokens = of->max_new_tokens ? of->max_new_tokens : s->max_new_tokens,
                  .stops = of->stops}};
}

static void want(struct suite *s, int set, const struct metric *m)
{
    const struct questioning how = suite_questioning(s, set);
    evidence_want(&s->evidence, s->sets[set], &how, m->answer, m->kind->needs);
}

/* "forget: 40 rows", set by set. */
static void note_sets(const struct suite *s)
{
    for (int i = 0; s->sets && i < s->recipe->n_sets; i++)
        if (s->sets[i])
            log_note("%s: %d rows", s->recipe->sets[i].name, s->sets[i]->n);
}

static int gather(struct suite *s, struct err *e)
{
    int n = 0;
    while (s->recipe->metrics[n].name)
        n++;
    if (evidence_init(&s->evidence, 2 * n, e))
        return -1;
    for (const struct metric *m = s->recipe->metrics; m->name; m++) {
        unsigned needs = m->kind->needs;
        if (!needs || (needs & NEED_SECOND && !s->reference))
            continue;
        const int sets[] = {m->set, m->against}, n_sets = 1 + m->kind->against;
        bool there = true;
        for (int i = 0; i < n_sets; i++)
            there = there && suite_rows(s, sets[i], m->answer);
        for (int i = 0; i < n_sets && there; i++)
            want(s, sets[i], m);
    }
    note_sets(s);
    const struct evidence_source from = {s->encoder, s->model, s->reference};
    return evidence_gather(&s->evidence, &from, e);
}

/* Whether a log holds rows of a metric. */
static bool has_rows(const json_t *logged)
{
    return json_object_size(json_object_get(logged, "value_by_index")) ||
           (json_object_size(peer_rows(logged, "forget")) &&
            json_object_size(peer_rows(logged, "holdout")));
}

static bool has_figure(const json_t *logged)
{
    return json_is_number(logged) || json_object_get(logged, "agg_value");
}

/* A figure of which the log holds no rows stays as it is. */
static int keep(const json_t *log, const struct metric *m, struct result *r, struct err *e)
{
    json_t *logged = json_object_get(log, m->name);
    snprintf(r->note, sizeof r->note, "as the log has it: there is nothing to compute it from");
    r->json = json_is_object(logged) ? json_incref(logged) : NULL;
    return r->json ? 0 : suite_figure(peer_aggregate(log, m->name), r, e);
}

/* log: an evaluation log that the metric is to come from, if it is not asked of a model. */
static int add(struct suite *s, const struct metric *m, const json_t *log, struct err *e)
{
    struct result r = {0};
    json_t *logged = json_object_get(log, m->name);
    int rc = m->kind->compute(m, s, &r, e);
    if (!rc && !r.json && logged && m->kind->rescore && (has_rows(logged) || !has_figure(logged)))
        rc = m->kind->rescore(m, logged, &r, e);
    if (!rc && !r.json && !*r.note && has_figure(logged))
        rc = keep(log, m, &r, e);
    if (!rc && (r.json || *r.note))
        rc = suite_tabulate(s, m, &r, e);
    if (!rc && r.json) {
        rc = peer_log_add(&s->log, m->name, r.json, m->in_summary, e);
        r.json = NULL;
    }
    result_fini(&r);
    return rc ? err_prefix(e, "%s: ", m->name) : 0;
}

int suite_run(struct suite *s, struct err *e)
{
    s->log.nan = s->compat & COMPAT_NAN;
    int rc = gather(s, e);
    for (const struct metric *m = s->recipe->metrics; !rc && m->name; m++)
        rc = add(s, m, NULL, e);
    evidence_fini(&s->evidence);
    return rc;
}

int suite_rescore(struct suite *s, const json_t *eval, struct err *e)
{
    for (const struct metric *m = s->recipe->metrics; m->name; m++)
        if (add(s, m, eval, e))
            return -1;
    return s->table ? 0 : err_set(e, "the log has none of the suite's metrics");
}

void suite_fini(struct suite *s)
{
    evidence_fini(&s->evidence);
    peer_log_fini(&s->log);
    json_decref(s->table);
    json_decref(s->beside);
    s->table = s->beside = NULL;
}
