/* Output directory of a run: used by one run at a time, refused if it is not empty, a model in it
 * replaced atomically.
 *
 * Open locks the directory (flock, which the system frees however the process ends) and removes
 * temporary files of dead processes: NAME.tmp.PID of base/file.h in it, and DIR.tmp.PID in its
 * parent. So the leftovers of a killed process or a power failure are removed by the next run.
 */
#ifndef BASE_OUTDIR_H
#define BASE_OUTDIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum outdir_use {
    OUTDIR_EMPTY,    /* refused where the directory holds anything */
    OUTDIR_REPLACE,  /* existing files may be overwritten */
    OUTDIR_CONTINUE, /* resume: the files are this run's */
};

struct outdir {
    char *path;  /* owned; NULL: closed */
    char *stage; /* owned; NULL: nothing is staged */
    int lock;
    bool made; /* by open */
};

/* Creates the directory, with parents, if missing. Refuses one that another process uses. */
int outdir_open(struct outdir *d, const char *path, enum outdir_use use, struct err *e);
/* Allowed on a zeroed one, and more than once. failed: a directory that open created is removed if
 * it is empty. */
void outdir_close(struct outdir *d, bool failed);

/* Whether the directory has entries other than lost+found and these n; *name, if not NULL, gets one
 * of them, owned by the caller. */
bool outdir_holds_other(const char *path, const char *const *names, int n, char **name);
/* What OUTDIR_EMPTY refuses; a directory that does not exist is empty. */
int outdir_check_empty(const char *path, struct err *e);
/* Whether two paths are the same file or directory, links followed. */
bool outdir_same(const char *a, const char *b);

/* Whether a file of this name is part of a model's or an adapter's directory: weights, config,
 * tokenizer. */
bool outdir_is_model_file(const char *name);

/* A model is written as several files. outdir_stage creates an empty directory for them, d->stage;
 * outdir_commit replaces all existing model files by them: a reader finds all the old files or all
 * the new ones. With old files, two directories are exchanged atomically and other entries are
 * moved over; where the system cannot do that (a mount point, a read-only parent, the working
 * directory) the old config is removed first and the new one moved last, so that no mixture can be
 * loaded between. A symbolic link is replaced; its target is not touched. */
int outdir_stage(struct outdir *d, struct err *e);
int outdir_commit(struct outdir *d, struct err *e);
/* Removes the staged files, as outdir_close does too. */
void outdir_drop_stage(struct outdir *d);

/* When the process began, in clock ticks since boot; 0: there is none, or it has ended and nobody
 * has waited for it, as in a container without an init. */
int64_t outdir_process_start(int64_t pid);

/* Removes an entry of the directory `at`, recursively; errors are ignored. For what the caller
 * made.
 */
void outdir_remove_tree(int at, const char *name);

/* Of outdir.c and outdir_stage.c only: neither . nor .. */
bool outdir_is_entry(const char *name);
/* Completes an exchange: entries of the directory `left` that `dir` lacks and that are no model
 * files are moved there, the others and `left` removed. */
void outdir_settle(const char *left, const char *dir);

#endif
