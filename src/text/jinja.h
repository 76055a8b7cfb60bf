/* The subset of Jinja that chat templates use: compiled once, then rendered for every conversation.
 * The output equals that of transformers' apply_chat_template: jinja2's sandbox with
 * trim_blocks, lstrip_blocks and loopcontrols, {% generation %} without effect, its own tojson,
 * raise_exception and strftime_now.
 *
 * There are no files, imports or inheritance, and attributes are those of data. Unsupported
 * features (extends, import, recursive loops, HTML escaping, integers beyond 64 bits ...) are
 * refused by name with their line: statements when compiled, filters, tests and methods when they
 * are reached.
 *
 * Strings carry which of their bytes come from a message (struct chat_text's spans); the marks
 * survive concatenation, slices, strip, split, replace and so on.
 */
#ifndef TEXT_JINJA_H
#define TEXT_JINJA_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/tokenizer.h"

struct message {
    const char *role;    /* "system", "user", "assistant" or another role of the template */
    const char *content; /* UTF-8, no NUL */
};

/* A rendering, and the spans of it that come from messages. Start with zeros. */
struct chat_text {
    struct buf text;
    struct text_span *spans; /* owned [n], ascending: contents */
    size_t n, cap;
};

/* Variables of a rendering, all borrowed. Besides these, `tools` and `documents` are None. */
struct jinja_input {
    const json_t *vars;             /* an object; its strings count as the template's; or NULL */
    const struct message *messages; /* [n_messages]: `messages`; contents are marked, and
                                     * roles that are no words */
    int n_messages;
    bool generation_prompt; /* add_generation_prompt */
    const char *date;       /* of strftime_now: "26 Jul 2024" or "2024-07-26"; NULL: the former */
    long max_steps;         /* 0: the default limit */
};

struct jinja;

/* text[0..n) is UTF-8. Errors name the line. */
struct jinja *jinja_compile(const char *text, size_t n, struct err *e);
void jinja_free(struct jinja *j);
/* Appends the rendering. May be called by several threads at once. */
int jinja_render(const struct jinja *j, const struct jinja_input *in, struct chat_text *out,
                 struct err *e);

#endif
