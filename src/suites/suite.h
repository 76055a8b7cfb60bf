/* A suite is a table of metrics over a few data sets, computed in order; a metric may use those
 * before it. To add a metric, add a row to a table; to add a kind of metric, write one function
 * below. A metric whose data set, field, input or reference log is not there is left out of the
 * log.
 *
 * Each result is a JSON object in the peer's form (suites/peer_json.h): probabilities are
 * length-normalised, losses in nats, rows keyed by their number in the data set.
 */
#ifndef SUITES_SUITE_H
#define SUITES_SUITE_H

#include "eval/scores.h"
#include "eval/stats.h"
#include "suites/peer_json.h"

enum { SUITE_INPUTS = 9 };

struct suite;

struct metric {
    const char *name;
    /* *out: the result, a new reference, or NULL if it cannot be had from what is given. */
    int (*compute)(const struct metric *m, const struct suite *s, json_t **out, struct err *e);
    int set;                          /* index into the data sets */
    const char *answer;               /* the field with the answer or the list of answers */
    const char *inputs[SUITE_INPUTS]; /* metrics it is computed from, NULL where unused */
    enum truth_kind truth;
    bool in_summary;
};

/* One evaluation of one model: fill in, run, write the log, peer_log_fini. All else is borrowed. */
struct suite {
    const struct metric *metrics;   /* up to a row without a name */
    const struct rows *const *sets; /* by metric.set; NULL entries: not given */
    const struct encoder *encoder;
    const struct scorer *model;
    const char *question; /* the field with the prompt */
    int max_new_tokens;   /* of a generation */
    enum truth_mean truth_mean;
    const json_t *retain_log; /* the retrained model's EVAL object; NULL: none */
    struct peer_log log;      /* the results */
};

int suite_run(struct suite *s, struct err *e);

/* Kinds of metrics, for `compute`. */
int metric_probability(const struct metric *m, const struct suite *s, json_t **out, struct err *e);
int metric_rouge(const struct metric *m, const struct suite *s, json_t **out, struct err *e);
/* inputs: probabilities of the right answer, of the wrong ones */
int metric_options(const struct metric *m, const struct suite *s, json_t **out, struct err *e);
int metric_truth_ratio(const struct metric *m, const struct suite *s, json_t **out, struct err *e);
/* input: the truth ratio that is compared with the retrained model's */
int metric_forget_quality(const struct metric *m, const struct suite *s, json_t **out,
                          struct err *e);
/* inputs: the harmonic mean is over those that are there */
int metric_utility(const struct metric *m, const struct suite *s, json_t **out, struct err *e);

#endif
