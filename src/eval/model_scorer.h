/* A model as a scorer: teacher-forced losses and greedy answers, decoded to text. */
#ifndef EVAL_MODEL_SCORER_H
#define EVAL_MODEL_SCORER_H

#include "eval/recall.h"
#include "eval/scores.h"
#include "model/model.h"
#include "text/tokenizer.h"

/* What was asked so far. */
struct model_effort {
    double sequences, tokens;   /* scored; tokens that sequences share counted for each */
    double answers, new_tokens; /* generated */
};

struct model_scorer {
    struct scorer scorer;        /* hand this to a suite */
    struct model *model;         /* borrowed */
    const struct tokenizer *tok; /* borrowed */
    unsigned compat;
    struct recall recall;                   /* see model_scorer_keep */
    const volatile sig_atomic_t *interrupt; /* borrowed; set: fail soon; NULL: never */
    int batch;                              /* prompts generated at once; 0: a good default */
    char *eos;                              /* owned text of the end token */
    struct model_effort effort;
};

int model_scorer_init(struct model_scorer *s, struct model *m, const struct tokenizer *tok,
                      unsigned compat, struct err *e);
/* Keeps what the model says in this file, which is borrowed, and takes from there what it said
 * before. */
int model_scorer_keep(struct model_scorer *s, struct kept *file, struct err *e);
void model_scorer_fini(struct model_scorer *s);

/* Two models as a comparer; both borrowed. */
struct model_pair {
    const struct model_scorer *model, *retrained;
    struct model_effort effort;
};

struct comparer model_comparer(struct model_pair *p);

#endif
