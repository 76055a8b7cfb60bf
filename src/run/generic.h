/* Text that the reference writes for a method, at the start of its run: what ELM's third term
 * (arXiv 2410.02760) learns, so that the model stays fluent where it has forgotten. Behind each
 * forget text and a sentence that changes the subject the reference goes on, guided from the expert
 * towards the novice (struct guidance of model/generate.h); sentence and answer are scored, the
 * forget text is not.
 *
 * OUT/fluency.jsonl keeps the rows, {"ids", "labels", "text"}: an interrupted run reads them again,
 * and another one may be given them by --generic. (The code of the paper guides by the prompts of
 * expert and novice alone; here both go on from the forget text, as in ELM's first term.)
 */
#ifndef RUN_GENERIC_H
#define RUN_GENERIC_H

#include "run/data.h"

/* What a method may preset. */
struct generic_options {
    const char *from; /* "file" or "guided" */
    const char *sentence;
    double guidance;
    int64_t tokens;
};

extern const struct param generic_params[];

/* The recipe looks at generic data, of which there is no file: as many rows as there are to forget
 * are promised to the engine. */
void generic_promise(const struct generic_options *f, const struct recipe *r, struct run_data *d,
                     struct engine *g);
/* Keeps the promise, if one was made, with `m` the reference. */
int generic_make(const struct generic_options *f, struct run_data *d, struct setup *s,
                 const struct run_options *o, const struct train_options *to, struct model *m,
                 struct engine *g, struct err *e);

#endif
