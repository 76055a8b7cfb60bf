/* An evaluation as the command line asks for it: `unlearn eval` reads the options (cmd_eval.c), a
 * suite of metrics (eval_suite.c) or of multiple-choice tasks (eval_tasks.c) runs and shows its
 * results (results.h). Nothing is lost on the way: outputs of the models are kept in the output
 * directory as they come, and are gone once the results are written.
 */
#ifndef CLI_EVAL_H
#define CLI_EVAL_H

#include "cli/args.h"
#include "cli/start.h"
#include "eval/backend.h"
#include "report/verdict.h"
#include "run/setup.h"
#include "suites/multiple.h"
#include "suites/recipe.h"

enum { EVAL_SETS = 64 };

struct eval_options {
    const char *suite;
    const char *reference, *retrained, *retain_logs, *before, *out, *question_key, *truth_ratio;
    const char *answer_key;
    int64_t max_new_tokens, batch, limit;
    bool json, list, markdown, overwrite, resume;
};

/* The attacks of the suite robust and their budget (eval_robust.c). */
struct robust_options {
    const char *target, *attacks;
    double utility_loss;
    const char *relearn_rates, *relearn_eval_at, *relearn_entity_key, *quantise_types, *prune_ratio;
    const char *prompt_templates;
    int64_t relearn_steps, prompt_max_new_tokens, sample_n, sample_max_new_tokens;
};

extern const struct param robust_params[];

struct eval_kept {
    const char *out;   /* directory; NULL: nothing is kept. Made if need be */
    const char *suite; /* the file is OUT/SUITE_EVIDENCE.bin */
    bool overwrite;    /* drop what is there */
    struct cache_file file;
    const volatile sig_atomic_t *interrupt;
};

struct multiple_args {
    struct multiple_options o;
    const char *label_key, *label_words;
    struct param params[16]; /* with the recipe's help of --data */
};

struct eval {
    struct eval_options o;
    struct verdict_limits limits;
    struct setup_options setup;
    struct suite_recipe recipe;
    struct eval_kept kept;
    const char *files[EVAL_SETS]; /* by set of the recipe; NULL: not given */
    struct param set_params[EVAL_SETS + 1];
    struct multiple_args multiple; /* of suites of tasks */
    struct robust_options robust;  /* of the suite of attacks */
    json_t *options, *inputs;      /* owned {name: value}, {path: SHA-256}, kept with the results */
};

/* Run the suite, write its logs into kept.out unless that is NULL, and print its tables, or its
 * summary as JSON. */
int eval_suite(struct eval *v, struct err *e);
int eval_tasks(struct eval *v, struct err *e);
int eval_robust(struct eval *v, struct err *e);
/* Whether the suite's rows come from attacks. */
bool eval_is_robust(const struct suite_recipe *r);
/* Takes the options of the suite's tasks. ARGS_GO or an exit status. */
int eval_tasks_take(struct args *a, struct eval *v);

/* Puts what the results are of into `cost` (report/cost.h): options, hashes of files, first row. */
int eval_tell(const struct eval *v, json_t *cost, json_t *first_row, struct err *e);

/* Opens the file for the model that is evaluated; refuses another model's. Fill in the options
 * first; eval_kept_close is due in any case. */
int eval_kept_open(struct eval_kept *k, struct model_backend *s, struct err *e);
/* Another model's scores in the same file. */
int eval_kept_add(struct eval_kept *k, struct model_backend *s, struct err *e);
/* rc: of the evaluation. If it failed, the file stays and the message explains how to resume. */
void eval_kept_close(struct eval_kept *k, int rc, struct err *e);

#endif
