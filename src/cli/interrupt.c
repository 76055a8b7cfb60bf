#include "cli/interrupt.h"

#include <stdint.h>
#include <time.h>

/* `timeout` signals its child and then its whole group, which the child is in: within this time two
 * signals are one. */
enum { SAME_MS = 500 };

static volatile sig_atomic_t stopped;
static volatile int64_t first_ms; /* written once, before `stopped` */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Of a terminal that is closed several signals come, and each line that is written to a closed pipe
 * is one more: SIGHUP and SIGPIPE never kill what is being saved. */
static void on_signal(int sig)
{
    if (!stopped) {
        first_ms = now_ms();
        stopped = 1;
    } else if ((sig == SIGINT || sig == SIGTERM) && now_ms() - first_ms > SAME_MS) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
}

const volatile sig_atomic_t *interrupt_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction old, s = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&s.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        /* nohup ignores SIGHUP, so that the run outlives its terminal. */
        const bool ignored = !sigaction(signals[i], NULL, &old) && old.sa_handler == SIG_IGN;
        if (!ignored || signals[i] == SIGINT || signals[i] == SIGTERM)
            sigaction(signals[i], &s, NULL);
    }
    return &stopped;
}
