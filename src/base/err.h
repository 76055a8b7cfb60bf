/* Errors. A library function that can fail returns 0, or non-zero (or NULL) and fills `struct err
 * *e`, its last parameter: a code for programs, a text for people, and where an option could help
 * its subject. Messages are lower case, without a full stop, name the thing in quotes and
 * what is accepted: cannot open 'x.gguf': no such file or directory. They name things, not flags:
 * cli/advice.c adds the flag that belongs to the subject. Only cli/ prints them and exits.
 *
 * Non-zero is failure, so that steps chain: `return first(e) || second(e);`.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The numbers are stable: programs that link the library may rely on them. */
enum err_code {
    ERR_FAILED = 1,     /* none of the following */
    ERR_NO_MEMORY = 2,  /* out of memory */
    ERR_NO_FILE = 3,    /* no such file or directory */
    ERR_ACCESS = 4,     /* permission denied, read-only file system */
    ERR_NO_SPACE = 5,   /* disk full, quota or file size limit exceeded */
    ERR_BAD_FILE = 6,   /* a file's content is damaged, or not supported */
    ERR_ARGUMENT = 7,   /* an argument is wrong, or missing */
    ERR_NOT_FINITE = 8, /* a loss or gradient is NaN or infinite */
    ERR_BUSY = 9,       /* another process works on it */
    ERR_INTERRUPTED = 10
};

struct err {
    char msg[512];
    enum err_code code;
    const char *subject; /* borrowed, a constant: what is missing or wrong, as the parameter tables
                            call it ("forget", "max_length"); NULL: no option would help */
    char range[40];      /* accepted values: "0 to 2"; "": unknown */
};

/* Each returns -1, so that `return err_set(e, ...)` both reports and fails. */
int err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int err_code(struct err *e, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* ERR_ARGUMENT about a subject. */
int err_about(struct err *e, const char *subject, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Sets the subject of an existing error; its accepted values: first to last. */
int err_subject(struct err *e, const char *subject);
int err_range(struct err *e, long first, long last);
/* "out of memory (WHAT)"; what may be NULL. */
int err_no_memory(struct err *e, const char *what);
/* The text, ": " and that of errno, which gives the code. */
int err_sys(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* For wrappers with their own variable arguments. */
int err_vset(struct err *e, enum err_code code, const char *fmt, va_list ap);
/* Prepends to the message: err_prefix(e, "row %d: ", 3). */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets the code of an error that has none yet: err_class(e, ERR_BAD_FILE). */
int err_class(struct err *e, enum err_code code);

/* Interruption of long work: a signal handler or another thread sets a flag, which is checked
 * between two steps. Fails if it is set; NULL never is. */
static inline int interrupt_check(const volatile sig_atomic_t *flag, struct err *e)
{
    return flag && *flag ? err_code(e, ERR_INTERRUPTED, "interrupted") : 0;
}

/* Our own bugs abort, also in release. Never used on user input or file contents. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (cond) {                                                                                \
            fprintf(stderr, "bug: %s:%d: %s\n", __FILE__, __LINE__, #cond);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
