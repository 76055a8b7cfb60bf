/* Fluency of generated text: repetition, and perplexity under another model. Words are those of
 * ROUGE (eval/rouge.h), not stemmed.
 */
#ifndef EVAL_FLUENCY_H
#define EVAL_FLUENCY_H

#include "base/err.h"
#include "eval/backend.h"

struct fluency {
    int words;
    double unique;     /* distinct words / words */
    double repetition; /* 1 - distinct n-grams / n-grams (rep-n, arXiv 1908.04319) */
    double entropy;    /* of the n-grams, in bits (arXiv 1809.05972) */
};

/* NaN where the text has no words, or no n-grams. Fails only for lack of memory. */
int fluency_of(const char *text, int n, struct fluency *out, struct err *e);

/* out[i] = exp of the mean loss per token of texts[i] as plain text under the model `judge`; the
 * first token is not scored. NaN for texts of fewer than two tokens. */
int perplexity_of(const char *const *texts, int n, const struct backend *judge,
                  const struct encoder *encoder, double *out, struct err *e);

#endif
