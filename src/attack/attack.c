#include "attack/attack.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/score.h"

const char *const attack_model_name[ATTACK_MODELS] = {"target", "unlearned", "retrained"};
const char *const attack_set_name[ATTACK_SETS] = {"forget", "retain"};

extern const struct attack attack_quantise, attack_prune, attack_noise, attack_interpolate,
    attack_sample;
const struct attack *const attacks[] = {&attack_quantise,    &attack_prune,  &attack_noise,
                                        &attack_interpolate, &attack_sample, NULL};

/* --- one model and its data --- */

static const char *model_of(const struct attack_options *o, enum attack_model which)
{
    return which == ATTACK_TARGET      ? o->target
           : which == ATTACK_RETRAINED ? o->retrained
                                       : o->setup.model;
}

static int open_set(struct attack_run *a, int set, struct err *e)
{
    static const enum role roles[ATTACK_SETS] = {ROLE_FORGET, ROLE_RETAIN};
    struct rows *rows = &a->rows[set];
    if (!a->o->set[set])
        return 0;
    if (rows_open(rows, a->o->set[set], e))
        return -1;
    if (json_object_get(rows->v[0], "ids"))
        return setup_ids(&a->s, roles[set], rows, &a->sets[set], e);
    if (setup_check_rows(rows, a->o->question_key, "rows are a prompt and its answer, or {ids}",
                         e) ||
        setup_text(&a->s, e))
        return -1;
    return dataset_build(&a->sets[set], roles[set], rows, a->o->question_key, a->o->answer_key,
                         &a->s.encoder, e);
}

static int open_run(struct attack_run *a, const struct attack *attack,
                    const struct setup_options *how, struct err *e)
{
    if (setup_open(&a->s, how, attack->writes, e))
        return err_prefix(e, "%s model: ", attack_model_name[a->which]);
    for (int set = 0; set < ATTACK_SETS; set++)
        if (open_set(a, set, e))
            return -1;
    a->spent.rows = a->sets[ATTACK_FORGET].n + a->sets[ATTACK_RETAIN].n;
    if (attack->writes && setup_open_frozen(&a->before, attack_model_name[a->which], how->model,
                                            how->adapter, &a->s.model, e))
        return -1;
    a->has_target = attack->compares && a->o->target;
    return a->has_target
               ? setup_open_frozen(&a->target, "target", a->o->target, NULL, &a->s.model, e)
               : 0;
}

static void close_run(struct attack_run *a)
{
    for (int set = 0; set < ATTACK_SETS; set++) {
        dataset_fini(&a->sets[set]);
        rows_close(&a->rows[set]);
    }
    model_close(&a->before);
    model_close(&a->target);
    setup_close(&a->s);
}

/* --- figures --- */

static void put(json_t *to, const char *key, double v)
{
    json_object_set_new(to, key, isfinite(v) ? json_real(v) : json_null());
}

static int measure_set(struct attack_run *a, const struct dataset *d, bool moved, json_t *to,
                       struct err *e)
{
    struct divergence *far = mem_alloc((size_t)d->n, sizeof *far, e);
    struct divergence_options how = {.interrupt = a->stop};
    double nll = 0, prob = 0, kl = 0, labels = 0;
    int rc = !far || model_divergence(far, &a->s.model, moved ? &a->before : &a->s.model, d->seqs,
                                      d->n, &how, NULL, e);
    for (int i = 0; !rc && i < d->n; i++) {
        nll += far[i].nll;
        kl += far[i].kl;
        labels += far[i].n;
        prob += exp(-far[i].nll / far[i].n) / d->n;
        a->spent.forward_tokens += (moved ? 2.0 : 1.0) * d->seqs[i].n;
    }
    put(to, "nll", nll / labels);
    put(to, "prob", prob);
    if (moved)
        put(to, "kl", kl / labels);
    free(far);
    return rc;
}

int attack_measure(struct attack_run *a, bool moved, json_t *to, struct err *e)
{
    for (int set = 0; set < ATTACK_SETS; set++) {
        if (!a->sets[set].n)
            continue;
        json_t *figures = json_object();
        json_object_set_new(to, attack_set_name[set], figures);
        if (measure_set(a, &a->sets[set], moved, figures, e))
            return -1;
    }
    return 0;
}

/* --- all models --- */

/* Differences of all numbers that both have, in objects of the same shape. */
static json_t *excess(json_t *unlearned, const json_t *retrained)
{
    json_t *out = json_object(), *v;
    const char *key;
    json_object_foreach(unlearned, key, v)
    {
        const json_t *control = json_object_get(retrained, key);
        if (json_is_number(v) && json_is_number(control))
            put(out, key, json_number_value(v) - json_number_value(control));
        else if (json_is_object(v) && json_is_object(control))
            json_object_set_new(out, key, excess(v, control));
    }
    return out;
}

/* prob of a setting on the forget set; NaN: there is none. */
static double forget_prob(const json_t *block, const char *setting)
{
    const json_t *v =
        json_object_get(json_object_get(json_object_get(block, setting), "forget"), "prob");
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* How much of what unlearning took from the probability of the forget answers each setting brings
 * back: (after - before) / (target - before), of the unlearned model, and of the control with the
 * same scale. */
static json_t *recovery(const json_t *all)
{
    static const enum attack_model models[] = {ATTACK_UNLEARNED, ATTACK_RETRAINED};
    json_t *unlearned = json_object_get(all, "unlearned"), *v, *out = json_object();
    const double start = forget_prob(unlearned, "before");
    const double gap = forget_prob(json_object_get(all, "target"), "before") - start;
    const char *setting;
    json_object_foreach(unlearned, setting, v)
    {
        if (!strcmp(setting, "before") || !isfinite(forget_prob(unlearned, setting) / gap))
            continue;
        json_t *to = json_object();
        for (int i = 0; i < 2; i++) {
            const char *name = attack_model_name[models[i]];
            put(to, name, (forget_prob(json_object_get(all, name), setting) - start) / gap);
        }
        json_object_set_new(out, setting, to);
    }
    return out;
}

static json_t *budget_json(const struct attack_budget *b)
{
    return json_pack("{s:f, s:f, s:I, s:I, s:I}", "forward_tokens", b->forward_tokens,
                     "backward_tokens", b->backward_tokens, "candidates", (json_int_t)b->candidates,
                     "steps", (json_int_t)b->steps, "rows", (json_int_t)b->rows);
}

static int attack_one(const struct attack *attack, const void *params, struct attack_run *a,
                      json_t *out, struct err *e)
{
    const char *name = attack_model_name[a->which];
    struct setup_options how = a->o->setup;
    if (a->which != ATTACK_UNLEARNED)
        how.adapter = NULL;
    how.model = model_of(a->o, a->which);
    json_t *block = json_object();
    log_note("%s: the %s model", attack->name, name);
    const int rc = open_run(a, attack, &how, e) || attack->run(a, params, block, e);
    if (a->which == ATTACK_UNLEARNED)
        json_object_set_new(out, "budget", budget_json(&a->spent));
    if (rc)
        json_decref(block);
    else
        json_object_set_new(out, name, block);
    close_run(a);
    return rc;
}

int attack_all(const struct attack *attack, const void *params, const struct attack_options *o,
               const volatile sig_atomic_t *stop, json_t **out, struct err *e)
{
    /* the claim first, so that a run that is stopped early has it */
    static const enum attack_model order[] = {ATTACK_UNLEARNED, ATTACK_RETRAINED, ATTACK_TARGET};
    int rc = 0;
    *out = json_pack("{s:s, s:s, s:s}", "name", attack->name, "touches", attack->touches, "access",
                     attack->access);
    if (!*out)
        return err_no_memory(e, "attack");
    for (int i = 0; !rc && i < ATTACK_MODELS; i++) {
        struct attack_run a = {.o = o, .which = order[i], .stop = stop};
        if (model_of(o, order[i]))
            rc = attack_one(attack, params, &a, *out, e);
    }
    const json_t *control = json_object_get(*out, "retrained");
    if (control)
        json_object_set_new(*out, "excess", excess(json_object_get(*out, "unlearned"), control));
    json_object_set_new(*out, "recovery", recovery(*out));
    json_object_set_new(*out, "finished", json_boolean(!rc));
    return rc;
}
