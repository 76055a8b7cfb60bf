/* What a run needs of memory and disk, before it trains.
 */
#ifndef TRAIN_ROOM_H
#define TRAIN_ROOM_H

#include "train/loop.h"

/* A note of what a step holds in memory; n_arrays: of the optimiser and the wrapper. */
void room_note_memory(const struct trainer *t, int n_arrays);
/* Refuses a disk on which the model and the checkpoints that are due have no room; warns where a
 * checkpoint of an interrupted run has none. n_states: arrays in a checkpoint beside the weights;
 * resumed: one lies there already. */
int room_check_disk(const struct trainer *t, int n_states, bool resumed, struct err *e);

#endif
