/* Low-rank adapters on frozen weights (arXiv 2106.09685). */
#include <stddef.h>

#include "locate/locators.h"
#include "model/lora.h"

#define FIELD(f) offsetof(struct lora_options, f)
static const struct param params[] = {
    {"lora_rank", PARAM_INT, FIELD(rank), 1, 4096, NULL, "8", NULL, "rank of the adapters"},
    {"lora_alpha", PARAM_REAL, FIELD(alpha), 0, 1e6, NULL, "16", NULL,
     "scaling: the adapters' output is multiplied by alpha / rank"},
    {"lora_dropout", PARAM_REAL, FIELD(dropout), 0, 0.99, NULL, "0", NULL,
     "dropout probability of the adapters' inputs in training"},
    {"lora_targets", PARAM_STRING, FIELD(targets), 0, 0, NULL, "all-linear", "NAMES",
     "target modules: q_proj,v_proj or a regular expression; all-linear: all but the head"},
    {"use_rslora", PARAM_BOOL, FIELD(rslora), 0, 0, NULL, NULL, NULL,
     "scaling by alpha / sqrt(rank) (arXiv 2312.03732)"},
    {0},
};

static int apply(const void *p, struct model *m, unsigned seed, struct err *e)
{
    return lora_attach(m, p, seed, e);
}

const struct locator locator_lora = {
    .name = "lora",
    .help = "low-rank adapters; the model's own weights are frozen",
    .params = params,
    .params_size = sizeof(struct lora_options),
    .keeps_base = true,
    .apply = apply,
};
