/* What outdir.c and outdir_stage.c share. Internal to base/. */
#ifndef BASE_OUTDIR_PARTS_H
#define BASE_OUTDIR_PARTS_H

#include <stdbool.h>

/* Neither . nor .. */
bool outdir_is_entry(const char *name);
/* Removes an entry of the directory `at`, recursively; errors are ignored. */
void outdir_remove_tree(int at, const char *name);
/* Completes an exchange: entries of the directory `left` that `dir` lacks and that are no model
 * files are moved there, the others and `left` removed. */
void outdir_settle(const char *left, const char *dir);

#endif
