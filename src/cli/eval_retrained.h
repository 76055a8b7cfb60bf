/* eval --retrained: the retrained model beside the one that is evaluated. It goes through the same
 * suite, and its log serves as --retain-logs does; then both are asked side by side.
 */
#ifndef CLI_EVAL_RETRAINED_H
#define CLI_EVAL_RETRAINED_H

#include "run/setup.h"
#include "eval/backend.h"
#include "suites/suite.h"

#define EVAL_RETRAINED_HELP                                                                        \
    "--retrained MODEL runs the suite on that model as well; its log serves as --retain-logs "     \
    "does, and goes to\n"                                                                          \
    "OUT/retrained. A second table has a line for each data set, of the answers in its first "     \
    "field: KL, the mean over\n"                                                                   \
    "all tokens of KL(p || q) in nats, p of the retrained model; the share of tokens with the "    \
    "same first choice; KS p, of\n"                                                                \
    "the rows' mean log-probabilities; AUC, the chance that a row's loss in the retrained model "  \
    "is above a row's in the\n"                                                                    \
    "model (0.5: losses do not tell them apart); AUC gap, where there is a holdout set, "          \
    "mia_loss of the model less\n"                                                                 \
    "that of the retrained one. With --retain-logs too, the log is used for the figures, the "     \
    "model for this table.\n"

struct eval_retrained {
    struct model model;
    struct model_backend backend;
    struct model_effort effort; /* of both models, side by side */
};

/* `path`: as a user names a model; NULL: none, and the calls below do nothing. It is asked as
 * `like` is, of the same tokens. */
int eval_retrained_open(struct eval_retrained *r, const char *path,
                        const struct model_backend *like, struct err *e);
/* Runs `s`, filled in for the other model, on this one instead. Its log, a new reference, into
 * *log; unless there is one already, from a file. out: --out or NULL; the files go into its folder
 * `retrained`. */
int eval_retrained_run(struct eval_retrained *r, const struct suite *s, const char *out,
                       json_t **log, struct err *e);
/* Side by side with the model of a suite that has run: s->comparison. */
int eval_retrained_beside(struct eval_retrained *r, struct suite *s, const struct model_backend *m,
                          struct err *e);
void eval_retrained_close(struct eval_retrained *r);

#endif
