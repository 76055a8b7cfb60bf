/* Generation over a session (session.h): greedy, or sampled with temperature and top-p, many
 * prompts at once. A finished answer leaves the batch and the next prompt takes its place; nothing
 * is padded. What a prompt has in common with the longest one, such as a system turn or worked
 * examples, is computed once, and so is a prompt that several answers continue.
 */
#ifndef MODEL_GENERATE_H
#define MODEL_GENERATE_H

#include <math.h>

#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/seq.h"
#include "model/model.h"

/* Guidance (arXiv 2306.17806): every token is chosen from what three contexts predict together,
 *   log p(. | prompt) - strength (log p(. | away) - log p(. | towards)),
 * and continues all three. */
struct guidance {
    const struct seq *away, *towards; /* [n] borrowed, of each prompt */
    double strength;
};

struct pass_taps; /* model/guarded.h */

struct generate_options {
    int max_new_tokens;
    int batch;          /* answers at once; 0: as many as a cache of 1 GiB holds, at most 32 */
    int samples;        /* answers of each prompt; 0: one */
    double temperature; /* 0: greedy, ties to the lowest id */
    double top_p;       /* nucleus, (0,1]; arXiv 1904.09751 */
    unsigned seed;      /* each answer has its own stream, so batch size changes nothing */
    bool ignore_eos;
    const struct guidance *guidance; /* NULL: none */
    /* What follows is of answer number prompt * samples + sample, whose new tokens so far are
     * ids[n]. May change the logits z [V] before the next token is chosen from them; non-zero: a
     * failure. NULL: none. */
    int (*logits)(void *ctx, int answer, const int *ids, int n, float *z, struct err *e);
    void *logits_ctx;
    /* Called after every new token: true ends the answer. NULL: never. */
    bool (*token)(void *ctx, int answer, const int *ids, int n);
    void *token_ctx;
    const volatile sig_atomic_t *interrupt; /* set: fail before the next step; NULL: never */
    const struct pass_taps *taps;           /* nothing is shared between prompts then; NULL: none */
    bool unguarded;                         /* past the model's guard */
    bool mask_positions; /* positions count only tokens with mask 1, as HF's generate does */
};

struct generation {
    int *ids;       /* owned: new tokens, the end token included if it was reached */
    float *margins; /* owned: best minus second logit at each step */
    int n;
    bool ended; /* by an end token */
};

/* out[n * samples] must be zeroed; free each with generation_fini, also after a failure. bar may be
 * NULL; else it is stepped by answers done, starting from what it shows. */
int model_generate(struct generation *out, struct model *m, const struct seq *prompts, int n,
                   const struct generate_options *o, struct progress *bar, struct err *e);
void generation_fini(struct generation *g);

/* --- the next token, from a row of logits (sample.c) --- */

/* temperature 0: the largest logit, lowest id on ties. Else softmax(z/temperature) cut to the
 * smallest set of tokens whose probability reaches top_p (arXiv 1904.09751). *margin gets best
 * minus second logit. -1 on failure (no memory, or no finite logit). */
int sample_token(const float *z, int v, double temperature, double top_p, struct rng *r,
                 float *margin, struct err *e);

/* log sum exp of a row; a logit minus it is a log-probability. NaN where some logit is. */
double sample_lse(const float *z, int v);

struct likely {
    int id;
    double logp;
};

/* The n <= v likeliest tokens, the likeliest first, lowest id on ties. */
void sample_top(const float *z, int v, double lse, struct likely *top, int n);

/* Makes logits of ids that must not be chosen minus infinity. */
static inline void sample_ban(float *z, const int *ids, int n)
{
    for (int i = 0; i < n; i++)
        z[ids[i]] = -INFINITY;
}

#endif
