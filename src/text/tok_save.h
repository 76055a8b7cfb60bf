/* What the writer of tokenizer.json is made of. New references; NULL when memory runs out. */
#ifndef TEXT_TOK_SAVE_H
#define TEXT_TOK_SAVE_H

#include <jansson.h>

struct tokenizer;

json_t *tok_normal_json(const struct tokenizer *t);
json_t *tok_pretok_json(const struct tokenizer *t);
json_t *tok_decoder_json(const struct tokenizer *t);

#endif
