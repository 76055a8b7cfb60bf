/* Training options: schedule and budget, as flags, JSON keys and ledger columns. */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/param.h"
#include "data/order.h"

struct train_options {
    int64_t batch;      /* examples per role in a micro-batch */
    int64_t accumulate; /* micro-batches per optimiser step */
    double epochs;      /* of the anchor role's data */
    int64_t max_steps;  /* 0: by epochs */
    double lr;          /* peak learning rate */
    const char *schedule;
    int64_t warmup_steps;
    double warmup_epochs; /* added up to warmup_steps */
    double weight_decay;
    double clip;       /* L2 norm of the gradient; 0: off */
    bool rmu_clip_all; /* the norm is over all weights, also those that do not move */
    int64_t seed;
    const char *order, *write_order;
    const char *memory_limit; /* a size; NULL: what is there */
    bool recompute;           /* layers, in the backward */
    bool share_prefixes;      /* of the sequences of a micro-batch: computed once */
    int64_t keep_states;      /* MiB of hidden states of frozen models */
    int64_t save_every;       /* steps between checkpoints; 0: only when interrupted */
    bool resume;
};

extern const struct param train_params[];

/* Micro-batches of one step: `accumulate`, or all of an epoch that has fewer, as in Hugging Face's
 * Trainer: one short step per epoch, with means over its own data. */
int train_accumulate(const struct train_options *o, const struct order *d);
/* Optimiser steps: max(per_epoch / accumulate, 1) per epoch, as in Hugging Face's Trainer. Uses
 * only the epochs' lengths of `d`. */
long train_total_steps(const struct train_options *o, const struct order *d);
/* Epochs of an order with enough micro-batches for those steps. */
int train_order_epochs(const struct train_options *o, const struct order *d);
/* Learning rate of step s (0-based) of `total`: warm-up s/w, then linear to 0, cosine to 0, or
 * constant. */
double train_lr(const struct train_options *o, long s, long total, const struct order *d);

#endif
