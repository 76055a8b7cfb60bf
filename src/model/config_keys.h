/* The keys of a family's config.json, each with how it is read into a configuration and written out
 * of one. A family's list is part of its row (family.h).
 */
#ifndef MODEL_CONFIG_KEYS_H
#define MODEL_CONFIG_KEYS_H

#include <stddef.h>

#include "model/config.h"

struct config_key {
    const char *name;
    /* From the whole of config.json; NULL: another key's reader looks at it. */
    int (*read)(struct model_config *c, const json_t *config, const struct config_key *k,
                struct err *e);
    json_t *(*write)(const struct model_config *c, const struct config_key *k);
    size_t at;     /* of the field in struct model_config */
    double preset; /* what a missing key means, for kinds of keys that need to be told */
};

/* Lists end with name NULL. */
extern const struct config_key llama_keys[], mistral_keys[], qwen2_keys[], qwen3_keys[],
    phi3_keys[], phi_keys[], gemma_keys[], gemma2_keys[], olmo2_keys[], gpt_neox_keys[],
    gpt2_keys[], opt_keys[];

/* The key rope_scaling; config_rope.c. */
int config_read_rope_scaling(struct model_config *c, const json_t *config,
                             const struct config_key *k, struct err *e);
json_t *config_write_rope_scaling(const struct model_config *c, const struct config_key *k);

/* The double nearest to what a user would write for this float: 1e-05, not 9.99999974e-06. */
double config_short_real(double v);

#endif
