/* The examples of a role from a file of tensors, ROLE.input_ids, ROLE.attention_mask and
 * ROLE.labels, all [B,T]. */
#include <stdio.h>
#include <stdlib.h>

#include "data/dataset.h"

/* ROLE.suffix as ints [b,t], or NULL with *missing set. */
static int *read_matrix(const struct tensor_file *f, const char *role, const char *suffix, int *b,
                        int *t, bool *missing, struct err *e)
{
    char name[64];
    snprintf(name, sizeof name, "%s.%s", role, suffix);
    const struct tensor *x = tensor_find(f, name);
    *missing = !x;
    if (!x)
        return NULL;
    if (x->n_dims != 2 || x->shape[0] < 1 || x->shape[1] < 1 || x->count > INT32_MAX) {
        err_set(e, "tensor '%s' is not a matrix [B,T]", name);
        return NULL;
    }
    if (*b && (x->shape[0] != *b || x->shape[1] != *t)) {
        err_set(e, "tensor '%s' has another shape than the role's input_ids", name);
        return NULL;
    }
    *b = (int)x->shape[0];
    *t = (int)x->shape[1];
    return tensor_ints(x, e);
}

int dataset_from_tensors(struct dataset *d, enum role role, const struct tensor_file *f,
                         int keep_padding, bool *there, struct err *e)
{
    int b = 0, t = 0, rc = 0;
    bool absent, no_mask = true, no_labels = true;
    int *mask = NULL, *labels = NULL;
    int *ids = read_matrix(f, role_name[role], "input_ids", &b, &t, &absent, e);
    *there = false;
    if (absent)
        return 0;
    if (!ids ||
        (!(mask = read_matrix(f, role_name[role], "attention_mask", &b, &t, &no_mask, e)) &&
         !no_mask) ||
        (!(labels = read_matrix(f, role_name[role], "labels", &b, &t, &no_labels, e)) &&
         !no_labels))
        rc = -1;
    if (!rc)
        rc = dataset_from_matrix(d, role, ids, labels, mask, b, t, keep_padding, e);
    *there = !rc;
    free(ids);
    free(mask);
    free(labels);
    return rc;
}
