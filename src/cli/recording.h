/* The ledger (run/ledger.h) of a command that makes something in --out: a run is added when the
 * work begins, and its outcome when it ends. What fails before it wrote anything leaves no trace.
 */
#ifndef CLI_RECORDING_H
#define CLI_RECORDING_H

#include "cli/args.h"
#include "run/ledger.h"
#include "train/inputs.h"

struct recording_options {
    int64_t within;     /* the run that this one is a step of; 0: none */
    const char *ledger; /* FILE, "none", or NULL: unlearn.db in the parent of --out */
};

extern const struct param recording_params[];

struct recording {
    struct ledger ledger; /* closed: nothing is recorded */
    char *out;            /* owned; absolute */
    char *made;           /* owned: the parent directory that was made for it; NULL: none */
    bool fresh;           /* the ledger was made, too */
    struct err why_not; /* nothing is recorded since the default place cannot be written; "": no */
};

/* Where the ledger of a run that writes to `out` is, if no other is named; owned by the caller. */
char *recording_place(const char *out, struct err *e);

/* Reads the parsed command line's `out`, `model`, `method` (of eval the suite, of attack the
 * words), and all options. Without --out, with `none` and in a dry run nothing is recorded; with
 * the default place neither where that cannot be written, which is a warning at the end.
 * recording_end is due after success. */
int recording_begin(struct recording *r, const struct args *a, const struct recording_options *o,
                    struct err *e);
/* The same of a command whose directory is no option --out. */
int recording_begin_in(struct recording *r, const struct args *a, const struct recording_options *o,
                       const char *dir, struct err *e);
/* The files that the command reads, {path: SHA-256}, where it leaves no record of them (run.json);
 * `in` NULL: none. */
int recording_inputs(struct recording *r, const struct inputs *in, struct err *e);
/* failed: NULL, or why the work failed. Of what succeeded and cannot be recorded there is a
 * warning; of what failed its own message tells, and whoever opens the ledger next marks it. */
void recording_end(struct recording *r, const struct err *failed);

#endif
