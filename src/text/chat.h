/* Chat rendering: messages to the text a model was tuned on. One row of a table per template
 * family, recognised by marks in the checkpoint's Jinja text. Roles and contents are copied as they
 * are.
 */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8, no NUL */
};

struct chat_family; /* a row of the table */

/* The family of this Jinja text; NULL and an error that lists the known ones if none fits. */
const struct chat_family *chat_recognise(const char *jinja, struct err *e);
const struct chat_family *chat_by_name(const char *name, struct err *e);
const char *chat_name(const struct chat_family *f);
/* The token that ends every turn ("<|im_end|>"); NULL where turns are told apart by plain text. */
const char *chat_end_token(const struct chat_family *f);
/* Appends the rendering. `generation_prompt` opens the assistant's turn at the end. */
int chat_render(const struct chat_family *f, const struct message *m, int n, bool generation_prompt,
                struct buf *out, struct err *e);

#endif
