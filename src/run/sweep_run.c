/* The trials of a sweep, by this process and others. */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "run/request_work.h"
#include "run/sweep.h"

struct sweeping {
    struct sweep *s;
    struct request_work root; /* OUT: the target's and the retrained model's figures */
    const volatile sig_atomic_t *stop;
    json_t *trials; /* owned: finished ones, in order */
};

/* --- one trial --- */

/* Trial n of rung r. */
static void trial_name(char name[REQUEST_NAME], int n, int r)
{
    snprintf(name, REQUEST_NAME, r ? "trials/%d-%d" : "trials/%d", n + 1, r + 1);
}

static int rungs(const struct sweep *s)
{
    int r = 0;
    while (sweep_rung(s, r))
        r++;
    return r;
}

/* A new object; of halving with the epochs of the rung. */
static json_t *options_of(const struct sweep *s, int n, int r)
{
    const struct request *q = &s->request;
    json_t *own = sweep_options(s, n);
    json_t *to = request_method_options(q, request_method(q, 0), request_target(q));
    json_object_update(to, own);
    json_decref(own);
    if (s->by == SWEEP_HALVING) {
        const json_t *epochs = json_object_get(to, "epochs");
        const double all = json_is_number(epochs) ? json_number_value(epochs) : 5;
        json_object_set_new(to, "epochs", json_real(all / pow(s->eta, rungs(s) - 1 - r)));
    }
    return to;
}

/* The record of an interrupted trial, or a new one. */
static json_t *open_record(struct request_work *w, struct err *e)
{
    char *path = request_path(w, "run.json", e);
    json_t *record = path && file_exists(path)
                         ? json_read_file(path, e)
                         : json_pack("{s:s, s:{}}", "command", "trial", "steps");
    free(path);
    return record;
}

/* Figures into w->values. */
static int measure(struct sweeping *g, struct request_work *w, struct err *e)
{
    char *model = request_path(w, "model", e), name[REQUEST_NAME];
    int rc = !model || request_read_cost(w->values.of[WHOSE_UNLEARNED], model, e);
    for (int i = 0; i < w->q->suites.n && !rc; i++) {
        snprintf(name, sizeof name, "eval/%s", w->q->suites.v[i].as);
        rc = request_evaluate(w, i, WHOSE_UNLEARNED, name, model,
                              request_logs(&g->root, i, true, e), e);
    }
    free(model);
    return rc;
}

static json_t *outcome(struct sweeping *g, int n, int r, struct request_work *w,
                       const json_t *options, const char *failed)
{
    struct sweep *s = g->s;
    json_t *steps = json_object_get(w->record, "steps");
    json_t *t = json_pack(
        "{s:i, s:i, s:O, s:o, s:O, s:s?, s:O?}", "n", n + 1, "rung", r + 1, "options", options,
        "best", json_finite(failed ? NAN : expression_value(&s->best, request_figure, &w->values)),
        "values", w->values.of[WHOSE_UNLEARNED], "failed", failed, "seconds",
        json_object_get(json_object_get(steps, "model"), "seconds"));
    if (t && s->has_pareto)
        json_object_set_new(
            t, "pareto",
            json_pack("[o, o]",
                      json_finite(expression_value(&s->pareto[0], request_figure, &w->values)),
                      json_finite(expression_value(&s->pareto[1], request_figure, &w->values))));
    return t;
}

static int do_trial(struct sweeping *g, int n, int r, const char *dir, const char *result,
                    struct err *e)
{
    struct request_work w = {
        .q = &g->s->request, .h = g->root.h, .suites = g->root.suites, .out = dir};
    json_t *options = options_of(g->s, n, r);
    for (enum whose m = 0; m < WHOSE_COUNT; m++)
        w.values.of[m] = m ? json_incref(g->root.values.of[m]) : json_object();
    w.record = open_record(&w, e);
    log_note("trial %d", n + 1);
    int rc = !w.record || request_do(&w, "model", "forget", NULL, json_incref(options), e) ||
             measure(g, &w, e);
    const bool stopped = rc && (e->code == ERR_INTERRUPTED || (g->stop && *g->stop));
    if (rc && !stopped && w.record)
        log_warn("trial %d failed: %s", n + 1, e->msg);
    json_t *t = stopped || !w.record ? NULL : outcome(g, n, r, &w, options, rc ? e->msg : NULL);
    rc = t ? json_write_file(t, result, JSON_INDENT(1), e) : -1;
    json_decref(t);
    for (enum whose m = 0; m < WHOSE_COUNT; m++)
        json_decref(w.values.of[m]);
    json_decref(w.record);
    json_decref(options);
    return rc;
}

/* --- all of them --- */

static void put_trial(struct sweeping *g, json_t *t)
{
    json_array_append_new(g->trials, t);
}

/* 1: another process has it; 0: it is finished, its outcome is at the end of g->trials. */
static int claim_trial(struct sweeping *g, int n, int r, struct err *e)
{
    char name[REQUEST_NAME];
    trial_name(name, n, r);
    char *dir = request_path(&g->root, name, e), *result = NULL, *lock = NULL;
    int rc = !dir || file_make_dir(dir, e) || !(result = file_join(dir, "trial.json", e)) ||
             !(lock = file_join(dir, "lock", e));
    const int fd = rc ? -1 : open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (!rc && fd < 0)
        rc = err_sys(e, "cannot write '%s'", lock);
    if (!rc && !file_exists(result)) {
        if (flock(fd, LOCK_EX | LOCK_NB))
            rc = 1;
        else if (!file_exists(result)) /* it may have been finished before the lock */
            rc = do_trial(g, n, r, dir, result, e) ? -1 : 0;
    }
    json_t *t = rc ? NULL : json_read_file(result, e);
    if (!rc && !t)
        rc = -1;
    else if (!rc)
        put_trial(g, t);
    if (fd >= 0)
        close(fd);
    free(dir);
    free(result);
    free(lock);
    return rc;
}

/* Trials of one rung, until all are done by somebody. */
static int do_rung(struct sweeping *g, const int *member, int n, int r, struct err *e)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    const size_t before = json_array_size(g->trials);
    for (bool waits = true; waits;) {
        waits = false;
        while (json_array_size(g->trials) > before)
            json_array_remove(g->trials, json_array_size(g->trials) - 1);
        for (int i = 0; i < n; i++) {
            if (interrupt_check(g->stop, e))
                return -1;
            const int rc = claim_trial(g, member[i], r, e);
            if (rc < 0)
                return -1;
            waits |= rc > 0;
        }
        if (waits)
            nanosleep(&pause, NULL);
    }
    return 0;
}

static double best_of(const json_t *t)
{
    const json_t *v = json_object_get(t, "best");
    return json_is_number(v) ? json_number_value(v) : -INFINITY;
}

/* The trials of the rung that began at `from`, the best first; ties in order. */
static void rank(const struct sweeping *g, size_t from, int *member, int n)
{
    double *value = NULL;
    struct err ignored;
    value = mem_alloc((size_t)n, sizeof *value, &ignored);
    for (int i = 0; value && i < n; i++) {
        const json_t *t = json_array_get(g->trials, from + (size_t)i);
        const double v = best_of(t);
        int at = i;
        for (; at > 0 && value[at - 1] < v; at--) {
            value[at] = value[at - 1];
            member[at] = member[at - 1];
        }
        value[at] = v;
        member[at] = (int)json_integer_value(json_object_get(t, "n")) - 1;
    }
    free(value);
}

static int do_trials(struct sweeping *g, struct err *e)
{
    int *member = mem_alloc((size_t)g->s->trials, sizeof *member, e), n = g->s->trials;
    int rc = member ? 0 : -1;
    for (int i = 0; member && i < n; i++)
        member[i] = i;
    for (int r = 0; !rc && (n = sweep_rung(g->s, r)); r++) {
        const size_t from = json_array_size(g->trials);
        rc = do_rung(g, member, n, r, e);
        if (!rc)
            rank(g, from, member, n);
    }
    free(member);
    return rc;
}

/* --- what they show --- */

static double number(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static int put_front(struct sweeping *g, json_t *results, struct err *e)
{
    const size_t n = json_array_size(g->trials);
    struct pareto_point *p = mem_alloc(n, sizeof *p, e);
    double volume;
    if (!p)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *xy = json_object_get(json_array_get(g->trials, i), "pareto");
        p[i] = (struct pareto_point){number(json_array_get(xy, 0)), number(json_array_get(xy, 1)),
                                     false};
    }
    const double *at = g->s->reference;
    int rc = pareto_front(p, (int)n, at[0], at[1], &volume, e);
    json_t *front = json_array();
    for (size_t i = 0; i < n && !rc; i++)
        if (p[i].front)
            json_array_append_new(front, json_integer((json_int_t)i));
    json_object_set_new(results, "front", front);
    json_object_set_new(results, "hypervolume", json_real(rc ? 0 : volume));
    free(p);
    return rc;
}

/* {"trials", "best": index of the trial or null, "front": [index], "hypervolume"} */
static json_t *results_of(struct sweeping *g, struct err *e)
{
    int best = -1;
    for (size_t i = 0; i < json_array_size(g->trials); i++) {
        const double v = best_of(json_array_get(g->trials, i));
        const double most = best < 0 ? -INFINITY : best_of(json_array_get(g->trials, (size_t)best));
        best = v > most ? (int)i : best;
    }
    json_t *all = json_pack("{s:O, s:O, s:o}", "sweep", g->s->request.json, "trials", g->trials,
                            "best", best < 0 ? json_null() : json_integer(best));
    if (all && g->s->has_pareto && put_front(g, all, e)) {
        json_decref(all);
        return NULL;
    }
    if (!all)
        err_no_memory(e, "results");
    return all;
}

static int check_names(struct sweeping *g, const struct expression *x, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < x->n_names && !rc; i++)
        rc = request_check_name(&g->root, x, &x->names[i], e);
    return rc;
}

/* The options that a trial would have are options of the method. */
static int check_options(struct sweeping *g, struct err *e)
{
    json_t *options = options_of(g->s, 0, 0);
    const struct request_step s = {"", "forget", NULL, options};
    int rc = g->root.h->run(g->root.h->ctx, &s, "", REQUEST_CHECK, NULL, e);
    json_decref(options);
    return rc;
}

static int open_root(struct sweeping *g, struct err *e)
{
    struct sweep *s = g->s;
    int rc = request_work_open(&g->root, &s->request, g->root.h, e);
    if (!rc && g->root.generic)
        rc = err_code(e, ERR_ARGUMENT, "'data' has no 'retain', which the method of a sweep needs");
    return rc || check_names(g, &s->best, e) || check_names(g, &s->pareto[0], e) ||
           check_names(g, &s->pareto[1], e) || check_options(g, e);
}

int sweep_check(struct sweep *s, const struct request_hooks *h, struct err *e)
{
    struct sweeping g = {.s = s, .root.h = h};
    int rc = open_root(&g, e);
    request_work_close(&g.root);
    return rc;
}

/* The target's figures: one process computes them, others wait. */
static int do_root(struct sweeping *g, struct err *e)
{
    char *lock = request_path(&g->root, "lock", e);
    const int fd = lock ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    int rc = !lock ? -1 : fd < 0 ? err_sys(e, "cannot write '%s'", lock) : 0;
    if (!rc && flock(fd, LOCK_EX))
        rc = err_sys(e, "cannot lock '%s'", lock);
    g->root.record = rc ? NULL : open_record(&g->root, e);
    rc = g->root.record ? request_before(&g->root, e) : -1;
    if (fd >= 0)
        close(fd);
    free(lock);
    return rc;
}

/* OUT is empty, or of the same sweep. */
static int claim_out(struct sweeping *g, struct err *e)
{
    char *path = request_path(&g->root, "request.json", e);
    int rc = !path || file_make_dir(g->root.out, e);
    json_t *before = !rc && file_exists(path) ? json_read_file(path, e) : NULL;
    if (!rc && file_exists(path))
        rc = !before ? -1
             : json_equal(before, g->s->request.json)
                 ? 0
                 : err_about(e, "out", "'%s' holds another sweep", g->root.out);
    else
        rc = rc || json_write_file(g->s->request.json, path, JSON_INDENT(1), e);
    json_decref(before);
    free(path);
    return rc;
}

int sweep_run(struct sweep *s, const struct request_hooks *h, const char *out,
              const volatile sig_atomic_t *stop, json_t **results, struct err *e)
{
    struct sweeping g = {.s = s, .stop = stop, .trials = json_array(), .root.h = h};
    char *absolute = file_absolute(out, e), *path = NULL;
    *results = NULL;
    int rc = !absolute || open_root(&g, e);
    g.root.out = absolute;
    for (int i = 0; i < WHOSE_COUNT && !rc; i++)
        g.root.values.of[i] = json_object();
    rc = rc || claim_out(&g, e) || do_root(&g, e) || do_trials(&g, e) ||
         !(*results = results_of(&g, e)) || !(path = request_path(&g.root, "sweep.json", e)) ||
         json_write_file(*results, path, JSON_INDENT(1), e);
    if (absolute)
        request_work_close(&g.root);
    json_decref(g.trials);
    free(path);
    free(absolute);
    return rc;
}
