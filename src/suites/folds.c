#include "suites/folds.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"

static int *shuffled(int n, uint32_t seed, enum rng_purpose purpose, int index, struct err *e)
{
    struct rng r;
    int *order = mem_alloc((size_t)n, sizeof *order, e);
    if (!order)
        return NULL;
    for (int i = 0; i < n; i++)
        order[i] = i;
    rng_stream(&r, seed, purpose, (uint32_t)index);
    rng_permutation(&r, order, n);
    return order;
}

static int count_labels(const int *label, int n)
{
    int labels = 0;
    for (int i = 0; i < n; i++)
        labels = label[i] < labels ? labels : label[i] + 1;
    return labels;
}

int folds_deal(const int *label, int n, int k, uint32_t seed, int *fold, struct err *e)
{
    int *order = shuffled(n, seed, RNG_ORDER, 0, e), labels = count_labels(label, n), dealt = 0;
    if (!order)
        return -1;
    for (int l = 0; l < labels; l++)
        for (int i = 0; i < n; i++)
            if (label[order[i]] == l)
                fold[order[i]] = dealt++ % k;
    free(order);
    return 0;
}

/* The first row left of those whose label was drawn least often; takes it from `order`, where -1
 * marks rows that are gone. -1: none is left. */
static int take_next(int *order, const int *label, int n, int *times)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (order[i] >= 0 && (best < 0 || times[label[order[i]]] < times[label[order[best]]]))
            best = i;
    if (best < 0)
        return -1;
    int row = order[best];
    order[best] = -1;
    times[label[row]]++;
    return row;
}

int folds_draw(const int *label, const int *fold, int n, int f, int shots, uint32_t seed, int *pick,
               struct err *e)
{
    int *order = shuffled(n, seed, RNG_SAMPLE, f, e), drawn = 0;
    int *times = order ? mem_alloc((size_t)count_labels(label, n), sizeof *times, e) : NULL;
    for (int i = 0; times && i < n; i++)
        if (fold[order[i]] == f)
            order[i] = -1;
    while (times && drawn < shots && (pick[drawn] = take_next(order, label, n, times)) >= 0)
        drawn++;
    int rc = times ? 0 : -1;
    free(times);
    free(order);
    return !rc && drawn < shots
               ? err_set(e, "%d worked examples wanted, the other folds have %d", shots, drawn)
               : rc;
}
