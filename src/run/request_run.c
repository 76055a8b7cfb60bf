/* A request from its first step to its card. What is done stands in OUT/run.json after every step,
 * from which a repeated command continues. */
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/outdir.h"
#include "run/request_work.h"

/* --- steps --- */

char *request_path(const struct request_work *w, const char *name, struct err *e)
{
    return file_join(w->out, name, e);
}

int request_write_record(struct request_work *w, struct err *e)
{
    char *path = request_path(w, "run.json", e);
    int rc = path ? json_write_file(w->record, path, JSON_INDENT(1), e) : -1;
    free(path);
    return rc;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The options without those that change nothing. */
static bool is_done(const struct request_work *w, const char *name, const char *path,
                    const json_t *options)
{
    const json_t *before = json_object_get(json_object_get(w->record, "steps"), name);
    return before && file_exists(path) && json_equal(json_object_get(before, "options"), options);
}

int request_do(struct request_work *w, const char *name, const char *command, const char *word,
               json_t *options, struct err *e)
{
    const struct request_step s = {name, command, word, options};
    char *path = options ? request_path(w, name, e) : NULL;
    int rc = path ? 0 : options ? -1 : err_no_memory(e, "options");
    if (!rc && !is_done(w, name, path, options)) {
        const double began = now();
        rc = w->h->run(w->h->ctx, &s, path, REQUEST_RUN, NULL, e);
        json_t *done = json_pack("{s:f, s:O}", "seconds", now() - began, "options", options);
        if (!rc && json_object_set_new(json_object_get(w->record, "steps"), name, done))
            rc = err_no_memory(e, "record");
        rc = rc || request_write_record(w, e);
    }
    json_decref(options);
    free(path);
    return rc;
}

int request_evaluate(struct request_work *w, int i, enum whose whose, const char *name,
                     const char *model, json_t *more, struct err *e)
{
    const struct request_part *p = &w->q->suites.v[i];
    json_t *options = request_eval_options(w->q, p, w->suites[i], model);
    if (options && more)
        json_object_update_missing(options, more);
    json_decref(more);
    char *path = request_path(w, name, e);
    int rc = request_do(w, name, "eval", NULL, options, e) || !path ||
             request_read_values(&w->values, whose, path, p->as, e);
    free(path);
    return rc;
}

/* --- the models before --- */

json_t *request_logs(struct request_work *w, int i, bool before, struct err *e)
{
    char name[REQUEST_NAME];
    json_t *more = json_object();
    if (!json_is_object(json_object_get(w->suites[i], "metrics")))
        return more;
    for (int k = 0; k < 2; k++) {
        snprintf(name, sizeof name, "%s/%s", k ? "target" : "retrained", w->q->suites.v[i].as);
        char *dir = (k ? before : w->q->retrained != NULL) ? request_path(w, name, e) : NULL;
        char *log = dir ? request_log(dir, "_EVAL.json", e) : NULL;
        if (log)
            json_object_set_new(more, k ? "before" : "retain_logs", json_string(log));
        free(log);
        free(dir);
    }
    return more;
}

static int evaluate_before(struct request_work *w, enum whose whose, const char *model,
                           struct err *e)
{
    char name[REQUEST_NAME];
    int rc = 0;
    for (int i = 0; i < w->q->suites.n && !rc; i++) {
        if (request_is_attacks(w, i))
            continue;
        snprintf(name, sizeof name, "%s/%s", whose_name[whose], w->q->suites.v[i].as);
        json_t *more = whose == WHOSE_TARGET ? request_logs(w, i, false, e) : NULL;
        rc = request_evaluate(w, i, whose, name, model, more, e);
    }
    return rc;
}

/* The bounds that the target does not hold are to be reached, the others to be kept. */
static int classify_bounds(struct request_work *w, struct err *e)
{
    struct request_values v = w->values;
    v.of[WHOSE_UNLEARNED] = v.of[WHOSE_TARGET];
    json_t *states = request_judge(w->q, &v, e), *kinds = json_array();
    int rc = states ? 0 : -1;
    for (int i = 0; i < w->q->n_bounds && !rc; i++) {
        const json_t *held = json_object_get(json_array_get(states, (size_t)i), "held");
        if (json_is_null(held) && !request_is_late(w, &w->q->bounds[i]) &&
            !request_is_costly(&w->q->bounds[i]))
            rc = err_code(e, ERR_ARGUMENT,
                          "bound '%.200s': its figures cannot be computed on the target model with "
                          "the data that is given",
                          w->q->bounds[i].text);
        const char *kind = request_is_late(w, &w->q->bounds[i]) ? "late"
                           : json_is_false(held)                ? "reach"
                                                                : "keep";
        rc = rc                                                ? rc
             : json_array_append_new(kinds, json_string(kind)) ? err_no_memory(e, "bounds")
                                                               : 0;
    }
    json_object_set_new(w->record, "kinds", kinds);
    json_decref(states);
    return rc;
}

/* --- the chosen one --- */

static int attack(struct request_work *w, const struct request_part *p, const char *model,
                  struct err *e)
{
    char name[REQUEST_NAME];
    snprintf(name, sizeof name, "attacks/%s", p->as);
    char *path = request_path(w, name, e);
    int rc = request_do(w, name, "attack", p->name,
                        request_attack_options(w->q, p, model, request_target(w->q)), e) ||
             !path || request_read_values(&w->values, WHOSE_UNLEARNED, path, p->as, e);
    free(path);
    return rc;
}

/* Its attacks: w->values of the unlearned model become those of the chosen try and of these. */
static int attack_chosen(struct request_work *w, struct err *e)
{
    const json_t *best = request_best(w);
    const int n = (int)json_integer_value(json_object_get(best, "n"));
    char name[REQUEST_NAME];
    snprintf(name, sizeof name, "tries/%d/model", n);
    char *model = request_path(w, name, e);
    json_decref(w->values.of[WHOSE_UNLEARNED]);
    w->values.of[WHOSE_UNLEARNED] = json_deep_copy(json_object_get(best, "values"));
    int rc = model ? 0 : -1;
    for (int i = 0; i < w->q->suites.n && !rc; i++) {
        if (!request_is_attacks(w, i))
            continue;
        json_t *more = json_pack("{s:s}", "target", request_target(w->q));
        if (w->q->retrained)
            json_object_set_new(more, "retrained", json_string(w->q->retrained));
        snprintf(name, sizeof name, "tries/%d/eval/%s", n, w->q->suites.v[i].as);
        rc = request_evaluate(w, i, WHOSE_UNLEARNED, name, model, more, e);
    }
    for (int i = 0; i < w->q->attacks.n && !rc; i++)
        rc = attack(w, &w->q->attacks.v[i], model, e);
    free(model);
    return rc;
}

/* --- the requests before --- */

/* The chosen model on the data of an earlier request: OUT/earlier/K/SUITE, and
 * record["drift"][K]: {"out", "forget", "values": {metric: {"then", "now"}}}. */
static int drift_of(struct request_work *w, int k, const json_t *link, const char *model,
                    struct err *e)
{
    struct request_work was = {.h = w->h, .out = w->out, .record = json_incref(w->record)};
    struct request old;
    const json_t *then = json_object_get(link, "values");
    json_t *values = json_object(), *figure;
    const char *name;
    char folder[REQUEST_NAME];
    was.values.of[WHOSE_UNLEARNED] = json_object();
    int rc = request_read(&old, json_object_get(link, "request"), e);
    was.q = &old;
    was.suites = rc ? NULL : mem_alloc((size_t)old.suites.n, sizeof *was.suites, e);
    rc = was.suites ? 0 : -1;
    if (!rc)
        old.data[ROLE_RETAIN] =
            old.data[ROLE_RETAIN]
                ? old.data[ROLE_RETAIN]
                : json_string_value(json_object_get(json_object_get(link, "suites"), "generic"));
    for (int i = 0; !rc && i < old.suites.n; i++) {
        was.suites[i] = w->h->suite(w->h->ctx, old.suites.v[i].name, e);
        snprintf(folder, sizeof folder, "earlier/%d/%s", k, old.suites.v[i].as);
        rc = !was.suites[i] || (!request_is_attacks(&was, i) &&
                                request_evaluate(&was, i, WHOSE_UNLEARNED, folder, model, NULL, e));
    }
    json_object_foreach(was.values.of[WHOSE_UNLEARNED], name, figure)
    {
        json_t *before = json_object_get(json_object_get(then, name), "value");
        if (before)
            json_object_set_new(
                values, name,
                json_pack("{s:O, s:O}", "then", before, "now", json_object_get(figure, "value")));
    }
    if (!rc)
        rc = json_array_append_new(json_object_get(w->record, "drift"),
                                   json_pack("{s:O, s:s, s:O}", "out", json_object_get(link, "out"),
                                             "forget", old.data[ROLE_FORGET], "values", values))
                 ? err_no_memory(e, "record")
                 : 0;
    json_decref(values);
    if (was.q)
        request_work_close(&was);
    request_fini(&old);
    return rc;
}

static int measure_drift(struct request_work *w, struct err *e)
{
    char name[REQUEST_NAME];
    snprintf(name, sizeof name, "tries/%d/model",
             (int)json_integer_value(json_object_get(request_best(w), "n")));
    char *model = request_path(w, name, e);
    int rc = model ? 0 : -1;
    json_object_set_new(w->record, "drift", json_array());
    for (size_t k = 0; k < json_array_size(w->q->chain) && !rc; k++)
        rc = drift_of(w, (int)k + 1, json_array_get(w->q->chain, k), model, e);
    free(model);
    return rc;
}

/* --- generic text --- */

static int make_generic(struct request_work *w, struct err *e)
{
    if (!w->generic)
        return 0;
    char *prompts = request_path(w, "generic_prompts.jsonl", e);
    w->generic_file = request_path(w, "generic.jsonl", e);
    int rc = !prompts || !w->generic_file || request_write_prompts(w->q, prompts, e) ||
             request_do(w, "generic.jsonl", "generate", NULL,
                        request_generate_options(w->q, prompts), e);
    w->q->data[ROLE_RETAIN] = w->generic_file;
    free(prompts);
    return rc;
}

/* --- all of it --- */

/* Claims OUT: nothing is there, or the same request. */
static int claim(struct request_work *w, struct outdir *dir, struct err *e)
{
    char *path = request_path(w, "request.json", e), *record = request_path(w, "run.json", e);
    const bool there = path && file_exists(path);
    int rc =
        !path || !record || outdir_open(dir, w->out, there ? OUTDIR_CONTINUE : OUTDIR_EMPTY, e);
    json_t *before = !rc && there ? json_read_file(path, e) : NULL;
    if (!rc && there)
        rc = !before ? -1
             : json_equal(before, w->q->json)
                 ? 0
                 : err_about(e, "out", "'%s' holds another request", w->out);
    else
        rc = rc || json_write_file(w->q->json, path, JSON_INDENT(2), e);
    w->record = !rc && there && file_exists(record)
                    ? json_read_file(record, e)
                    : json_pack("{s:s, s:{}, s:[]}", "command", "run", "steps", "tries");
    json_decref(before);
    free(path);
    free(record);
    return rc || !w->record;
}

/* What an earlier command finished. */
static int read_card(struct request_work *w, json_t **card, struct err *e)
{
    char *path = request_path(w, "card.json", e);
    if (path && json_is_true(json_object_get(w->record, "finished")) && file_exists(path)) {
        log_note("the request in '%s' is finished: nothing is left to do", w->out);
        *card = json_read_file(path, e);
    }
    free(path);
    return path ? 0 : -1;
}

static int finish(struct request_work *w, json_t **card, struct err *e)
{
    char *path = request_path(w, "card.json", e);
    double sum = 0;
    const char *name;
    json_t *s;
    json_object_foreach(json_object_get(w->record, "steps"), name, s) sum +=
        json_number_value(json_object_get(s, "seconds"));
    json_object_set_new(w->record, "seconds", json_real(sum));
    json_object_set_new(w->record, "finished", json_true());
    *card = path ? request_card(w, e) : NULL;
    int rc =
        *card ? json_write_file(*card, path, JSON_INDENT(1), e) || request_write_record(w, e) : -1;
    free(path);
    return rc;
}

int request_before(struct request_work *w, struct err *e)
{
    const struct request *q = w->q;
    return (q->retrained && evaluate_before(w, WHOSE_RETRAINED, q->retrained, e)) ||
           evaluate_before(w, WHOSE_TARGET, request_target(q), e);
}

static int do_all(struct request_work *w, json_t **card, struct err *e)
{
    return make_generic(w, e) || request_before(w, e) || classify_bounds(w, e) ||
           request_try(w, e) || attack_chosen(w, e) || measure_drift(w, e) || finish(w, card, e);
}

int request_run(struct request *q, const struct request_hooks *h, const char *out, json_t **card,
                struct err *e)
{
    struct request_work w;
    struct outdir dir = {0};
    char *absolute = file_absolute(out, e);
    *card = NULL;
    int rc = !absolute || request_work_open(&w, q, h, e);
    w.out = absolute;
    for (int i = 0; i < WHOSE_COUNT && !rc; i++)
        w.values.of[i] = json_object();
    rc = rc || claim(&w, &dir, e) || read_card(&w, card, e) || (!*card && do_all(&w, card, e));
    outdir_close(&dir, rc != 0);
    if (absolute)
        request_work_close(&w);
    free(absolute);
    return rc;
}
