/* Forms of `unlearn probe` that read a model or given features without a method.
 */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include "run/setup.h"

struct probe_options {
    const char *ref, *reinforced, *batch, *out, *locate;
    const char *linear;
    int64_t classes, train;
    double c;
    const char *role;
    double clip;
    bool overwrite, rmu_clip_all, lens, input_grad, dp;
};

/* Logit lens of the batch: what each layer predicts, to o->out. */
int probe_lens(const struct setup_options *so, const struct probe_options *o, struct err *e);
/* The gradient with respect to the input embeddings of the batch's role, to o->out. */
int probe_input(const struct setup_options *so, const struct probe_options *o, struct err *e);
/* DP-SGD on the batch: each row's gradient norm and factor, and the clipped sum, to o->out. */
int probe_private(const struct setup_options *so, const struct probe_options *o, struct err *e);
/* Logistic regression on the features of o->linear, to o->out. */
int probe_linear(const struct setup_options *so, const struct probe_options *o, struct err *e);

#endif
