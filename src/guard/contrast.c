/* The next token from the logits of two or three models over one vocabulary, each with its own
 * cache: the reinforced one (WHP), an assistant that remembers only what is to be forgotten (ULD),
 * or the difference of two small ones (offset, divergence).
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "guard/contrast.h"
#include "guard/guard.h"
#include "model/ensemble.h"

struct params {
    const char *assist, *form, *scale;
    double alpha, w, r;
};

static double log_sum(const float *z, int vocab)
{
    double top = (double)z[0], sum = 0;
    for (int v = 1; v < vocab; v++)
        top = fmax(top, (double)z[v]);
    for (int v = 0; v < vocab; v++)
        sum += exp((double)z[v] - top);
    return top + log(sum);
}

void contrast_whp(float *z, const float *reinforced, int vocab, double alpha, bool normed)
{
    const double shift = normed ? log_sum(reinforced, vocab) - log_sum(z, vocab) : 0;
    for (int v = 0; v < vocab; v++)
        z[v] -= (float)(alpha * fmax((double)reinforced[v] - (double)z[v] - shift, 0));
}

static int descending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

double contrast_threshold(const float *z, int vocab, double r, float *room)
{
    const double lse = log_sum(z, vocab);
    const int rank = (int)(r * vocab + 1e-9);
    memcpy(room, z, (size_t)vocab * sizeof *room);
    qsort(room, (size_t)vocab, sizeof *room, descending);
    const double at = (double)room[rank ? rank - 1 : vocab - 1] - lse;
    return fmin(at, (double)room[0] - lse + log(r));
}

void contrast_uld(float *z, const float *assistant, int vocab, double w, double r, bool scoring,
                  float *room)
{
    const double lse = log_sum(z, vocab), lse_a = log_sum(assistant, vocab);
    if (r <= 0) {
        const bool normed = !scoring;
        for (int v = 0; v < vocab; v++)
            z[v] = (float)((double)z[v] - (normed ? lse : 0) +
                           w * ((double)assistant[v] - (normed ? lse_a : 0)));
        return;
    }
    const double least = contrast_threshold(z, vocab, r, room);
    for (int v = 0; v < vocab; v++) {
        if ((double)z[v] - lse >= least)
            z[v] += (float)(w * (double)assistant[v]);
        else if (!scoring)
            z[v] = -1000;
    }
}

void contrast_offset(float *z, const float *trained, const float *plain, int vocab, double w,
                     bool normed)
{
    const double shift = normed ? log_sum(trained, vocab) - log_sum(plain, vocab) : 0;
    for (int v = 0; v < vocab; v++)
        z[v] += (float)(w * ((double)trained[v] - (double)plain[v] - shift));
}

/* --- as guards --- */

struct state {
    struct logits_rule rule;
    const struct params *o;
    float *room; /* owned [V] */
};

static void join_whp(void *ctx, float *z, const float *const *others, int vocab)
{
    const struct state *s = ctx;
    contrast_whp(z, others[0], vocab, s->o->alpha, strcasecmp(s->o->scale, "raw") != 0);
}

static void join_uld(void *ctx, float *z, const float *const *others, int vocab)
{
    const struct state *s = ctx;
    contrast_uld(z, others[0], vocab, s->o->w, s->o->r, !strcasecmp(s->o->form, "scoring"),
                 s->room);
}

static void join_offset(void *ctx, float *z, const float *const *others, int vocab)
{
    const struct state *s = ctx;
    contrast_offset(z, others[0], others[1], vocab, s->o->w, strcasecmp(s->o->scale, "raw") != 0);
}

static void join_divergence(void *ctx, float *z, const float *const *others, int vocab)
{
    const struct state *s = ctx;
    contrast_offset(z, others[1], others[0], vocab, s->o->alpha, true);
}

/* Opens the models of a list, which join the guarded one. */
static int open_rule(struct guard_part *p, int wanted,
                     void (*join)(void *, float *, const float *const *, int), struct err *e)
{
    const struct params *o = p->choice.params;
    struct model *m = p->host->model;
    struct state *s = p->state = mem_alloc(1, sizeof *s, e);
    if (!s || !(s->room = mem_alloc((size_t)m->cfg.vocab, sizeof *s->room, e)))
        return -1;
    if (m->n_others)
        return err_set(e, "the model has others already, whose logits are joined another way");
    if (!o->assist || !p->host->open_model)
        return err_set(e, "no assistant is given: assist=MODEL%s", wanted > 1 ? "\\,MODEL" : "");
    struct model *others = mem_alloc((size_t)wanted, sizeof *others, e);
    const char *at = o->assist;
    int n = 0, rc = others ? 0 : -1;
    for (; n < wanted && !rc; n++) {
        const size_t len = strcspn(at, ",");
        char *name = mem_strndup(at, len, e);
        rc = !name || !len ? -1 : p->host->open_model(p->host->ctx, &others[n], name, e);
        if (name && !len)
            rc = err_set(e, "%d assistants are wanted, separated by commas", wanted);
        free(name);
        at += len + (at[len] == ',');
        if (rc)
            break;
    }
    if (!rc && *at)
        rc = err_set(e, "%d assistants are wanted, and there are more", wanted);
    if (rc) {
        while (n-- > 0)
            model_close(&others[n]);
        free(others);
        return -1;
    }
    if (ensemble_add(m, others, wanted, e))
        return -1;
    s->o = o;
    s->rule = (struct logits_rule){.join = join, .ctx = s};
    m->rule = &s->rule;
    return 0;
}

static void close_rule(struct guard_part *p)
{
    struct state *s = p->state;
    if (s && p->host->model->rule == &s->rule)
        p->host->model->rule = NULL;
    free(s ? s->room : NULL);
    free(s);
}

#define ASSIST(help) STRING_PARAM(struct params, assist, NULL, "MODEL", help)
#define SCALE(value)                                                                               \
    CHOICE_PARAM(struct params, scale, "raw|logprob", value,                                       \
                 "logits as they are, as published, or log-probabilities of each model")

static const struct param whp_params[] = {
    ASSIST("the reinforced model: trained further on what is to be forgotten"),
    REAL_PARAM(struct params, alpha, 0, 1000, 1, "strength"),
    SCALE("raw"),
    {0}};
static const struct param uld_params[] = {
    ASSIST("the assistant: remembers what is to be forgotten, and is uniform elsewhere"),
    REAL_PARAM(struct params, w, -1000, 1000, -0.8, "weight of the assistant's logits"),
    REAL_PARAM(struct params, r, 0, 1, 0.01,
               "filter: the share of the vocabulary that is kept; 0: none"),
    CHOICE_PARAM(struct params, form, "generation|scoring", "generation",
                 "what the filter drops gets -1000, or keeps its logit, as the authors score"),
    {0}};
static const struct param offset_params[] = {
    ASSIST("two small models, M1\\,M2: the unlearned one, and what it was before"),
    REAL_PARAM(struct params, w, -1000, 1000, 1, "weight of their difference"),
    SCALE("raw"),
    {0}};
static const struct param divergence_params[] = {
    ASSIST("two small models, M1\\,M2: of what is to be forgotten, and of what is to be kept"),
    REAL_PARAM(struct params, alpha, 0, 1000, 1, "strength"),
    {0}};

static int open_whp(struct guard_part *p, struct err *e)
{
    return open_rule(p, 1, join_whp, e);
}

static int open_uld(struct guard_part *p, struct err *e)
{
    return open_rule(p, 1, join_uld, e);
}

static int open_offset(struct guard_part *p, struct err *e)
{
    return open_rule(p, 2, join_offset, e);
}

static int open_divergence(struct guard_part *p, struct err *e)
{
    return open_rule(p, 2, join_divergence, e);
}

const struct guard guard_whp = {
    .name = "whp",
    .params = whp_params,
    .params_size = sizeof(struct params),
    .help = "less of what a reinforced model favours",
    .paper = "arXiv 2310.02238",
    .formula = "z - alpha relu(z_reinforced - z)",
    .access = "logits",
    .cost = "x2",
    .verified = "MUSE's class: logits, and greedy tokens of three tiny models",
    .open = open_whp,
    .close = close_rule,
};

const struct guard guard_uld = {
    .name = "uld",
    .params = uld_params,
    .params_size = sizeof(struct params),
    .help = "less of what an assistant remembers",
    .paper = "arXiv 2406.08607",
    .formula = "z + w z_assistant where log p >= threshold(r), else -1000",
    .access = "logits",
    .cost = "x1, + the assistant",
    .verified = "the authors' code: masks, thresholds, logits in both forms, greedy tokens",
    .open = open_uld,
    .close = close_rule,
};

const struct guard guard_offset = {
    .name = "offset",
    .params = offset_params,
    .params_size = sizeof(struct params),
    .help = "the difference that unlearning made to a small model",
    .paper = "arXiv 2404.11045",
    .formula = "z + w (z_small' - z_small)",
    .access = "logits",
    .cost = "x1, + two small models",
    .verified = "a class in ULD's code: logits, greedy tokens",
    .open = open_offset,
    .close = close_rule,
};

const struct guard guard_divergence = {
    .name = "divergence",
    .params = divergence_params,
    .params_size = sizeof(struct params),
    .help = "less of where two small models differ on what is to be forgotten",
    .formula = "z - alpha (log p_forget - log p_retain)",
    .access = "logits",
    .cost = "x1, + two small models",
    .verified = "offset with log-probabilities and the opposite sign",
    .open = open_divergence,
    .close = close_rule,
};
