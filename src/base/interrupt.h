/* Interruption of long work: a signal handler sets a flag, which is checked between two steps.
 */
#ifndef BASE_INTERRUPT_H
#define BASE_INTERRUPT_H

#include <signal.h>

#include "base/err.h"

/* Fails if the flag is set; NULL never is. */
static inline int interrupt_check(const volatile sig_atomic_t *flag, struct err *e)
{
    return flag && *flag ? err_set(e, "interrupted") : 0;
}

#endif
