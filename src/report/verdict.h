/* A verdict in words on an unlearned model: is it forgotten, is the rest kept, does the model
 * behave as the retrained one, is it broken. verdict_judge is a pure function of figures and
 * thresholds; verdict_collect takes the figures from evaluation logs.
 *
 * Where the retrained model is known, it is the measure of what forgotten means; the model before
 * unlearning is the measure of what is kept. Without either, fixed thresholds decide what is
 * forgotten, and what is kept is not known.
 */
#ifndef REPORT_VERDICT_H
#define REPORT_VERDICT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/param.h"
#include "run/run.h"
#include "suites/metrics.h"

/* Thresholds; verdict_params, and of verdict_run verdict_run_params, have their defaults and help.
 */
struct verdict_limits {
    double forgotten_margin, forgotten_text, forgotten_probability, forgotten_tokens;
    double forgotten_share, kept_loss, like_p;
    double broken_repetition, broken_text, broken_utility;
    double hardly_forgot, retain_damage; /* of the end of a run, see verdict_run */
};

extern const struct param verdict_params[], verdict_run_params[];

enum ruling { RULING_UNKNOWN, RULING_NO, RULING_PARTLY, RULING_YES };
extern const char *const ruling_name[]; /* "unknown", "no", "partly", "yes" */

/* One figure of a model. NaN: not known. */
struct verdict_figure {
    const char *metric; /* borrowed */
    struct sense sense;
    double value, retrained, before;
    double ks;          /* p of the KS test between its rows and the retrained model's */
    double bound;       /* filled in: the value that it must not exceed, or not fall below */
    enum ruling ruling; /* filled in: forgotten, or kept */
};

/* Generated answers: how many, their mean repetition (share of repeated 4-grams, of characters
 * where there are few words), the share of them that is no text. */
struct verdict_texts {
    int n;
    double repetition, not_text;
};

struct verdict {
    /* The figures used. */
    struct verdict_figure *figures; /* owned [n] */
    int n;
    struct verdict_texts forget, rest; /* answers to forget prompts and to all others */
    double utility;                    /* model utility, else the highest figure of what is kept */
    double utility_before;             /* of the model before: a low one is not the run's fault */
    bool no_utility;                   /* there are such figures, and none is a number */
    double p, p_least; /* of forget quality, else of the forget probability; the smallest possible
                          p for that number of rows */
    int rows, retrained_rows;
    bool has_before, has_retrained;
    /* The answers, filled in by verdict_judge. */
    enum ruling forgotten, forgotten_by[ASPECT_COUNT];
    enum ruling kept, kept_of[ROLE_COUNT];
    enum ruling like; /* the retrained model */
    bool over_forgotten;
    const struct verdict_figure *over; /* the figure that shows it */
    enum ruling broken;
    bool repeats, not_text, useless;
};

/* Fills in all answers. */
void verdict_judge(struct verdict *v, const struct verdict_limits *l);

/* What is known of a model; all borrowed. `senses`: {metric: {"role", "aspect", "direction"}}, such
 * as the table of a suite that has run, or suite_senses. `retrained` and `before` may be NULL. */
struct verdict_logs {
    const json_t *eval, *senses, *retrained, *before;
};

/* The figures, not judged; verdict_fini is due in any case. */
int verdict_collect(struct verdict *v, const struct verdict_logs *logs, struct err *e);
void verdict_fini(struct verdict *v);

/* "not forgotten, kept, unlike the retrained model (over-forgotten), not broken" */
int verdict_write_line(const struct verdict *v, struct buf *out, struct err *e);
/* The same with all figures and thresholds, in lines of at most `width` columns. */
int verdict_write(const struct verdict *v, const struct verdict_limits *l, int width,
                  struct buf *out, struct err *e);
/* "forgotten-margin=0.1, ...": the thresholds of verdict_judge. */
int verdict_write_limits(const struct verdict_limits *l, struct buf *text, struct err *e);
/* A new object: the answers, the figures, the thresholds. NULL: no memory. */
json_t *verdict_json(const struct verdict *v, const struct verdict_limits *l, struct err *e);

/* "hardly moved" and the like: the sentences that warn of such a run, at most VERDICT_WARNINGS. */
enum { VERDICT_WARNINGS = 3, VERDICT_SENTENCE = 320 };
int verdict_run(const struct nll_change *c, const struct verdict_limits *l,
                char out[VERDICT_WARNINGS][VERDICT_SENTENCE]);

#endif
