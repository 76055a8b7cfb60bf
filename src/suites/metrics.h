/* Kinds of metrics, their results, and the row warnings that results have. */
#ifndef SUITES_METRICS_H
#define SUITES_METRICS_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "eval/records.h"
#include "eval/stats.h"
#include "eval/texts.h"
#include "suites/suite.h"

/* Row warnings: rows excluded from a metric (missing) and rows that count but are suspicious
 * (truncated, empty, invalid UTF-8). For each kind their number, the number of rows, and the first
 * few names.
 */

enum warning {
    WARN_MISSING,           /* it has no value and is left out */
    WARN_MISSING_RETRAINED, /* the same in the retrained model's log */
    WARN_UNSCORED,          /* the answer has no scored token */
    WARN_CUT,               /* truncated to the maximum length */
    WARN_EMPTY,             /* the generated answer is empty */
    WARN_GARBLED,           /* the generated answer is not valid UTF-8 */
    WARN_UNSEEN,            /* mostly letters that the metric ignores: its words are a-z and 0-9 */
    WARN_COUNT
};

enum { WARNINGS_NAMED = 6, WARNINGS_NAME = 40 };

/* Zero-initialise. */
struct warnings {
    struct {
        int count, of;
        char row[WARNINGS_NAMED][WARNINGS_NAME];
    } kind[WARN_COUNT];
};

/* `side` precedes the row's name, `of` is how many rows there are. */
void warnings_add(struct warnings *w, enum warning kind, int of, const char *side, const char *row);
/* Appends "2 of 40 rows have no value (3, 17)"; nothing if there are no such rows. */
int warnings_write(const struct warnings *w, enum warning kind, struct buf *out, struct err *e);
/* Sets line["odd"] = {kind: {"count", "of", "rows"}} for the kinds that occur, if any. */
int warnings_to_json(const struct warnings *w, json_t *line, struct err *e);

/* Kinds of metrics, rows of a table. A suite's metrics name one (suites/suite.h).
 *
 * A metric is computed in two steps: its rows are filled from observations of the model (`score`,
 * `cell` or `fill`), from the rows of other metrics (`join`) or from a log; then `value` gives each
 * row's term of the mean. An attack has two sets of rows and is the AUC between them. A `figure` is
 * computed from other metrics and has no rows.
 */

/* The result of a metric. */
struct result {
    struct records side[2]; /* its rows; of an attack, of members and of non-members */
    int n_sides;            /* 0: it has no rows */
    json_t *logged[2];      /* owned: the same in a log's form; NULL: not from a log */
    json_t *kept;           /* owned: of a log whose value is copied; NULL: none */
    double *values;         /* owned [n]: the terms of its mean, NaN if missing; NULL: no mean */
    int n;                  /* rows it is computed from; 0: from other metrics */
    bool there;             /* it has a value, also NaN */
    double figure;
    bool has_interval;
    struct interval interval; /* of a value that is no mean */
    struct warnings warnings;
    char note[256]; /* how it was computed, or why not; "": no note */
};

/* Answer i of what was observed, for `score`. */
struct one_row {
    const struct metric *m;
    const struct suite *s;
    const struct observed *x;
    int i;
};

/* flags */
#define METRIC_ATTACK  (1u << 0) /* of two data sets, members and non-members */
#define METRIC_RATE    (1u << 1) /* each value is 0 or 1 */
#define METRIC_LATIN   (1u << 2) /* over words of a-z and 0-9, as ROUGE's */
#define METRIC_PRIVACY (1u << 3) /* tells the model from one that never saw the forget data */
#define METRIC_FORGETTING                                                                          \
    (1u << 4) /* tells how much is forgotten, though it is of several data sets */

/* The value that an unlearned model should have. */
enum direction { DIRECTION_NONE, DIRECTION_LOW, DIRECTION_HIGH, DIRECTION_RETRAINED };
extern const char *const direction_name[]; /* "-", "low", "high", "as retrained" */
/* Which question on forgetting and retention it answers; most answer none. */
enum aspect {
    ASPECT_NONE,
    ASPECT_TEXT,
    ASPECT_PROBABILITY,
    ASPECT_TOKENS,
    ASPECT_TRUTH,
    ASPECT_COUNT
};
extern const char *const aspect_name[ASPECT_COUNT];

struct metric_kind {
    const char *name, *help;  /* as recipes and `unlearn eval --list` have them */
    const char *forgotten;    /* the value that means forgotten, in a few words */
    enum direction direction; /* the same of a metric of the forget set */
    enum aspect aspect;
    const char *verified; /* what it was checked against */
    unsigned needs;       /* bits of enum need, of the metric's data sets */
    unsigned flags;
    unsigned columns, texts; /* bits: columns of its rows in a log; 0: COLUMN_SCORE */
    /* One of these five. The score of answer i, its COLUMN_SCORE. */
    int (*score)(const struct one_row *r, double *out, struct err *e);
    /* Any columns and texts of answer i. */
    int (*cell)(const struct one_row *r, struct cell *out, struct err *e);
    /* All rows of one data set. */
    int (*fill)(const struct metric *m, const struct suite *s, const struct observed *x,
                struct records *out, struct err *e);
    /* Row by row from a column of both inputs, correct answers and wrong ones: of COLUMN_PROB the
     * logarithms, taken from the loss where the probability underflows a double. */
    enum column_id joined;
    void (*join)(const struct metric *m, const struct suite *s, const double *right, int n_right,
                 const double *wrong, int n_wrong, struct cell *out);
    /* out->figure from other metrics; unchanged if it cannot be computed. */
    int (*figure)(const struct metric *m, const struct suite *s, struct result *out, struct err *e);
    /* Row i's term of the mean; NULL: its COLUMN_SCORE. It may fill columns of the row. */
    int (*value)(const struct metric *m, unsigned compat, struct records *r, int i, double *out,
                 struct err *e);
    int inputs_least, inputs_most; /* number of inputs */
};

/* Tables that end with a row without a name. */
extern const struct metric_kind metrics_scored[];    /* of given answers: teacher-forced */
extern const struct metric_kind metrics_generated[]; /* of the model's own answers */
extern const struct metric_kind metrics_derived[];   /* from other metrics */
extern const struct metric_kind metrics_attack[];    /* membership inference */
extern const struct metric_kind metrics_robust[];    /* what attacks bring back */
extern const struct metric_kind metrics_lume[];      /* SemEval-2025 Task 4 */

/* Number i of all tables; NULL: there are no more. */
const struct metric_kind *metric_kind_at(int i);
const struct metric_kind *metric_kind_find(const char *name, struct err *e);

/* What a metric of a suite is about: the role of its rows, ROLE_COUNT if it has none. */
struct sense {
    enum role role;
    enum aspect aspect;
    enum direction direction;
};
struct sense metric_sense(const struct suite_recipe *r, const struct metric *m);
/* Sets line["role"], ["aspect"] and ["direction"], without those that it has not. */
int sense_to_json(const struct sense *x, json_t *line, struct err *e);
struct sense sense_of_json(const json_t *line);
/* Of a built-in multiple-choice task or group. */
struct sense task_sense(const char *task, struct err *e);
/* The same of suites of this role. */
struct sense task_sense_of(enum role role);
/* {metric: {"role", "aspect", "direction"}} of all metrics of a suite; a new object. */
json_t *suite_senses(const struct suite_recipe *r, struct err *e);

/* The tokens of an answer for memorisation scores and token attacks. */
struct score metric_tokens(const struct one_row *r);
/* The scores of an attack's rows, NaN with a warning where there is none; `side` precedes row
 * names. Owned by the caller. */
double *metric_scores(const struct records *r, const char *side, enum warning missing,
                      struct result *out, struct err *e);

/* ROUGE of the texts of row i; 1 if it has none. */
int metric_rouge(const struct records *r, int i, enum rouge_words words, struct rouge *out,
                 struct err *e);

/* From rows that are filled in: values and mean, or AUC. */
int result_aggregate(struct result *r, const struct metric *m, unsigned compat, struct err *e);
/* Reads the metric's rows of a log, then aggregates; an error if there are none. */
int result_from_log(struct result *r, const struct metric *m, unsigned compat, json_t *logged,
                    struct err *e);
/* In the form of a log, a new reference. */
json_t *result_json(const struct result *r, const struct metric *m, struct err *e);
/* Row warnings of the metric (warnings.c), and a note on words that ROUGE ignores. */
int result_warn(struct result *r, const struct suite *s, const struct metric *m, struct err *e);
/* Adds the metric's row to the table. */
int result_tabulate(struct result *r, struct suite *s, const struct metric *m, struct err *e);
void result_fini(struct result *r);

/* The result of a metric computed before; NULL: none. */
const struct result *suite_result(const struct suite *s, const char *name);
/* The data set if it is given and any row has the field; and its prompt settings. */
const struct rows *suite_rows(const struct suite *s, int set, const char *answer);
struct prompt_settings suite_prompt_settings(const struct suite *s, int set);
/* The observations of the metric's field of a set; NULL: its data are not given. */
const struct observed *suite_observed(const struct suite *s, const struct metric *m, int set);

#endif
