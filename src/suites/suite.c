#include "suites/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
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

int suite_mean(json_t *rows, double *value, int n, struct result *out, struct err *e)
{
    out->values = value;
    out->n = n;
    out->json = json_pack("{s:o, s:o}", "agg_value", peer_number(stats_mean(value, n)),
                          "value_by_index", rows);
    return out->json ? 0 : suite_no_memory(e);
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

const struct exhibit *suite_exhibit(const struct suite *s, int set, const char *answer)
{
    return s->sets && s->sets[set] ? evidence_find(&s->evidence, s->sets[set], answer) : NULL;
}

const char *suite_question(const struct suite *s, int set)
{
    const struct suite_set *of = &s->recipe->sets[set];
    return of->plain ? NULL : of->question ? of->question : s->question;
}

static void want(struct suite *s, int set, const struct metric *m)
{
    const struct suite_set *of = &s->recipe->sets[set];
    const struct questioning how = {
        suite_question(s, set),
        {.max_new_tokens = of->max_new_tokens ? of->max_new_tokens : s->max_new_tokens,
         .stops = of->stops}};
    evidence_want(&s->evidence, s->sets[set], &how, m->answer, m->kind->needs);
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
        if (!needs || (needs & NEED_REFERENCE && !s->reference))
            continue;
        const int sets[] = {m->set, m->against}, n_sets = 1 + m->kind->against;
        bool there = true;
        for (int i = 0; i < n_sets; i++)
            there = there && suite_rows(s, sets[i], m->answer);
        for (int i = 0; i < n_sets && there; i++)
            want(s, sets[i], m);
    }
    const struct evidence_source from = {s->encoder, s->model, s->reference};
    return evidence_gather(&s->evidence, &from, e);
}

static int find_interval(const struct metric *m, const struct result *r, int there,
                         struct interval *out, struct err *e)
{
    if (!m->kind->rate)
        return interval_of_mean(r->values, r->n, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED, out, e);
    int ones = 0;
    for (int i = 0; i < r->n; i++)
        ones += r->values[i] == 1;
    *out = interval_of_rate(ones, there, SUITE_LEVEL);
    return 0;
}

/* One line of the table. */
static int tabulate(struct suite *s, const struct metric *m, const struct result *r, struct err *e)
{
    const char *name = m->name;
    json_t *line = json_pack("{s:O}", "value", json_object_get(r->json, "agg_value"));
    int missing = 0, rc = line ? 0 : -1;
    for (int i = 0; r->values && i < r->n; i++)
        missing += isnan(r->values[i]);
    if (line && r->n)
        rc = json_object_set_new(line, "rows", json_integer(r->n - missing)) |
             json_object_set_new(line, "missing", json_integer(missing));
    if (line && r->values) {
        struct interval ci;
        if (find_interval(m, r, r->n - missing, &ci, e)) {
            json_decref(line);
            return -1;
        }
        rc |= json_object_set_new(line, "low", peer_number(ci.low)) |
              json_object_set_new(line, "high", peer_number(ci.high));
        if (missing)
            log_note("%s: %d of %d rows have no value and are left out of its mean", name, missing,
                     r->n);
    }
    if (!rc && suite_compare(s, m, r, line, e)) {
        json_decref(line);
        return -1;
    }
    if (!s->table)
        s->table = json_object();
    rc |= json_object_set_new(s->table, name, line);
    return rc ? suite_no_memory(e) : 0;
}

/* logged: what a log holds of the metric; NULL: nothing. */
static int add(struct suite *s, const struct metric *m, json_t *logged, struct err *e)
{
    struct result r = {0};
    int rc = m->kind->compute(m, s, &r, e);
    if (!rc && !r.json && logged && m->kind->rescore)
        rc = m->kind->rescore(m, logged, &r, e);
    if (!rc && r.json)
        rc = tabulate(s, m, &r, e);
    if (!rc && r.json) {
        rc = peer_log_add(&s->log, m->name, r.json, m->in_summary, e);
        r.json = NULL;
    }
    json_decref(r.json);
    free(r.values);
    return rc ? err_prefix(e, "%s: ", m->name) : 0;
}

/* Answers that say nothing, or not in Unicode, count like any other; but they are named. */
static void note_odd_answers(const struct evidence *v)
{
    int empty = 0, broken = 0;
    for (int i = 0; i < v->n_answers; i++) {
        empty += !*v->answers[i].answer;
        broken += strstr(v->answers[i].answer, "\xEF\xBF\xBD") != NULL; /* U+FFFD */
    }
    if (empty)
        log_note("%d of %d generations are empty", empty, v->n_answers);
    if (broken)
        log_note("%d of %d generations hold bytes that are no text", broken, v->n_answers);
}

int suite_run(struct suite *s, struct err *e)
{
    int rc = gather(s, e);
    if (!rc)
        note_odd_answers(&s->evidence);
    for (const struct metric *m = s->recipe->metrics; !rc && m->name; m++)
        rc = add(s, m, NULL, e);
    evidence_fini(&s->evidence);
    return rc;
}

int suite_rescore(struct suite *s, const json_t *eval, struct err *e)
{
    for (const struct metric *m = s->recipe->metrics; m->name; m++)
        if (add(s, m, json_object_get(eval, m->name), e))
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
