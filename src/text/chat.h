/* Chat rendering: messages to the prompt format of a model. The checkpoint's chat template is run
 * (jinja.h); for one without there are built-in templates by name (chat_rows.c) and the user's
 * tags. Message contents are tracked separately from the template's text, so that special tokens in
 * a message stay plain text.
 */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/jinja.h"
#include "text/tokenizer.h"

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_ROLES };

/* A built-in template. */
struct chat_row {
    const char *name, *alias; /* alias: further names, separated by spaces; or NULL */
    const char *jinja;        /* after chat_prelude */
    const char *end_token;    /* ends a turn, "{eos}": the tokenizer's; NULL: only text does */
};

/* User options; NULL fields: the checkpoint's. */
struct chat_choice {
    const char *template; /* a row, or one of the checkpoint's; "none": plain text */
    const char *date;     /* today's date for templates that print it: "26 Jul 2024" */
    const char *tags[CHAT_ROLES], *ends[CHAT_ROLES]; /* instead of the row's; {bos} and {eos} */
};

/* A template prepared for one tokenizer. */
struct chat {
    const char *name;     /* of its row, or "its own"; NULL: no template, plain text */
    bool own;             /* the checkpoint's */
    struct jinja *jinja;  /* owned */
    json_t *vars;         /* owned: special tokens, tags, date_string */
    const char *date;     /* borrowed; NULL: the user names none */
    char *end;            /* owned: the token that ends every turn, or NULL */
    bool system_turn;     /* a system message is a turn like others */
    bool system_unlearnt; /* it is rendered only while the last question is unanswered */
};

extern const char chat_prelude[];
const struct chat_row *chat_by_name(const char *name, struct err *e);
const struct chat_row *chat_row_at(int i); /* NULL: past the last */
const struct chat_row *chat_row_tags(void);

/* The chosen template, or the tokenizer's. On failure nothing is left to close. */
int chat_open(struct chat *c, const struct tokenizer *t, const struct chat_choice *choice,
              struct err *e);
void chat_close(struct chat *c);
/* The token that ends every turn ("<|im_end|>"); NULL where turns end in plain text. */
const char *chat_end_token(const struct chat *c);
/* Whether a system message is a separate turn. */
bool chat_has_system_turn(const struct chat *c);
/* The row that renders as the tokenizer's own template does, "its own" if none does; NULL: it has
 * no template. One that cannot be read is "not readable". */
const char *chat_name_of(const struct tokenizer *t);

/* Appends the rendering. `generation_prompt` opens the assistant's turn at the end. */
int chat_render(const struct chat *c, const struct message *m, int n, bool generation_prompt,
                struct chat_text *out, struct err *e);
/* Appends text of a message, not of the template. */
int chat_text_add(struct chat_text *out, const char *content, struct err *e);
void chat_text_clear(struct chat_text *out);
void chat_text_fini(struct chat_text *out);

#endif
