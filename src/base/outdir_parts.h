/* What outdir.c and outdir_stage.c share. Internal to base/. */
#ifndef BASE_OUTDIR_PARTS_H
#define BASE_OUTDIR_PARTS_H

#include <stdbool.h>

/* Neither . nor .. */
bool outdir_is_entry(const char *name);
/* The entry of the directory `at`, with all below; errors are ignored. */
void outdir_remove_tree(int at, const char *name);
/* Ends an exchange: entries of the directory `left` that `dir` lacks and that are no files of a
 * model move there, the others go, and `left` with them. */
void outdir_settle(const char *left, const char *dir);

#endif
