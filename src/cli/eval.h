/* An evaluation as the command line asks for it: `unlearn eval` reads the options (cmd_eval.c), a
 * suite of metrics (eval_suite.c) or of multiple-choice tasks (eval_tasks.c) runs and shows its
 * results (results.h). Nothing is lost on the way: outputs of the models are kept in the output
 * directory as they come, and are gone once the results are written.
 */
#ifndef CLI_EVAL_H
#define CLI_EVAL_H

#include "cli/args.h"
#include "cli/start.h"
#include "report/verdict.h"
#include "suites/evaluation.h"
#include "suites/multiple.h"

struct eval_output {
    const char *out;
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

struct multiple_args {
    struct multiple_options o;
    const char *label_key, *label_words;
    struct param params[16]; /* with the recipe's help of --data */
};

struct eval {
    struct evaluation_options o;
    struct eval_output to;
    struct verdict_limits limits;
    struct setup_options setup;
    struct suite_recipe recipe;
    struct evaluation_kept kept;
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
/* Takes the options of the suite's tasks. ARGS_GO or an exit status. */
int eval_tasks_take(struct args *a, struct eval *v);

/* Puts what the results are of into `cost` (report/cost.h): options, hashes of files, first row. */
int eval_tell(const struct eval *v, json_t *cost, json_t *first_row, struct err *e);

/* rc: of the evaluation. If it failed, the file stays and the message explains how to resume. */
void eval_kept_close(struct evaluation_kept *k, int rc, struct err *e);

#endif
