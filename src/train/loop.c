#include "train/loop.h"

#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "train/memory.h"

struct train_run {
    struct trainer *t;
    const struct optim *optim;
    const struct wrapper *wrapper; /* NULL: none */
    struct model *m;
    device float **state; /* owned [n_arrays] flat arrays: the optimiser's, then the wrapper's */
    int n_arrays;
    struct gradient g; /* of the step; its micro is owned */
    char *checkpoint;  /* owned path */
    long saved;        /* the step of this run's checkpoint; -1: none yet */
    FILE *log;
    long total, last; /* steps of the schedule; steps to run: fewer if the order is shorter */
    long repeats;     /* steps on the same micro-batches */
    int accumulate;   /* micro-batches of a step */
    bool estimated;   /* the optimiser's state holds the curvature estimate of the next step */
    long clipped;     /* steps whose gradient was clipped */
    double grad_norm; /* of the step, over all weights with a gradient */
};

/* How many of the arrays are saved in a checkpoint. */
static int saved_arrays(const struct train_run *r)
{
    return r->optim->n_states + (r->wrapper ? r->wrapper->n_states : 0);
}

static int reserve(struct train_run *r, struct err *e)
{
    r->n_arrays = r->optim->n_states + (r->wrapper ? r->wrapper->n_copies : 0);
    if (!(r->state = mem_alloc((size_t)r->n_arrays, sizeof *r->state, e)) ||
        !(r->g.micro = mem_alloc((size_t)r->accumulate, sizeof *r->g.micro, e)))
        return -1;
    for (int k = 0; k < r->n_arrays; k++)
        if (!(r->state[k] = r->m->ops->alloc(r->m->table.moving, e)))
            return -1;
    r->g.copy = r->state + r->optim->n_states;
    return 0;
}

/* What the steps would take, if all were as large as the largest. */
static int estimate(const struct train_run *r, struct train_report *report, struct err *e)
{
    const struct engine *g = r->t->engine;
    const struct memory_choice as_is = {.recompute = g->recompute, .keep_bytes = g->keep_bytes};
    struct train_memory m = {.total = 0};
    if (train_memory_plan(r->t->engine, r->t->order, r->n_arrays, &as_is, &m, e) < 0)
        return -1;
    report->steps = r->last;
    report->tokens = (long)m.tokens * r->accumulate * r->last;
    report->bytes = m.total;
    return 0;
}

static struct checkpoint checkpoint_of(const struct train_run *r)
{
    return (struct checkpoint){.path = r->checkpoint,
                               .model = r->m,
                               .state = r->state,
                               .n_states = saved_arrays(r),
                               .engine = r->t->engine,
                               .options = r->t->options,
                               .files = r->t->files,
                               .estimated = r->estimated};
}

static int run_init(struct train_run *r, long *step, struct err *e)
{
    const struct train_options *o = r->t->o;
    if (file_make_dir(r->t->out, e) || !(r->checkpoint = checkpoint_path(r->t->out, e)) ||
        reserve(r, e))
        return -1;
    if (o->resume) {
        struct checkpoint c = checkpoint_of(r);
        c.path = r->t->from ? r->t->from : c.path;
        if (checkpoint_load(&c, step, e))
            return err_prefix(e, "cannot resume: ");
        r->saved = r->t->from ? -1 : *step;
        r->estimated = c.estimated;
        if (r->t->cost)
            train_cost_add(r->t->cost, c.cost);
        json_decref(c.cost);
        log_note("resuming after step %ld of %ld", *step, r->last);
    }
    return (r->log = train_log_open(r->t->out, o->resume, *step, e)) ? 0 : -1;
}

static void run_fini(struct train_run *r)
{
    for (int k = 0; r->state && k < r->n_arrays; k++)
        r->m->ops->free(r->state[k]);
    free(r->state);
    free(r->g.micro);
    arena_fini(&r->g.kept);
    arena_fini(&r->t->engine->arena); /* what follows the training needs its own */
    free(r->checkpoint);
    if (r->log)
        fclose(r->log);
}

static struct optim_step optim_step_of(const struct train_run *r, long step)
{
    return (struct optim_step){.ops = r->m->ops,
                               .table = &r->m->table,
                               .w = r->m->own,
                               .state = r->state,
                               .grad = r->t->engine->grads,
                               .grad_scale = 1,
                               .weight_decay = r->t->o->weight_decay,
                               .step = step + 1};
}

static int estimate_curvature(struct train_run *r, long step, struct err *e)
{
    double labels;
    if (gradient_add_sampled(&r->g, &labels, e))
        return -1;
    struct optim_step s = optim_step_of(r, step);
    optim_estimate(r->optim, r->t->optim.params, &s, labels);
    r->estimated = true;
    engine_drop_grads(r->t->engine);
    return 0;
}

/* The method's passes, through the wrapper if there is one; it restores the weights also on
 * failure. */
static int add_gradient(struct train_run *r, struct err *e)
{
    const struct trainer *t = r->t;
    if (t->dp)
        return private_gradient(t->dp, &r->g, e);
    return r->wrapper && r->wrapper->gradient ? r->wrapper->gradient(t->wrapper.params, &r->g, e)
                                              : gradient_add(&r->g, GOALS_METHOD, e);
}

/* The gradient of one step and its norm. If it is interrupted (r->g.stopped), the state is that
 * before the step, except for a curvature estimate. */
static int make_gradient(struct train_run *r, long step, struct err *e)
{
    const struct trainer *t = r->t;
    const struct optim *o = r->optim;
    const bool estimates = o->wants_estimate && o->wants_estimate(t->optim.params, step + 1);
    gradient_start(&r->g, step, r->accumulate, r->repeats);
    /* A wrapper's memory for repeated micro-batches is not part of a checkpoint. */
    r->g.stop = r->g.again ? NULL : t->stop;
    gradient_mark(&r->g);
    int rc = estimates && !r->estimated ? estimate_curvature(r, step, e) : 0;
    if (!rc) {
        gradient_mark(&r->g);
        rc = add_gradient(r, e);
    }
    if (rc) {
        gradient_undo(&r->g);
        return -1;
    }
    r->estimated = false;
    r->g.penalty = engine_add_penalty(t->engine);
    r->grad_norm = gradient_norm_all(&r->g);
    return 0;
}

static void update(struct train_run *r, long step, double lr)
{
    const struct trainer *t = r->t;
    double clip = t->dp ? 0 : t->o->clip, scale = clip > 0 ? clip / (r->grad_norm + 1e-6) : 1;
    struct optim_step s = optim_step_of(r, step);
    s.grad_scale = (float)(scale < 1 ? scale : 1);
    r->clipped += scale < 1;
    s.lr = lr;
    optim_apply(r->optim, t->optim.params, &s);
    if (r->wrapper && r->wrapper->follow)
        r->wrapper->follow(t->wrapper.params, r->m, r->g.copy, step + 1);
}

static int save_as(struct train_run *r, const char *path, long done, struct err *e)
{
    struct checkpoint c = checkpoint_of(r);
    c.path = path;
    if (r->t->cost && !(c.cost = train_cost_json(r->t->cost, false)))
        return err_no_memory(e, "record");
    int rc = checkpoint_save(&c, done, e) || (r->t->cost && train_cost_write(r->t->cost, false, e));
    json_decref(c.cost);
    return rc;
}

static int save(struct train_run *r, long done, struct err *e)
{
    if (save_as(r, r->checkpoint, done, e))
        return -1;
    r->saved = done;
    return 0;
}

char *train_kept_path(const char *out, long step, struct err *e)
{
    char name[48];
    snprintf(name, sizeof name, "step-%ld.safetensors", step);
    return file_join(out, name, e);
}

bool train_keeps(const struct trainer *t, long step)
{
    bool is = t->keep_every > 0 && step % t->keep_every == 0;
    for (int i = 0; i < t->n_keep; i++)
        is |= t->keep[i] == step;
    return is;
}

/* After `done` steps, if that checkpoint is one to keep. */
static int keep(struct train_run *r, long done, struct err *e)
{
    if (done >= r->last || !train_keeps(r->t, done))
        return 0;
    char *path = train_kept_path(r->t->out, done, e);
    int rc = path ? save_as(r, path, done, e) : -1;
    free(path);
    return rc;
}

/* A checkpoint of an earlier step is kept: the current weights may be damaged already. */
static int diverged(struct train_run *r, long step, struct err *e)
{
    double loss = gradient_loss(&r->g);
    loss = isnan(loss) ? NAN : loss; /* printed without a sign */
    if (r->saved >= 0 || !save(r, step, e))
        err_code(e, ERR_NOT_FINITE,
                 "the state after step %ld is in '%s'; start over with a lower lr", r->saved,
                 r->checkpoint);
    return err_prefix(e, "training diverged at step %ld (loss %g, gradient norm %g): ", step + 1,
                      loss, fabs(r->grad_norm));
}

static int epoch_of(const struct train_run *r, long step)
{
    return order_epoch(r->t->order, (int)(step / r->repeats * r->accumulate));
}

/* Sets the term weights of this step. */
static void weigh(struct train_run *r, long step)
{
    const struct moment at = {.step = step,
                              .total = r->total,
                              .epoch = epoch_of(r, step),
                              .epochs = epoch_of(r, r->last - 1) + 1,
                              .turn = order_is_turn(r->t->order, epoch_of(r, step))};
    if (r->t->weighting)
        weighting_apply(r->t->weighting, &at, r->t->engine);
}

static bool is_empty(const struct train_run *r, long step)
{
    const struct micro *m = r->t->order->micro + step / r->repeats * r->accumulate;
    int rows = 0;
    for (int k = 0; k < r->accumulate; k++)
        for (int role = 0; role < ROLE_COUNT; role++)
            rows += m[k].n[role];
    return !rows;
}

/* One optimiser step. */
static int make_step(struct train_run *r, long step, double lr, struct err *e)
{
    weigh(r, step);
    if (!r->t->dp && is_empty(r, step)) {
        gradient_start(&r->g, step, r->accumulate, r->repeats);
        r->grad_norm = 0;
        return 0;
    }
    if (make_gradient(r, step, e))
        return -1;
    if (!isfinite(gradient_loss(&r->g)) || !isfinite(r->grad_norm))
        return diverged(r, step, e);
    update(r, step, lr);
    return dual_after_step(&r->g, e);
}

/* Validation after `done` steps if it is due; *validated: it was. */
static int validate(struct train_run *r, long done, struct validation_result *v, bool *validated,
                    struct err *e)
{
    const struct validation *w = r->t->validation;
    long n = r->repeats;
    *validated = w && done && done % n == 0 &&
                 validation_is_due(w->o, done, n, epoch_of(r, done) > epoch_of(r, done - n));
    if (!*validated)
        return 0;
    int rc = validation_measure(w, v, e);
    if (!rc)
        validation_note(v, done, r->last);
    return rc;
}

/* A step was abandoned because of an interrupt: saves the state before it. */
static int give_up(struct train_run *r, long done, struct train_report *report, struct err *e)
{
    report->interrupted = true;
    return save(r, done, e);
}

/* After `done` steps: checks for an interrupt, and saves a checkpoint if one is due. After early
 * stopping a checkpoint is saved too, so that --resume stops there again. */
static int conclude(struct train_run *r, long done, struct train_report *report, struct err *e)
{
    const long every = (long)r->t->o->save_every;
    const bool whole = done % r->repeats == 0, ended = *report->validation.stop;
    bool due = whole && every && done < r->last && done / every > (done - r->repeats) / every;
    report->interrupted = whole && !ended && r->t->stop && *r->t->stop;
    return report->interrupted || due || (ended && every) ? save(r, done, e) : 0;
}

static int loop(struct train_run *r, long first, struct train_report *report, struct err *e)
{
    const double start = log_seconds();
    struct progress bar;
    bool validated;
    long step = first;
    /* The checkpoint may be of the step at which the run stopped early. */
    int rc = validate(r, step, &report->validation, &validated, e);
    progress_start(&bar, r->t->what, r->last);
    while (!rc && step < r->last && !report->interrupted && !*report->validation.stop) {
        const double lr = train_lr(r->t->o, step, r->total, r->t->order);
        rc = make_step(r, step, lr, e) ? -1
                                       : validate(r, step + 1, &report->validation, &validated, e);
        if (rc) {
            rc = r->g.stopped ? give_up(r, step, report, e) : -1;
            break;
        }
        report->loss = gradient_loss(&r->g);
        report->tokens += r->g.tokens;
        char extra[64];
        train_log_terms(&r->g, extra, sizeof extra);
        progress_step(&bar, step + 1, (double)report->tokens, extra);
        const struct entry entry = {.step = step,
                                    .lr = lr,
                                    .grad_norm = r->grad_norm,
                                    .seconds = log_seconds() - start,
                                    .weights = r->t->weighting != NULL,
                                    .validation = validated ? &report->validation : NULL};
        step++;
        rc = train_log_write(r->log, r->t->out, &r->g, &entry, e) || keep(r, step, e) ||
             conclude(r, step, report, e);
    }
    progress_end(&bar);
    report->steps = step - first;
    report->grad_norm = r->grad_norm;
    report->clipped = r->clipped;
    report->seconds = log_seconds() - start;
    return rc;
}

/* Limits the number of steps to the micro-batches that the order has. */
static int check_length(struct train_run *r, struct err *e)
{
    const struct train_options *o = r->t->o;
    const struct order *order = r->t->order;
    const long most = order->n / r->accumulate * r->repeats;
    if (most < 1)
        return err_set(e, "the order has %d micro-batches, too few for one step of %d", order->n,
                       r->accumulate);
    if (r->accumulate < o->accumulate)
        log_warn("an epoch has only %d micro-batches: each step takes these, not %d", r->accumulate,
                 (int)o->accumulate);
    if (most < r->last)
        log_warn("%s has %d micro-batches, enough for %ld of the %ld requested steps: the "
                 "run ends there",
                 o->order ? o->order : "the order", order->n, most, r->last);
    r->last = most < r->last ? most : r->last;
    return 0;
}

int train_run(struct trainer *t, struct train_report *report, struct err *e)
{
    struct train_run r = {
        .t = t,
        .optim = t->optim.row,
        .wrapper = t->wrapper.row,
        .m = t->engine->model,
        .saved = -1,
        .repeats = 1,
        .g = {.engine = t->engine, .order = t->order, .seed = (unsigned)t->o->seed}};
    long step = 0;
    *report = (struct train_report){0};
    BUG_ON(!r.m->own);
    if (r.wrapper && r.wrapper->repeats)
        r.repeats = r.wrapper->repeats(t->wrapper.params);
    r.total = train_total_steps(t->o, t->order);
    r.total *= t->o->max_steps > 0 ? 1 : r.repeats; /* epochs are of data, max_steps of steps */
    r.last = r.total;
    r.accumulate = train_accumulate(t->o, t->order);
    int rc = check_length(&r, e) || (t->dry_run ? reserve(&r, e) : run_init(&r, &step, e));
    if (!rc) {
        const struct disk_needs disk = {.out = t->out,
                                        .model_bytes = t->model_bytes,
                                        .n_states = saved_arrays(&r),
                                        .checkpoints = t->o->save_every > 0,
                                        .resumed = r.saved >= 0};
        rc = train_memory_note(t->engine, t->order, r.n_arrays, e) ||
             train_cost_check_disk(r.m, &disk, e);
    }
    if (t->dry_run)
        rc = rc || estimate(&r, report, e);
    else if (!rc)
        rc = loop(&r, step, report, e);
    if (!rc && !t->dry_run && !report->interrupted && r.wrapper && r.wrapper->finish)
        r.wrapper->finish(t->wrapper.params, r.m, r.g.copy, step + report->steps);
    run_fini(&r);
    return rc;
}
