/* Commands as child processes of a command that does many: `unlearn run`, `unlearn sweep`. */
#ifndef CLI_CHILD_H
#define CLI_CHILD_H

#include <jansson.h>
#include <signal.h>

#include "base/err.h"

struct child {
    const char *command;
    const char *word;        /* NULL: none */
    const json_t *options;   /* {name: value}; nulls are left out */
    const char *const *more; /* further words of its command line, up to NULL; NULL: none */
    const char *log;         /* its messages are appended there; NULL: they are kept for errors */
    const char *output;      /* its standard output goes there; NULL: to *printed or nowhere */
    json_t **printed;        /* gets it as JSON, a new reference; NULL: not wanted */
    const volatile sig_atomic_t *stop; /* once it is set the child is interrupted; NULL: never */
};

/* Runs this program with that command line and waits. An error is the child's own, of the command's
 * name; ERR_INTERRUPTED: it was stopped, and can be resumed. */
int child_run(const struct child *c, struct err *e);

#endif
