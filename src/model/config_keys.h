/* The keys of a family's config.json, each with how it is read into a configuration and written out
 * of one. A family's list is part of its row (family.h).
 */
#ifndef MODEL_CONFIG_KEYS_H
#define MODEL_CONFIG_KEYS_H

#include <stddef.h>

#include "model/config.h"

struct config_key;

struct config_kind {
    /* From the whole of config.json; NULL: another key's reader uses it. */
    int (*read)(struct model_config *c, const json_t *config, const struct config_key *k,
                struct err *e);
    json_t *(*write)(const struct model_config *c, const struct config_key *k);
};

struct config_key {
    const char *name;
    const struct config_kind *kind;
    size_t at;     /* of the field in struct model_config */
    double preset; /* what a missing key means, for kinds of keys that need to be told */
};

/* config_kinds.c; rope_scaling: config_rope.c. */
extern const struct config_kind kind_dim, /* an int from 1 on, which must be there */
    kind_opt_dim,                         /* an int from 1 on */
    kind_bool, kind_real, kind_float,     /* fields of these types */
    kind_multiplier,                      /* a positive float; preset: where it is missing */
    kind_cap, kind_window,                /* null: none */
    kind_window_again, kind_act_again,    /* written with the key that was read */
    kind_use_window, kind_window_layers,  /* qwen's window */
    kind_act,                             /* the name of an activation */
    kind_attn_bias, kind_all_biases,      /* one key for several biases */
    kind_query_scalar,                    /* attn_scale ^ -2 */
    kind_rotary,                          /* the part of a head that is rotated */
    kind_fixed,                           /* true or false, as `preset` has it, or refused */
    kind_embed_width,                     /* refused if not the width */
    kind_layer_types,                     /* which layers have the window; a list */
    kind_no_rope,                         /* smollm3's list of layers with rope, and ... */
    kind_no_rope_again,                   /* ... their rule, read by the other */
    kind_one,                             /* refused if not 1 */
    kind_empty,                           /* a list that is refused if it holds anything */
    kind_nope_window,                     /* smollm3's window, in layers without rope */
    kind_rope_scaling, kind_full_scaling; /* of all layers; of those without a window */

/* Lists end with name NULL. */
extern const struct config_key llama_keys[], mistral_keys[], qwen2_keys[], qwen3_keys[],
    phi3_keys[], phi_keys[], gemma_keys[], gemma2_keys[], gemma3_keys[], olmo2_keys[], olmo3_keys[],
    smollm3_keys[], granite_keys[], gpt_neox_keys[], gpt2_keys[], opt_keys[], mixtral_keys[],
    qwen3_moe_keys[];

/* Whether config.json of the family has this key. */
bool config_has_key(const struct family *f, const char *name);

/* Refuses a checkpoint whose weights are quantised, with what to do (config_quantised.c). */
int config_quantised(const json_t *config, struct err *e);

/* Appends the keys of rope_scaling that its type does not read: "'rope_scaling.x' (2)". */
int config_rope_unread(const struct model_config *c, const json_t *scaling, struct buf *names,
                       struct err *e);

/* Pairs of a GGUF under its architecture's name: refuses one of another kind than is read, and
 * appends those that nothing reads and that may change numbers (config_gguf_pairs.c). */
int config_gguf_check(const struct tensor_file *f, const char *arch, struct err *e);
int config_gguf_unread(const struct tensor_file *f, const char *arch, struct buf *names,
                       struct err *e);

/* The double nearest to what a user would write for this float: 1e-05, not 9.99999974e-06. */
double config_short_real(double v);

#endif
