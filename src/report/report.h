/* Evaluation logs of several models in one table: a column for each model, a row for each metric.
 * Logs are X_EVAL.json, X_SUMMARY.json, X_TABLE.json and X_COST.json of any suite, OpenUnlearning's
 * included; metrics have the names they have there.
 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "report/table.h"
#include "report/verdict.h"
#include "suites/recipe.h"

struct report_model {
    char *name;             /* owned */
    json_t *log;            /* owned: {metric: value, or entry of an EVAL file} */
    json_t *table;          /* owned: {metric: {"low", "high", "chance" ...}} */
    json_t *cost;           /* owned: record of its run (report/cost.h); NULL: none */
    struct verdict verdict; /* of report_judge */
};

/* Zero-initialise; report_fini is due. */
struct report {
    struct report_model *v; /* owned [n] */
    int n;
    size_t room;
    /* Owned, in the order of rows: {metric: {"role", "aspect", "direction", "summary"}}. */
    json_t *senses;
    const struct suite_recipe *own; /* borrowed: a suite that is not built in; NULL: none */
    int before, retrained;          /* columns of these models; -1: not known */
    struct verdict_limits limits;
};

/* Adds "[NAME=]PATH[+PATH ...]", directories or files; without a name that of the directory. A name
 * that is there already gets more logs. */
int report_add(struct report *r, const char *word, struct err *e);
/* Finds the model before unlearning and the retrained one, columns of these names (NULL: "target"
 * or "before"; "retrained", "retain" or "gold"), and the verdicts on all others. */
int report_judge(struct report *r, const char *before, const char *retrained, struct err *e);
void report_fini(struct report *r);

/* A model's value, NaN if it has none, and its interval; whether it has one. */
double report_value(const struct report_model *m, const char *metric);
bool report_interval(const struct report_model *m, const char *metric, struct interval *out);
/* Whether the metric is a row. */
bool report_shows(const struct report *r, const char *metric, const json_t *sense);
/* Whether it is the best value of its row, among the models that are neither a measure nor broken:
 * there are two of them at least. */
bool report_is_best(const struct report *r, int model, const char *metric, const struct sense *x);

struct report_style {
    enum table_style table;
    int width;       /* columns of the terminal; 0: no limit */
    bool difference; /* show the difference to the first model, not the interval */
};

/* The table, the verdicts in a line each, the costs likewise. */
int report_write(const struct report *r, const struct report_style *s, struct buf *out,
                 struct err *e);
/* A line for each metric: metric, direction, then value, low and high of each model; then verdicts
 * and costs. */
int report_write_csv(const struct report *r, struct buf *out, struct err *e);
/* {"models": [NAME], "metrics": {METRIC: [value or null]}, "intervals": {METRIC: [[low, high]]},
 * "directions": {METRIC: text}, "verdicts": {NAME: verdict}, "cost": [record or null]} */
int report_write_json(const struct report *r, struct buf *out, struct err *e);

#endif
