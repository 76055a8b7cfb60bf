#include "train/term.h"

#include <math.h>

const char *const view_name[] = {
    [VIEW_LOGP] = "logp", [VIEW_LOGITS] = "logits", [VIEW_HIDDEN] = "hidden"};
const char *const helper_name[HELPER_COUNT] = {"reinforced", "expert", "novice", "new"};

bool term_looks_at(const struct term *t, const void *params, enum helper helper)
{
    if (helper == HELPER_NEW)
        return t->wants_gap && t->wants_gap(params);
    return t->helpers & HELPER_BIT(helper);
}

void view_add_dnll(struct view *v, const double *g)
{
    for (int r = 0; r < v->n_rows; r++)
        v->dlogp[r] -= (float)g[v->row_seq[r]];
}

double log_sigmoid(double s)
{
    return s > 0 ? -log1p(exp(-s)) : s - log1p(exp(s));
}

double sigmoid(double s)
{
    return s > 0 ? 1 / (1 + exp(-s)) : exp(s) / (1 + exp(s));
}
