/* Classifiers of prompts: is this about what is to be forgotten? Logistic regression on hashed
 * n-grams of words, or on the mean hidden state of the guarded model; a file of JSON with its
 * weights in a safetensors file of the same name.
 */
#ifndef GUARD_CLASSIFIER_H
#define GUARD_CLASSIFIER_H

#include "eval/logistic.h"
#include "guard/guard.h"
#include "tensor/file.h"

enum classifier_features { CLASSIFIER_NGRAMS, CLASSIFIER_STATES };

struct classifier {
    enum classifier_features features;
    int ngram;        /* words of the longest n-gram */
    int bits;         /* 2^bits hash buckets */
    int layer;        /* of the states, 0 to the model's layers */
    double threshold; /* flagged above it */
    double intercept;
    float *weight; /* owned [2^bits or width] */
    size_t width;
};

/* `path`: what classifier_save wrote; the part gives its directory and the model. classifier_close
 * is due in every case. */
int classifier_open(struct classifier *c, const char *path, const struct guard_part *p,
                    struct err *e);
/* The JSON alone and its weights, as bytes would be read from anywhere. */
int classifier_parse(struct classifier *c, const json_t *file, const struct tensor_file *weights,
                     const char *path, struct err *e);
int classifier_save(const struct classifier *c, const json_t *report, const char *path,
                    struct err *e);
void classifier_close(struct classifier *c);
/* *score in [0,1]: the probability that the prompt is to be flagged. */
int classifier_score(const struct classifier *c, const struct guard_part *p,
                     const struct guard_prompt *q, double *score, struct err *e);
/* Of a text, or of ids, which features take respectively. */
int classifier_score_of(const struct classifier *c, struct model *m, const char *text,
                        const struct seq *ids, double *score, struct err *e);

struct classifier_training {
    enum classifier_features features;
    int ngram, bits, layer;
    double c;    /* logistic regression's */
    double rate; /* of false positives that the threshold allows on the rows to be kept */
};

/* Fits to texts [n] (and ids [n], for states), of which label[i] is 1 where it is to be flagged. A
 * fifth of each label, by `held` [n] true, is not fitted: the threshold is chosen on those that are
 * to be kept, and figures [0] and [1] get the share flagged of held-out prompts to be flagged and
 * to be kept. */
int classifier_fit(struct classifier *c, const struct classifier_training *t, struct model *m,
                   const char *const *texts, const struct seq *ids, const int *label,
                   const bool *held, int n, double *figures, struct err *e);

#endif
