/* Escapes control characters in texts of files or models, which a terminal would interpret. Written
 * as \xHH: C0 except newline and tab, DEL, and C1 (U+0080 to U+009F) in UTF-8.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stddef.h>
#include <stdio.h>

/* Texts may be written in pieces: *state is 0 at first and carried from call to call. Returns 0, or
 * EOF if the stream fails. */
int escape_write(FILE *to, const char *text, size_t n, int *state);
/* The same for a whole text, with newlines escaped too: the output is one line. */
int escape_line(FILE *to, const char *text);
/* A line-buffered stream that writes to the file descriptor with escapes; NULL: out of memory. */
FILE *escape_stream(int fd);

#endif
