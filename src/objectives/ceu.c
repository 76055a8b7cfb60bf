/* Cross-entropy unlearning, CE-U (arXiv 2503.01224): distil the model's own distribution without
 * the label,
 *   mean over rows of -sum_v q log p,  q = softmax(z with z[label] = -inf), a constant.
 * The mean is over scored rows, without the first few of each sequence. */
#include "objectives/terms.h"

#include <math.h>

struct ceu {
    int64_t ignore_first_n_answer_tokens;
};

static const struct param params[] = {
    INT_PARAM(struct ceu, ignore_first_n_answer_tokens, 0, 1 << 20, 1,
              "number of labels to ignore at the start of each answer"),
    {0},
};

static int skip(const void *params_)
{
    return (int)((const struct ceu *)params_)->ignore_first_n_answer_tokens;
}

static double row(const void *params_, const struct logit_row *r)
{
    (void)params_;
    return row_soft_target(r, r->z, r->label, INFINITY);
}

const struct term term_ceu = {
    .name = "ceu",
    .paper = "arXiv 2503.01224",
    .formula = "mean over rows of -sum_v q log p, q = softmax(z with z[label] = -inf), a constant",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct ceu),
    .logits = {.row = row, .skip = skip},
};
