/* The input files of a run: identified by their SHA-256, and never overwritten.
 */
#ifndef TRAIN_INPUTS_H
#define TRAIN_INPUTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct inputs {
    char **v; /* owned [n] paths of files */
    size_t n, cap;
    char **models; /* owned [n_models] directories or files */
    size_t n_models, cap_models;
};

/* Ignores NULL, missing files (opening them reports the error) and what cannot be read twice, such
 * as pipes and standard input. */
int inputs_add_file(struct inputs *in, const char *path, struct err *e);
/* A specification of rows (data/rows.h). */
int inputs_add_rows(struct inputs *in, const char *spec, struct err *e);
/* A file, or a directory with all model files in it. */
int inputs_add_model(struct inputs *in, const char *path, struct err *e);
/* {path: SHA-256}, a new reference. Each file is read once, whole: 1.3 GB/s from the page cache. */
json_t *inputs_hash(const struct inputs *in, struct err *e);
/* Fails if the output path is an input model or file, also through links. */
int inputs_keep(const struct inputs *in, const char *path, struct err *e);
/* The same for an output file; also fails if that is there and not empty, unless it may be
 * replaced. What is no regular file (a pipe, /dev/stdout) is only written to. */
int inputs_claim_file(const struct inputs *in, const char *path, bool replace, struct err *e);
void inputs_fini(struct inputs *in);

#endif
