/* Generation with guidance (arXiv 2306.17806): every next token is drawn from what three contexts
 * say together,
 *   log p(. | base) - guidance (log p(. | away) - log p(. | towards)),
 * and put behind all three. */
#ifndef MODEL_GUIDED_H
#define MODEL_GUIDED_H

#include "model/generate.h"

struct guided_prompt {
    struct seq base, away, towards;
};

/* As model_generate; of the options max_new_tokens, temperature, top_p and seed count. With
 * guidance 0 the answers are those of model_generate to the base. */
int model_generate_guided(struct generation *out, struct model *m, const struct guided_prompt *p,
                          int n, double guidance, const struct generate_options *o,
                          struct progress *bar, struct err *e);

#endif
