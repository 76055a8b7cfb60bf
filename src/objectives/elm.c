/* Erasure of language memory, ELM (arXiv 2410.02760): on the forget data learn the reference's
 * distribution, shifted from an expert's to a novice's,
 *   t = log p_ref - eta_t (log p_expert - log p_novice), a constant,
 * where expert and novice are the reference with a prompt for that role, and eta_t rises linearly
 * from 1 at a sequence's first row to eta at its last. The target is softmax(t / temperature) over
 * the `top` tokens; the loss is the cross-entropy to it, the mean over scored rows. On the retain
 * data likeliest_ref learns the reference's argmax. The third loss, for fluency, is nll on texts
 * that the reference generated at the start of the run. */
#include "objectives/terms.h"

#include <math.h>

#include "base/mem.h"

struct elm {
    double eta, elm_temperature;
    int64_t top;
};

static const struct param params[] = {
    REAL_PARAM(struct elm, eta, 0, 1e6, 1000,
               "strength of the shift away from the expert at a sequence's end"),
    REAL_PARAM(struct elm, elm_temperature, 0.01, 100, 1.2, "divides the logits of the target"),
    INT_PARAM(struct elm, top, 1, 1 << 24, 50,
              "number of most likely tokens in the target distribution"),
    {0},
};

/* The term's helpers. */
enum { EXPERT, NOVICE };

static double guided(const struct logit_row *r, double eta, int i)
{
    double apart = (double)r->helper[EXPERT][i] - (double)r->helper[NOVICE][i];
    return (double)r->ref[i] - eta * apart; /* the log-sum-exps are the same for all i */
}

/* The k-th largest of the guided logits: each round finds the largest below the one before. */
static double threshold(const struct logit_row *r, double eta, int64_t k)
{
    double bound = INFINITY;
    for (int64_t found = 0; found < k;) {
        double next = -INFINITY;
        int64_t ties = 0;
        for (int i = 0; i < r->n; i++) {
            double t = guided(r, eta, i);
            if (t >= bound || t < next)
                continue;
            ties = t > next ? 1 : ties + 1;
            next = t;
        }
        if (!ties)
            break;
        bound = next;
        found += ties;
    }
    return bound;
}

static double row(const void *params_, const struct logit_row *r)
{
    const struct elm *p = params_;
    double along = r->of > 1 ? (double)r->at / (r->of - 1) : 0;
    double eta = 1 + (p->eta - 1) * along, least = threshold(r, eta, p->top);
    double lse = log_sum_exp(r->z, r->n, 1), top = -INFINITY, sum = 0, loss = 0;
    for (int i = 0; i < r->n; i++)
        top = fmax(top, guided(r, eta, i));
    for (int i = 0; i < r->n; i++) {
        double t = guided(r, eta, i);
        sum += t >= least ? exp((t - top) / p->elm_temperature) : 0;
    }
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse, t = guided(r, eta, i);
        double q = t >= least ? exp((t - top) / p->elm_temperature) / sum : 0;
        loss -= q * lp;
        r->dz[i] = (float)((exp(lp) - q) * r->share);
    }
    return loss * r->share;
}

static double row_likeliest(const void *params_, const struct logit_row *r)
{
    (void)params_;
    int best = 0;
    for (int i = 1; i < r->n; i++)
        best = r->ref[i] > r->ref[best] ? i : best;
    double lse = log_sum_exp(r->z, r->n, 1), loss = lse - (double)r->z[best];
    for (int i = 0; i < r->n; i++)
        r->dz[i] = (float)((exp((double)r->z[i] - lse) - (i == best)) * r->share);
    return loss * r->share;
}

const struct term term_elm = {
    .name = "elm",
    .paper = "arXiv 2410.02760",
    .formula =
        "mean over rows of -sum_v q log p, q = softmax of the top of (log p_ref - eta_t (log "
        "p_expert - log p_novice)) / elm_temperature, eta_t from 1 to eta",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct elm),
    .logits = {.row = row, .helpers = {[EXPERT] = "expert", [NOVICE] = "novice"}},
};

const struct term term_likeliest_ref = {
    .name = "likeliest_ref",
    .paper = "arXiv 2410.02760",
    .formula = "mean over rows of -log p(argmax_v p_ref)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .logits = {.row = row_likeliest},
};
