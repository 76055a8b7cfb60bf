/* How likely a model finds texts, such as another model's answers: a measure of fluency.
 */
#ifndef EVAL_PERPLEXITY_H
#define EVAL_PERPLEXITY_H

#include "eval/backend.h"

/* out[i] = exp of the mean loss per token of texts[i] under the judge, as plain text; its first
 * token is not scored. NaN for texts of fewer than two tokens. */
int perplexity_of(const char *const *texts, int n, const struct backend *judge,
                  const struct encoder *encoder, double *out, struct err *e);

#endif
