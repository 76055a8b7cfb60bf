/* Chat rendering: messages to the text a model was tuned on. One row of a table per family of
 * templates (chat_families.c), recognised by marks in the checkpoint's Jinja text; the Jinja itself
 * is never run. A rendering equals that of the family's public template.
 *
 * Strings of a family may hold {bos}, {eos} and {date}. What a message says is kept apart from what
 * the template says, so that special tokens in a message stay plain text.
 */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/tokenizer.h"

struct message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8, no NUL */
};

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_ROLES };

/* Where the system message goes. */
enum chat_system {
    SYSTEM_TURN,  /* a turn like the others */
    SYSTEM_FIRST, /* into the first user's turn, in front of what is asked */
    SYSTEM_LAST,  /* ... into the last message if that is the user's, else nowhere */
    SYSTEM_NONE   /* there is no place for it */
};

enum chat_rule {
    TRIM_SYSTEM = 1 << 0, /* white space around the content is cut off */
    TRIM_USER = 1 << 1,
    TRIM_ASSISTANT = 1 << 2,
    TRIM_JOINED = 1 << 3,   /* a user's turn is trimmed with the system text in front of it */
    ALTERNATE = 1 << 4,     /* turns are user, assistant, user ... or refused */
    SKIP_EMPTY = 1 << 5,    /* an empty system turn is left out */
    ENTER_THINKING = 1 << 6 /* an answer that ends the conversation follows empty thoughts */
};

struct chat_tag {
    const char *open, *close;
};

struct chat_family {
    const char *name, *alias; /* alias: further names, separated by spaces */
    const char *marks[4];     /* all of them are in the Jinja text ... */
    const char *strangers[4]; /* ... and none of these, which do what the row does not */
    enum chat_system system;
    unsigned rules;                   /* bits of enum chat_rule */
    const char *begin, *end;          /* around all; `end` only where no turn is opened */
    struct chat_tag tags[CHAT_ROLES]; /* by role */
    const char *last_close;           /* of an answer that ends all; NULL: the assistant's tag */
    const char *generation;           /* opens the answer to come; NULL: the assistant's tag */
    const char *default_system;       /* the system turn unless the first message is one */
    const char *preface;              /* in front of the first system turn's content */
    const char *end_token;            /* ends a turn; NULL: turns are told apart by plain text */
};

/* What a user may ask for; NULL fields: what the checkpoint says. */
struct chat_choice {
    const char *template; /* a family, or "none": no conversation at all, text as it is */
    const char *date;     /* of today, where a template tells it: "26 Jul 2024" */
    const char *tags[CHAT_ROLES], *ends[CHAT_ROLES]; /* instead of the family's */
};

/* A family made ready for one tokenizer. */
struct chat {
    struct chat_family f; /* f.name NULL: no conversation, text as it is */
    char *bos, *eos;      /* owned; the texts behind {bos} and {eos}; NULL: there is none */
    const char *date;     /* borrowed */
};

/* A rendering, and which parts of it are the messages'. Start with zeros. */
struct chat_text {
    struct buf text;
    struct span *spans; /* owned [n], ascending: contents */
    size_t n, cap;
};

/* The family of this Jinja text; NULL and an error that lists the known ones if none fits. */
const struct chat_family *chat_recognise(const char *jinja, struct err *e);
const struct chat_family *chat_by_name(const char *name, struct err *e);

/* The chosen family, or that of the tokenizer's template. On failure nothing is left to close. */
int chat_open(struct chat *c, const struct tokenizer *t, const struct chat_choice *choice,
              struct err *e);
void chat_close(struct chat *c);
/* The token that ends every turn ("<|im_end|>"); NULL where turns are told apart by plain text. */
const char *chat_end_token(const struct chat *c);
/* Whether a system message is a turn of its own here. */
bool chat_has_system_turn(const struct chat *c);

/* Appends the rendering. `generation_prompt` opens the assistant's turn at the end. */
int chat_render(const struct chat *c, const struct message *m, int n, bool generation_prompt,
                struct chat_text *out, struct err *e);
/* Appends text that is a message's, not the template's. */
int chat_text_add(struct chat_text *out, const char *content, struct err *e);
void chat_text_clear(struct chat_text *out);
void chat_text_fini(struct chat_text *out);

#endif
