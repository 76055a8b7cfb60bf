/* Porter's stemmer in the extended form of NLTK, as used by rouge_score.
 * Words are lower-case ASCII letters and digits; a digit counts as a consonant.
 * Rules: spec metrics.md section 2.1; M. F. Porter, An algorithm for suffix stripping, Program
 * 14(3), 1980.
 */
#ifndef EVAL_PORTER_H
#define EVAL_PORTER_H

#include <stddef.h>

/* Stems the n bytes of `word` in place and returns the new length, which is never longer. No NUL is
 * needed nor written. */
size_t porter_stem(char *word, size_t n);

#endif
