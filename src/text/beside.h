/* The JSON files that stand with a tokenizer in its directory, and what they call a special token.
 * As transformers reads them: with "added_tokens_decoder" in tokenizer_config.json that file alone
 * counts (here a key that it lacks is still taken from the other); without it
 * special_tokens_map.json goes over it, and added_tokens.json is read.
 */
#ifndef TEXT_BESIDE_H
#define TEXT_BESIDE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

/* Each owned; NULL: not there. */
struct beside {
    json_t *config, *map, *added; /* tokenizer_config, special_tokens_map, added_tokens */
    json_t *model, *generation;   /* the model's config.json and generation_config.json */
};

int beside_read(struct beside *b, const char *dir, struct err *e);
void beside_fini(struct beside *b);

/* tokenizer_config.json lists the added tokens. */
bool beside_has_list(const struct beside *b);
/* The value of a special token's key; NULL: in no file; it may be a JSON null. Borrowed. */
const json_t *beside_token(const struct beside *b, const char *key);
/* Calls one for every special token that is named, in transformers' order, with the key; null ones
 * are left out. */
int beside_each_named(const struct beside *b,
                      int (*one)(void *ctx, const char *key, const json_t *value, struct err *e),
                      void *ctx, struct err *e);
/* The texts that some key names special tokens, as keys of a new object that the caller owns. */
json_t *beside_names(const struct beside *b, struct err *e);
/* Warns of keys that change ids and are not understood, by name. */
void beside_warn(const struct beside *b);

#endif
