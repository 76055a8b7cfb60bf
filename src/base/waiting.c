#include "base/waiting.h"

#include <omp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Measured a tick, on 2 cores: 0 to 12 alone; 27 to 680 with one busy process per core, where the
 * team works. */
enum { MANY_SWITCHES = 25, CALM_TICKS = 5, TICK_NS = 100000000 };

void waiting_tick(struct waiting *w, long switches)
{
    const bool many = switches - w->switches > MANY_SWITCHES;
    w->switches = switches;
    w->calm = many ? 0 : w->calm + 1;
    w->shared = many || (w->shared && w->calm < CALM_TICKS);
}

/* libgomp stops spinning while it manages more threads than there are cores, and asks at every
 * wait. A second team that sleeps, of as many threads as that takes, is the switch. */
struct spare {
    pthread_t team;
    sem_t done;
    int threads;
    bool there;
};

static void *sleep_until_done(void *of)
{
    struct spare *s = of;
#pragma omp parallel num_threads(s->threads)
    while (sem_wait(&s->done)) /* interrupted by a signal */
        ;
    return NULL;
}

static void spare_set(struct spare *s, bool wanted)
{
    if (wanted && !s->there)
        s->there = !pthread_create(&s->team, NULL, sleep_until_done, s);
    else if (!wanted && s->there) {
        for (int i = 0; i < s->threads; i++)
            sem_post(&s->done);
        pthread_join(s->team, NULL); /* its threads end with it, and are not counted any more */
        s->there = false;
    }
}

static void *monitor(void *of)
{
    struct spare *s = of;
    struct waiting w = {0};
    const struct timespec tick = {.tv_nsec = TICK_NS};
    for (;;) {
        struct rusage usage;
        nanosleep(&tick, NULL);
        if (getrusage(RUSAGE_SELF, &usage))
            return NULL;
        waiting_tick(&w, usage.ru_nivcsw);
        spare_set(s, w.shared);
    }
}

/* A thread that was woken runs the sooner the shorter its slice is (Linux 6.12 on; older ones
 * ignore it). It is inherited by all threads that this one starts, and takes no share of the
 * processor from others. */
static void shorten_slice(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {0};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) || a.policy)
        return;
    a.size = sizeof a;
    a.runtime = 100000; /* ns, the least */
    syscall(SYS_sched_setattr, 0, &a, 0);
}

void waiting_start(void)
{
    static struct spare spare;
    struct rlimit space;
    const int more = omp_get_num_procs() - omp_get_max_threads();
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || omp_get_max_threads() < 2)
        return;
    if (getrlimit(RLIMIT_AS, &space) || space.rlim_cur != RLIM_INFINITY ||
        sem_init(&spare.done, 0, 0))
        return;
    shorten_slice();
    spare.threads = more > 0 ? more + 2 : 2;

    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all); /* signals are for the thread that handles them by design: the first */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!pthread_create(&thread, NULL, monitor, &spare))
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
