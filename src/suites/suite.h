/* A suite is a list of metrics over a few data sets (suites/recipe.h), computed in order; a metric
 * may use those before it. To add a metric, add a line to suites/NAME.json or to a file of one's
 * own; to add a kind of metric, write one function and a row of a table (suites/metrics.h). A
 * metric whose data set, field, input or reference log is not there is left out of the log.
 *
 * Each result is a JSON object in the peer's form (suites/peer_json.h): probabilities are
 * length-normalised, losses in nats, rows keyed by their number in the data set.
 */
#ifndef SUITES_SUITE_H
#define SUITES_SUITE_H

#include "eval/stats.h"
#include "suites/observations.h"
#include "suites/peer_json.h"

enum { SUITE_INPUTS = 9 };

struct suite_recipe;
struct metric_kind; /* suites/metrics.h */
struct result;

struct metric {
    const char *name;
    const struct metric_kind *kind;
    int set;                          /* index into the data sets */
    int against;                      /* the data set of non-members, for attacks */
    const char *answer;               /* the field with the answer or the list of answers */
    const char *inputs[SUITE_INPUTS]; /* metrics it is computed from, NULL where unused */
    enum truth_kind truth;
    double k;   /* share of tokens that min-k looks at */
    double fpr; /* false positive rate of tpr */
    int n;      /* tokens of an n-gram, of extraction_likelihood */
    bool in_summary;
};

/* One evaluation of one model: fill in, run, write the log, suite_fini. All else is borrowed. */
struct suite {
    const struct suite_recipe *recipe;
    const struct rows *const *sets; /* the recipe's; NULL entries: not given */
    const struct encoder *encoder;
    const struct backend *model;
    const struct backend *reference; /* another model for attacks; NULL: none */
    const char *question; /* the field with the prompt, and the length of an answer, of sets */
    int max_new_tokens;   /* of which the recipe says nothing */
    enum truth_mean truth_mean;
    unsigned compat;
    const json_t *retain_log; /* the retrained model's EVAL object; NULL: none */
    struct observations observations;
    struct result *results; /* owned [n_results], of the metrics so far */
    int n_results;
    struct peer_log log; /* them, in the form of a log */
    json_t *table;       /* {metric: {value, rows, ...}}, in order: see below */
    json_t *comparison;  /* {data set: {...}}: see suites/retrained.h; NULL: nothing */
};

int suite_run(struct suite *s, struct err *e);
/* The same without a model: every metric again from the rows of an evaluation log. */
int suite_rescore(struct suite *s, const json_t *eval, struct err *e);
void suite_fini(struct suite *s);
/* Computes what the retrained model's log holds of truth ratios and options again from its own
 * losses and probabilities, where it has them, as `s` computes its own (truth_mean, compat): else
 * two definitions would be compared. Others of its metrics stay. */
int suite_align(const struct suite *s, json_t *retain_log, struct err *e);
/* Fails for lack of memory. */
int suite_no_memory(struct err *e);

/* The table says how far each figure can be trusted. value: null where it cannot be had; rows: how
 * many it rests on; missing: how many had none; low, high: the interval at SUITE_LEVEL, of means,
 * AUCs and tpr by bootstrap, of rates Clopper and Pearson's; other figures have none; odd: rows
 * that a reader must know of; note: a sentence on how the figure came about. With a retrained
 * model's log: retrained, its figure; ks, for means, the p-value of the Kolmogorov-Smirnov test
 * between the rows of both, 1 where they cannot be told apart. */
#define SUITE_LEVEL 0.95
enum { SUITE_DRAWS = 2000, SUITE_SEED = 0 };

#endif
