/* Low-rank adapters on frozen weights (arXiv 2106.09685). */
#include "locate/locators.h"
#include "model/lora.h"

static const struct param params[] = {
    INT_PARAM(struct lora_options, lora_rank, 1, 4096, 8, "rank of the adapters"),
    REAL_PARAM(struct lora_options, lora_alpha, 0, 1e6, 16,
               "scaling: the adapters' output is multiplied by alpha / rank"),
    REAL_PARAM(struct lora_options, lora_dropout, 0, 0.99, 0,
               "dropout probability of the adapters' inputs in training"),
    STRING_PARAM(struct lora_options, lora_targets, "all-linear", "NAMES",
                 "target modules: q_proj,v_proj or a regular expression; all-linear: all but the "
                 "head"),
    BOOL_PARAM(struct lora_options, use_rslora, false,
               "scaling by alpha / sqrt(rank) (arXiv 2312.03732)"),
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
