/* How OpenMP's threads wait for one another. libgomp lets them spin for about 3 ms, which is
 * fastest on an idle machine; where other processes want the cores too, a spinning thread takes a
 * core from the thread it waits for, and every operation costs a slice of the scheduler. So a
 * monitor counts how often this process is put aside: where that happens often, the threads sleep
 * while they wait, until the cores are free again. A user who sets OMP_WAIT_POLICY or
 * GOMP_SPINCOUNT decides alone. */
#ifndef BASE_WAITING_H
#define BASE_WAITING_H

#include <stdbool.h>

/* What the monitor knows after each tenth of a second. */
struct waiting {
    long switches; /* involuntary context switches of the process so far */
    int calm;      /* ticks in a row without contention */
    bool shared;   /* the cores are shared with others: sleep */
};

/* The next tick, given the switches so far: one tick with many switches is enough to share, and
 * five calm ones to stop sharing. */
void waiting_tick(struct waiting *w, long switches);

/* Starts the monitor, for the rest of the process. To be called before the first parallel region.
 * Does nothing where it cannot help: one thread, limited address space, the user's own choice. */
void waiting_start(void);

#endif
