/* Hand-written scanners for the patterns that most checkpoints cut words by. They know ASCII only
 * and give up where they see anything else; the regular expression then decides.
 */
#ifndef TEXT_SCAN_H
#define TEXT_SCAN_H

#include <stddef.h>

/* Bytes of the word that the pattern matches at the start of s[0..n), n > 0; 0: ask the regular
 * expression. */
typedef size_t scan_word(const char *s, size_t n);

/* The scanner of this pattern, or NULL. */
scan_word *scan_find(const char *pattern);

#endif
