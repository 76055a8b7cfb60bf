/* Control characters in texts that come from files or models: a terminal would obey them. Shown as
 * \xHH are C0 but for newline and tab, DEL, and C1 (U+0080 to U+009F) in UTF-8.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

/* Texts may come in pieces: state is 0 at first, and then what the call before left. Returns 0, or
 * EOF where the stream fails. */
int escape_write(FILE *to, const char *text, size_t n, int *state);
/* The same for a whole text, of which newlines are escaped too: one line stays one line. */
int escape_line(FILE *to, const char *text);
/* A line-buffered stream that passes on to the file descriptor with escapes; NULL: there is no
 * memory. */
FILE *escape_stream(int fd);

#endif
