/* What the process needs before any command runs. */
#ifndef CLI_START_H
#define CLI_START_H

/* Threads that wait for others must not spin: beside other processes each would keep a core from
 * the thread it waits for. Starts the program again, once, with GOMP_SPINCOUNT=3000, unless the
 * user or the first start has set how threads wait. To be called before anything is read or
 * written. */
void start_again(char **argv);

/* A file that grows beyond `ulimit -f` is an error of its writer, not the process's death; control
 * characters in what is printed on a terminal are escaped (base/escape.h). */
void start_process(void);

#endif
