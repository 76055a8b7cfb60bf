/* Cleaning of decoded text before it is scored: spaces from the tokenizer's decoder, the answer of
 * a conversation, truncation at stop words. Texts are NUL-terminated UTF-8 and only get shorter, so
 * all functions work in place. Source: spec metrics.md section 2.
 */
#ifndef EVAL_TEXTCLEAN_H
#define EVAL_TEXTCLEAN_H

#include <stddef.h>

#include "base/err.h"

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

#endif
