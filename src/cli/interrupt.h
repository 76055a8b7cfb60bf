/* Ctrl-C, for commands that can go on later. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include "base/interrupt.h"

/* From now on the first SIGINT or SIGTERM sets the flag that is returned; the second one kills. */
const volatile sig_atomic_t *interrupt_catch(void);

#endif
