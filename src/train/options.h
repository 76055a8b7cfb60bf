/* How long and how fast to train: schedule and budget, as flags, JSON keys and ledger columns. */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/param.h"
#include "data/order.h"

struct train_options {
    int64_t batch;      /* examples per role in a micro-batch */
    int64_t accumulate; /* micro-batches per optimiser step */
    double epochs;      /* of the anchor role */
    int64_t max_steps;  /* 0: as many as the epochs have */
    double lr;          /* the highest learning rate */
    const char *schedule;
    int64_t warmup_steps;
    double warmup_epochs; /* added up to warmup_steps */
    double weight_decay;
    double clip; /* L2 norm of the gradient; 0: off */
    int64_t seed;
    const char *order, *write_order;
    int64_t save_every; /* steps between checkpoints; 0: only when interrupted */
    bool resume;
};

extern const struct param train_params[];

/* Micro-batches of one step: `accumulate`, or all of an epoch where it has fewer, as HF: one short
 * step an epoch. Its means are over the data that are there. */
int train_accumulate(const struct train_options *o, const struct order *d);
/* Of `d` only the lengths of its epochs are looked at. Optimiser steps: max(per_epoch / accumulate,
 * 1) an epoch, as HF. */
long train_total_steps(const struct train_options *o, const struct order *d);
/* Epochs of an order that holds all the micro-batches those steps take. */
int train_order_epochs(const struct train_options *o, const struct order *d);
/* Learning rate of step s (0-based) of `total`: warm-up s/w, then linear to 0, cosine to 0, or
 * constant. */
double train_lr(const struct train_options *o, long s, long total, const struct order *d);

#endif
