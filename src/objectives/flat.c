/* FLAT (arXiv 2410.11143): a variational f-divergence between an alternate answer and the one to
 * forget, with P the mean probability of a sequence's labels:
 *   KL: mean_b exp(P_forget - 1) - mean_b P_alternate,
 *   TV: mean_b tanh(P_forget) / 2 - mean_b tanh(P_alternate) / 2,
 *   Pearson: mean_b (P_forget^2 / 4 + P_forget) - mean_b P_alternate,
 *   JS: mean_b log(1 + exp(P_forget)) + mean_b log(1 + exp(-P_alternate)) - 2 log 2,
 *   Hellinger: mean_b exp(P_forget) + mean_b exp(-P_alternate) - 2;
 * the last three are f*(g(P_forget)) - g(P_alternate) with the usual variational g and f*.
 * The means are over sequences; or P is one mean over all labels of a role in the micro-batch. */
#include "objectives/terms.h"

#include <math.h>

#include "base/mem.h"

struct flat {
    const char *divergence, *mean;
};

static const char divergence_names[] = "KL|TV|Pearson|JS|Hellinger", means[] = "sequence|batch";
static const struct param params[] = {
    CHOICE_PARAM(struct flat, divergence, divergence_names, "KL", "which f-divergence"),
    CHOICE_PARAM(struct flat, mean, means, "sequence",
                 "P is the mean over each sequence, or over the micro-batch"),
    {0},
};

/* One side's contribution to the divergence, and its derivative. */
typedef double side(double p, double *slope);

static double kl_forget(double p, double *slope)
{
    return *slope = exp(p - 1);
}

static double kl_alternate(double p, double *slope)
{
    *slope = -1;
    return -p;
}

static double tv_forget(double p, double *slope)
{
    double t = tanh(p);
    *slope = (1 - t * t) / 2;
    return t / 2;
}

static double tv_alternate(double p, double *slope)
{
    double loss = -tv_forget(p, slope);
    *slope = -*slope;
    return loss;
}

static double pearson_forget(double p, double *slope)
{
    *slope = p / 2 + 1;
    return p * p / 4 + p;
}

static double js_forget(double p, double *slope)
{
    *slope = sigmoid(p);
    return -log_sigmoid(-p) - log(2);
}

static double js_alternate(double p, double *slope)
{
    *slope = -sigmoid(-p);
    return -log_sigmoid(p) - log(2);
}

static double hellinger_forget(double p, double *slope)
{
    *slope = exp(p);
    return expm1(p);
}

static double hellinger_alternate(double p, double *slope)
{
    *slope = -exp(-p);
    return expm1(-p);
}

static side *const sides[][2] = {{kl_forget, kl_alternate},
                                 {tv_forget, tv_alternate},
                                 {pearson_forget, kl_alternate},
                                 {js_forget, js_alternate},
                                 {hellinger_forget, hellinger_alternate}};

static int add_side(struct logp_view *v, side *f, bool batch, double *loss, struct err *e)
{
    int n = batch ? 1 : v->n_seqs;
    double *sum = mem_alloc((size_t)n + 1, sizeof *sum, e);
    if (!sum)
        return -1;
    for (int r = 0; r < v->n_rows; r++)
        sum[batch ? 0 : v->row_seq[r]] += exp((double)v->logp[r]);
    for (int b = 0; b < n; b++) { /* from here on sum[b] is d loss / d probability of a label */
        int count = batch ? v->n_rows : v->n_labels[b];
        double slope, share = batch ? count / v->mean.rows : 1 / v->mean.seqs;
        if (!count)
            continue;
        *loss += share * f(sum[b] / count, &slope);
        sum[b] = share * slope / count;
    }
    for (int r = 0; r < v->n_rows; r++)
        v->dlogp[r] += (float)(sum[batch ? 0 : v->row_seq[r]] * exp((double)v->logp[r]));
    free(sum);
    return 0;
}

static int flat(const void *params_, struct view *const *v, double *loss, struct err *e)
{
    const struct flat *p = params_;
    side *const *f = sides[param_choice(divergence_names, p->divergence)];
    bool batch = param_choice(means, p->mean) == 1;
    return add_side(&v[0]->logp, f[0], batch, loss, e) ||
           add_side(&v[1]->logp, f[1], batch, loss, e);
}

const struct term term_flat = {
    .name = "flat",
    .paper = "arXiv 2410.11143",
    .formula = "KL: mean_b exp(P_b - 1) - mean_b P_b^alternate; TV: mean_b tanh(P_b) / 2 - mean_b "
               "tanh(P_b^alternate) / 2; Pearson, JS, Hellinger likewise; P_b = mean of p over "
               "the labels of b",
    .kind = VIEW_LOGP,
    .n_views = 2,
    .params = params,
    .params_size = sizeof(struct flat),
    .logp = {.loss = flat},
};
