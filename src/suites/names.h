/* Names in recipes: which of those that there are is meant, and what an unknown one may have meant.
 */
#ifndef SUITES_NAMES_H
#define SUITES_NAMES_H

#include <jansson.h>

#include "base/err.h"

/* Fails: "unknown WHAT 'NAME': did you mean 'NEAR'?" */
int names_unknown(const char *what, const char *name, const char *const *names, int n,
                  struct err *e);
/* The index of `name`, or -1 and that error. */
int names_find(const char *what, const char *name, const char *const *names, int n, struct err *e);
/* All keys of the object are among the names. */
int names_check_keys(const json_t *object, const char *const *names, int n, struct err *e);
#define NAMES_CHECK_KEYS(object, names, e)                                                         \
    names_check_keys(object, names, (int)(sizeof names / sizeof *names), e)

#endif
