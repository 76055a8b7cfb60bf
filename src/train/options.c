#include "train/options.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>

const struct param train_params[] = {
    INT_PARAM(struct train_options, batch, 1, 65536, 8, "examples per role in a micro-batch"),
    INT_PARAM(struct train_options, accumulate, 1, 65536, 1, "micro-batches per optimiser step"),
    REAL_PARAM(struct train_options, epochs, 0.001, 100000, 5,
               "passes over the data of the forget term (of the retain term without one)"),
    INT_PARAM(struct train_options, max_steps, 0, 1e9, 0, "stop after N steps; 0: by epochs"),
    REAL_PARAM(struct train_options, lr, 0, 10, 1e-5, "peak learning rate"),
    CHOICE_PARAM(struct train_options, schedule, "linear|constant|cosine", "linear",
                 "learning rate schedule after warm-up"),
    INT_PARAM(struct train_options, warmup_steps, 0, 1e9, 0, "steps of linear warm-up"),
    REAL_PARAM(struct train_options, warmup_epochs, 0, 1e6, 0, "epochs of linear warm-up"),
    REAL_PARAM(struct train_options, weight_decay, 0, 10, 0.01,
               "decoupled weight decay; never of norms and biases"),
    REAL_PARAM(struct train_options, clip, 0, 1e9, 1, "maximum gradient norm; 0: no clipping"),
    COMPAT_PARAM(struct train_options, rmu_clip_all,
                 "gradients of weights that are not trainable count in that norm"),
    INT_PARAM(struct train_options, seed, 0, 4294967295.0, 0,
              "seed of the data order, sampling and noise"),
    STRING_PARAM(struct train_options, order, NULL, "FILE",
                 "read the rows of every micro-batch from FILE (JSON Lines)"),
    STRING_PARAM(struct train_options, write_order, NULL, "FILE",
                 "write the rows of every micro-batch to FILE"),
    STRING_PARAM(struct train_options, memory_limit, NULL, "SIZE",
                 "refuse a run that needs more (20G, 500MB); without it: more than there is"),
    BOOL_PARAM(struct train_options, recompute, false,
               "run each layer again in the backward instead of keeping what it computed: a third "
               "more time, a small part of the memory for activations, the same results"),
    BOOL_PARAM(struct train_options, share_prefixes, true,
               "compute a prefix that sequences of a micro-batch have in common once"),
    INT_PARAM(struct train_options, keep_states, 0, 1e9, 1024,
              "MiB for the states of frozen models, kept after their first use; 0: run them again"),
    INT_PARAM(struct train_options, save_every, 0, 1e9, 0,
              "save a checkpoint every N steps; 0: none"),
    BOOL_PARAM(struct train_options, resume, false,
               "resume from the checkpoint in the output directory"),
    {0},
};

int train_accumulate(const struct train_options *o, const struct order *d)
{
    return o->accumulate < d->per_epoch ? (int)o->accumulate : d->per_epoch;
}

static double whole_steps(const struct train_options *o, int micros)
{
    return fmax(1, (double)(micros / (long)o->accumulate));
}

/* Steps of so many epochs, the last of which may be partial. */
static double steps_of(const struct train_options *o, const struct order *d, double epochs)
{
    double each = whole_steps(o, d->per_epoch), steps = epochs * each;
    for (int k = 0; k < d->turns && 2 * k < epochs; k++)
        steps += fmin(epochs - 2 * k, 1) * (whole_steps(o, d->per_turn) - each);
    return steps;
}

long train_total_steps(const struct train_options *o, const struct order *d)
{
    return o->max_steps > 0 ? (long)o->max_steps : (long)ceil(steps_of(o, d, o->epochs));
}

int train_order_epochs(const struct train_options *o, const struct order *d)
{
    double micros = (double)train_total_steps(o, d) * train_accumulate(o, d);
    int epoch = 0;
    for (; epoch < 2 * d->turns && micros > 0; epoch++)
        micros -= order_is_turn(d, epoch) ? d->per_turn : d->per_epoch;
    return (int)fmin(epoch + ceil(fmax(0, micros) / d->per_epoch), INT_MAX);
}

double train_lr(const struct train_options *o, long s, long total, const struct order *d)
{
    double warm = (double)o->warmup_steps + floor(steps_of(o, d, o->warmup_epochs));
    if ((double)s < warm)
        return o->lr * (double)s / warm;
    double left = fmax(0, ((double)total - (double)s) / fmax(1, (double)total - warm));
    switch (param_choice("linear|constant|cosine", o->schedule)) {
    case 0:
        return o->lr * left;
    case 1:
        return o->lr;
    default:
        return o->lr * 0.5 * (1 + cos(M_PI * (1 - left)));
    }
}
