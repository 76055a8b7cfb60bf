/* Evaluation backends: the losses of given answers, generated answers, gradient norms. Suites are
 * written and tested against struct backend alone; struct model_backend is the one of a model.
 */
#ifndef EVAL_BACKEND_H
#define EVAL_BACKEND_H

#include "base/err.h"
#include "data/dataset.h"
#include "eval/cache.h"
#include "eval/answers.h"
#include "model/score.h"
#include "model/model.h"
#include "text/tokenizer.h"

/* The texts of one example and its generated answer: decoded without special tokens, spaces tidied
 * (eval/answers.h), valid UTF-8 without NUL, owned. */
struct answer {
    char *input;  /* prompt: the tokens before the first label */
    char *whole;  /* prompt and reference answer */
    char *answer; /* the generated tokens, greedy decoding */
};

void answers_free(struct answer *a, int n);

struct backend {
    void *ctx;
    /* Teacher-forced scores of every sequence, with the whole distribution if `distribution`;
     * after success the caller owes scores_fini(out). */
    int (*score)(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                 struct err *e);
    /* Continues the prompt of every sequence up to its limits[d->n] or an end token. Fills
     * out[d->n], zeroed before; also after a failure the caller owns what was filled. */
    int (*generate)(void *ctx, const struct dataset *d, const struct answer_limit *limits,
                    struct answer *out, struct err *e);
    /* Gradient norms (eval/example.h) in out[d->n]. */
    int (*gradnorm)(void *ctx, const struct dataset *d, double *out, struct err *e);
    /* Extraction likelihood with n-grams (eval/example.h) of every sequence, in out[d->n]. */
    int (*extract)(void *ctx, const struct dataset *d, int n, double *out, struct err *e);
    /* Text of the ids, without special tokens, owned by the caller; NULL on failure. */
    char *(*decode)(void *ctx, const int *ids, int n, struct err *e);
    const char *eos; /* text of the end token: an answer is cut there; NULL: none */
};

/* Compares a model with the retrained one: fills out[d->n], where the retrained model is the other
 * one of model/score.h. */
struct comparer {
    void *ctx;
    int (*compare)(void *ctx, const struct dataset *d, struct divergence *out, struct err *e);
};

/* What was computed so far. */
struct model_effort {
    double sequences, tokens;   /* scored; tokens of a shared prefix count for each sequence */
    double answers, new_tokens; /* generated */
};

struct model_backend {
    struct backend backend;      /* give this to a suite */
    struct model *model;         /* borrowed */
    const struct tokenizer *tok; /* borrowed */
    unsigned compat;
    struct eval_cache cache;                /* see model_backend_set_cache */
    const volatile sig_atomic_t *interrupt; /* borrowed; set: fail soon; NULL: never */
    int batch;                              /* batch size of generation in prompts; 0: automatic */
    char *eos;                              /* owned text of the end token */
    struct model_effort effort;
    bool shows;        /* notes the first row that is scored or answered */
    json_t *first_row; /* owned (text/rendered.h); NULL: none yet */
};

int model_backend_init(struct model_backend *s, struct model *m, const struct tokenizer *tok,
                       unsigned compat, struct err *e);
/* Reads and appends results in this cache file, which is borrowed. */
int model_backend_set_cache(struct model_backend *s, struct cache_file *file, struct err *e);
void model_backend_fini(struct model_backend *s);

/* Two models as a comparer; both borrowed. */
struct model_pair {
    const struct model_backend *model, *retrained;
    struct model_effort effort;
};

struct comparer model_comparer(struct model_pair *p);

#endif
