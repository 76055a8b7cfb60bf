/* Ending answers at texts: generation works on ids, a stop string is text that may begin inside one
 * token and end in another. After every token the end of the answer is decoded and searched: as
 * much as a stop string that the new token completes can reach back.
 */
#ifndef EVAL_STOPS_H
#define EVAL_STOPS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* How far one answer goes. */
struct answer_limit {
    int max_new_tokens;
    const char *const *stops; /* borrowed: it ends before any of these, up to NULL; NULL: none */
};

/* Where the first stop string begins in text[0..n); n: there is none. Empty ones are ignored. */
size_t stops_find(const char *text, size_t n, const char *const *stops);

/* The context of stops_reached, all borrowed. */
struct stops {
    const struct answer_limit *limits; /* of each prompt */
    int samples;                       /* answers of each prompt; 0: one */
    /* Appends the text of the ids. */
    int (*decode)(void *ctx, const int *ids, int n, struct buf *out, struct err *e);
    void *ctx;
    bool failed; /* decoding did, and what was generated is worth nothing; *e says why */
    struct err *e;
};

/* A `token` of struct generate_options: whether the answer has as many tokens as it may have, or
 * holds a stop string. */
bool stops_reached(void *stops, int answer, const int *ids, int n);

/* Stop strings in one text, between bars: "\n\n|Question:". A backslash and n is a new line, and t
 * a tab; before any other character it stands for that character. */
struct stop_list {
    char *text;     /* owned */
    const char **v; /* owned, up to NULL; pointing into the text */
};

/* Zeroed if it fails, which it does for a text without any stop string. */
int stop_list_parse(struct stop_list *list, const char *text, struct err *e);
void stop_list_fini(struct stop_list *list);

#endif
