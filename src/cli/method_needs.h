/* What a method needs, in words: "logits, logp, reference, alternate". Views of what the model
 * computes, other models, roles of data beside forget and retain; of its terms, of its wrapper, and
 * of the stage that it begins with.
 */
#ifndef CLI_METHOD_NEEDS_H
#define CLI_METHOD_NEEDS_H

#include "methods/method.h"

/* A row at its defaults (recipe_open). */
int method_needs(const struct recipe *r, char *text, size_t n, struct err *e);
/* What the row presets for the option, or NULL. */
const char *method_preset(const struct method *m, const char *option);

#endif
