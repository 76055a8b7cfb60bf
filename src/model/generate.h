/* Generation with a key-value cache: greedy, or sampled with temperature and top-p, many prompts at
 * once. A finished sequence leaves the batch and the next prompt takes its place; nothing is
 * padded. What a prompt has in common with the longest one, such as a system turn or worked
 * examples, is computed once.
 */
#ifndef MODEL_GENERATE_H
#define MODEL_GENERATE_H

#include "base/err.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/seq.h"
#include "model/model.h"

struct generate_options {
    int max_new_tokens;
    int batch;          /* prompts at once; 0: as many as a cache of 1 GiB holds, at most 32 */
    double temperature; /* 0: greedy, ties to the lowest id */
    double top_p;       /* nucleus, (0,1]; arXiv 1904.09751 */
    unsigned seed;      /* each prompt has its own stream, so batch size changes nothing */
    bool ignore_eos;
    /* Called behind every new token of a prompt with all of them: true ends it. NULL: never. */
    bool (*stop)(void *ctx, int prompt, const int *ids, int n);
    void *stop_ctx;
    const volatile sig_atomic_t *interrupt; /* set: fail before the next step; NULL: never */
    bool mask_positions; /* positions count only tokens with mask 1, as HF's generate does */
};

struct generation {
    int *ids;       /* owned: new tokens, the end token included if it was reached */
    float *margins; /* owned: best minus second logit at each step */
    int n;
    bool ended; /* by an end token */
};

/* out[n] must be zeroed; free each with generation_fini, also after a failure. bar may be NULL;
 * else it is stepped by prompts done, starting from what it shows. */
int model_generate(struct generation *out, struct model *m, const struct seq *prompts, int n,
                   const struct generate_options *o, struct progress *bar, struct err *e);
void generation_fini(struct generation *g);

#endif
