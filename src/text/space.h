/* White space and word characters of UTF-8 text, as Unicode and Rust's libraries define them. */
#ifndef TEXT_SPACE_H
#define TEXT_SPACE_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of white space at the start and at the end of the valid UTF-8 s[0..n). */
size_t space_leading(const char *s, size_t n);
size_t space_trailing(const char *s, size_t n);
/* Whether the last character before `at`, or the one at it, belongs to a word (\w). */
bool word_before(const char *s, size_t at);
bool word_at(const char *s, size_t n, size_t at);

#endif
