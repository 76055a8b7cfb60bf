/* One evaluation of one model, alone or compared with the retrained one. */
#ifndef SUITES_SUITE_H
#define SUITES_SUITE_H

#include "eval/stats.h"
#include "suites/observations.h"
#include "suites/peer_json.h"

/* A suite is a list of metrics over a few data sets (suites/recipe.h), computed in order; a metric
 * may use those before it. To add a metric, add a line to suites/NAME.json or to a suite file of
 * your own; to add a kind of metric, write one function and a row of a table (suites/metrics.h). A
 * metric whose data set, field, input or reference log is missing is left out.
 *
 * Each result is a JSON object in the peer's form (suites/peer_json.h): probabilities are
 * length-normalised, losses in nats, rows keyed by their number in the data set.
 */

enum { SUITE_INPUTS = 9 };

struct suite_recipe;
struct metric_kind; /* suites/metrics.h */
struct result;

struct metric {
    const char *name;
    const struct metric_kind *kind;
    int set;                          /* index into the data sets */
    int against;                      /* the data set of non-members, for attacks */
    const char *answer;               /* the field with the answer or list of answers */
    const char *inputs[SUITE_INPUTS]; /* metrics it is computed from, NULL where unused */
    enum truth_kind truth;
    double k;   /* share of tokens that min-k uses */
    double fpr; /* false positive rate of tpr */
    int n;      /* n-gram size of extraction_likelihood */
    bool in_summary;
};

/* One evaluation of one model: fill in, run, write the log, suite_fini. All else is borrowed. */
struct suite {
    const struct suite_recipe *recipe;
    const struct rows *const *sets; /* the recipe's; NULL entries: not given */
    const struct encoder *encoder;
    const struct backend *model;
    const struct backend *reference; /* another model for attacks; NULL: none */
    const char *question;            /* field of the prompt, and length of an answer, of sets */
    int max_new_tokens;              /* for which the recipe has none */
    enum truth_mean truth_mean;
    unsigned compat;
    const json_t *retain_log; /* the retrained model's EVAL object; NULL: none */
    struct observations observations;
    struct result *results; /* owned [n_results], of the metrics computed so far */
    int n_results;
    struct peer_log log; /* the results in the form of a log */
    json_t *table;       /* {metric: {value, rows, ...}}, in order, see below */
    json_t *tokens;      /* {metric: {row: {"tokens": [text], "logp": [number]}}}; NULL: none */
    json_t *comparison;  /* {data set: {...}}: see suites/suite.h; NULL: none */
};

/* s->tokens has the reference answers of the first SUITE_TOKEN_ROWS rows, token by token, of
 * metrics of generated text whose answers were scored, too. */
enum { SUITE_TOKEN_ROWS = 32 };
int suite_run(struct suite *s, struct err *e);
/* The same without a model: recomputes every metric from the rows of an evaluation log. */
int suite_rescore(struct suite *s, const json_t *eval, struct err *e);
void suite_fini(struct suite *s);
/* Recomputes truth ratios and normalised probabilities of the retrained model's log from its losses
 * and probabilities, if it has them, by the definitions of `s` (truth_mean, compat), so that one
 * definition is compared. Its other metrics stay. */
int suite_align(const struct suite *s, json_t *retain_log, struct err *e);
/* Fails for lack of memory. */
int suite_no_memory(struct err *e);

/* Rows of the table. value: null if it cannot be computed; rows: how many it is computed from;
 * missing: how many have no value; low, high: the interval at SUITE_LEVEL, of means, AUCs and tpr
 * by bootstrap, of rates Clopper and Pearson's; other values have none; odd: row warnings
 * (suites/metrics.h); note: a sentence on how the value was computed. With a retrained model's
 * log: retrained, its value; ks, for means, the p-value of the Kolmogorov-Smirnov test between the
 * rows of both. */
#define SUITE_LEVEL 0.95
enum { SUITE_DRAWS = 2000, SUITE_SEED = 0 };

/* Comparison with the retrained model per data set: KL divergence, top-1 agreement, KS test, AUC,
 * on the suite's answers. s->comparison gets an object for each set that is given and used by a
 * metric, over the answers in the field of the first such metric; rows are answers, tokens their
 * labels. p is the retrained model's distribution, q the model's; a row's loss is its mean
 * -log-probability per token:
 *
 *   rows, tokens    that were compared
 *   missing         rows left out: without a label, or with a loss or KL that is not finite
 *   kl              sum KL(p || q) / tokens, in nats, over the whole vocabulary
 *   top1            share of tokens where both have the same argmax
 *   ks              p-value of the Kolmogorov-Smirnov test between the losses of both
 *   auc             P(retrained model's loss > model's) + P(=)/2 over all pairs of rows: 0.5 if the
 *                   losses do not separate the models, 1 if every loss of the model is below every
 *                   loss of the retrained one
 *   auc_gap         for a set that an attack of the suite uses as members: AUC of the loss attack
 *                   (metric mia_loss) on the model minus that on the retrained one
 *   kl_low, kl_high ...  bootstrap intervals of kl, top1 and auc over rows, at SUITE_LEVEL
 */

/* The suite needs its data; it need not have run. */
int suite_compare_retrained(struct suite *s, const struct comparer *c, struct err *e);

#endif
