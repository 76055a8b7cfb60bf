/* Choosing the next token from a row of logits. */
#ifndef MODEL_SAMPLE_H
#define MODEL_SAMPLE_H

#include <math.h>

#include "base/err.h"
#include "base/rng.h"

/* temperature 0: the largest logit, lowest id on ties. Else softmax(z/temperature) cut to the
 * smallest set of tokens whose probability reaches top_p (arXiv 1904.09751). *margin gets best
 * minus second logit. -1 on failure (no memory, or no finite logit). */
int sample_token(const float *z, int v, double temperature, double top_p, struct rng *r,
                 float *margin, struct err *e);

/* Makes logits of ids that must not be chosen minus infinity. */
static inline void sample_ban(float *z, const int *ids, int n)
{
    for (int i = 0; i < n; i++)
        z[ids[i]] = -INFINITY;
}

#endif
