#include "attack/attack.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/score.h"

const char *const attack_model_name[ATTACK_MODELS] = {"target", "unlearned", "retrained"};
const char *const attack_set_name[ATTACK_SETS] = {"forget", "retain"};

extern const struct attack attack_relearn, attack_quantise, attack_prune, attack_noise,
    attack_interpolate, attack_sample;
const struct attack *const attacks[] = {
    &attack_relearn,     &attack_quantise, &attack_prune, &attack_noise,
    &attack_interpolate, &attack_sample,   NULL};

/* --- one model and its data --- */

static const char *model_of(const struct attack_options *o, enum attack_model which)
{
    return which == ATTACK_TARGET      ? o->target
           : which == ATTACK_RETRAINED ? o->retrained
                                       : o->setup.model;
}

int attack_open_set(struct attack_run *a, const char *file, enum role role, struct rows *rows,
                    struct dataset *d, struct err *e)
{
    if (rows_open(rows, file, e))
        return -1;
    if (json_object_get(rows->v[0], "ids"))
        return setup_ids(&a->s, role, rows, d, e);
    if (setup_check_rows(rows, a->o->question_key, "rows are a prompt and its answer, or {ids}",
                         e) ||
        setup_text(&a->s, e))
        return -1;
    return dataset_build(d, role, rows, a->o->question_key, a->o->answer_key, &a->s.encoder, e);
}

static int open_run(struct attack_run *a, const struct attack *attack,
                    const struct setup_options *how, struct err *e)
{
    if (setup_open(&a->s, how, attack->writes, e))
        return err_prefix(e, "%s model: ", attack_model_name[a->which]);
    static const enum role roles[ATTACK_SETS] = {ROLE_FORGET, ROLE_RETAIN};
    for (int set = 0; set < ATTACK_SETS; set++)
        if (a->o->set[set] &&
            attack_open_set(a, a->o->set[set], roles[set], &a->rows[set], &a->sets[set], e))
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

/* Sums over the labels of each row: minus log-probabilities, KL to the model before. */
struct row_figures {
    double nll, kl;
    int labels;
};

static int figures_alone(struct attack_run *a, const struct dataset *d, struct row_figures *row,
                         struct err *e)
{
    struct scores scores = {0};
    const struct score_options how = {.interrupt = a->stop};
    const int rc = model_score(&scores, &a->s.model, d->seqs, d->n, &how, NULL, e);
    for (int i = 0; !rc && i < d->n; i++)
        row[i] = (struct row_figures){.nll = scores.v[i].nll, .labels = scores.v[i].n};
    scores_fini(&scores);
    return rc;
}

static int figures_of_pair(struct attack_run *a, const struct dataset *d, struct row_figures *row,
                           struct err *e)
{
    struct divergence *far = mem_alloc((size_t)d->n, sizeof *far, e);
    const struct divergence_options how = {.interrupt = a->stop};
    const int rc =
        !far || model_divergence(far, &a->s.model, &a->before, d->seqs, d->n, &how, NULL, e);
    for (int i = 0; !rc && i < d->n; i++)
        row[i] = (struct row_figures){far[i].nll, far[i].kl, far[i].n};
    free(far);
    return rc;
}

int attack_measure_set(struct attack_run *a, const struct dataset *d, bool moved, json_t *to,
                       struct err *e)
{
    struct row_figures *row = mem_alloc((size_t)d->n, sizeof *row, e);
    double nll = 0, prob = 0, kl = 0, labels = 0;
    const int rc = !row || (moved ? figures_of_pair(a, d, row, e) : figures_alone(a, d, row, e));
    for (int i = 0; !rc && i < d->n; i++) {
        nll += row[i].nll;
        kl += row[i].kl;
        labels += row[i].labels;
        prob += exp(-row[i].nll / row[i].labels) / d->n;
        a->spent.forward_tokens += (moved ? 2.0 : 1.0) * d->seqs[i].n;
    }
    json_put_real(to, "nll", nll / labels);
    json_put_real(to, "prob", prob);
    if (moved)
        json_put_real(to, "kl", kl / labels);
    free(row);
    return rc;
}

int attack_measure(struct attack_run *a, bool moved, json_t *to, struct err *e)
{
    for (int set = 0; set < ATTACK_SETS; set++) {
        if (!a->sets[set].n)
            continue;
        json_t *figures = json_object();
        json_object_set_new(to, attack_set_name[set], figures);
        if (attack_measure_set(a, &a->sets[set], moved, figures, e))
            return -1;
    }
    return 0;
}

int attack_next(const char **at, const char *what, double lo, double hi, double *v, struct err *e)
{
    char *end;
    *v = strtod(*at, &end);
    if (end == *at || (*end && *end != ',') || !(*v >= lo && *v <= hi))
        return err_about(e, what, "'%s' is no list of numbers from %g to %g", *at, lo, hi);
    *at = *end ? end + 1 : end;
    return 0;
}

/* --- all models --- */

static json_t *excess(json_t *unlearned, const json_t *retrained);

static json_t *excess_of_arrays(const json_t *a, const json_t *b)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(a) && i < json_array_size(b); i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
        const bool both = json_is_number(x) && json_is_number(y);
        json_array_append_new(out, both ? json_real(json_number_value(x) - json_number_value(y))
                                        : json_null());
    }
    return out;
}

/* Differences of all numbers that both have, in objects of the same shape. */
static json_t *excess(json_t *unlearned, const json_t *retrained)
{
    json_t *out = json_object(), *v;
    const char *key;
    json_object_foreach(unlearned, key, v)
    {
        const json_t *control = json_object_get(retrained, key);
        if (json_is_number(v) && json_is_number(control))
            json_put_real(out, key, json_number_value(v) - json_number_value(control));
        else if (json_is_object(v) && json_is_object(control))
            json_object_set_new(out, key, excess(v, control));
        else if (json_is_array(v) && json_is_array(control))
            json_object_set_new(out, key, excess_of_arrays(v, control));
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
            json_put_real(to, name,
                          (forget_prob(json_object_get(all, name), setting) - start) / gap);
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
    if (!rc && attack->summarise)
        rc = attack->summarise(*out, e);
    json_object_set_new(*out, "finished", json_boolean(!rc));
    return rc;
}
