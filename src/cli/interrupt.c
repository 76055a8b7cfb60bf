#include "cli/interrupt.h"

#include <stddef.h>

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

/* Signals that end a run. Of a terminal that is closed several come, and each line that is written
 * to a closed pipe is one more: none of these may kill what is being saved. */
static const struct {
    int signal;
    bool once; /* the second one kills */
} signals[] = {{SIGINT, true}, {SIGTERM, true}, {SIGHUP, false}, {SIGPIPE, false}};

const volatile sig_atomic_t *interrupt_catch(void)
{
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction old,
            s = {.sa_handler = on_signal,
                 .sa_flags = SA_RESTART | (signals[i].once ? (int)SA_RESETHAND : 0)};
        sigemptyset(&s.sa_mask);
        /* nohup ignores SIGHUP, so that the run outlives its terminal. */
        bool ignored = !sigaction(signals[i].signal, NULL, &old) && old.sa_handler == SIG_IGN;
        if (signals[i].once || !ignored)
            sigaction(signals[i].signal, &s, NULL);
    }
    return &stopped;
}
