/* Relearning: a few steps of fine-tuning on a part of the forget data, scored on the part that the
 * attacker never saw. On an unlearned model that part comes back, on a retrained one it hardly does
 * (arXiv 2410.08827).
 */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "base/json.h"
#include "base/mem.h"
#include "eval/robustness.h"
#include "locate/locators.h"
#include "model/lora.h"
#include "objectives/terms.h"
#include "optim/optims.h"
#include "train/gradient.h"
#include "train/options.h"

struct relearn_params {
    const char *rows, *entity_key, *rates, *eval_at, *schedule, *order;
    int64_t steps, batch, accumulate, warmup_steps, lora_rank;
    double clip, weight_decay, lora_alpha;
};

static const struct param table[] = {
    STRING_PARAM(struct relearn_params, rows, NULL, "FILE",
                 "what the attacker has; else the first half of the forget rows, and the other "
                 "half is scored"),
    STRING_PARAM(struct relearn_params, entity_key, "entity", "KEY",
                 "field by which forget rows belong together: they are not torn apart"),
    STRING_PARAM(struct relearn_params, rates, "1e-5,5e-5", "LIST", "learning rates, a curve each"),
    INT_PARAM(struct relearn_params, steps, 0, 1 << 20, 50, "optimiser steps"),
    STRING_PARAM(struct relearn_params, eval_at, "0,1,2,5,10,20,50,100", "LIST",
                 "steps after which the sets are scored"),
    CHOICE_PARAM(struct relearn_params, schedule, "constant|linear|cosine", "constant",
                 "learning rate; constant: one run has the curve of every budget"),
    INT_PARAM(struct relearn_params, warmup_steps, 0, 1 << 20, 0, "steps of linear warm-up"),
    INT_PARAM(struct relearn_params, batch, 1, 1 << 16, 4, "rows of a micro-batch"),
    INT_PARAM(struct relearn_params, accumulate, 1, 1 << 16, 1, "micro-batches of a step"),
    REAL_PARAM(struct relearn_params, clip, 0, 1e9, 1, "maximum norm of the gradient; 0: off"),
    REAL_PARAM(struct relearn_params, weight_decay, 0, 10, 0, "of AdamW"),
    INT_PARAM(struct relearn_params, lora_rank, 0, 4096, 0,
              "rank of adapters on all linear layers, which alone are trained; 0: all weights are"),
    REAL_PARAM(struct relearn_params, lora_alpha, 0, 1e6, 16, "scaling of the adapters"),
    STRING_PARAM(struct relearn_params, order, NULL, "FILE",
                 "micro-batches to replay, in the format of a training order"),
    {0}};

/* --- the rows --- */

/* Examples of `d` whose mark is `is`, as a set of its own, which borrows their tokens. */
static int take_part(struct dataset *part, const struct dataset *d, const bool *mark, bool is,
                     struct err *e)
{
    *part =
        (struct dataset){.role = d->role, .seqs = mem_alloc((size_t)d->n, sizeof *part->seqs, e)};
    part->rows = part->seqs ? mem_alloc((size_t)d->n, sizeof *part->rows, e) : NULL;
    if (!part->rows)
        return -1;
    for (int i = 0; i < d->n; i++)
        if (mark[i] == is) {
            part->rows[part->n] = d->rows[i];
            part->seqs[part->n++] = d->seqs[i];
            part->n_labels += seq_labels(&d->seqs[i]);
        }
    return 0;
}

/* Marks the examples that the attacker has: those of the first entities, until they are half of
 * all. A row without an entity is one of its own. */
static void mark_half(const struct rows *rows, const char *key, const struct dataset *d, bool *mark)
{
    int marked = 0;
    for (int i = 0; i < d->n && marked < d->n / 2; i++) {
        if (mark[i])
            continue;
        for (int k = i; k < d->n; k++)
            if (k == i || attack_same_entity(rows, d->rows[i], rows, d->rows[k], key)) {
                mark[k] = true;
                marked++;
            }
    }
}

struct relearning {
    struct attack_run *a;
    const struct relearn_params *p;
    struct rows rows;              /* of `attacked`, if it has a file */
    struct dataset attacked, rest; /* the attacker's, and the scored others */
    struct engine engine;
    struct order order;
    device float *state[OPTIM_STATES];
    struct choice optim, lora; /* lora: its options; no row: all weights are trained */
    device float *fresh;       /* [table.moving] the adapters as they were drawn */
    double *micro;             /* owned [accumulate] */
};

static int open_rows(struct relearning *r, struct err *e)
{
    struct attack_run *a = r->a;
    const struct dataset *all = &a->sets[ATTACK_FORGET];
    bool *mark = mem_alloc((size_t)all->n, sizeof *mark, e);
    int rc = !mark;
    if (!rc && r->p->rows)
        rc = attack_open_set(a, r->p->rows, ROLE_FORGET, &r->rows, &r->attacked, e);
    else if (!rc) {
        mark_half(&a->rows[ATTACK_FORGET], r->p->entity_key, all, mark);
        rc = take_part(&r->attacked, all, mark, true, e);
    }
    rc = rc || take_part(&r->rest, all, mark, false, e);
    free(mark);
    if (!rc && (!r->attacked.n || !r->rest.n))
        return err_about(
            e, "forget",
            "relearning needs forget rows of two entities: some for the attacker, some to score");
    return rc;
}

/* --- training --- */

static struct train_options options_of(const struct relearn_params *p, double lr,
                                       const struct attack_options *o)
{
    return (struct train_options){.batch = p->batch,
                                  .accumulate = p->accumulate,
                                  .max_steps = p->steps,
                                  .lr = lr,
                                  .schedule = p->schedule,
                                  .warmup_steps = p->warmup_steps,
                                  .weight_decay = p->weight_decay,
                                  .clip = p->clip,
                                  .seed = o->seed,
                                  .order = p->order};
}

/* The order: a file's, a replayed run's, or drawn; out/order.jsonl gets it. */
static int open_order(struct relearning *r, struct err *e)
{
    int counts[ROLE_COUNT] = {0};
    char *replayed, *out = NULL;
    counts[ROLE_FORGET] = r->attacked.n;
    if (attack_replay_file(r->a, "order.jsonl", &replayed, e))
        return -1;
    const char *file = r->p->order ? r->p->order : replayed;
    const int64_t per_epoch = (r->attacked.n + r->p->batch - 1) / r->p->batch;
    const int64_t epochs = (r->p->steps * r->p->accumulate + per_epoch - 1) / per_epoch;
    int rc = file ? order_read(&r->order, file, counts, NULL, e)
                  : order_draw(&r->order, counts, ROLE_FORGET, NULL, (int)r->p->batch,
                               (int)(epochs ? epochs : 1), (unsigned)r->a->o->seed, 0, e);
    if (!rc && r->a->o->out)
        rc = !(out = attack_out_file(r->a, "order.jsonl", e)) || order_write(&r->order, out, e);
    free(replayed);
    free(out);
    return rc;
}

/* What is trained: all weights, or fresh adapters. */
static int open_weights(struct relearning *r, struct err *e)
{
    struct model *m = &r->a->s.model;
    if (!r->p->lora_rank)
        return locate_weights(&locator_all, NULL, r->a->s.compat, m, 0, e);
    if (choice_init(&r->lora, &locator_lora, NULL, e))
        return -1;
    struct lora_options *o = r->lora.params;
    o->lora_rank = r->p->lora_rank;
    o->lora_alpha = r->p->lora_alpha;
    if (locate_weights(&locator_lora, o, r->a->s.compat, m, (unsigned)r->a->o->seed, e) ||
        !(r->fresh = m->ops->alloc(m->table.moving, e)))
        return -1;
    for (int i = m->table.n_model; i < m->table.n; i++)
        m->ops->copy(r->fresh + m->table.v[i].at, m->own + m->table.v[i].offset,
                     m->table.v[i].count);
    return 0;
}

static int open_training(struct relearning *r, struct err *e)
{
    struct model *m = &r->a->s.model;
    const struct objective nll = {
        .term = &term_nll, .role = {ROLE_FORGET}, .weight = 1, .goal = GOAL_FORGET};
    engine_init(&r->engine, m);
    r->engine.compat = r->a->s.compat;
    r->engine.sets[ROLE_FORGET] = &r->attacked;
    /* the weights, their gradient and the two moments of AdamW */
    if ((!r->p->lora_rank && attack_check_memory(4.0 * sizeof(float) * (double)m->table.total,
                                                 "training all weights", "lora_rank", e)) ||
        open_weights(r, e) || engine_add(&r->engine, &nll, e) ||
        engine_hold_unreached(&r->engine, e) || choice_init(&r->optim, &optim_adamw, NULL, e) ||
        open_order(r, e) || !(r->micro = mem_alloc((size_t)r->p->accumulate, sizeof *r->micro, e)))
        return -1;
    if ((int64_t)r->order.n < r->p->steps * r->p->accumulate)
        return err_about(e, "order",
                         "the order has %d micro-batches, too few for %lld steps of %lld",
                         r->order.n, (long long)r->p->steps, (long long)r->p->accumulate);
    for (int k = 0; k < optim_adamw.n_states; k++)
        if (!(r->state[k] = m->ops->alloc(m->table.moving, e)))
            return -1;
    return 0;
}

static void close_training(struct relearning *r)
{
    for (int k = 0; k < OPTIM_STATES; k++)
        r->a->s.model.ops->free(r->state[k]);
    free(r->micro);
    r->a->s.model.ops->free(r->fresh);
    choice_fini(&r->optim);
    choice_fini(&r->lora);
    order_fini(&r->order);
    engine_fini(&r->engine);
    free(r->rest.seqs);
    free(r->rest.rows);
    if (r->p->rows)
        dataset_fini(&r->attacked);
    else {
        free(r->attacked.seqs);
        free(r->attacked.rows);
    }
    rows_close(&r->rows);
}

/* The weights as they were, and no memory of earlier gradients. */
static void start_over(struct relearning *r)
{
    struct model *m = &r->a->s.model;
    for (int i = r->fresh ? m->table.n_model : 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        const device float *from = r->fresh;
        if (from)
            from += w->at;
        else
            from = r->a->before.w[i];
        m->ops->copy(m->own + w->offset, from, w->count);
    }
    for (int k = 0; k < optim_adamw.n_states; k++)
        m->ops->fill(r->state[k], 0, m->table.moving);
}

struct step_figures {
    double loss, norm;
};

static int make_step(struct relearning *r, long step, double lr, struct step_figures *f,
                     struct err *e)
{
    struct model *m = &r->a->s.model;
    struct gradient g = {
        .engine = &r->engine, .order = &r->order, .micro = r->micro, .stop = r->a->stop};
    gradient_start(&g, step, (int)r->p->accumulate, 1);
    const int rc = gradient_add(&g, GOALS_METHOD, e);
    f->loss = gradient_loss(&g);
    f->norm = gradient_norm(&g);
    r->a->spent.backward_tokens += (double)g.tokens;
    arena_fini(&g.kept);
    if (rc)
        return -1;
    const double scale = r->p->clip > 0 ? r->p->clip / (f->norm + 1e-6) : 1;
    const struct optim_step s = {.ops = m->ops,
                                 .table = &m->table,
                                 .w = m->own,
                                 .state = r->state,
                                 .grad = r->engine.grads,
                                 .grad_scale = (float)(scale < 1 ? scale : 1),
                                 .lr = lr,
                                 .weight_decay = r->p->weight_decay,
                                 .step = step + 1};
    optim_apply(&optim_adamw, r->optim.params, &s);
    return 0;
}

/* --- the curve --- */

static void append(json_t *to, const char *key, json_t *v)
{
    json_t *a = json_object_get(to, key);
    if (!a)
        json_object_set_new(to, key, a = json_array());
    json_array_append(a, v);
}

static void append_real(json_t *to, const char *key, double v)
{
    json_t *x = json_finite(v);
    append(to, key, x);
    json_decref(x);
}

/* Which rows of the file a set has. */
static void put_rows(json_t *curves, const struct dataset *d)
{
    json_t *rows = json_array();
    for (int i = 0; i < d->n; i++)
        json_array_append_new(rows, json_integer(d->rows[i]));
    json_object_set_new(curves, "row", rows);
}

/* Scores all sets after a step, onto the ends of the curves. */
static int score_sets(struct relearning *r, long step, json_t *to, struct err *e)
{
    const struct {
        const char *name;
        const struct dataset *d;
    } sets[] = {
        {"attacked", &r->attacked}, {"rest", &r->rest}, {"retain", &r->a->sets[ATTACK_RETAIN]}};
    append_real(to, "steps", (double)step);
    for (int i = 0; i < 3; i++) {
        json_t *figures = json_object(), *curves = json_object_get(to, sets[i].name), *v;
        const char *key;
        if (!curves && sets[i].d->n) {
            json_object_set_new(to, sets[i].name, curves = json_object());
            if (sets[i].d->rows)
                put_rows(curves, sets[i].d);
        }
        const int rc = sets[i].d->n && attack_measure_set(r->a, sets[i].d, false, figures, e);
        json_object_foreach(figures, key, v) append(curves, key, v);
        json_decref(figures);
        if (rc)
            return -1;
    }
    return 0;
}

static int check_list(const char *list, struct err *e)
{
    double v;
    for (const char *at = list; *at;)
        if (attack_next(&at, "eval_at", 0, 1e9, &v, e))
            return -1;
    return 0;
}

/* Whether the step is in the list, which was checked. */
static bool is_due(const char *list, long step)
{
    for (const char *at = list; *at;) {
        struct err unused;
        double v;
        if (attack_next(&at, "eval_at", 0, 1e9, &v, &unused))
            return false;
        if ((long)v == step)
            return true;
    }
    return false;
}

/* One learning rate. A loss that is not finite ends the curve; it is a result. */
static int relearn(struct relearning *r, double rate, json_t *to, struct err *e)
{
    const struct train_options o = options_of(r->p, rate, r->a->o);
    struct progress bar;
    char name[48];
    snprintf(name, sizeof name, "relearn %g", rate);
    start_over(r);
    int rc = score_sets(r, 0, to, e);
    progress_start(&bar, name, r->p->steps);
    for (long step = 0; !rc && step < r->p->steps; step++) {
        struct step_figures f;
        const double lr = train_lr(&o, step, (long)r->p->steps, &r->order);
        if ((rc = make_step(r, step, lr, &f, e)))
            break;
        append_real(to, "loss", f.loss);
        append_real(to, "grad_norm", f.norm);
        append_real(to, "lr", lr);
        r->a->spent.steps++;
        if (!isfinite(f.loss) || !isfinite(f.norm)) {
            log_warn("relearn at %g: the loss is not finite after %ld steps; the curve ends there",
                     rate, step + 1);
            break;
        }
        if (is_due(r->p->eval_at, step + 1) || step + 1 == r->p->steps)
            rc = score_sets(r, step + 1, to, e);
        progress_step(&bar, step + 1, r->a->spent.backward_tokens, NULL);
    }
    progress_end(&bar);
    return rc;
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    struct relearning r = {.a = a, .p = params};
    int rc = check_list(r.p->eval_at, e) || open_rows(&r, e) || open_training(&r, e);
    if (!rc)
        a->spent.rows = r.attacked.n;
    for (const char *at = r.p->rates; !rc && *at;) {
        double rate;
        char name[32];
        if ((rc = attack_next(&at, "rates", 0, 1e30, &rate, e)))
            break;
        snprintf(name, sizeof name, "%g", rate);
        json_t *to = attack_begin(a, block, name);
        rc = to && relearn(&r, rate, to, e);
        if (!rc)
            attack_end(a);
    }
    close_training(&r);
    return rc;
}

static bool adapts(const void *params)
{
    return ((const struct relearn_params *)params)->lora_rank > 0;
}

/* --- summary --- */

/* The curve of one figure, [n] owned; NULL where it is missing or has another length than n > 0. */
static double *curve_of(const json_t *block, const char *rate, const char *set, int *n,
                        struct err *e)
{
    const json_t *a = json_object_get(json_object_get(json_object_get(block, rate), set), "prob");
    const int own = (int)json_array_size(a);
    double *v = own && (!*n || own == *n) ? mem_alloc((size_t)own, sizeof *v, e) : NULL;
    for (int i = 0; v && i < own; i++) {
        const json_t *x = json_array_get(a, (size_t)i);
        v[i] = json_is_number(x) ? json_number_value(x) : NAN;
    }
    if (v)
        *n = own;
    return v;
}

static int summarise_set(const json_t *all, const char *rate, const char *set, json_t *to,
                         struct err *e)
{
    const json_t *unlearned = json_object_get(all, "unlearned");
    int n = 0, one = 0;
    double *m = curve_of(unlearned, rate, set, &n, e),
           *target = curve_of(json_object_get(all, "target"), rate, set, &one, e);
    double *control = m ? curve_of(json_object_get(all, "retrained"), rate, set, &n, e) : NULL;
    double *steps = m ? mem_alloc((size_t)n, sizeof *steps, e) : NULL;
    const json_t *at = json_object_get(json_object_get(unlearned, rate), "steps");
    for (int i = 0; steps && i < n; i++)
        steps[i] = json_number_value(json_array_get(at, (size_t)i));
    if (steps && n >= 2) {
        struct curve c;
        curve_summary(&c, steps, m, n, target ? target[0] : NAN, control);
        json_object_set_new(to, set, curve_json(&c));
    }
    free(m);
    free(target);
    free(control);
    free(steps);
    return 0;
}

static int summarise(json_t *all, const void *params, struct err *e)
{
    (void)params;
    json_t *summary = json_object(), *v;
    const char *rate;
    json_object_set_new(all, "summary", summary);
    json_object_foreach(json_object_get(all, "unlearned"), rate, v)
    {
        json_t *to = json_object();
        json_object_set_new(summary, rate, to);
        if (summarise_set(all, rate, "attacked", to, e) || summarise_set(all, rate, "rest", to, e))
            return -1;
    }
    return 0;
}

const struct attack attack_relearn = {
    .name = "relearn",
    .params = table,
    .params_size = sizeof(struct relearn_params),
    .help = "fine-tune on half of the forget rows, score the other half",
    .paper = "arXiv 2502.05374, 2410.08827",
    .touches = "weights",
    .access = "white",
    .verified = "Hugging Face's Trainer, PyTorch in f64",
    .writes = true,
    .adapts = adapts,
    .run = run,
    .summarise = summarise,
};
