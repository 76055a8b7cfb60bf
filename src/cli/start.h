/* What the process needs: before any command runs, and of the signals it gets. */
#ifndef CLI_START_H
#define CLI_START_H

#include "base/err.h"

/* A file that grows beyond `ulimit -f` is an error of its writer, not the process's death; control
 * characters in what is printed on a terminal are escaped (base/escape.h); a mapped file that
 * becomes shorter, or whose disk fails, raises SIGBUS where it is read: from here on that is a
 * message which names the file, and status 1. */
void start_process(void);

/* For commands that can be resumed: from now on SIGINT, SIGTERM, SIGHUP (unless it is ignored, as
 * by nohup) and SIGPIPE set the flag that is returned. The first SIGINT or SIGTERM writes `doing`
 * at once to standard error, unless the log is quiet: what is being saved, and what another one
 * would lose; lines with their ends, in static memory. Half a second after the first signal another
 * SIGINT or SIGTERM kills. */
const volatile sig_atomic_t *interrupt_catch(const char *doing);
/* The exit status of a command that failed: 128 + the signal if one was caught (130: Ctrl-C), else
 * `status`. */
int interrupt_status(int status);

#endif
