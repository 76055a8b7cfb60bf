/* The order of rows of a training job: how long its epochs are, and whose data they go through.
 */
#ifndef RUN_ORDER_H
#define RUN_ORDER_H

#include "data/order.h"
#include "train/engine.h"
#include "train/options.h"

/* Draws the order that the engine's objectives and the options ask for, or reads its file. `pairs`
 * [ROLE_COUNT] as order_draw has them; of `turns` epochs only the forget terms' data are read, of
 * all others only the retain terms', 0: all are of both. */
int run_order_make(struct order *o, struct engine *g, const struct train_options *to,
                   const struct pairing *pairs, int turns, struct err *e);

#endif
