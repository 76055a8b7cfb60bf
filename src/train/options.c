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

static long steps_per_epoch(const struct train_options *o, int per_epoch)
{
    long n = per_epoch / (long)o->accumulate;
    return n > 0 ? n : 1;
}

long train_total_steps(const struct train_options *o, int per_epoch)
{
    if (o->max_steps > 0)
        return (long)o->max_steps;
    return (long)ceil(o->epochs * (double)steps_per_epoch(o, per_epoch));
}

int train_order_epochs(const struct train_options *o, int per_epoch)
{
    double micros = (double)train_total_steps(o, per_epoch) * (double)o->accumulate;
    return (int)fmin(ceil(micros / per_epoch), INT_MAX);
}

double train_lr(const struct train_options *o, long s, long total, int per_epoch)
{
    double warm =
        (double)o->warmup_steps + floor(o->warmup_epochs * (double)steps_per_epoch(o, per_epoch));
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
