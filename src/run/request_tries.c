/* The tries of a request: its methods one after the other, or a search, and the best of them. */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/outdir.h"
#include "run/request_work.h"
#include "run/search.h"
#include "run/setup.h"

static double seconds_of(const struct request_work *w, const char *name)
{
    const json_t *steps = json_object_get(w->record, "steps");
    return json_number_value(json_object_get(json_object_get(steps, name), "seconds"));
}

/* One try: an object of the record, {"n", "method", "options", "seconds", "values", "bounds",
 * "held": count, "excess"}. */

static const char *kind_of(const struct request_work *w, size_t i)
{
    return json_string_value(json_array_get(json_object_get(w->record, "kinds"), i));
}

/* Counts and sums of the bounds of that kind, NULL: of all that are not late. */
static bool all_held(const struct request_work *w, const json_t *bounds, const char *kind,
                     int *count, double *excess)
{
    bool all = true;
    for (size_t i = 0; i < json_array_size(bounds); i++) {
        const json_t *b = json_array_get(bounds, i), *x = json_object_get(b, "excess");
        const bool held = json_is_true(json_object_get(b, "held"));
        if (kind ? strcmp(kind_of(w, i), kind) != 0 : !strcmp(kind_of(w, i), "late"))
            continue;
        all &= held;
        *count += held;
        *excess += json_is_number(x) ? fmin(json_number_value(x), 10) : 10;
    }
    return all;
}

static bool is_better(const json_t *a, const json_t *b)
{
    const json_int_t held[2] = {json_integer_value(json_object_get(a, "held")),
                                json_integer_value(json_object_get(b, "held"))};
    return !b || held[0] > held[1] ||
           (held[0] == held[1] && json_number_value(json_object_get(a, "excess")) <
                                      json_number_value(json_object_get(b, "excess")));
}

static json_t *tries_of(const struct request_work *w)
{
    return json_object_get(w->record, "tries");
}

json_t *request_best(const struct request_work *w)
{
    json_t *best = NULL, *t;
    size_t i;
    json_array_foreach(tries_of(w), i, t) if (is_better(t, best)) best = t;
    return best;
}

/* The weights of all tries but the best go, if that is wanted. */
static void drop_others(struct request_work *w)
{
    const json_t *best = request_best(w), *t;
    size_t i;
    if (!strcmp(w->q->keep, "all"))
        return;
    json_array_foreach(tries_of(w), i, t)
    {
        char name[REQUEST_NAME];
        struct err ignored;
        snprintf(name, sizeof name, "tries/%zu", i + 1);
        char *path = t == best ? NULL : request_path(w, name, &ignored);
        const int at = path ? open(path, O_DIRECTORY | O_CLOEXEC) : -1;
        if (at >= 0) {
            outdir_remove_tree(at, "model");
            close(at);
        }
        free(path);
    }
}

/* What the try's model measures, in w->values. */
static int measure(struct request_work *w, int n, struct err *e)
{
    char name[REQUEST_NAME];
    snprintf(name, sizeof name, "tries/%d/model", n);
    char *model = request_path(w, name, e);
    json_decref(w->values.of[WHOSE_UNLEARNED]);
    w->values.of[WHOSE_UNLEARNED] = json_object();
    int rc = !model || request_read_cost(w->values.of[WHOSE_UNLEARNED], model, e);
    for (int i = 0; i < w->q->suites.n && !rc; i++) {
        if (request_is_attacks(w, i))
            continue;
        snprintf(name, sizeof name, "tries/%d/eval/%s", n, w->q->suites.v[i].as);
        rc = request_evaluate(w, i, WHOSE_UNLEARNED, name, model, request_logs(w, i, true, e), e);
    }
    free(model);
    return rc;
}

static int add_try(struct request_work *w, int n, const char *method, const json_t *options,
                   struct err *e)
{
    char name[REQUEST_NAME];
    json_t *bounds = request_judge(w->q, &w->values, e);
    int held = 0;
    double excess = 0;
    if (!bounds)
        return -1;
    snprintf(name, sizeof name, "tries/%d/model", n);
    all_held(w, bounds, NULL, &held, &excess);
    json_t *t =
        json_pack("{s:i, s:s, s:O, s:f, s:O, s:o, s:i, s:f}", "n", n, "method", method, "options",
                  options, "seconds", seconds_of(w, name), "values", w->values.of[WHOSE_UNLEARNED],
                  "bounds", bounds, "held", held, "excess", excess);
    if (!t || json_array_append_new(tries_of(w), t))
        return err_no_memory(e, "record");
    drop_others(w);
    return request_write_record(w, e);
}

/* One method with these options, which are taken. */
static int try_one(struct request_work *w, const struct request_part *method, json_t *options,
                   struct err *e)
{
    char name[REQUEST_NAME];
    const int n = (int)json_array_size(tries_of(w)) + 1;
    snprintf(name, sizeof name, "tries/%d/model", n);
    log_note("try %d: %s", n, method ? method->name : "NPO");
    int rc = request_do(w, name, "forget", NULL, json_incref(options), e) || measure(w, n, e) ||
             add_try(w, n, method ? method->name : "NPO", options, e);
    json_decref(options);
    return rc;
}

/* Seconds that the tries took, and the last one. */
static double spent(const struct request_work *w, double *last)
{
    double sum = 0;
    json_t *t;
    size_t i;
    *last = 0;
    json_array_foreach(tries_of(w), i, t)
    {
        *last = json_number_value(json_object_get(t, "seconds"));
        sum += *last;
    }
    return sum;
}

/* Another try of this many epochs fits in; else why not. */
static const char *budget_left(const struct request_work *w, double epochs, double last_epochs)
{
    const struct request_budget *b = &w->q->budget;
    double last;
    const double sum = spent(w, &last);
    if ((int64_t)json_array_size(tries_of(w)) >= b->tries)
        return "the number of tries is reached";
    if (last_epochs > 0)
        last *= epochs / last_epochs;
    return b->minutes > 0 && last > 0 && sum + last > 60 * b->minutes
               ? "another try would exceed the time"
               : NULL;
}

static int stop_search(struct request_work *w, const char *why, struct err *e)
{
    return json_object_set_new(w->record, "stopped", json_string(why)) ? err_no_memory(e, "record")
                                                                       : 0;
}

static int each_method(struct request_work *w, struct err *e)
{
    int rc = 0;
    for (int i = (int)json_array_size(tries_of(w)); i < w->q->methods.n && !rc; i++) {
        const char *why = budget_left(w, 1, 1);
        if (why)
            return stop_search(w, why, e);
        rc = try_one(w, &w->q->methods.v[i],
                     request_method_options(w->q, &w->q->methods.v[i], request_target(w->q)), e);
    }
    return rc;
}

int request_parameters(const struct request_work *w, double *n, struct err *e)
{
    const struct setup_options options = {.model = request_target(w->q), .compat = "none"};
    struct setup model;
    if (setup_open_header(&model, &options, e))
        return -1;
    *n = (double)model.model.table.total;
    setup_close(&model);
    return 0;
}

static int space_of(const struct request_work *w, struct search_space *s, struct err *e)
{
    const struct request_search *o = &w->q->search;
    double parameters;
    if (request_parameters(w, &parameters, e))
        return -1;
    const double start = search_start(parameters);
    *s = (struct search_space){.lr_least = o->lr_least > 0 ? o->lr_least : start / 32,
                               .lr_most = o->lr_most > 0 ? o->lr_most : start * 32,
                               .epochs_least = o->epochs_least,
                               .epochs_most = o->epochs_most};
    s->lr_start = o->lr_least > 0 ? sqrt(o->lr_least * o->lr_most) : start;
    return 0;
}

/* The tries of a method as the search has them. */
static int points_of(const struct request_work *w, const char *method, struct search_point *p)
{
    json_t *t;
    size_t i;
    int n = 0;
    json_array_foreach(tries_of(w), i, t)
    {
        const json_t *o = json_object_get(t, "options"), *b = json_object_get(t, "bounds");
        int count;
        double excess;
        if (!strcmp(json_string_value(json_object_get(t, "method")), method))
            p[n++] = (struct search_point){json_number_value(json_object_get(o, "lr")),
                                           json_number_value(json_object_get(o, "epochs")),
                                           all_held(w, b, "reach", &count, &excess),
                                           all_held(w, b, "keep", &count, &excess)};
    }
    return n;
}

enum { TRIES_MOST = 1000 };

static int search(struct request_work *w, const struct request_part *method, bool *held,
                  struct err *e)
{
    struct search_point *p = mem_alloc(TRIES_MOST + 1, sizeof *p, e), next;
    struct search_space s;
    const char *why = NULL, *name = method ? method->name : "NPO";
    int rc = p ? space_of(w, &s, e) : -1;
    while (!rc && !why) {
        const int n = points_of(w, name, p);
        if (!search_next(&s, p, n, &next, &why) ||
            (why = budget_left(w, next.epochs, n ? p[n - 1].epochs : 0)))
            break;
        json_t *options = request_method_options(w->q, method, request_target(w->q));
        json_object_set_new(options, "lr", json_real(next.lr));
        json_object_set_new(options, "epochs", json_real(next.epochs));
        rc = try_one(w, method, options, e);
    }
    const int n = rc ? 0 : points_of(w, name, p);
    *held = n && p[n - 1].reached && p[n - 1].kept;
    free(p);
    return rc || stop_search(w, why, e);
}

int request_try(struct request_work *w, struct err *e)
{
    bool held = false;
    int rc = 0;
    if (!w->q->searches)
        return each_method(w, e);
    for (int i = 0; i < request_methods(w->q) && !held && !rc; i++)
        rc = search(w, request_method(w->q, i), &held, e);
    return rc;
}
