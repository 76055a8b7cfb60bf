#include "train/loop.h"

#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/forward.h"
#include "model/lora.h"
#include "train/checkpoint.h"
#include "train/dual.h"
#include "train/journal.h"

static const char checkpoint_name[] = "checkpoint.safetensors";

struct run {
    struct trainer *t;
    struct model *m;
    float **state;     /* owned [n_arrays] flat arrays: the optimiser's, then the wrapper's */
    int n_arrays;      /* of them */
    struct gradient g; /* of the step; its micro is owned */
    char *checkpoint;  /* owned path */
    long saved;        /* the step of this run's checkpoint; -1: none yet */
    FILE *log;
    long total, last; /* steps of the schedule; and where the order ends, if sooner */
    long repeats;     /* steps on the same micro-batches */
    double grad_norm; /* of the step, over all weights that want a gradient */
};

/* How many of its arrays a checkpoint holds. */
static int saved_arrays(const struct run *r)
{
    return r->t->optim->n_states + (r->t->wrapper ? r->t->wrapper->n_states : 0);
}

static int reserve(struct run *r, struct err *e)
{
    r->n_arrays = r->t->optim->n_states + (r->t->wrapper ? r->t->wrapper->n_copies : 0);
    if (!(r->state = mem_alloc((size_t)r->n_arrays, sizeof *r->state, e)) ||
        !(r->g.micro = mem_alloc((size_t)r->t->o->accumulate, sizeof *r->g.micro, e)))
        return -1;
    for (int k = 0; k < r->n_arrays; k++)
        if (!(r->state[k] = mem_alloc(r->m->table.moving, sizeof(float), e)))
            return -1;
    r->g.copy = r->state + r->t->optim->n_states;
    return 0;
}

static struct checkpoint checkpoint_of(const struct run *r)
{
    return (struct checkpoint){.path = r->checkpoint,
                               .model = r->m,
                               .state = r->state,
                               .n_states = saved_arrays(r),
                               .engine = r->t->engine,
                               .options = r->t->options};
}

static int run_init(struct run *r, long *step, struct err *e)
{
    const struct train_options *o = r->t->o;
    if (file_make_dir(r->t->out, e) ||
        !(r->checkpoint = file_join(r->t->out, checkpoint_name, e)) || reserve(r, e))
        return -1;
    if (o->resume) {
        struct checkpoint c = checkpoint_of(r);
        if (checkpoint_load(&c, step, e))
            return err_prefix(e, "cannot resume: ");
        r->saved = *step;
        log_note("going on after step %ld of %ld", *step, r->last);
    }
    return (r->log = journal_open(r->t->out, o->resume, *step, e)) ? 0 : -1;
}

static void run_fini(struct run *r)
{
    for (int k = 0; r->state && k < r->n_arrays; k++)
        free(r->state[k]);
    free(r->state);
    free(r->g.micro);
    arena_fini(&r->g.kept);
    free(r->checkpoint);
    if (r->log)
        fclose(r->log);
}

/* Of the reference and the helpers, those whose weights are not used from their files. */
static int frozen_copies(const struct engine *g)
{
    int n = g->ref && g->ref->copies;
    for (int k = 0; k < HELPER_COUNT; k++) {
        const struct model *m = g->helper[k].model;
        n += m && m != g->ref && m->copies;
    }
    return n;
}

/* What a step holds in memory, told before training starts. */
static void note_memory(const struct run *r)
{
    const struct engine *g = r->t->engine;
    const struct order *o = r->t->order;
    const struct weight_table *t = &r->m->table;
    size_t most = 0;
    for (int k = 0; k < o->n; k++) {
        size_t tokens = 0;
        for (int role = 0; role < ROLE_COUNT; role++)
            for (int i = 0; engine_uses(g, (enum role)role) && i < o->micro[k].n[role]; i++)
                tokens += (size_t)g->sets[role]->seqs[o->micro[k].rows[role][i]].n;
        most = tokens > most ? tokens : most;
    }
    double mib = 1.0 / (1 << 20), floats = sizeof(float) * mib, w = (double)t->total * floats;
    double adapters = r->m->lora ? (double)r->m->lora->floats * floats : 0;
    double acts = (double)(forward_bytes(&r->m->cfg, (int)most, true) +
                           backward_bytes(&r->m->cfg, (int)most)) *
                  mib;
    log_note("memory: weights %.0f MiB, gradients %.0f, optimiser and wrapper %.0f, "
             "frozen models %.0f, activations about %.0f (%zu tokens)",
             w + adapters, (double)t->grads * floats, (double)t->moving * floats * r->n_arrays,
             frozen_copies(g) * w, acts, most);
}

static struct optim_step optim_step_of(const struct run *r, long step)
{
    return (struct optim_step){.ops = r->m->ops,
                               .table = &r->m->table,
                               .w = r->m->own,
                               .state = r->state,
                               .grad = r->t->engine->grads,
                               .grad_scale = 1,
                               .weight_decay = r->t->o->weight_decay,
                               .decay_last = r->t->engine->compat & COMPAT_ADAMW_DECAY_LAST,
                               .step = step + 1};
}

static int estimate_curvature(struct run *r, long step, struct err *e)
{
    double labels;
    if (gradient_add_sampled(&r->g, &labels, e))
        return -1;
    struct optim_step s = optim_step_of(r, step);
    optim_estimate(r->t->optim, r->t->optim_params, &s, labels);
    engine_zero_grads(r->t->engine);
    return 0;
}

/* The gradient of one step, by way of the wrapper, and its norm. */
static int make_gradient(struct run *r, long step, struct err *e)
{
    const struct trainer *t = r->t;
    gradient_start(&r->g, step, (int)t->o->accumulate, r->repeats);
    if (t->optim->wants_estimate && t->optim->wants_estimate(t->optim_params, step + 1) &&
        estimate_curvature(r, step, e))
        return -1;
    if (t->wrapper && t->wrapper->gradient ? t->wrapper->gradient(t->wrapper_params, &r->g, e)
                                           : gradient_add(&r->g, GOALS_METHOD, e))
        return -1;
    r->g.penalty = engine_add_penalty(t->engine);
    double sum = 0;
    for (int i = 0; i < r->m->table.n; i++) {
        const struct weight *w = &r->m->table.v[i];
        const float *v = t->engine->grads + w->at;
        if (w->wants_grad)
            sum += r->m->ops->dot(v, v, w->count);
    }
    r->grad_norm = sqrt(sum);
    return 0;
}

static void update(struct run *r, long step, double lr)
{
    const struct trainer *t = r->t;
    double clip = t->o->clip, scale = clip > 0 ? clip / (r->grad_norm + 1e-6) : 1;
    struct optim_step s = optim_step_of(r, step);
    s.grad_scale = (float)(scale < 1 ? scale : 1);
    s.lr = lr;
    optim_apply(t->optim, t->optim_params, &s);
    if (t->wrapper && t->wrapper->follow)
        t->wrapper->follow(t->wrapper_params, r->m, r->g.copy, step + 1);
}

static int save(struct run *r, long done, struct err *e)
{
    struct checkpoint c = checkpoint_of(r);
    if (checkpoint_save(&c, done, e) || (r->t->ledger && ledger_write(r->t->ledger, false, e)))
        return -1;
    r->saved = done;
    return 0;
}

/* A checkpoint of an earlier step stays: the weights of this one may be spoilt already. */
static int diverged(struct run *r, long step, struct err *e)
{
    double loss = gradient_loss(&r->g);
    loss = isnan(loss) ? NAN : loss; /* without a sign */
    if (r->saved >= 0 || !save(r, step, e))
        err_set(e, "the state after step %ld is in '%s'; begin anew with a lower lr", r->saved,
                r->checkpoint);
    return err_prefix(e, "training diverged at step %ld (loss %g, gradient norm %g): ", step + 1,
                      loss, fabs(r->grad_norm));
}

static int epoch_of(const struct run *r, long step)
{
    return order_epoch(r->t->order, (int)(step / r->repeats * r->t->o->accumulate));
}

/* What the terms weigh in this step. */
static void weigh(struct run *r, long step)
{
    const struct moment at = {.step = step,
                              .total = r->total,
                              .epoch = epoch_of(r, step),
                              .epochs = epoch_of(r, r->last - 1) + 1,
                              .turn = order_is_turn(r->t->order, epoch_of(r, step))};
    if (r->t->weighting)
        weighting_apply(r->t->weighting, &at, r->t->engine);
}

/* One step, up to the weights that it leaves. */
static int make_step(struct run *r, long step, double lr, struct err *e)
{
    weigh(r, step);
    if (make_gradient(r, step, e))
        return -1;
    if (!isfinite(gradient_loss(&r->g)) || !isfinite(r->grad_norm))
        return diverged(r, step, e);
    update(r, step, lr);
    return dual_after_step(&r->g, e);
}

/* Measures the model after `done` steps if that is due; *looked: it was. */
static int look(struct run *r, long done, struct look *l, bool *looked, struct err *e)
{
    const struct watch *w = r->t->watch;
    long n = r->repeats;
    *looked = w && done && done % n == 0 &&
              watch_is_due(w->o, done, n, epoch_of(r, done) > epoch_of(r, done - n));
    return *looked ? watch_look(w, l, e) : 0;
}

/* Once `done` steps are: whether the run was interrupted, and a checkpoint if one is due. A run
 * whose bound ends it is over, and its checkpoint says so to --resume. */
static int conclude(struct run *r, long done, struct train_report *report, struct err *e)
{
    const long every = (long)r->t->o->save_every;
    /* What a wrapper keeps while its micro-batches repeat is in no checkpoint. */
    const bool whole = done % r->repeats == 0, ended = *report->look.stop;
    bool due = whole && every && done < r->last && done / every > (done - r->repeats) / every;
    report->interrupted = whole && !ended && r->t->stop && *r->t->stop;
    return report->interrupted || due || (ended && every) ? save(r, done, e) : 0;
}

static int loop(struct run *r, long first, struct train_report *report, struct err *e)
{
    const double start = log_seconds();
    struct progress bar;
    bool looked;
    long step = first;
    /* A checkpoint may be of the step that ended the run. */
    int rc = look(r, step, &report->look, &looked, e);
    progress_start(&bar, r->t->what, r->last);
    while (!rc && step < r->last && !report->interrupted && !*report->look.stop) {
        const double lr = train_lr(r->t->o, step, r->total, r->t->order);
        if (make_step(r, step, lr, e) || look(r, step + 1, &report->look, &looked, e)) {
            rc = -1;
            break;
        }
        report->loss = gradient_loss(&r->g);
        report->tokens += r->g.tokens;
        char extra[64];
        snprintf(extra, sizeof extra, "loss %.4g", report->loss);
        progress_step(&bar, step + 1, (double)report->tokens, extra);
        const struct entry entry = {.step = step,
                                    .lr = lr,
                                    .grad_norm = r->grad_norm,
                                    .seconds = log_seconds() - start,
                                    .weights = r->t->weighting != NULL,
                                    .look = looked ? &report->look : NULL};
        step++;
        rc = journal_write(r->log, r->t->out, &r->g, &entry, e);
        if (!rc)
            rc = conclude(r, step, report, e);
    }
    progress_end(&bar);
    report->steps = step - first;
    report->grad_norm = r->grad_norm;
    report->seconds = log_seconds() - start;
    return rc;
}

int train_run(struct trainer *t, struct train_report *report, struct err *e)
{
    struct run r = {.t = t,
                    .m = t->engine->model,
                    .saved = -1,
                    .repeats = 1,
                    .g = {.engine = t->engine, .order = t->order, .seed = (unsigned)t->o->seed}};
    long step = 0;
    *report = (struct train_report){0};
    BUG_ON(!r.m->own);
    if (t->wrapper && t->wrapper->repeats)
        r.repeats = t->wrapper->repeats(t->wrapper_params);
    r.total = train_total_steps(t->o, t->order);
    r.total *= t->o->max_steps > 0 ? 1 : r.repeats; /* epochs are of data, max_steps of steps */
    r.last = r.total;
    long most = t->order->n / (long)t->o->accumulate * r.repeats;
    if (r.last > most)
        r.last = most;
    int rc = r.last < 1 ? err_set(e, "the order has %d micro-batches, too few for one step of %d",
                                  t->order->n, (int)t->o->accumulate)
                        : run_init(&r, &step, e);
    if (!rc) {
        note_memory(&r);
        rc = loop(&r, step, report, e);
    }
    if (!rc && !report->interrupted && t->wrapper && t->wrapper->finish)
        t->wrapper->finish(t->wrapper_params, r.m, r.g.copy, step + report->steps);
    run_fini(&r);
    return rc;
}

bool train_is_interrupted(const char *out)
{
    struct err ignored;
    char *path = file_join(out, checkpoint_name, &ignored);
    bool is = path && file_exists(path);
    free(path);
    return is;
}

void train_drop_checkpoint(const char *out)
{
    struct err ignored;
    char *path = file_join(out, checkpoint_name, &ignored);
    if (path)
        remove(path);
    free(path);
}
