/* Errors. A library function that can fail returns 0 or -1 (or NULL) and fills `struct err *e`, its
 * last parameter. Messages are lower case, without a full stop, name the thing in quotes and say
 * what to do: cannot open 'x.gguf': no such file or directory. Only cli/ prints them and exits.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdio.h>
#include <stdlib.h>

struct err {
    char msg[512];
};

/* Each returns -1, so that `return err_set(e, ...)` both reports and fails. */
int err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, with ": " and the text of errno appended. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts text in front of the message that is there: err_prefix(e, "row %d: ", 3). */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Our own bugs abort, also in release. Never used on what a user or a file gave us. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (cond) {                                                                                \
            fprintf(stderr, "bug: %s:%d: %s\n", __FILE__, __LINE__, #cond);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
