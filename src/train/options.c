#include "train/options.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>

#define OPT(f) offsetof(struct train_options, f)
const struct param train_params[] = {
    {"batch", PARAM_INT, OPT(batch), 1, 65536, NULL, "8", NULL,
     "examples per role in a micro-batch"},
    {"accumulate", PARAM_INT, OPT(accumulate), 1, 65536, NULL, "1", NULL,
     "micro-batches per optimiser step"},
    {"epochs", PARAM_REAL, OPT(epochs), 0.001, 100000, NULL, "5", NULL,
     "passes over the anchor role's data"},
    {"max_steps", PARAM_INT, OPT(max_steps), 0, 1e9, NULL, "0", NULL,
     "stop after N steps; 0: by epochs"},
    {"lr", PARAM_REAL, OPT(lr), 0, 10, NULL, "1e-5", NULL, "highest learning rate"},
    {"schedule", PARAM_CHOICE, OPT(schedule), 0, 0, "linear|constant|cosine", "linear", NULL,
     "learning rate after warm-up"},
    {"warmup_steps", PARAM_INT, OPT(warmup_steps), 0, 1e9, NULL, "0", NULL,
     "steps of linear warm-up"},
    {"warmup_epochs", PARAM_REAL, OPT(warmup_epochs), 0, 1e6, NULL, "0", NULL,
     "epochs of linear warm-up"},
    {"weight_decay", PARAM_REAL, OPT(weight_decay), 0, 10, NULL, "0.01", NULL,
     "decoupled; never on norms and biases"},
    {"clip", PARAM_REAL, OPT(clip), 0, 1e9, NULL, "1", NULL, "largest gradient norm; 0: off"},
    {"seed", PARAM_INT, OPT(seed), 0, 4294967295.0, NULL, "0", NULL, "of order, draws and noise"},
    {"order", PARAM_STRING, OPT(order), 0, 0, NULL, NULL, "FILE",
     "take the rows of every micro-batch from FILE (JSON Lines)"},
    {"write_order", PARAM_STRING, OPT(write_order), 0, 0, NULL, NULL, "FILE", "write them to FILE"},
    {"save_every", PARAM_INT, OPT(save_every), 0, 1e9, NULL, "0", NULL,
     "steps between checkpoints; 0: none"},
    {"resume", PARAM_BOOL, OPT(resume), 0, 0, NULL, NULL, NULL,
     "go on from the checkpoint in --out"},
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

/* Steps that so many epochs take, the last of which may be a part. */
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
