/* An evaluation that loses nothing: what the models said is kept in the output directory as it
 * comes, and is gone once the results are written.
 */
#ifndef CLI_EVAL_KEPT_H
#define CLI_EVAL_KEPT_H

#include "cli/start.h"
#include "eval/backend.h"

struct eval_kept {
    const char *out;   /* directory; NULL: nothing is kept. Made if need be */
    const char *suite; /* the file is OUT/SUITE_EVIDENCE.bin */
    bool overwrite;    /* drop what is there */
    struct cache_file file;
    const volatile sig_atomic_t *interrupt;
};

/* Opens the file for the model that is evaluated; refuses another model's. Fill in the options
 * first; eval_kept_close is due in any case. */
int eval_kept_open(struct eval_kept *k, struct model_backend *s, struct err *e);
/* Another model's scores in the same file. */
int eval_kept_add(struct eval_kept *k, struct model_backend *s, struct err *e);
/* rc: of the evaluation. If it failed, the file stays and the message says how to go on. */
void eval_kept_close(struct eval_kept *k, int rc, struct err *e);

#endif
