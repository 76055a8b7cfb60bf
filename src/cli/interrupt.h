/* Ctrl-C and its like, for commands that can go on later. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>

#include "base/interrupt.h"

/* From now on SIGINT, SIGTERM, SIGHUP (unless it is ignored, as by nohup) and SIGPIPE set the flag
 * that is returned. Half a second after the first signal another SIGINT or SIGTERM kills. */
const volatile sig_atomic_t *interrupt_catch(void);

#endif
