/* Answer preservation (arXiv 2410.08109): on retain prompts the right answer must stay likelier
 * than the refusal that is learnt elsewhere,
 *   -(1/beta) mean_b log sigmoid(beta (A_b - L_b)),
 * L_b and A_b the sequence sums of -log p over the labels of the answer and of its alternate. The
 * mean is over pairs; there is no reference. */
#include "objectives/terms.h"

#include "base/mem.h"

struct preserve {
    double beta;
};

static const struct param params[] = {
    {"beta", PARAM_REAL, offsetof(struct preserve, beta), 1e-6, 100, NULL, "0.1", NULL,
     "inverse temperature: how soon a pair counts as kept"},
    {0},
};

static int preserve(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    const struct preserve *p = params_;
    struct view *answer = views[0], *alternate = views[1];
    if (answer->n_seqs != alternate->n_seqs)
        return err_set(e, "term 'preserve' needs an alternate for each answer, not %d for %d",
                       alternate->n_seqs, answer->n_seqs);
    double *g = mem_alloc((size_t)answer->n_seqs, sizeof *g, e);
    if (!g)
        return -1;
    for (int b = 0; b < answer->n_seqs; b++) {
        double s = p->beta * (alternate->nll[b] - answer->nll[b]);
        *loss -= log_sigmoid(s) / (p->beta * answer->mean_seqs);
        g[b] = sigmoid(-s) / answer->mean_seqs;
    }
    view_add_dnll(answer, g);
    for (int b = 0; b < answer->n_seqs; b++)
        g[b] = -g[b];
    view_add_dnll(alternate, g);
    free(g);
    return 0;
}

const struct term term_preserve = {
    .name = "preserve",
    .paper = "arXiv 2410.08109",
    .formula = "-(1/beta) mean_b log sigmoid(beta (A_b - L_b)), L_b, A_b = sums of -log p over the "
               "answer and its alternate",
    .kind = VIEW_LOGP,
    .n_views = 2,
    .params = params,
    .params_size = sizeof(struct preserve),
    .loss = preserve,
};
