/* unlearn eval, for suites of multiple-choice tasks (suites/multiple.h). */
#ifndef CLI_EVAL_MULTIPLE_H
#define CLI_EVAL_MULTIPLE_H

#include "cli/args.h"
#include "cli/eval_kept.h"
#include "run/setup.h"
#include "suites/multiple.h"

struct multiple_args {
    struct multiple_options o;
    const char *label_key, *label_words;
    struct param params[16]; /* with what the recipe says of --data */
};

/* Takes the options of the suite's tasks. ARGS_GO or an exit status. */
int eval_multiple_take(struct args *a, const struct suite_recipe *r, struct multiple_args *m);
/* Runs the suite, writes its logs to kept->out unless that is NULL, and prints its table, or its
 * summary as JSON. */
int eval_multiple(const struct setup_options *so, struct suite_recipe *r,
                  const struct multiple_args *m, struct eval_kept *kept, bool json, struct err *e);

#endif
