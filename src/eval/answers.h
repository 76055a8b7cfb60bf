/* Texts of generated answers: where generation stops, and what is scored of them. */
#ifndef EVAL_ANSWERS_H
#define EVAL_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Cleaning of decoded text before it is scored: spaces from the tokenizer's decoder, the answer of
 * a conversation, truncation at stop words. Texts are NUL-terminated UTF-8 and only get shorter, so
 * all functions work in place. Source: spec metrics.md section 2.
 */

/* " ." -> "." and the like: punctuation and English contractions. */
void text_tidy_spaces(char *text);
/* Every `from` becomes `to`, which is no longer; an empty `from` changes nothing. */
void text_replace(char *text, const char *from, const char *to);
/* Removes every occurrence of `part`; an empty part changes nothing. */
void text_remove(char *text, const char *part);
/* Bytes of the white space at s, Unicode's included; 0 if there is none. */
size_t text_space(const char *s);
/* Removes leading and trailing white space, Unicode's included, as Python's strip(). */
void text_strip(char *text);

/* The text in lower case, character by character; owned by the caller, NULL for lack of memory. */
char *text_lower(const char *text, struct err *e);

/* The answer: the whole conversation without the input, stripped. */
void text_ground_truth(char *whole, const char *input);
/* Truncates at the first occurrence of each stop word, in list order, then strips. The list ends
 * with NULL (NULL: no stop words); its first entry is usually the text of the end-of-sequence
 * token. */
void text_cut_generation(char *text, const char *const *stops);

/* Stop strings: generation works on ids, a stop string is text that may start inside one token and
 * end in another. After every token the tail of the answer, as long as a stop string can reach, is
 * decoded and searched.
 */

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
