/* A suite is a list of metrics over a few data sets (suites/recipe.h), computed in order; a metric
 * may use those before it. To add a metric, add a line to suites/NAME.json or to a file of one's
 * own; to add a kind of metric, write one function below. A metric whose data set, field, input or
 * reference log is not there is left out of the log.
 *
 * Each result is a JSON object in the peer's form (suites/peer_json.h): probabilities are
 * length-normalised, losses in nats, rows keyed by their number in the data set.
 */
#ifndef SUITES_SUITE_H
#define SUITES_SUITE_H

#include "eval/interval.h"
#include "eval/stats.h"
#include "suites/evidence.h"
#include "suites/peer_json.h"

enum { SUITE_INPUTS = 9 };

struct suite;
struct suite_recipe;
struct metric;

/* What a metric gave. */
struct result {
    json_t *json; /* in the peer's form, a new reference; NULL: it cannot be had */
    double
        *values; /* owned: what its mean was taken over, NaN where missing; NULL: it is no mean */
    int n;       /* rows that it rests on; 0: it rests on other metrics */
};

struct metric_kind {
    const char *name, *help; /* as recipes and `unlearn eval --list` have them */
    int (*compute)(const struct metric *m, const struct suite *s, struct result *out,
                   struct err *e);
    /* The same from what a log holds of it (logged.c), where compute has nothing to start from;
     * NULL: it cannot be had from its own rows. */
    int (*rescore)(const struct metric *m, json_t *logged, struct result *out, struct err *e);
    unsigned needs; /* bits of enum need, of the metric's data sets */
    /* The number of answer i, for metrics made of one number a row; NULL for others. */
    int (*row)(const struct suite *s, const struct exhibit *x, int i, double *out, struct err *e);
    bool against;                  /* it compares two data sets */
    bool rate;                     /* each number is 0 or 1 */
    int inputs_least, inputs_most; /* how many metrics it is computed from */
};

struct metric {
    const char *name;
    const struct metric_kind *kind;
    int set;                          /* index into the data sets */
    int against;                      /* the data set of non-members, for attacks */
    const char *answer;               /* the field with the answer or the list of answers */
    const char *inputs[SUITE_INPUTS]; /* metrics it is computed from, NULL where unused */
    enum truth_kind truth;
    bool in_summary;
};

/* One evaluation of one model: fill in, run, write the log, suite_fini. All else is borrowed. */
struct suite {
    const struct suite_recipe *recipe;
    const struct rows *const *sets; /* the recipe's; NULL entries: not given */
    const struct encoder *encoder;
    const struct scorer *model;
    const struct scorer *reference; /* another model for attacks; NULL: none */
    const char *question; /* the field with the prompt, and the length of an answer, of sets */
    int max_new_tokens;   /* of which the recipe says nothing */
    enum truth_mean truth_mean;
    unsigned compat;
    const json_t *retain_log; /* the retrained model's EVAL object; NULL: none */
    struct evidence evidence;
    struct peer_log log; /* the results */
    json_t *table;       /* {metric: {value, rows, ...}}, in order: see below */
    json_t *beside;      /* {data set: {...}}: see suites/beside.h; NULL: nothing */
};

int suite_run(struct suite *s, struct err *e);
/* The same without a model: every metric again from the rows of an evaluation log. */
int suite_rescore(struct suite *s, const json_t *eval, struct err *e);
void suite_fini(struct suite *s);

/* The table says how far each figure can be trusted. rows: how many it rests on; missing: how many
 * had none; low, high: where it is a mean, its interval at SUITE_LEVEL, by bootstrap, or Clopper
 * and Pearson's of a rate. Figures that are no means have no interval. With a
 * retrained model's log: retrained, its figure; ks, for means, the p-value of the
 * Kolmogorov-Smirnov test between the rows of both, 1 where they cannot be told apart. */
#define SUITE_LEVEL 0.95
enum { SUITE_DRAWS = 2000, SUITE_SEED = 0 };

/* Kinds of metrics. What the model says of given answers, and its own (measured.c). */
extern const struct metric_kind metric_probability;
extern const struct metric_kind metric_rouge;    /* aggregated by ROUGE-L recall */
extern const struct metric_kind metric_rouge_f1; /* by ROUGE-L F: verbatim and knowledge memory */

/* One number a row (scored.c): means over `set`, */
extern const struct metric_kind metric_exact_memorization;
extern const struct metric_kind metric_extraction_strength;
extern const struct metric_kind metric_entropy; /* of the next token, at the answer's tokens */
extern const struct metric_kind metric_reciprocal_rank;
/* the same of the model's own answers (spoken.c), */
extern const struct metric_kind metric_bleu;
extern const struct metric_kind metric_exact_match;
extern const struct metric_kind metric_unique_words;
extern const struct metric_kind metric_repetition;   /* of 4-grams */
extern const struct metric_kind metric_word_entropy; /* of bigrams, in bits */
/* and membership attacks: AUC of `set`, as members, against `against`. */
extern const struct metric_kind metric_mia_loss;
extern const struct metric_kind metric_mia_zlib;
extern const struct metric_kind metric_mia_reference; /* needs the reference model */
extern const struct metric_kind metric_mia_lowercase;
extern const struct metric_kind metric_mia_min_k;
extern const struct metric_kind metric_mia_min_k_plus_plus;
extern const struct metric_kind metric_mia_gradnorm;

/* From the rows or aggregates of other metrics (derived.c). */
/* inputs: probabilities of the right answer, of the wrong ones */
extern const struct metric_kind metric_options;
extern const struct metric_kind metric_truth_ratio;
/* input: the truth ratio that is compared with the retrained model's */
extern const struct metric_kind metric_forget_quality;
/* input: the attack whose AUC is compared with the retrained model's, or with 0.5 */
extern const struct metric_kind metric_privleak;
/* inputs: the harmonic mean is over those that are there */
extern const struct metric_kind metric_utility;

/* All of them, up to NULL. */
extern const struct metric_kind *const metric_kinds[];

/* `rescore` of kinds: the mean of a row's probability, ROUGE-L recall or F, score, or of what a
 * score adds to a truth ratio; the AUC of an attack. Rows without the number count as missing. */
int logged_probability(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_recall(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_f1(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_score(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_truth(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_attack(const struct metric *m, json_t *logged, struct result *out, struct err *e);

/* Adds to a line of the table what the retrained model's log has of the metric. */
int suite_compare(const struct suite *s, const struct metric *m, const struct result *own,
                  json_t *line, struct err *e);

/* The data set if it is given and has the field at all; and the field of its prompt, NULL for plain
 * texts. */
const struct rows *suite_rows(const struct suite *s, int set, const char *answer);
const char *suite_question(const struct suite *s, int set);
/* For kinds of metrics. What was asked of the model about the metric's own field; NULL: its data
 * are not given. */
const struct exhibit *suite_exhibit(const struct suite *s, int set, const char *answer);
/* Rows as {"agg_value": mean of value[n], "value_by_index": rows} in *out, which takes the
 * reference to rows and keeps value. */
int suite_mean(json_t *rows, double *value, int n, struct result *out, struct err *e);
/* `compute` of kinds whose rows are one number: its mean over the set. */
int suite_mean_of_numbers(const struct metric *m, const struct suite *s, struct result *out,
                          struct err *e);
/* A figure alone: {"agg_value": x}. */
int suite_figure(double x, struct result *out, struct err *e);
int suite_no_memory(struct err *e);
/* Sets rows[number] = row, and takes the reference. */
int suite_add_row(json_t *rows, int number, json_t *row, struct err *e);

#endif
