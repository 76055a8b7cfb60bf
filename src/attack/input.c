#include "attack/input.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "data/splice.h"
#include "objectives/terms.h"

/* --- rows and their controls --- */

static bool all_have(const struct rows *rows, const char *key)
{
    bool all = rows->n > 0;
    for (int i = 0; i < rows->n; i++) {
        const json_t *v = json_object_get(rows->v[i], key);
        all &= json_is_string(v) || json_array_size(v) > 0;
    }
    return all;
}

/* Example k of the control for row i: the first answer of the list. */
static int control_of(const struct input *in, const struct dataset *d, int i)
{
    const struct dataset *own = &in->a->sets[ATTACK_FORGET];
    for (int k = 0; k < d->n; k++)
        if (d->rows[k] == own->rows[i])
            return k;
    BUG_ON(true);
}

static int named_controls(struct input *in, const char *key, struct err *e)
{
    struct attack_run *a = in->a;
    if (dataset_build(&in->control, ROLE_FORGET, &a->rows[ATTACK_FORGET], a->o->question_key, key,
                      &a->s.encoder, e))
        return -1;
    for (int i = 0; i < in->n; i++)
        in->rows[INPUT_CONTROL][i] = in->control.seqs[control_of(in, &in->control, i)];
    return 0;
}

static int other_rows_answers(struct input *in, struct err *e)
{
    const struct dataset *own = &in->a->sets[ATTACK_FORGET];
    const size_t n = (size_t)in->n;
    unsigned char *used = mem_alloc(n * n, 1, e);
    for (size_t i = 0; used && i < n; i++)
        used[i * n + (i + 1) % n] = 1;
    const int rc = !used || dataset_splice(&in->control, ROLE_FORGET, own, own, used,
                                           in->a->s.model.cfg.positions, e);
    for (size_t i = 0; !rc && i < n; i++)
        in->rows[INPUT_CONTROL][i] = in->control.seqs[i * n + (i + 1) % n];
    free(used);
    return rc;
}

static bool answers_differ(const struct dataset *d)
{
    for (int i = 1; i < d->n; i++) {
        const struct seq *x = &d->seqs[0], *y = &d->seqs[i];
        const int p = seq_prompt(x), q = seq_prompt(y);
        if (x->n - p != y->n - q ||
            memcmp(x->ids + p, y->ids + q, (size_t)(x->n - p) * sizeof *x->ids))
            return true;
    }
    return false;
}

static int open_controls(struct input *in, const char *key, struct err *e)
{
    const struct attack_run *a = in->a;
    const bool named = in->named_controls =
        a->s.encoder.encode && all_have(&a->rows[ATTACK_FORGET], key);
    if (!named && !answers_differ(&a->sets[ATTACK_FORGET])) {
        log_warn("the rows have neither '%s' nor different answers: there is no control, and the "
                 "attack's success proves nothing",
                 key);
        return 0;
    }
    if (!(in->rows[INPUT_CONTROL] = mem_alloc((size_t)in->n, sizeof *in->rows[0], e)))
        return -1;
    return named ? named_controls(in, key, e) : other_rows_answers(in, e);
}

/* --- losses --- */

static int open_engine(struct input *in, struct err *e)
{
    const struct objective nll = {
        .term = &term_nll, .role = {ROLE_FORGET}, .weight = 1, .goal = GOAL_FORGET};
    engine_init(&in->engine, &in->a->s.model);
    in->engine.frozen = in->engine.measuring = true;
    in->one = (struct dataset){.role = ROLE_FORGET, .n = 1, .seqs = in->rows[INPUT_TRUE]};
    in->engine.sets[ROLE_FORGET] = &in->one;
    return engine_add(&in->engine, &nll, e);
}

int input_loss(struct input *in, const struct seq *q, const struct latent *at, double *loss,
               struct err *e)
{
    int row = 0;
    struct micro mb = {.rows = {[ROLE_FORGET] = &row}, .n = {[ROLE_FORGET] = 1}};
    const struct order order = {.micro = &mb, .n = 1, .per_epoch = 1};
    struct norm norm;
    struct micro_result res;
    struct seq seq = *q;
    in->one.seqs = &seq;
    in->engine.latent = at;
    engine_count(&in->engine, &order, 0, 1, &norm);
    const int rc =
        interrupt_check(in->a->stop, e) || engine_micro(&in->engine, &mb, &norm, &res, e);
    in->engine.latent = NULL;
    in->a->spent.forward_tokens += q->n;
    in->a->spent.backward_tokens += at && at->ddelta ? q->n : 0;
    *loss = res.loss[0];
    return rc;
}

static int score_before(struct input *in, enum input_target t, struct err *e)
{
    const size_t n = (size_t)in->n, each = (size_t)in->steps + 1;
    if (!(in->before[t] = mem_alloc(n, sizeof(double), e)) ||
        !(in->reached[t] = mem_alloc(n * each, sizeof(double), e)))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (input_loss(in, &in->rows[t][i], NULL, &in->before[t][i], e))
            return -1;
    return 0;
}

void input_count(struct input *in)
{
    in->a->spent.steps++;
    progress_step(&in->bar, in->bar.done + 1, in->a->spent.forward_tokens, NULL);
}

void input_restart(struct input *in, const char *what, bool universal, long searches)
{
    const size_t each = (size_t)in->steps + 1;
    for (int t = 0; t < INPUT_TARGETS; t++) {
        in->done[t] = 0;
        for (size_t i = 0; in->rows[t] && i < (size_t)in->n; i++)
            for (size_t s = 0; s < each; s++)
                in->reached[t][i * each + s] = in->before[t][i];
    }
    const long targets = in->rows[INPUT_CONTROL] ? INPUT_TARGETS : 1;
    progress_start(&in->bar, what, targets * (universal ? 1 : in->n) * searches * in->steps);
}

int input_init(struct input *in, struct attack_run *a, const char *control_key, double share,
               long steps, struct err *e)
{
    const struct dataset *own = &a->sets[ATTACK_FORGET];
    const size_t n = (size_t)own->n;
    *in = (struct input){.a = a, .n = own->n, .steps = steps};
    int rc = (!a->s.tokenizer && setup_has_tokenizer(&a->s) && setup_tokenizer(&a->s, e)) ||
             !(in->rows[INPUT_TRUE] = mem_alloc(n, sizeof *in->rows[0], e)) ||
             !(in->attacked = mem_alloc(n, sizeof *in->attacked, e));
    for (int i = 0; !rc && i < in->n; i++) {
        in->rows[INPUT_TRUE][i] = own->seqs[i];
        in->attacked[i] = !i || i < (int)ceil(share * in->n - 1e-9);
    }
    rc = rc || open_controls(in, control_key, e) || open_engine(in, e);
    if (rc)
        input_fini(in);
    return rc;
}

int input_score(struct input *in, struct err *e)
{
    for (int t = 0; t < INPUT_TARGETS; t++)
        if (in->rows[t] && score_before(in, (enum input_target)t, e))
            return -1;
    return 0;
}

void input_fini(struct input *in)
{
    for (int t = 0; t < INPUT_TARGETS; t++) {
        free(in->rows[t]);
        free(in->before[t]);
        free(in->reached[t]);
    }
    free(in->attacked);
    dataset_fini(&in->control);
    if (in->a)
        engine_fini(&in->engine);
    *in = (struct input){0};
}

/* The mean over the labels of rows[n], of losses at v[i * stride]. */
static double mean_of(const struct input *in, enum input_target t, const int *rows, int n,
                      const double *v, size_t stride, bool by_row)
{
    double sum = 0, labels = 0;
    for (int i = 0; i < n; i++) {
        const double own = seq_labels(&in->rows[t][rows[i]]);
        sum += own * v[(by_row ? (size_t)rows[i] : (size_t)i) * stride];
        labels += own;
    }
    return sum / labels;
}

bool input_record(struct input *in, enum input_target target, const int *rows, int n,
                  const double *loss)
{
    const size_t each = (size_t)in->steps + 1;
    double least = INFINITY;
    size_t best = 0;
    bool won = false;
    for (size_t s = 0; s < each; s++) {
        const double now = mean_of(in, target, rows, n, loss + s, each, false);
        if (now < least) {
            least = now;
            best = s;
        }
        double *reached = in->reached[target] + s;
        won = s && least < mean_of(in, target, rows, n, reached, each, true);
        for (int i = 0; won && i < n; i++)
            reached[(size_t)rows[i] * each] = loss[(size_t)i * each + best];
    }
    return won;
}

/* --- figures --- */

/* Of the rows below `done` that are attacked, or are not (which < 0: both), at v[i * stride]. */
static json_t *figures(const struct input *in, enum input_target t, const double *v, size_t stride,
                       int which)
{
    json_t *to = json_object();
    double nll = 0, prob = 0, labels = 0;
    int rows = 0;
    for (int i = 0; i < in->done[t]; i++) {
        if (which >= 0 && in->attacked[i] != (which != 0))
            continue;
        const double loss = v[(size_t)i * stride], own = seq_labels(&in->rows[t][i]);
        nll += own * loss;
        labels += own;
        prob += exp(-loss);
        rows++;
    }
    json_put_real(to, "nll", nll / labels);
    json_put_real(to, "prob", prob / rows);
    return to;
}

static double advantage(const struct input *in, double *const *v, size_t stride)
{
    const int n = in->done[INPUT_CONTROL];
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += v[INPUT_CONTROL][(size_t)i * stride] - v[INPUT_TRUE][(size_t)i * stride];
    return sum / n;
}

/* Everything about losses at v[t][i * stride]. */
static void put_figures(const struct input *in, double *const *losses, size_t offset, size_t stride,
                        json_t *to)
{
    double *v[INPUT_TARGETS];
    bool split = false;
    for (int t = 0; t < INPUT_TARGETS; t++)
        v[t] = losses[t] ? losses[t] + offset : NULL;
    for (int i = 0; i < in->n; i++)
        split |= !in->attacked[i];
    json_object_set_new(to, "forget", figures(in, INPUT_TRUE, v[INPUT_TRUE], stride, -1));
    if (split) {
        json_object_set_new(to, "attacked", figures(in, INPUT_TRUE, v[INPUT_TRUE], stride, 1));
        json_object_set_new(to, "rest", figures(in, INPUT_TRUE, v[INPUT_TRUE], stride, 0));
    }
    if (in->rows[INPUT_CONTROL]) {
        json_object_set_new(to, "control",
                            figures(in, INPUT_CONTROL, v[INPUT_CONTROL], stride, -1));
        json_put_real(to, "advantage", advantage(in, v, stride));
    }
}

void input_put_before(struct input *in, json_t *block)
{
    json_t *to = attack_begin(in->a, block, "before");
    for (int t = 0; t < INPUT_TARGETS; t++)
        in->done[t] = in->rows[t] ? in->n : 0;
    if (to)
        put_figures(in, in->before, 0, 1, to);
    attack_end(in->a);
}

/* The loss after each step, mean over the attacked rows that are done. */
static json_t *curve(const struct input *in, enum input_target t)
{
    const size_t each = (size_t)in->steps + 1;
    json_t *to = json_array();
    for (size_t s = 0; s < each; s++) {
        double sum = 0;
        int rows = 0;
        for (int i = 0; i < in->done[t]; i++)
            if (in->attacked[i]) {
                sum += in->reached[t][(size_t)i * each + s];
                rows++;
            }
        json_array_append_new(to, json_finite(sum / rows));
    }
    return to;
}

void input_put(struct input *in, json_t *to)
{
    const size_t each = (size_t)in->steps + 1;
    json_t *curves = json_object();
    put_figures(in, in->reached, each - 1, each, to);
    json_object_set_new(to, "curve", curves);
    for (int t = 0; t < INPUT_TARGETS; t++)
        if (in->done[t])
            json_object_set_new(curves, t == INPUT_TRUE ? "forget" : "control",
                                curve(in, (enum input_target)t));
}

char *input_file(const struct input *in, const char *stem, const char *suffix, struct err *e)
{
    char name[128];
    snprintf(name, sizeof name, "%s_%s.%s", stem, attack_model_name[in->a->which], suffix);
    return attack_out_file(in->a, name, e);
}
