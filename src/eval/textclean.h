/* What is done to decoded text before it is scored: the spaces a tokenizer's decoder leaves, the
 * answer cut out of a conversation, and a generation cut at its stop words. Texts are
 * NUL-terminated UTF-8 and only get shorter, so all work is done in place. Source: spec metrics.md
 * section 2.
 */
#ifndef EVAL_TEXTCLEAN_H
#define EVAL_TEXTCLEAN_H

#include <stddef.h>

#include "base/err.h"

/* " ." -> "." and the like: punctuation and English contractions. */
void text_tidy_spaces(char *text);
/* Every `from` becomes `to`, which is no longer; an empty `from` changes nothing. */
void text_replace(char *text, const char *from, const char *to);
/* Takes every occurrence of `part` out; an empty part changes nothing. */
void text_remove(char *text, const char *part);
/* Bytes of the white space at s, Unicode's included; 0 if there is none. */
size_t text_space(const char *s);
/* Takes off leading and trailing white space, Unicode's included, as Python's strip(). */
void text_strip(char *text);

/* The text in lower case, character by character; owned by the caller, NULL for lack of memory. */
char *text_lower(const char *text, struct err *e);

/* The answer: the whole conversation without the input, stripped. */
void text_ground_truth(char *whole, const char *input);
/* Keeps what stands before the first of each stop word, in list order, then strips. The list ends
 * with NULL (NULL: no stop words); its first entry is usually the text of the end-of-sequence
 * token. */
void text_cut_generation(char *text, const char *const *stops);

#endif
