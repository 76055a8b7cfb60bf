/* Evaluation logs of several models in one table: a column for each model, a row for each metric.
 * Logs are X_EVAL.json, X_SUMMARY.json, X_TABLE.json and X_COST.json of any suite, OpenUnlearning's
 * included; metrics have the names they have there.
 */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include "report/table.h"
#include "report/verdict.h"
#include "run/ledger.h"
#include "suites/recipe.h"

struct report_model {
    char *name;    /* owned */
    json_t *log;   /* owned: {metric: value, or entry of an EVAL file} */
    json_t *table; /* owned: {metric: {"low", "high", "chance" ...}} */
    json_t *cost;  /* owned: record of its run (report/cost.h); NULL: none */
    /* For the page; all owned, NULL: none. */
    json_t *rows;           /* {metric: entry of an EVAL file, with its rows} */
    json_t *run;            /* the whole record of its run (train/cost.h) */
    json_t *steps;          /* [object of a step] of its training log (train/log.h) */
    json_t *attacks;        /* {attack: attack.json} */
    json_t *tokens;         /* {metric: {row: {"tokens": [text], "logp": [number]}}} */
    json_t *inputs;         /* {path: SHA-256} of its evaluations */
    json_t *evals;          /* [options] of its evaluations */
    json_t *card;           /* of the request that made it (doc/request.md) */
    json_t *dirs;           /* [path] of directories that were read */
    json_t *ids;            /* [number] of runs of the ledger */
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
/* The same of a run of the ledger, by its number: also the evaluations and attacks of the model
 * that it made, or of an evaluation the run that made its model. name: NULL: that of its directory.
 */
int report_add_run(struct report *r, struct ledger *l, const char *name, int64_t id, struct err *e);
/* Finds the model before unlearning and the retrained one, columns of these names (NULL: "target"
 * or "before"; "retrained", "retain" or "gold"), and the verdicts on all others. */
int report_judge(struct report *r, const char *before, const char *retrained, struct err *e);
void report_fini(struct report *r);

/* A model's value, NaN if it has none, and its interval; whether it has one. */
double report_value(const struct report_model *m, const char *metric);
bool report_interval(const struct report_model *m, const char *metric, struct interval *out);
/* Which question a metric, a row of `senses`, helps to answer. */
enum report_group { GROUP_EFFECTIVENESS, GROUP_UTILITY, GROUP_PRIVACY, GROUP_ROBUSTNESS };
extern const char *const report_group_name[];
enum report_group report_group_of(const json_t *sense);
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

/* The table, the verdicts in a line each, the costs likewise; in LaTeX the table alone. */
int report_write(const struct report *r, const struct report_style *s, struct buf *out,
                 struct err *e);
/* A line for each metric: metric, direction, then value, low and high of each model; then verdicts
 * and costs. */
int report_write_csv(const struct report *r, struct buf *out, struct err *e);
/* {"models": [NAME], "metrics": {METRIC: [value or null]}, "intervals": {METRIC: [[low, high]]},
 * "directions": {METRIC: text}, "verdicts": {NAME: verdict}, "cost": [record or null]} */
int report_write_json(const struct report *r, struct buf *out, struct err *e);

/* --- between models.c and material.c --- */

/* The column of that name, a new one if there is none; valid until another one is made. */
struct report_model *report_column(struct report *r, const char *name, struct err *e);
/* The path as text: what is no UTF-8 replaced, as JSON needs it; owned by the caller. */
char *report_text(const char *path, struct err *e);
/* The last part of the path that is a name, owned by the caller. */
char *report_name_of(const char *path, struct err *e);
/* A directory or file of that column; `bare`: a directory without logs is fine. */
int report_add_path(struct report *r, const char *name, const char *path, bool bare, struct err *e);
/* run.json, train.jsonl and attack.json of a directory; *any: it holds one of them. */
int report_add_material(struct report_model *m, const char *dir, bool *any, struct err *e);
/* All columns of DIR/card.json, the unlearned model in that of `name`; *found: there is one. */
int report_add_card(struct report *r, const char *name, const char *dir, bool *found,
                    struct err *e);

#endif
