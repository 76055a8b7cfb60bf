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

int folds_deal(const int *label, int n, int k, uint32_t seed, int *fold, struct err *e)
{
    int *order = shuffled(n, seed, RNG_ORDER, 0, e), labels = 0, dealt = 0;
    if (!order)
        return -1;
    for (int i = 0; i < n; i++)
        labels = label[i] < labels ? labels : label[i] + 1;
    for (int l = 0; l < labels; l++)
        for (int i = 0; i < n; i++)
            if (label[order[i]] == l)
                fold[order[i]] = dealt++ % k;
    free(order);
    return 0;
}

int folds_draw(const int *fold, int n, int f, int shots, uint32_t seed, int *pick, struct err *e)
{
    int *order = shuffled(n, seed, RNG_SAMPLE, f, e), drawn = 0;
    if (!order)
        return -1;
    for (int i = 0; i < n && drawn < shots; i++)
        if (fold[order[i]] != f)
            pick[drawn++] = order[i];
    free(order);
    return drawn == shots
               ? 0
               : err_set(e, "%d worked examples wanted, the other folds have %d", shots, drawn);
}
