/* Chat rendering: messages to the text a model was tuned on. The checkpoint's own template is run
 * (jinja.h); for one that has none there are templates by name (chat_rows.c) and the user's tags.
 * What a message holds is kept apart from what the template writes, so that special tokens in a
 * message stay plain text.
 */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/jinja.h"
#include "text/tokenizer.h"

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_ROLES };

/* A template by name. */
struct chat_row {
    const char *name, *alias; /* alias: further names, separated by spaces; or NULL */
    const char *jinja;        /* after chat_prelude */
    const char *end_token; /* ends a turn, "{eos}": the tokenizer's; NULL: nothing but text does */
};

/* What a user may ask for; NULL fields: what the checkpoint says. */
struct chat_choice {
    const char *template; /* a row, or one of the checkpoint's; "none": text as it is */
    const char *date;     /* of today, where a template tells it: "26 Jul 2024" */
    const char *tags[CHAT_ROLES], *ends[CHAT_ROLES]; /* instead of the row's; {bos} and {eos} */
};

/* A template made ready for one tokenizer. */
struct chat {
    const char *name;     /* of its row, or "its own"; NULL: no conversation, text as it is */
    bool own;             /* the checkpoint's */
    struct jinja *jinja;  /* owned */
    json_t *vars;         /* owned: special tokens, tags, date_string */
    const char *date;     /* borrowed; NULL: the user names none */
    char *end;            /* owned: the token that ends every turn, or NULL */
    bool system_turn;     /* a system message is a turn like others */
    bool system_unlearnt; /* it is shown only as long as the last question is unanswered */
};

extern const char chat_prelude[];
const struct chat_row *chat_by_name(const char *name, struct err *e);
const struct chat_row *chat_row_at(int i); /* NULL: past the last */
const struct chat_row *chat_row_tags(void);

/* The chosen template, or the tokenizer's. On failure nothing is left to close. */
int chat_open(struct chat *c, const struct tokenizer *t, const struct chat_choice *choice,
              struct err *e);
void chat_close(struct chat *c);
/* The token that ends every turn ("<|im_end|>"); NULL where turns are told apart by plain text. */
const char *chat_end_token(const struct chat *c);
/* Whether a system message is a turn of its own here. */
bool chat_has_system_turn(const struct chat *c);
/* The row that renders as the tokenizer's own template does, "its own" if none does; NULL: it has
 * no template. One that cannot be read is "not readable". */
const char *chat_name_of(const struct tokenizer *t);

/* Appends the rendering. `generation_prompt` opens the assistant's turn at the end. */
int chat_render(const struct chat *c, const struct message *m, int n, bool generation_prompt,
                struct chat_text *out, struct err *e);
/* Appends text that is a message's, not the template's. */
int chat_text_add(struct chat_text *out, const char *content, struct err *e);
void chat_text_clear(struct chat_text *out);
void chat_text_fini(struct chat_text *out);

#endif
