/* The composition of micro-batches. One micro-batch is a list of example numbers per role;
 * files hold one JSON object a line: {"forget": [3, 1], "retain": [7, 7]}.
 *
 * Drawn as a PyTorch loader with seed s draws them: epoch e visits the anchor role in the
 * permutation of MT19937(s + e); every other role is drawn uniformly with replacement from
 * MT19937(s), which also loses two u32 when an epoch starts (spec: data_and_training.md section 5),
 * and those that others take from it.
 */
#ifndef DATA_ORDER_H
#define DATA_ORDER_H

#include <stdbool.h>

#include "base/err.h"
#include "data/dataset.h"

struct micro {
    int *rows[ROLE_COUNT]; /* owned example numbers, NULL where the role is absent */
    int n[ROLE_COUNT];
};

struct order {
    struct micro *micro; /* owned */
    int n;
    int per_epoch; /* micro-batches in one epoch; n if read from a file */
    int turns;     /* the epochs 0, 2 .. 2 (turns - 1) are of other data, and of per_turn */
    int per_turn;
};

/* Pairing of a role with another, example by example, as alternate answers. */
struct pairing {
    enum role of;
    int pool;  /* its examples i * pool .. + pool - 1 belong to example i of that role, and one of
                  them is drawn; 0: not paired, 1: no draw is needed */
    int times; /* draws for each example */
};

/* counts[role] examples; 0 where absent. The anchor is shuffled, the others drawn to match it, but
 * those that `pairs` [ROLE_COUNT] lets follow; NULL: none does. The last micro-batch of an epoch
 * may be smaller. `taken`: numbers that the run takes from the stream of draws before its first
 * step, when the loader, a batch ahead, has drawn two micro-batches. */
int order_draw(struct order *o, const int counts[ROLE_COUNT], enum role anchor,
               const struct pairing *pairs, int batch, int epochs, unsigned seed, int taken,
               struct err *e);
/* The lengths of epochs that alternate: the first `turns` of even number have per_turn
 * micro-batches, the others of per_epoch, both rounded down to whole steps of `accumulate`. */
int order_shape_turns(struct order *o, int turns, int per_turn, int per_epoch, int accumulate,
                      struct err *e);
/* Lets the epochs of two orders alternate in the lengths that *o has. Their micro-batches are
 * moved. */
int order_take_turns(struct order *o, struct order *first, struct order *then, int epochs,
                     struct err *e);
/* The epoch of micro-batch k, which may lie beyond the order's end; the first micro-batch of an
 * epoch; whether an epoch is one of the turns. */
int order_epoch(const struct order *o, int k);
int order_epoch_start(const struct order *o, int epoch);
bool order_is_turn(const struct order *o, int epoch);
/* Refuses unknown roles, and example numbers beyond counts[role], naming the line. Rows of a role
 * with a count that `used` [ROLE_COUNT] leaves out are checked, and not taken; NULL: all are used.
 */
int order_read(struct order *o, const char *path, const int counts[ROLE_COUNT], const bool *used,
               struct err *e);
int order_write(const struct order *o, const char *path, struct err *e);
void order_fini(struct order *o);

#endif
