/* Words of texts in any script. The text is normalised (NFKC after full case folding);
 * a word is then a run of letters, marks and digits (Unicode categories L, M, N), but every letter
 * of a script that is written without spaces between words (Chinese, Japanese, Thai, Lao, Khmer,
 * Burmese ...) is a word of its own, with the marks that follow it. Nothing is stemmed.
 */
#ifndef EVAL_WORDS_H
#define EVAL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Appends the words of valid UTF-8 text[0..n), each followed by a NUL; their number, or -1. */
int words_unicode(const char *text, size_t n, struct buf *out, struct err *e);
/* Whether most letters and digits of the text are not a-z, A-Z or 0-9, so that metrics with only
 * those (ROUGE, repetition) ignore most of it. */
bool words_are_unseen(const char *text, size_t n);

#endif
