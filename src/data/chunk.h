/* A long text as examples of equal length, as MUSE and WMDP train on it. */
#ifndef DATA_CHUNK_H
#define DATA_CHUNK_H

#include "data/dataset.h"

/* Slices of `length` ids (the last one may be shorter), each behind `bos` unless that is -1. All
 * are scored but the first token of each; a slice with nothing to score is left out. */
int dataset_chunk(struct dataset *d, enum role role, const int *ids, size_t n, int length, int bos,
                  struct err *e);

#endif
