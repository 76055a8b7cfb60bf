/* The steps of a request and of a sweep as child processes of the program: the hooks that
 * run/request.h asks for. */
#ifndef CLI_REQUEST_STEPS_H
#define CLI_REQUEST_STEPS_H

#include "cli/recording.h"
#include "run/request.h"

struct request_steps {
    const char *out, *given; /* borrowed: --out and --ledger, NULL: not given */
    char *ledger;            /* owned; NULL: none */
    int64_t run;             /* its row; 0: none */
    char *log;               /* owned: OUT/log.txt */
    const volatile sig_atomic_t *stop;
};

/* With ctx = w, which must last as long. */
struct request_hooks request_steps_hooks(struct request_steps *w);
/* Before the work: the log, the ledger's row, and what interrupts. request_steps_fini is due. */
int request_steps_begin(struct request_steps *w, const struct recording *record, struct err *e);
void request_steps_fini(struct request_steps *w);

#endif
