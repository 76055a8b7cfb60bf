/* Batches and figures that golden files hold as tensors. */
#ifndef TEST_BATCHES_H
#define TEST_BATCHES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "data/dataset.h"
#include "tensor/file.h"

/* PREFIX.{input_ids,labels,attention_mask} as a set of the role; false if a tensor is missing. */
static inline bool read_batch(struct dataset *d, const struct tensor_file *f, const char *prefix,
                              enum role role, bool padded)
{
    static const char *const parts[] = {"input_ids", "labels", "attention_mask"};
    struct err e;
    int *v[3] = {NULL};
    const struct tensor *t = NULL;
    bool there = true;
    for (int i = 0; i < 3 && there; i++) {
        char name[96];
        snprintf(name, sizeof name, "%s.%s", prefix, parts[i]);
        there = (t = tensor_find(f, name)) && (v[i] = tensor_ints(t, &e));
    }
    there = there && !dataset_from_matrix(d, role, v[0], v[1], v[2], (int)t->shape[0],
                                          (int)t->shape[1], padded, &e);
    for (int i = 0; i < 3; i++)
        free(v[i]);
    return there;
}

/* A tensor's values, owned by the caller; NULL if it is missing. */
static inline float *read_f32(const struct tensor_file *f, const char *name)
{
    struct err e;
    const struct tensor *t = tensor_find(f, name);
    return t ? tensor_f32(t, &e) : NULL;
}

/* Its value i; NaN if it is missing. */
static inline double read_value(const struct tensor_file *f, const char *name, int i)
{
    float *v = read_f32(f, name);
    double x = v ? (double)v[i] : NAN;
    free(v);
    return x;
}

#endif
