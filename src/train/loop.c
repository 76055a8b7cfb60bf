#include "train/loop.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/decoder.h"
#include "train/checkpoint.h"

static const char checkpoint_name[] = "checkpoint.safetensors";

struct run {
    struct trainer *t;
    struct model *m;
    float **state;    /* owned [n_states] flat arrays */
    double *micro;    /* owned [accumulate] loss of each micro-batch of the step */
    char *checkpoint; /* owned path */
    long saved;       /* the step of this run's checkpoint; -1: none yet */
    FILE *log;
    long total, last; /* steps of the schedule; and where the order ends, if sooner */
    long tokens;      /* of the step */
    double loss, terms[ENGINE_MAX_OBJECTIVES], grad_norm;
};

/* Drops what a run that was killed logged after its checkpoint: those steps come again. */
static int cut_log(FILE *f, long steps)
{
    for (int c; steps > 0 && (c = getc(f)) != EOF;)
        steps -= c == '\n';
    return ftruncate(fileno(f), ftell(f)) || fseek(f, 0, SEEK_END) ? -1 : 0;
}

static int open_log(struct run *r, bool append, long steps, struct err *e)
{
    char *path = file_join(r->t->out, "train.jsonl", e);
    if (!path)
        return -1;
    int rc = 0;
    if (!(r->log = fopen(path, append ? "a+" : "w")) || (append && cut_log(r->log, steps)))
        rc = err_sys(e, "cannot write '%s'", path);
    free(path);
    return rc;
}

static int run_init(struct run *r, long *step, struct err *e)
{
    const struct train_options *o = r->t->o;
    if (file_make_dir(r->t->out, e) ||
        !(r->checkpoint = file_join(r->t->out, checkpoint_name, e)) ||
        !(r->state = mem_alloc((size_t)r->t->optim->n_states, sizeof *r->state, e)) ||
        !(r->micro = mem_alloc((size_t)o->accumulate, sizeof *r->micro, e)))
        return -1;
    for (int k = 0; k < r->t->optim->n_states; k++)
        if (!(r->state[k] = mem_alloc(r->m->table.moving, sizeof(float), e)))
            return -1;
    if (o->resume) {
        if (checkpoint_load(r->checkpoint, r->m, r->state, r->t->optim->n_states, step, e))
            return err_prefix(e, "cannot resume: ");
        r->saved = *step;
        log_note("going on after step %ld of %ld", *step, r->last);
    }
    return open_log(r, o->resume, *step, e);
}

static void run_fini(struct run *r)
{
    for (int k = 0; r->state && k < r->t->optim->n_states; k++)
        free(r->state[k]);
    free(r->state);
    free(r->micro);
    free(r->checkpoint);
    if (r->log)
        fclose(r->log);
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
    double acts = (double)(decoder_bytes(&r->m->cfg, (int)most, true) +
                           decoder_back_bytes(&r->m->cfg, (int)most)) *
                  mib;
    log_note("memory: weights %.0f MiB, gradients %.0f, optimiser %.0f, reference %.0f, "
             "activations about %.0f "
             "(%zu tokens)",
             w, (double)t->grads * floats, (double)t->moving * floats * r->t->optim->n_states,
             g->ref && g->ref->own ? w : 0.0, acts, most);
}

/* Forward and backward of the micro-batches of one step. */
static int accumulate(struct run *r, long step, struct err *e)
{
    struct engine *g = r->t->engine;
    int n = (int)r->t->o->accumulate, first = (int)step * n;
    struct norm norm;
    engine_count(g, r->t->order, first, n, &norm);
    engine_zero_grads(g);
    r->tokens = 0;
    r->loss = 0;
    memset(r->terms, 0, sizeof r->terms);
    for (int k = 0; k < n; k++) {
        struct micro_result res;
        if (engine_micro(g, &r->t->order->micro[first + k], &norm, &res, e))
            return -1;
        r->micro[k] = 0;
        for (int i = 0; i < g->n_obj; i++) {
            r->micro[k] += g->obj[i].weight * res.loss[i] * n;
            r->terms[i] += res.loss[i];
        }
        r->loss += r->micro[k] / n;
        r->tokens += res.tokens;
    }
    double sum = 0;
    for (int i = 0; i < r->m->table.n; i++) {
        const struct weight *w = &r->m->table.v[i];
        if (w->wants_grad)
            sum += r->m->ops->dot(g->grads + w->at, g->grads + w->at, w->count);
    }
    r->grad_norm = sqrt(sum);
    return 0;
}

static void update(struct run *r, long step, double lr)
{
    double clip = r->t->o->clip, scale = clip > 0 ? clip / (r->grad_norm + 1e-6) : 1;
    struct optim_step s = {
        .ops = r->m->ops,
        .table = &r->m->table,
        .w = r->m->own,
        .state = r->state,
        .grad = r->t->engine->grads,
        .grad_scale = (float)(scale < 1 ? scale : 1),
        .lr = lr,
        .weight_decay = r->t->o->weight_decay,
        .step = step + 1,
    };
    r->t->optim->step(r->t->optim_params, &s);
}

static int write_log(struct run *r, long step, double lr, double seconds, struct err *e)
{
    const struct engine *g = r->t->engine;
    json_t *terms = json_object(), *micro = json_array();
    for (int i = 0; i < g->n_obj; i++) {
        char name[64];
        const struct objective *o = &g->obj[i];
        snprintf(name, sizeof name, "%s.%s", role_name[o->role[0]], o->term->name);
        json_object_set_new(terms, name, json_real(r->terms[i]));
    }
    for (int k = 0; k < r->t->o->accumulate; k++)
        json_array_append_new(micro, json_real(r->micro[k]));
    json_t *j = json_pack("{s:I, s:f, s:f, s:f, s:o, s:o, s:I, s:f}", "step", (json_int_t)step + 1,
                          "lr", lr, "loss", r->loss, "grad_norm", r->grad_norm, "terms", terms,
                          "micro", micro, "tokens", (json_int_t)r->tokens, "seconds", seconds);
    int bad = !j || json_dumpf(j, r->log, JSON_COMPACT | JSON_REAL_PRECISION(10)) ||
              fputc('\n', r->log) == EOF || fflush(r->log);
    json_decref(j);
    return bad ? err_sys(e, "cannot write '%s/train.jsonl'", r->t->out) : 0;
}

static int save(struct run *r, long done, struct err *e)
{
    if (checkpoint_save(r->checkpoint, r->m, r->state, r->t->optim->n_states, done, e))
        return -1;
    r->saved = done;
    return 0;
}

/* A checkpoint of an earlier step stays: the weights of this one may be spoilt already. */
static int diverged(struct run *r, long step, struct err *e)
{
    double loss = isnan(r->loss) ? NAN : r->loss; /* without a sign */
    if (r->saved >= 0 || !save(r, step, e))
        err_set(e, "the state after step %ld is in '%s'; try a lower lr", r->saved, r->checkpoint);
    return err_prefix(e, "training diverged at step %ld (loss %g, gradient norm %g): ", step + 1,
                      loss, fabs(r->grad_norm));
}

static int loop(struct run *r, long step, struct train_report *report, struct err *e)
{
    const struct train_options *o = r->t->o;
    struct progress bar;
    double start = log_seconds();
    long first = step;
    int rc = 0;
    progress_start(&bar, r->t->what, r->last);
    for (; step < r->last && !report->interrupted && !rc; step++) {
        double lr = train_lr(o, step, r->total, r->t->order->per_epoch);
        if ((rc = accumulate(r, step, e)))
            break;
        if (!isfinite(r->loss) || !isfinite(r->grad_norm)) {
            rc = diverged(r, step, e);
            break;
        }
        update(r, step, lr);
        report->tokens += r->tokens;
        char extra[64];
        snprintf(extra, sizeof extra, "loss %.4g", r->loss);
        progress_step(&bar, step + 1, (double)report->tokens, extra);
        rc = write_log(r, step, lr, log_seconds() - start, e);
        report->interrupted = r->t->stop && *r->t->stop;
        bool due = o->save_every && (step + 1) % o->save_every == 0 && step + 1 < r->last;
        if (!rc && (report->interrupted || due))
            rc = save(r, step + 1, e);
    }
    progress_end(&bar);
    report->steps = step - first;
    report->loss = r->loss;
    report->grad_norm = r->grad_norm;
    report->seconds = log_seconds() - start;
    return rc;
}

int train_run(struct trainer *t, struct train_report *report, struct err *e)
{
    struct run r = {.t = t, .m = t->engine->model, .saved = -1};
    long step = 0;
    *report = (struct train_report){0};
    BUG_ON(!r.m->own);
    r.total = r.last = train_total_steps(t->o, t->order->per_epoch);
    if (r.last * t->o->accumulate > t->order->n)
        r.last = t->order->n / t->o->accumulate;
    int rc = r.last < 1 ? err_set(e, "the order has %d micro-batches, too few for one step of %d",
                                  t->order->n, (int)t->o->accumulate)
                        : run_init(&r, &step, e);
    if (!rc) {
        note_memory(&r);
        rc = loop(&r, step, report, e);
    }
    run_fini(&r);
    return rc;
}

void train_drop_checkpoint(const char *out)
{
    struct err ignored;
    char *path = file_join(out, checkpoint_name, &ignored);
    if (path)
        remove(path);
    free(path);
}
