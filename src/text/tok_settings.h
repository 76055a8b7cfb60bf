/* The settings files of a tokenizer's directory (JSON), and the special tokens that they name. As
 * in transformers, if tokenizer_config.json has "added_tokens_decoder", only that file is used
 * (except that here a missing key is taken from special_tokens_map.json); otherwise
 * special_tokens_map.json overrides it, and added_tokens.json is read.
 */
#ifndef TEXT_TOK_SETTINGS_H
#define TEXT_TOK_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

/* Each owned; NULL: no such file. */
struct tok_settings {
    json_t *config, *map, *added; /* tokenizer_config, special_tokens_map, added_tokens */
    json_t *model, *generation;   /* the model's config.json and generation_config.json */
};

int tok_settings_read(struct tok_settings *b, const char *dir, struct err *e);
void tok_settings_fini(struct tok_settings *b);

/* Whether tokenizer_config.json lists the added tokens. */
bool tok_settings_has_list(const struct tok_settings *b);
/* The value of a special token's key; NULL: in no file; may be a JSON null. Borrowed. */
const json_t *tok_settings_token(const struct tok_settings *b, const char *key);
/* Calls `one` for every named special token, in transformers' order, with the key; null values are
 * skipped. */
int tok_settings_each_named(const struct tok_settings *b,
                            int (*one)(void *ctx, const char *key, const json_t *value,
                                       struct err *e),
                            void *ctx, struct err *e);
/* The texts of named special tokens, as keys of a new object that the caller owns. */
json_t *tok_settings_names(const struct tok_settings *b, struct err *e);
/* Warns of unsupported keys that would change ids, by name. */
void tok_settings_warn(const struct tok_settings *b);

#endif
