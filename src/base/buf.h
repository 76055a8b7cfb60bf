/* A growing byte string. Zero-initialise, append, free with buf_fini. Always NUL-terminated after
 * the first append; may hold NUL bytes inside (len counts them).
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

#include "base/err.h"

struct buf {
    char *data; /* owned */
    size_t len, cap;
};

int buf_add(struct buf *b, const void *bytes, size_t n, struct err *e);
int buf_str(struct buf *b, const char *s, struct err *e);
int buf_printf(struct buf *b, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends text in lines of at most `width` columns, broken at spaces, and words that are wider at
 * bars; a line that the buffer ends with is continued, further ones start with `indent` spaces.
 * Widths count code points; a word that is wider has a line of its own. */
int buf_wrap(struct buf *b, const char *text, int indent, int width, struct err *e);
/* Code points of s[0..n). */
int buf_columns(const char *s, size_t n);
void buf_clear(struct buf *b); /* keeps the memory */
void buf_fini(struct buf *b);

#endif
