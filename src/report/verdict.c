#include "report/verdict.h"

#include <math.h>
#include <stdio.h>

const char *const ruling_name[] = {"unknown", "no", "partly", "yes"};

#define LIMIT(field, lo, hi, value, help)                                                          \
    REAL_PARAM(struct verdict_limits, field, lo, hi, value, help)
const struct param verdict_params[] = {
    LIMIT(forgotten_margin, 0, 1, 0.1,
          "forgotten: a figure of the forget set exceeds the retrained model's by at most this"),
    LIMIT(forgotten_text, 0, 1, 0.5,
          "forgotten, without a retrained model: similarity of generated answers (ROUGE) at most"),
    LIMIT(forgotten_probability, 0, 1, 0.2, "likewise: probability of the answers at most"),
    LIMIT(forgotten_tokens, 0, 1, 0.2, "likewise: extraction strength at most"),
    LIMIT(forgotten_share, 0, 1, 0.8,
          "forgotten, with a log of the model before, without a retrained model: and at most this "
          "share of the "
          "figure before"),
    LIMIT(kept_loss, 0, 1, 0.1,
          "kept: a figure falls by at most this share of the model's before, else the retrained's"),
    LIMIT(like_p, 0, 1, 0.05, "like the retrained model: p of the KS test at least"),
    LIMIT(broken_repetition, 0, 1, 0.5,
          "broken: mean share of repeated 4-grams in generated answers above"),
    LIMIT(broken_text, 0, 1, 0.5, "broken: share of generated answers that are no text above"),
    LIMIT(broken_utility, 0, 1, 0.01,
          "broken: model utility, or every figure of what is kept, below"),
    {0}};

const struct param verdict_run_params[] = {
    LIMIT(hardly_forgot, 1, 100, 1.1,
          "warn if the forget NLL after the run is less than this many times that before"),
    LIMIT(retain_damage, 1, 100, 2,
          "warn if the retain NLL after the run is more than this many times that before"),
    {0}};

/* The higher of "all", the lower of "none": yes if all are, no if none is. */
static void join(enum ruling *all, enum ruling one)
{
    if (one == RULING_UNKNOWN)
        return;
    *all = *all == RULING_UNKNOWN || *all == one ? one : RULING_PARTLY;
}

static bool is_forget(const struct verdict_figure *f)
{
    return f->sense.role == ROLE_FORGET;
}

/* The most that a figure of the forget set may be. */
static double most_of(const struct verdict_figure *f, const struct verdict_limits *l)
{
    const double fixed[ASPECT_COUNT] = {[ASPECT_NONE] = NAN,
                                        [ASPECT_TEXT] = l->forgotten_text,
                                        [ASPECT_PROBABILITY] = l->forgotten_probability,
                                        [ASPECT_TOKENS] = l->forgotten_tokens,
                                        [ASPECT_TRUTH] = NAN};
    if (!isnan(f->retrained))
        return f->retrained + l->forgotten_margin;
    return isnan(f->before) ? fixed[f->sense.aspect]
                            : fmin(fixed[f->sense.aspect], l->forgotten_share * f->before);
}

static double least_of(const struct verdict_figure *f, const struct verdict_limits *l)
{
    const double measure = isnan(f->before) ? f->retrained : f->before;
    return measure - l->kept_loss * fabs(measure);
}

static void judge_figure(struct verdict *v, struct verdict_figure *f,
                         const struct verdict_limits *l)
{
    const bool forget = is_forget(f);
    f->bound = forget ? most_of(f, l) : least_of(f, l);
    f->ruling = isnan(f->bound)                                          ? RULING_UNKNOWN
                : (forget ? f->value <= f->bound : f->value >= f->bound) ? RULING_YES
                                                                         : RULING_NO;
    if (forget && f->sense.aspect != ASPECT_TRUTH) {
        join(&v->forgotten_by[f->sense.aspect], f->ruling);
        join(&v->forgotten, f->ruling);
    } else if (!forget) {
        join(&v->kept_of[f->sense.role], f->ruling);
        join(&v->kept, f->ruling);
    }
}

/* The forget probability is below the retrained model's, and not by chance. */
static const struct verdict_figure *find_over(const struct verdict *v,
                                              const struct verdict_limits *l)
{
    for (int i = 0; i < v->n; i++) {
        const struct verdict_figure *f = &v->figures[i];
        if (is_forget(f) && f->sense.aspect == ASPECT_PROBABILITY && f->value < f->retrained &&
            !(f->ks >= l->like_p))
            return f;
    }
    return NULL;
}

static void judge_like(struct verdict *v, const struct verdict_limits *l)
{
    const bool too_few = v->p_least > l->like_p;
    v->like = isnan(v->p) || too_few ? RULING_UNKNOWN : v->p >= l->like_p ? RULING_YES : RULING_NO;
    v->over = v->like == RULING_NO ? find_over(v, l) : NULL;
    v->over_forgotten = v->over != NULL;
}

static void judge_broken(struct verdict *v, const struct verdict_limits *l)
{
    const struct verdict_texts *t = v->rest.n ? &v->rest : &v->forget;
    v->repeats = t->n && t->repetition > l->broken_repetition;
    v->not_text = t->n && t->not_text > l->broken_text;
    v->useless = v->no_utility ||
                 (v->utility < l->broken_utility && !(v->utility_before < l->broken_utility));
    v->broken = v->repeats || v->not_text || v->useless ? RULING_YES
                : t->n || !isnan(v->utility)            ? RULING_NO
                                                        : RULING_UNKNOWN;
}

void verdict_judge(struct verdict *v, const struct verdict_limits *l)
{
    v->forgotten = v->kept = RULING_UNKNOWN;
    for (int a = 0; a < ASPECT_COUNT; a++)
        v->forgotten_by[a] = RULING_UNKNOWN;
    for (int r = 0; r < ROLE_COUNT; r++)
        v->kept_of[r] = RULING_UNKNOWN;
    for (int i = 0; i < v->n; i++)
        judge_figure(v, &v->figures[i], l);
    judge_like(v, l);
    judge_broken(v, l);
}

int verdict_run(const struct nll_change *c, const struct verdict_limits *l,
                char out[VERDICT_WARNINGS][VERDICT_SENTENCE])
{
    int n = 0;
    if (c->forget[1] < l->hardly_forgot * c->forget[0])
        snprintf(out[n++], VERDICT_SENTENCE,
                 "the forget NLL hardly moved, from %.3g to %.3g (less than %.3g times): %s",
                 c->forget[0], c->forget[1], l->hardly_forgot,
                 c->further ? c->further : "raise lr or epochs");
    if (c->retain[1] > l->retain_damage * c->retain[0])
        snprintf(out[n++], VERDICT_SENTENCE,
                 "the retain NLL rose from %.3g to %.3g (more than %.3g times): the model may be "
                 "damaged, %s",
                 c->retain[0], c->retain[1], l->retain_damage,
                 c->shorter ? c->shorter : "lower lr or epochs or raise alpha");
    if (c->steps && c->clipped == c->steps)
        snprintf(out[n++], VERDICT_SENTENCE,
                 "the gradient was clipped in every one of %ld steps: its length did not count, "
                 "lower lr or raise clip",
                 c->steps);
    return n;
}
