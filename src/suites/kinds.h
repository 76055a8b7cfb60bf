/* Kinds of metrics, and what they are made of. A suite's metrics are rows that name one
 * (suites/suite.h); a kind computes one from what the model was asked or from other metrics.
 */
#ifndef SUITES_KINDS_H
#define SUITES_KINDS_H

#include "eval/interval.h"
#include "suites/odd.h"
#include "suites/suite.h"

/* What a metric gave. */
struct result {
    json_t *json; /* in the peer's form, a new reference; NULL: it cannot be had */
    double
        *values; /* owned: what its mean was taken over, NaN where missing; NULL: it is no mean */
    int n;       /* rows that it was to rest on; 0: it rests on other metrics */
    json_t *odd; /* owned: rows that a reader must know of (suites/odd.h); NULL: none */
    bool has_interval;
    struct interval interval; /* of a figure that is no mean */
    char note[256];           /* how it came about, or why it did not; "": nothing to say */
};

void result_fini(struct result *r);

/* Answer i of an exhibit, as a metric looks at it. */
struct one_row {
    const struct metric *m;
    const struct suite *s;
    const struct exhibit *x;
    int i;
};

struct metric_kind {
    const char *name, *help; /* as recipes and `unlearn eval --list` have them */
    const char *forgotten;   /* when it says so, in a few words */
    const char *verified;    /* what it was checked against */
    int (*compute)(const struct metric *m, const struct suite *s, struct result *out,
                   struct err *e);
    /* The same from what a log holds of it (logged.c), where compute has nothing to start from;
     * NULL: it cannot be had from its own rows. */
    int (*rescore)(const struct metric *m, json_t *logged, struct result *out, struct err *e);
    unsigned needs; /* bits of enum need, of the metric's data sets */
    /* The number of answer i, for metrics made of one number a row; NULL for others. */
    int (*row)(const struct one_row *r, double *out, struct err *e);
    bool against;                  /* it compares two data sets */
    bool rate;                     /* each number is 0 or 1 */
    int inputs_least, inputs_most; /* how many metrics it is computed from */
};

/* Kinds of metrics. What the model says of given answers, and its own (measured.c). */
extern const struct metric_kind metric_probability;
extern const struct metric_kind metric_rouge;    /* aggregated by ROUGE-L recall */
extern const struct metric_kind metric_rouge_1;  /* by ROUGE-1 recall */
extern const struct metric_kind metric_rouge_f1; /* by ROUGE-L F: verbatim and knowledge memory */

/* One number a row (scored.c): means over `set`, */
extern const struct metric_kind metric_mean_logp;
extern const struct metric_kind metric_sum_logp;
extern const struct metric_kind metric_exact_memorization;
extern const struct metric_kind metric_memorization_accuracy;
extern const struct metric_kind metric_extraction_strength;
extern const struct metric_kind metric_extraction_likelihood;
extern const struct metric_kind metric_entropy; /* of the next token, at the answer's tokens */
extern const struct metric_kind metric_reciprocal_rank;
/* the same of the model's own answers (spoken.c), */
extern const struct metric_kind metric_bleu;
extern const struct metric_kind metric_exact_match;
extern const struct metric_kind metric_unique_words;
extern const struct metric_kind metric_repetition;   /* of 4-grams */
extern const struct metric_kind metric_word_entropy; /* of bigrams, in bits */
extern const struct metric_kind metric_perplexity;   /* needs the reference model */
/* and membership attacks (attacks.c): AUC of `set`, as members, against `against`. */
extern const struct metric_kind metric_mia_loss;
extern const struct metric_kind metric_mia_zlib;
extern const struct metric_kind metric_mia_reference; /* needs the reference model */
extern const struct metric_kind metric_mia_lowercase;
extern const struct metric_kind metric_mia_min_k;
extern const struct metric_kind metric_mia_min_k_plus_plus;
extern const struct metric_kind metric_mia_gradnorm;

/* From the rows of two others, the right answer's and the wrong ones' probabilities (paired.c). */
extern const struct metric_kind metric_options;
extern const struct metric_kind metric_truth_ratio;
extern const struct metric_kind metric_exposure;

/* From the rows or aggregates of other metrics (derived.c). */
/* input: an attack */
extern const struct metric_kind metric_tpr;
/* input: the truth ratio that is compared with the retrained model's */
extern const struct metric_kind metric_forget_quality;
/* input: the attack whose AUC is compared with the retrained model's, or with 0.5 */
extern const struct metric_kind metric_privleak;
/* input: the metric that is compared with the retrained model's; an AUC also with 0.5 */
extern const struct metric_kind metric_rel_diff;
/* inputs: the harmonic mean is over those that are there */
extern const struct metric_kind metric_utility;

/* All of them, up to NULL. */
extern const struct metric_kind *const metric_kinds[];

/* `rescore` of kinds: the mean of a row's probability, of one kind of ROUGE, of a score, or of what
 * a score adds to a truth ratio; the AUC of an attack. Rows without the number count as missing. */
int logged_probability(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_recall(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_rouge_1(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_f1(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_score(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_truth(const struct metric *m, json_t *logged, struct result *out, struct err *e);
int logged_attack(const struct metric *m, json_t *logged, struct result *out, struct err *e);

/* Adds to a line of the table what the retrained model's log has of the metric. */
int suite_compare(const struct suite *s, const struct metric *m, struct result *own, json_t *line,
                  struct err *e);

/* Adds a metric's line to the table. */
int suite_tabulate(struct suite *s, const struct metric *m, struct result *r, struct err *e);

/* The data set if it is given and has the field at all; and how it is asked. */
const struct rows *suite_rows(const struct suite *s, int set, const char *answer);
struct questioning suite_questioning(const struct suite *s, int set);
/* For kinds of metrics. What was asked of the model about the metric's own field of a set; NULL:
 * its data are not given. */
const struct exhibit *suite_exhibit(const struct suite *s, const struct metric *m, int set);
/* Rows as {"agg_value": mean of value[n], "value_by_index": rows} in *out, which takes the
 * reference to rows and keeps value. */
int suite_mean(json_t *rows, double *value, int n, struct result *out, struct err *e);
/* An answer as memorisation scores and attacks on tokens see it. */
struct score suite_tokens(const struct one_row *r);
/* Numbers of an exhibit's answers as rows {"score": x}; NULL on failure. */
json_t *suite_score_rows(const struct exhibit *x, const double *value, struct err *e);
/* The numbers that a kind's `row` gives to the answers of an exhibit, into value[x->d.n]. */
int suite_score(const struct metric *m, const struct suite *s, const struct exhibit *x,
                double *value, struct err *e);
/* `compute` of kinds whose rows are one number: its mean over the set. */
int suite_mean_of_numbers(const struct metric *m, const struct suite *s, struct result *out,
                          struct err *e);
#define SUITE_MEAN .compute = suite_mean_of_numbers, .rescore = logged_score
/* An attack's result: its AUC, from two objects of rows {"score": x}, which are borrowed. */
int suite_attack(json_t *forget, json_t *holdout, struct result *out, struct err *e);
/* The scores of rows, NaN where there is none, which is noted as `missing`; owned by the caller.
 * `side` goes before their names. */
double *suite_scores(json_t *rows, const char *side, enum odd missing, struct result *out,
                     struct err *e);
/* A figure alone: {"agg_value": x}. */
int suite_figure(double x, struct result *out, struct err *e);
/* Sets rows[number] = row, and takes the reference. */
int suite_add_row(json_t *rows, int number, json_t *row, struct err *e);

#endif
