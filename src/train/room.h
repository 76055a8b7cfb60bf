/* Memory and disk that a run needs, estimated before training.
 */
#ifndef TRAIN_ROOM_H
#define TRAIN_ROOM_H

#include "train/loop.h"

/* Logs the memory of one step; n_arrays: arrays of the optimiser and the wrapper. */
void room_note_memory(const struct trainer *t, int n_arrays);
/* Fails if the disk has too little space for the model and its checkpoints; warns if it has too
 * little for the checkpoint of an interrupted run. n_states: arrays in a checkpoint besides the
 * weights; resumed: a checkpoint exists already. */
int room_check_disk(const struct trainer *t, int n_states, bool resumed, struct err *e);

#endif
