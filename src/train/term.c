#include "train/term.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"

const char *const view_name[] = {
    [VIEW_LOGP] = "logp", [VIEW_LOGITS] = "logits", [VIEW_HIDDEN] = "hidden"};

/* Below this number of elements threads cost more time than they save. */
enum { WORTH_THREADS = SIZE(1 << 14, 4) };

bool term_uses_helper(const struct term *t, const void *params, const char *name)
{
    bool uses = t->wants_gap && t->wants_gap(params) && !strcmp(name, "new");
    for (int k = 0; k < TERM_MAX_HELPERS && !uses; k++)
        uses = t->helpers[k] && !strcmp(t->helpers[k], name);
    return uses;
}

static int sign_of(const struct term *t)
{
    return t->sign < 0 ? -1 : 1;
}

static int add_tokens(const struct term *t, const void *params, struct view *v, double *loss)
{
    for (int r = 0; r < v->n_rows; r++) {
        double count =
            t->mean == MEAN_OF_SEQS ? v->n_labels[v->row_seq[r]] * v->mean_seqs : v->mean_rows;
        double d, x = t->token(params, (double)v->logp[r], &d);
        *loss += sign_of(t) * x / count;
        v->dlogp[r] += (float)(sign_of(t) * d / count);
    }
    return 0;
}

/* L_b = -sum logp: each row of b, the first of which is *row, gets -d. */
static void add_dnll(struct view *v, int b, double d, int *row)
{
    for (; *row < v->n_rows && v->row_seq[*row] == b; ++*row)
        v->dlogp[*row] -= (float)d;
}

static double alternates_gain(const struct view *alternate)
{
    double sum = 0;
    for (int b = 0; b < alternate->n_seqs; b++)
        sum += (alternate->ref_nll[b] - alternate->nll[b]) / alternate->n_seqs;
    return sum;
}

static int add_seqs(const struct term *t, const void *params, struct view *const *views,
                    double *loss, struct err *e)
{
    struct view *v = views[0], *alternate = t->n_views > 1 ? views[1] : NULL;
    bool paired = alternate && !t->unpaired;
    if (paired && v->n_seqs != alternate->n_seqs)
        return err_set(e, "term '%s' needs an alternate for each answer, not %d for %d", t->name,
                       alternate->n_seqs, v->n_seqs);
    double gain = alternate && t->needs_ref ? alternates_gain(alternate) : 0;
    for (int b = 0, row = 0, alt_row = 0; b < v->n_seqs; b++) {
        struct seq_view s = {.n = v->n_labels[b],
                             .nll = v->nll[b],
                             .ref_nll = v->ref_nll[b],
                             .alt_nll = paired ? alternate->nll[b] : 0,
                             .alt_ref_nll = paired ? alternate->ref_nll[b] : 0,
                             .alt_gain = gain};
        double d[TERM_MAX_VIEWS] = {0};
        *loss += t->seq(params, &s, d) / v->mean_seqs;
        add_dnll(v, b, d[0] / v->mean_seqs, &row);
        if (paired)
            add_dnll(alternate, b, d[1] / v->mean_seqs, &alt_row);
    }
    return 0;
}

/* Index of row i within its sequence: a block may start in the middle of one. */
static void place_row(const struct view *v, int i, struct logit_row *r)
{
    r->at = v->first_row + i;
    r->of = v->n_labels[v->row_seq[i]];
    for (int s = 0; s < v->row_seq[i]; s++)
        r->at -= v->n_labels[s];
}

int view_add_rows(struct view *v, row_loss *f, const void *params, int sign, double *loss,
                  struct err *e)
{
    double *each = mem_alloc((size_t)v->n_rows + 1, sizeof *each, e);
    if (!each)
        return -1;
#pragma omp parallel for schedule(static) if ((size_t)v->n_rows * (size_t)v->vocab > WORTH_THREADS)
    for (int i = 0; i < v->n_rows; i++) {
        size_t at = (size_t)i * (size_t)v->vocab;
        struct logit_row r = {.n = v->vocab,
                              .label = v->label[i],
                              .z = v->z + at,
                              .ref = v->ref_z ? v->ref_z + at : NULL,
                              .dz = v->dz + at,
                              .share = sign / v->mean_rows};
        place_row(v, i, &r);
        for (int k = 0; k < TERM_MAX_HELPERS; k++)
            r.helper[k] = v->helper[k] ? v->helper[k] + at : NULL;
        each[i] = f(params, &r);
    }
    for (int i = 0; i < v->n_rows; i++)
        *loss += each[i];
    free(each);
    return 0;
}

/* 1 / n_b for each sequence with n_b label tokens, 0 without any. Under COMPAT_RMU_BXB the mean
 * over the B x B matrix S_i / n_j of this micro-batch, the result of [B] divided by [B,1]. */
static double *inverse_labels(const struct view *v, struct err *e)
{
    double *inverse = mem_alloc((size_t)v->n_seqs + 1, sizeof *inverse, e), sum = 0;
    if (!inverse)
        return NULL;
    for (int i = 0; i < v->n_tokens; i++)
        inverse[v->token_seq[i]] += v->scored[i];
    for (int b = 0; b < v->n_seqs; b++)
        sum += inverse[b] = inverse[b] > 0 ? 1 / inverse[b] : 0;
    for (int b = 0; b < v->n_seqs && v->compat & COMPAT_RMU_BXB; b++)
        inverse[b] = sum / v->n_seqs;
    return inverse;
}

/* Factor of each token's loss into share[N]; 0: the token is not in the mean. */
static int share_states(const struct term *t, const struct view *v, double *share, struct err *e)
{
    double *inverse = inverse_labels(v, e);
    bool answer = false;
    for (int i = 0; inverse && i < v->n_tokens; i++) {
        bool first = i == 0 || v->token_seq[i] != v->token_seq[i - 1];
        answer = (!first && answer) || v->scored[i];
        switch (t->mean) {
        case MEAN_TOKENS:
            share[i] = v->scored[i] && !first ? 1 / v->mean_rows : 0;
            break;
        case MEAN_OF_SEQS:
            share[i] = v->scored[i] ? inverse[v->token_seq[i]] / v->mean_seqs : 0;
            break;
        case MEAN_ALL_TOKENS:
            share[i] = 1 / (v->mean_tokens * v->n_layers);
            break;
        case MEAN_PROMPTS:
            share[i] = answer ? 0 : 1 / v->mean_prompts;
            break;
        }
    }
    free(inverse);
    return inverse ? 0 : -1;
}

static int add_states(const struct term *t, const void *params, struct view *v, double *loss,
                      struct err *e)
{
    if ((t->steers || t->redirects) && !v->direction)
        return err_set(e, "term '%s' needs a direction: the batch has no 'control_vec'", t->name);
    size_t c = (size_t)v->width, n = (size_t)v->n_tokens;
    double *share = mem_alloc(n + 1, sizeof *share, e);
    if (!share || share_states(t, v, share, e)) {
        free(share);
        return -1;
    }
#pragma omp parallel for schedule(static) if (n * c > WORTH_THREADS)
    for (size_t i = 0; i < n; i++) {
        struct state_view s = {.h = v->hidden + i * c,
                               .ref = v->ref_hidden ? v->ref_hidden + i * c : NULL,
                               .direction = v->direction,
                               .width = v->width,
                               .token = v->token[i],
                               .share = share[i]};
        if (share[i] != 0)
            share[i] *= t->state(params, &s, v->dhidden + i * c);
    }
    for (size_t i = 0; i < n; i++)
        *loss += share[i];
    free(share);
    return 0;
}

int term_loss(const struct term *t, const void *params, struct view *const *v, double *loss,
              struct err *e)
{
    if (t->token)
        return add_tokens(t, params, v[0], loss);
    if (t->seq)
        return add_seqs(t, params, v, loss, e);
    if (t->row)
        return view_add_rows(v[0], t->row, params, sign_of(t), loss, e);
    if (t->state)
        return add_states(t, params, v[0], loss, e);
    return t->loss(params, v, loss, e);
}

double log_sigmoid(double s)
{
    return s > 0 ? -log1p(exp(-s)) : s - log1p(exp(s));
}

double sigmoid(double s)
{
    return s > 0 ? 1 / (1 + exp(-s)) : exp(s) / (1 + exp(s));
}
