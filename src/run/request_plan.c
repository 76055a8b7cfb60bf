/* The plan of a request: its steps, and of its trainings the time and the memory. */
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "run/request_work.h"
#include "tensor/ops.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Floating-point operations a second, of products of matrices for a tenth of a second; 0: there is
 * no memory for it. */
static double measure_speed(void)
{
    enum { ROWS = 256, WIDTH = 512 };
    const struct ops *o = ops_cpu();
    struct err ignored;
    device float *x = o->alloc((size_t)ROWS * WIDTH, &ignored);
    device float *w = o->alloc((size_t)WIDTH * WIDTH, &ignored);
    device float *out = o->alloc((size_t)ROWS * WIDTH, &ignored);
    double began = 0, done = 0;
    for (int i = 0; x && w && out && (i < 2 || now() - began < 0.1); i++) {
        if (i == 1)
            began = now(); /* the first wakes the threads */
        o->linear(out, x, w, ROWS, WIDTH, WIDTH, 0);
        done += i ? 2.0 * ROWS * WIDTH * WIDTH : 0;
    }
    const double speed = done > 0 ? done / (now() - began) : 0;
    o->free(x);
    o->free(w);
    o->free(out);
    return speed;
}

/* Forward and backward on all tokens, and forward of the reference: 6 N + 2 N (train/cost.h). */
static void put_seconds(json_t *plan, double parameters, double speed)
{
    const double tokens = json_number_value(json_object_get(plan, "tokens"));
    if (plan && speed > 0)
        json_object_set_new(plan, "seconds", json_real(8 * parameters * tokens / speed));
}

static int plan_step(json_t *steps, const char *name, const char *what, json_t *more, struct err *e)
{
    json_t *s = json_pack("{s:s, s:s}", "name", name, "what", what);
    if (s && more)
        json_object_update(s, more);
    json_decref(more);
    return s && !json_array_append_new(steps, s) ? 0 : err_no_memory(e, "plan");
}

/* Of a method: the dry run of `forget`. */
static int plan_try(struct request_work *w, int i, double parameters, double speed, json_t *steps,
                    struct err *e)
{
    const struct request_part *m = request_method(w->q, i);
    json_t *options = request_method_options(w->q, m, request_target(w->q)), *printed = NULL;
    const struct request_step s = {"", "forget", NULL, options};
    char name[REQUEST_NAME], what[160];
    snprintf(name, sizeof name, "tries/%d/model", i + 1);
    snprintf(what, sizeof what, "forget by %s%s", m ? m->name : "NPO",
             w->q->searches ? ", several times with other learning rates and epochs" : "");
    if (w->q->searches && options)
        json_object_set_new(options, "epochs", json_real(w->q->search.epochs_least));
    int rc = w->generic /* its data is not there yet */
                 ? 0
                 : w->h->run(w->h->ctx, &s, w->out ? w->out : "plan", REQUEST_PLAN, &printed, e);
    json_decref(options);
    put_seconds(printed, parameters, speed);
    return rc || plan_step(steps, name, what, printed, e);
}

static int plan_suites(struct request_work *w, const char *folder, bool attacks, json_t *steps,
                       struct err *e)
{
    int rc = 0;
    for (int i = 0; i < w->q->suites.n && !rc; i++) {
        char name[REQUEST_NAME];
        snprintf(name, sizeof name, "%s/%s", folder, w->q->suites.v[i].as);
        rc = request_is_attacks(w, i) == attacks ? plan_step(steps, name, "evaluate", NULL, e) : 0;
    }
    return rc;
}

json_t *request_plan(struct request *q, const struct request_hooks *h, const char *out,
                     struct err *e)
{
    struct request_work w;
    json_t *steps = json_array();
    char name[REQUEST_NAME];
    int rc = request_work_open(&w, q, h, e);
    w.out = out;
    if (!rc && w.generic)
        rc = plan_step(steps, "generic.jsonl", "write generic text, as there is no retain data",
                       NULL, e);
    rc = rc || (q->retrained && plan_suites(&w, "retrained", false, steps, e)) ||
         plan_suites(&w, "target", false, steps, e);
    double parameters = 0;
    rc = rc || request_parameters(&w, &parameters, e);
    const double speed = rc ? 1 : measure_speed();
    for (int i = 0; i < request_methods(q) && !rc; i++) {
        snprintf(name, sizeof name, "tries/%d/eval", i + 1);
        rc = plan_try(&w, i, parameters, speed, steps, e) || plan_suites(&w, name, false, steps, e);
    }
    rc = rc || plan_suites(&w, "tries/BEST/eval", true, steps, e);
    for (int i = 0; i < q->attacks.n && !rc; i++) {
        snprintf(name, sizeof name, "attacks/%s", q->attacks.v[i].as);
        rc = plan_step(steps, name, "attack the best", NULL, e);
    }
    for (size_t k = 0; k < json_array_size(q->chain) && !rc; k++) {
        snprintf(name, sizeof name, "earlier/%zu", k + 1);
        rc = plan_step(steps, name, "evaluate the best on the data of an earlier request", NULL, e);
    }
    request_work_close(&w);
    if (!rc)
        return json_pack("{s:o, s:s}", "steps", steps, "note",
                         "times are of the products of matrices alone, as this machine was just "
                         "measured: a small model takes longer");
    json_decref(steps);
    return NULL;
}
