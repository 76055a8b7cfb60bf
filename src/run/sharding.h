/* Which examples a training run reads in which shard and slice, and which were deleted since: what
 * exact removal rests on (SISA, arXiv 1912.03817). Shards are contiguous, slices contiguous within
 * a shard; the last of each takes the remainder. Slice k of a shard is trained together with those
 * before it, for so many epochs that the work is that of plain training.
 *
 * An example keeps its number, the position, for ever: positions decide shard, slice, and the
 * batches of every epoch, and a deleted example leaves its batch one shorter. OUT/sisa.json holds
 *
 *     {"shards", "slices", "row": [row of the data file, of each position],
 *      "id": [SHA-256 of its ids and labels; null once it is deleted], "deleted": [positions]}
 */
#ifndef RUN_SHARDING_H
#define RUN_SHARDING_H

#include <stdbool.h>

#include "base/err.h"
#include "base/sha256.h"
#include "data/order.h"
#include "train/options.h"

struct sharding {
    int n, shards, slices;
    int *row;                /* owned [n] */
    char (*id)[SHA256_TEXT]; /* owned [n] */
    bool *deleted;           /* owned [n] */
};

/* Positions first .. end - 1. */
struct positions {
    int first, end;
};

/* So many positions, of which position i is row i, without ids. Refuses a division that leaves a
 * slice without rows. sharding_fini is due in every case. */
int sharding_init(struct sharding *l, int n, int shards, int slices, struct err *e);
/* The same of the examples of a data set, with their ids. */
int sharding_of(struct sharding *l, const struct dataset *d, int shards, int slices, struct err *e);
int sharding_read(struct sharding *l, const char *path, struct err *e);
/* From the file's object; what it refuses is freed. */
int sharding_parse(struct sharding *l, const json_t *all, struct err *e);
int sharding_write(const struct sharding *l, const char *path, struct err *e);
void sharding_fini(struct sharding *l);

struct positions sharding_shard(const struct sharding *l, int shard);
/* Slices 0..k of a shard: what is trained once slice k is added. */
struct positions sharding_slices(const struct sharding *l, int shard, int k);
/* Epochs of the training that begins when slice k is added, of `epochs` of plain training:
 * e = 2 epochs / (slices + 1), int((k + 1) e) - int(k e). */
int sharding_epochs(double epochs, int slices, int k);
/* The first slice of the shard with a deleted example that `before` [n] lacks (NULL: none was
 * deleted before); -1: none has. */
int sharding_restart(const struct sharding *l, int shard, const bool *before);
/* Examples that are left. */
int sharding_left(const struct sharding *l, struct positions s);

/* Deletes all examples of a row. Fails if there is no such row, or it is deleted already. */
int sharding_delete(struct sharding *l, int row, struct err *e);
/* The directories of the shards that have rows, if the run in `dir` has several: *members, owned
 * [*n], and each. *n = 0: it has one, or is no such run. Refuses a run with a model that has not
 * forgotten all that is deleted. */
int sharding_members(const char *dir, char ***members, int *n, struct err *e);
/* at [n]: the example of `d` that stands at each position, -1 if it is deleted. The data must be
 * those of the layout in their order; deleted ones may be missing. */
int sharding_match(const struct sharding *l, const struct dataset *d, int *at, struct err *e);

/* The micro-batches of a shard's whole training, by positions, deleted ones included; `slice_end`
 * [slices - 1]: the steps after which slices 0, 1 .. are done. to->order, if it is given, is read
 * where there is one shard of one slice. */
int sharding_order(const struct sharding *l, int shard, const struct train_options *to,
                   struct order *o, long *slice_end, struct err *e);
/* The first step of `accumulate` micro-batches that reads a deleted position which `before` [n]
 * does not have; the number of steps' worth of micro-batches if none does. */
long sharding_first_step(const struct sharding *l, const struct order *o, int accumulate,
                         const bool *before);
/* Positions become the examples `at` [n]; deleted ones leave. */
void sharding_apply(struct order *o, const int *at);

#endif
