/* A guarded model: what stands between a model and those who only send prompts and read answers
 * (guard/). A model with a guard is generated from and scored through it; what needs the weights,
 * states or gradients does not meet it, and refuses such a model where that would mislead.
 */
#ifndef MODEL_GUARDED_H
#define MODEL_GUARDED_H

#include "base/log.h"
#include "model/forward.h"

struct generation;       /* model/generate.h */
struct generate_options; /* model/generate.h */
struct scores;           /* model/score.h */
struct score_options;    /* model/score.h */

/* Taps of a pass that must know whose tokens they see. All borrowed. */
struct pass_taps {
    const struct tap *taps;
    int n_taps;
    /* Before each pass: sequence i of its batch is that of prompt (or sequence) of[i], from its
     * token first[i] on. */
    void (*feed)(void *ctx, const int *of, const int *first, int n);
    void *ctx;
};

struct model_guard {
    /* As model_generate and model_score, which call these; they in turn call them with `unguarded`.
     */
    int (*generate)(void *ctx, struct generation *out, struct model *m, const struct seq *prompts,
                    int n, const struct generate_options *o, struct progress *bar, struct err *e);
    int (*score)(void *ctx, struct scores *out, struct model *m, const struct seq *seqs, int n,
                 const struct score_options *o, struct progress *bar, struct err *e);
    void *ctx;
    uint64_t fingerprint; /* of the guards and their parameters */
    /* So far: prompts (or sequences) that passed, and those that some guard changed its mind about:
     * refused, withheld or corrupted. */
    long prompts, fired;
};

/* An error if it has a guard. `what` does not meet it: "gradients". */
int guard_refuse(const struct model *m, const char *what, struct err *e);

#endif
