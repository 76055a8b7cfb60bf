/* The files that a run reads: they are known by their SHA-256, and stay as they are.
 */
#ifndef TRAIN_INPUTS_H
#define TRAIN_INPUTS_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"

struct inputs {
    char **v; /* owned [n] paths of files */
    size_t n, cap;
    char **models; /* owned [n_models] directories or files */
    size_t n_models, cap_models;
};

/* Left out are NULL, what is not there (whoever opens it tells), and what cannot be read twice, as
 * pipes and standard input. */
int inputs_add_file(struct inputs *in, const char *path, struct err *e);
/* A specification of rows (data/rows.h). */
int inputs_add_rows(struct inputs *in, const char *spec, struct err *e);
/* A file, or a directory with its files of a model. */
int inputs_add_model(struct inputs *in, const char *path, struct err *e);
/* {path: SHA-256}, a new reference. Each file is read once, whole: 1.3 GB/s from the page cache. */
json_t *inputs_hash(const struct inputs *in, struct err *e);
/* Refuses to write a path that is a model or one of the files, by way of links or not. */
int inputs_keep(const struct inputs *in, const char *path, struct err *e);
void inputs_fini(struct inputs *in);

#endif
