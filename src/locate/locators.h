/* The table of locators, which choose the weights that may change: whole tensors (all, regex,
 * lora), or single elements, rows and neurons by a score (scores.h).
 */
#ifndef LOCATE_LOCATORS_H
#define LOCATE_LOCATORS_H

#include "train/locator.h"

extern const struct locator locator_all, locator_regex, locator_lora;
extern const struct locator locator_random, locator_weight, locator_ffn;
extern const struct locator locator_gradient, locator_salun, locator_snip, locator_hessian_free,
    locator_wagle, locator_wagle_gn, locator_wagle_paper, locator_fisher_ratio;
extern const struct locator locator_wanda, locator_selective, locator_sure, locator_pcgu,
    locator_depn, locator_knowledge, locator_tracing, locator_projection;
extern const struct locator *const locators[]; /* ends with NULL */

const struct locator *locator_by_name(const char *name, struct err *e);
/* Applies the locator and sets which gradients are computed: of the trainable weights; of all
 * with count_all, unless the locator keeps the base. An error if none is trainable. */
int locate_weights(const struct locator *l, const void *params, bool count_all, struct model *m,
                   unsigned seed, struct err *e);

/* The row of `locate` in a table of options. */
#define LOCATE_PARAM(offset)                                                                       \
    {                                                                                              \
        "locate", PARAM_STRING, offset, 0, 0, NULL, "all", "NAME",                                 \
            "which weights may move: all, regex, lora (adapters on frozen weights), or by a "      \
            "score: "                                                                              \
            "see 'unlearn help locate'"                                                            \
    }

#endif
