/* Attacks that change weights without training. They move the matrices of the layers; embedding,
 * head and norms stay. Each setting starts from the weights as they were.
 */
#ifndef ATTACK_WEIGHTS_H
#define ATTACK_WEIGHTS_H

#include "attack/attack.h"

struct quantise;

/* One weight's matrix [rows, cols]: `w` is to be changed, in place. */
struct matrix_job {
    struct attack_run *a;
    const struct weight *weight;
    float *w;
    const float *target; /* [rows, cols] of the target model; NULL: there is none */
    size_t rows, cols;
    const void *setting;
    json_t *counts; /* of the whole setting */
};

/* Whether such attacks change it: a matrix of a layer. */
bool attack_is_matrix(const struct weight *w);

typedef int change_matrix(struct matrix_job *j, struct err *e);

/* The figures of the model before any change, into block["before"]. */
int attack_measure_before(struct attack_run *a, json_t *block, struct err *e);
/* The figures after all matrices were changed by one setting, into block[name]. */
int attack_setting(struct attack_run *a, const char *name, const void *setting,
                   change_matrix *change, json_t *block, struct err *e);
/* Changes the model's weights, from a->before; `to` gets figures of the setting. */
typedef int change_model(struct attack_run *a, const void *setting, json_t *to, struct err *e);
/* The same by a change of the whole model. */
int attack_setting_by(struct attack_run *a, const char *name, const void *setting,
                      change_model *change, json_t *block, struct err *e);
/* Calls `change` for every matrix, as it was before any change. */
int attack_each_matrix(struct attack_run *a, const void *setting, change_matrix *change,
                       json_t *counts, struct err *e);
/* Rounds all matrices by GPTQ with `text` as calibration (gptq.c). */
int attack_gptq(struct attack_run *a, const struct quantise *q, const struct dataset *text,
                struct err *e);
/* Adds n to a counter of the setting. */
void attack_count(json_t *to, const char *key, size_t n);

#endif
