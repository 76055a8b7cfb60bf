/* UTF-8 as the Unicode standard defines it: no overlong forms, no surrogates, nothing past
 * U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Bytes of the well-formed character at s[0..n), n > 0; 0 if there is none. */
size_t utf8_char(const char *s, size_t n);
/* Whether all of s[0..n) is well formed; if not, *bad (may be NULL) is the offset of the first bad
 * byte. */
bool utf8_valid(const char *s, size_t n, size_t *bad);
/* Appends s[0..n), each maximal ill-formed part replaced by U+FFFD (Unicode 15, section 3.9, the
 * practice of Python and Rust). */
int utf8_clean(struct buf *out, const char *s, size_t n, struct err *e);

#endif
