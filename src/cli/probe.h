/* Forms of `unlearn probe` that read a model or given features without a method.
 */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include "run/setup.h"

struct probe_options {
    const char *ref, *reinforced, *batch, *out, *locate;
    const char *linear, *span, *noise;
    int64_t classes, train, answer;
    double c;
    const char *role;
    double clip;
    bool overwrite, rmu_clip_all, lens, trace, input_grad, dp;
};

/* A model, and the batch's rows of a role. */
struct probe_given {
    struct setup s;
    struct dataset d;
};

/* Of the batch that the options name, which must have labels if `labelled`; `g` is zeroed,
 * probe_close due in every case. */
int probe_open(struct probe_given *g, const struct setup_options *so, const struct probe_options *o,
               enum role role, bool labelled, struct err *e);
void probe_close(struct probe_given *g);

/* One tensor of a result. */
struct probe_tensor {
    char name[48];
    enum dtype dtype;
    int64_t shape[3];
    int n_dims;
    const void *data; /* borrowed */
};

int probe_write(const struct probe_tensor *v, int n, const char *path, struct err *e);

/* Logit lens of the batch: what each layer predicts, to o->out. */
int probe_lens(const struct setup_options *so, const struct probe_options *o, struct err *e);
/* The gradient with respect to the input embeddings of the batch's role, to o->out. */
int probe_input(const struct setup_options *so, const struct probe_options *o, struct err *e);
/* DP-SGD on the batch: each row's gradient norm and factor, and the clipped sum, to o->out. */
int probe_private(const struct setup_options *so, const struct probe_options *o, struct err *e);
/* Causal tracing of the batch's first row, to o->out. */
int probe_trace(const struct setup_options *so, const struct probe_options *o, struct err *e);
/* Logistic regression on the features of o->linear, to o->out. */
int probe_linear(const struct setup_options *so, const struct probe_options *o, struct err *e);

#endif
