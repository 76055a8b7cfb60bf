/* What the process needs before any command runs. */
#ifndef CLI_START_H
#define CLI_START_H

/* A file that grows beyond `ulimit -f` is an error of its writer, not the process's death; control
 * characters in what is printed on a terminal are escaped (base/escape.h). */
void start_process(void);

#endif
