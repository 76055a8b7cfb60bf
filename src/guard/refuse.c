/* Refuses the prompts that a classifier flags. */
#include "base/mem.h"
#include "guard/classifier.h"

struct params {
    const char *file, *refusal;
    double threshold;
};

static const struct param params[] = {
    STRING_PARAM(struct params, file, NULL, "FILE", "the classifier, of unlearn guard train"),
    REAL_PARAM(struct params, threshold, -1, 1, -1, "instead of the classifier's; -1: that"),
    STRING_PARAM(struct params, refusal, GUARD_REFUSAL, "TEXT", "what is answered instead"),
    {0}};

static int open_classifier(struct guard_part *p, struct err *e)
{
    const struct params *o = p->choice.params;
    struct classifier *c = p->state = mem_alloc(1, sizeof *c, e);
    if (!c)
        return -1;
    return o->file ? classifier_open(c, o->file, p, e)
                   : err_set(e, "no classifier is given: file=FILE");
}

static void close_classifier(struct guard_part *p)
{
    if (p->state)
        classifier_close(p->state);
    free(p->state);
}

static int prompt(struct guard_part *p, struct guard_prompt *q, struct err *e)
{
    const struct params *o = p->choice.params;
    const struct classifier *c = p->state;
    const double above = o->threshold < 0 ? c->threshold : o->threshold;
    double score;
    if (classifier_score(c, p, q, &score, e))
        return -1;
    if (score <= above)
        return 0;
    return (q->answer = mem_strdup(o->refusal, e))
               ? guard_note(p, q, "refused", e, "score %.4g > %.4g", score, above)
               : -1;
}

const struct guard guard_classifier = {
    .name = "classifier",
    .params = params,
    .params_size = sizeof(struct params),
    .help = "refuses prompts that a trained classifier flags",
    .paper = "arXiv 2406.07933",
    .formula = "refusal if c(x) > threshold else p(y | x)",
    .access = "black box; states for a classifier on those",
    .cost = "x1, + a forward of the prompt for states",
    .verified = "scikit-learn (its regression); counts at the threshold",
    .reads_text = true,
    .open = open_classifier,
    .close = close_classifier,
    .prompt = prompt,
};
