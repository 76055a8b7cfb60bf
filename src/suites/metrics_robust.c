/* Metrics of what attacks bring back. Their rows come from a log: attacks run above this folder
 * (cli/eval_robust.c), which gives each row's figure before and after one, of the model and of the
 * retrained model. */
#include <math.h>

#include "eval/robustness.h"
#include "suites/metrics.h"

/* How much more the attack brings back than from a model that never had the data. */
static void advantage(const struct metric *m, const struct suite *s, const double *own, int n_own,
                      const double *control, int n_control, struct cell *out)
{
    (void)m, (void)s;
    out->x[COLUMN_SCORE] = stats_mean(own, n_own) - stats_mean(control, n_control);
}

/* The figures of the inputs; 1: one is not known. */
static int figures(const struct metric *m, const struct suite *s, double *v)
{
    for (int i = 0; i < SUITE_INPUTS && m->inputs[i]; i++) {
        const struct result *r = suite_result(s, m->inputs[i]);
        if (!r)
            return 1;
        v[i] = r->figure;
    }
    return 0;
}

#define FIGURE(name, value)                                                                        \
    static int name(const struct metric *m, const struct suite *s, struct result *out,             \
                    struct err *e)                                                                 \
    {                                                                                              \
        double v[SUITE_INPUTS];                                                                    \
        (void)e;                                                                                   \
        if (figures(m, s, v))                                                                      \
            return 0;                                                                              \
        out->figure = value;                                                                       \
        out->there = true;                                                                         \
        return 0;                                                                                  \
    }

FIGURE(relearn, robust_relearn(v[0], v[1], v[2], v[3]))
FIGURE(relearn_one_sided, robust_relearn_one_sided(v[0], v[1], v[2], v[3]))
FIGURE(quantise, robust_quantise(v[0], v[1]))
FIGURE(quantise_one_sided, robust_quantise_one_sided(v[0], v[1]))
FIGURE(both, robust_aggregate(v[0], v[1]))

#define RELEARNS                                                                                   \
    .forgotten = "1: as in the retrained model", .direction = DIRECTION_HIGH,                      \
    .verified = "robustness.json of the UDS scripts", .inputs_least = 4, .inputs_most = 4
#define QUANTISES                                                                                  \
    .forgotten = "1: rounding changes nothing", .direction = DIRECTION_HIGH,                       \
    .verified = "robustness.json of the UDS scripts", .inputs_least = 2, .inputs_most = 2

const struct metric_kind metrics_robust[] = {
    {.name = "attacked",
     .help = "a row's probability or recall of the answer before or after an attack, of the model "
             "or of the retrained one; its rows come from the suite of attacks",
     .forgotten = "as in the retrained model",
     .verified = "attack.json"},
    {.name = "advantage",
     .help = "what an attack brings back minus what it brings from the retrained model, row by "
             "row; inputs: two of 'attacked'",
     .forgotten = "about 0",
     .direction = DIRECTION_LOW,
     .verified = "attack.json",
     .joined = COLUMN_SCORE,
     .join = advantage,
     .inputs_least = 2,
     .inputs_most = 2},
    {.name = "robust_relearn",
     .help = "R, two-sided (arXiv 2605.24614): how alike relearning moves the model and the "
             "retrained one; inputs: before, after, control before, control after",
     .figure = relearn,
     RELEARNS},
    {.name = "robust_relearn_one_sided",
     .help = "R, one-sided (arXiv 2506.12618); the same inputs",
     .figure = relearn_one_sided,
     RELEARNS},
    {.name = "robust_quantise",
     .help = "Q, two-sided: how alike the figure is before and after rounding; inputs: before, "
             "after",
     .figure = quantise,
     QUANTISES},
    {.name = "robust_quantise_one_sided",
     .help = "Q, one-sided; the same inputs",
     .figure = quantise_one_sided,
     QUANTISES},
    {.name = "robust_both",
     .help = "harmonic mean of R and Q, 0 if either is not positive",
     .forgotten = "1",
     .direction = DIRECTION_HIGH,
     .verified = "robustness.json of the UDS scripts",
     .figure = both,
     .inputs_least = 2,
     .inputs_most = 2},
    {0}};
