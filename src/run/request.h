/* A request: what is to be forgotten, why, and the bounds that must hold, from its JSON
 * (doc/request.md) to the evidence: `unlearn run`.
 *
 *     struct request q;
 *     request_read(&q, json, "request.json", &e)
 *     request_check(&q, &hooks, &e)       names, data and options, before any work
 *     request_run(&q, &hooks, OUT, &card, &e)
 *     request_fini(&q)
 *
 * The work is done by commands, each in a directory of its own and resumable; who calls this runs
 * them (hooks) and tells what suites have, as suites and attacks stand on a higher floor. OUT gets:
 *
 *   request.json            the request
 *   run.json                the steps with their seconds, the tries as far as they are
 *   card.json               the outcome (request_card.c has its members)
 *   generic.jsonl           generic text, where there is no retain data and a method needs it
 *   target/SUITE/           evaluations of the model before; retrained/SUITE/ of the retrained one
 *   tries/N/model/          a result; tries/N/eval/SUITE/ its evaluation
 *   robust/, attacks/NAME/  of the chosen one
 *   earlier/K/SUITE/        its evaluation on the data of the K-th request before this one
 */
#ifndef RUN_REQUEST_H
#define RUN_REQUEST_H

#include "base/json.h"
#include "base/param.h"
#include "data/dataset.h"
#include "run/expression.h"

/* One entry of "suites", "attacks" or "methods": "NAME" or {"KIND": "NAME", option: value,
 * "as": "FOLDER"}. */
struct request_part {
    const char *name;      /* borrowed */
    char as[48];           /* its folder, and its name in bounds: "as", else the name's last part */
    const json_t *options; /* borrowed; with the member KIND; NULL: none */
};

struct request_parts {
    struct request_part *v; /* owned [n] */
    int n;
};

/* What the methods may take; 0 and NULL: no limit. */
struct request_budget {
    double minutes, epochs;
    const char *memory;
    int64_t tries;
};

/* Where "search" looks for a learning rate and epochs. */
struct request_search {
    double lr_least, lr_most, lr_start; /* 0: by the model's size */
    double epochs_least, epochs_most;
};

struct request {
    json_t *json; /* owned; all texts below borrow from it */
    const char *model, *adapter, *retrained, *after, *what, *why, *keep;
    const char *data[ROLE_COUNT];
    int64_t seed;
    const json_t *text;    /* options of every command; NULL: none */
    const json_t *options; /* of every method; NULL: none */
    struct request_parts methods, suites, attacks;
    struct request_budget budget;
    struct request_search search;
    bool searches;             /* no method is given, or "search" is */
    struct expression *bounds; /* owned [n_bounds] */
    int n_bounds;
    json_t *chain; /* owned: cards of the requests before this one, the oldest first; NULL: none */
    char *before;  /* owned: the model of the last of them; NULL: none */
};

/* One command of the work. */
struct request_step {
    const char *name;    /* its directory in OUT; for "generate" the file */
    const char *command; /* "forget", "eval", "attack", "generate" */
    const char *word;    /* of attack: its name; else NULL */
    json_t *options;     /* borrowed */
};

enum request_use {
    REQUEST_CHECK, /* the options alone */
    REQUEST_PLAN,  /* of forget: the dry run, as JSON */
    REQUEST_RUN    /* the work, or the rest of it */
};

struct request_hooks {
    /* *printed gets what the command printed as JSON, a new reference; NULL: it is not wanted. */
    int (*run)(void *ctx, const struct request_step *s, const char *dir, enum request_use use,
               json_t **printed, struct err *e);
    /* {"metrics": {name: [set]}, "sets": {name: role or null}, "attacks": bool} of a suite,
     * a new reference; metrics null: they depend on its data. attacks: it is one of attacks. */
    json_t *(*suite)(void *ctx, const char *name, struct err *e);
    /* Refuses a name that is no attack. */
    int (*attack)(void *ctx, const char *name, struct err *e);
    /* The directory of a run of the ledger, owned by the caller. */
    char *(*ledger_out)(void *ctx, int64_t run, struct err *e);
    void *ctx;
};

/* Errors name the key. request_fini is due in every case. */
int request_read(struct request *q, const json_t *json, struct err *e);
void request_fini(struct request *q);

/* Refuses what cannot work: a role without data, a metric, a suite or an attack that there is not,
 * options that a command does not have; reads the request that comes before this one. */
int request_check(struct request *q, const struct request_hooks *h, struct err *e);

/* All of it, or what is left of it. *card: a new reference; its "held" tells whether all bounds
 * hold. */
int request_run(struct request *q, const struct request_hooks *h, const char *out, json_t **card,
                struct err *e);
/* {"steps": [{"name", "command", "seconds", "memory" ...}], ...}, a new reference: what
 * request_run would do at most. */
json_t *request_plan(struct request *q, const struct request_hooks *h, const char *out,
                     struct err *e);

/* --- between the files of a request --- */

/* The options of a command: what it takes from the request, then those that the entry gives; a new
 * reference. `about` is of the suite; `method` NULL: NPO. */
json_t *request_eval_options(const struct request *q, const struct request_part *suite,
                             const json_t *about, const char *model);
json_t *request_attack_options(const struct request *q, const struct request_part *attack,
                               const char *model, const char *target);
json_t *request_method_options(const struct request *q, const struct request_part *method,
                               const char *model);
/* A method needs retain data, and there is none: generic text takes its place. */
bool request_needs_generic(const struct request *q);
/* The model that is to be changed. */
const char *request_target(const struct request *q);

/* The path of the first file in `dir` whose name ends so, owned by the caller; NULL: an error. */
char *request_log(const char *dir, const char *ending, struct err *e);

/* Figures by their names in bounds: {"tofu.model_utility": {"value", "low", "high", "role"}}. */
struct request_values {
    json_t *of[WHOSE_COUNT]; /* owned */
};

/* Adds what the evaluation or attack in `dir` measured, as PREFIX.METRIC: to those of `whose`; of
 * an attack, and an evaluation of attacks, to those of all models. A directory without a log is an
 * error. */
int request_read_values(struct request_values *v, enum whose whose, const char *dir,
                        const char *prefix, struct err *e);
/* Adds the figures of DIR/run.json as cost.NAME. */
int request_read_cost(json_t *to, const char *dir, struct err *e);
/* Whether "cost" has a figure of this name. */
bool request_is_cost(const char *name);
/* The value of a name, for expressions; ctx: struct request_values *. */
double request_figure(void *ctx, const struct expression_name *name);
/* [{"bound", "left", "right", "held": true, false or null, "excess"}], a new reference. */
json_t *request_judge(const struct request *q, const struct request_values *v, struct err *e);

#endif
