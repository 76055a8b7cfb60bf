/* Stop strings: generation works on ids, a stop string is text that may start inside one token and
 * end in another. After every token the tail of the answer, as long as a stop string can reach, is
 * decoded and searched.
 */
#ifndef EVAL_STOPS_H
#define EVAL_STOPS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Limits of one answer. */
struct answer_limit {
    int max_new_tokens;
    const char *const *stops; /* borrowed: it is cut before any of these, up to NULL; NULL: none */
};

/* Offset of the first stop string in text[0..n); n: there is none. Empty ones are ignored. */
size_t stops_find(const char *text, size_t n, const char *const *stops);

/* The context of stops_reached, all borrowed. */
struct stops {
    const struct answer_limit *limits; /* of each prompt */
    int samples;                       /* answers of each prompt; 0: one */
    /* Appends the text of the ids. */
    int (*decode)(void *ctx, const int *ids, int n, struct buf *out, struct err *e);
    void *ctx;
    bool failed; /* decoding failed: discard the generation; *e has the error */
    struct err *e;
};

/* The `token` callback of struct generate_options: true if the answer has its maximum of tokens or
 * holds a stop string. */
bool stops_reached(void *stops, int answer, const int *ids, int n);

/* Stop strings in one text, separated by bars: "\n\n|Question:". Backslash n is a newline,
 * backslash t a tab; before any other character a backslash escapes it. */
struct stop_list {
    char *text;     /* owned */
    const char **v; /* owned, up to NULL; pointing into the text */
};

/* Fails for a text without a stop string, and zeroes the list. */
int stop_list_parse(struct stop_list *list, const char *text, struct err *e);
void stop_list_fini(struct stop_list *list);

#endif
