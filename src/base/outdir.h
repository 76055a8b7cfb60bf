/* A directory that a run writes into: one run at a time, nothing of value written over, a model in
 * it replaced as a whole.
 *
 * Open locks the directory (flock, which the system frees however the process ends) and clears what
 * dead processes left: NAME.tmp.PID of base/file.h in it, and DIR.tmp.PID beside it. A process that
 * was killed, or a machine that lost power, leaves nothing that a later run does not clear.
 */
#ifndef BASE_OUTDIR_H
#define BASE_OUTDIR_H

#include <stdbool.h>

#include "base/err.h"

enum outdir_use {
    OUTDIR_EMPTY,    /* refused where the directory holds anything */
    OUTDIR_REPLACE,  /* what it holds may be written over */
    OUTDIR_CONTINUE, /* it is this run's own */
};

struct outdir {
    char *path;  /* owned; NULL: closed */
    char *stage; /* owned; NULL: nothing is staged */
    int lock;
    bool made; /* by open */
};

/* Makes the directory, with parents, if it is not there. Refuses one that another process uses. */
int outdir_open(struct outdir *d, const char *path, enum outdir_use use, struct err *e);
/* Fine on a zeroed one, and more than once. failed: a directory that open made goes again, if it
 * is empty. */
void outdir_close(struct outdir *d, bool failed);

/* Whether the directory has entries other than lost+found and these n; *name, if not NULL, gets one
 * of them, owned by the caller. */
bool outdir_holds_other(const char *path, const char *const *names, int n, char **name);
/* Whether two paths are the same file or directory, by way of links or not. */
bool outdir_same(const char *a, const char *b);

/* Whether a file of this name is part of a model's or an adapter's directory: weights, config,
 * tokenizer. */
bool outdir_is_model_file(const char *name);

/* A model is written as several files. outdir_stage makes an empty directory for them, d->stage;
 * outdir_commit puts them in the place of all model files that are there: whoever loads the model
 * finds all the old files or all the new ones. Where there are old ones, two directories are
 * exchanged at once, and the other entries are moved along; where the system cannot do that (a
 * mount point, a parent that may not be written, the working directory) the old config goes first
 * and the new one comes last, so that between these nothing can be loaded, and nothing mixed. A
 * link of a name is replaced; its target stays. */
int outdir_stage(struct outdir *d, struct err *e);
int outdir_commit(struct outdir *d, struct err *e);
/* Removes what is staged; outdir_close does it, too. */
void outdir_drop_stage(struct outdir *d);

#endif
