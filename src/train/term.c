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
    bool uses = false;
    if (t->kind != VIEW_LOGITS)
        return false;
    if (!strcmp(name, "new"))
        uses = t->logits.wants_gap && t->logits.wants_gap(params);
    for (int k = 0; k < TERM_MAX_HELPERS && !uses; k++)
        uses = t->logits.helpers[k] && !strcmp(t->logits.helpers[k], name);
    return uses;
}

enum row_set term_rows(const struct term *t, const void *params)
{
    return t->kind == VIEW_LOGITS && t->logits.rows ? t->logits.rows(params) : ROWS_SCORED;
}

int term_skip(const struct term *t, const void *params)
{
    return t->kind == VIEW_LOGITS && t->logits.skip ? t->logits.skip(params) : 0;
}

enum steer term_direction(const struct term *t, const void *params)
{
    bool asks = t->kind == VIEW_HIDDEN && t->hidden.direction;
    return asks ? t->hidden.direction(params) : STEER_NONE;
}

int term_check(const struct term *t, const void *params, int layers, int vocab, struct err *e)
{
    if (t->kind == VIEW_LOGITS && t->logits.check)
        return t->logits.check(params, vocab, e);
    if (t->kind != VIEW_HIDDEN)
        return 0;
    int layer = t->hidden.layer(params);
    if (layer >= 0 && (layer < layers || t->hidden.all_layers))
        return 0;
    err_about(e, "layer", "term '%s' takes the states after a layer that the model does not have",
              t->name);
    return err_range(e, 0, layers - 1);
}

/* -1 or 1, of a row's field. */
static int sign_of(int sign)
{
    return sign < 0 ? -1 : 1;
}

static int add_tokens(const struct logp_term *t, const void *params, struct logp_view *v,
                      double *loss)
{
    for (int r = 0; r < v->n_rows; r++) {
        double count =
            t->mean == MEAN_OF_SEQS ? v->n_labels[v->row_seq[r]] * v->mean.seqs : v->mean.rows;
        double d, x = t->token(params, (double)v->logp[r], &d);
        *loss += sign_of(t->sign) * x / count;
        v->dlogp[r] += (float)(sign_of(t->sign) * d / count);
    }
    return 0;
}

/* L_b = -sum logp: each row of b, the first of which is *row, gets -d. */
static void add_dnll(struct logp_view *v, int b, double d, int *row)
{
    for (; *row < v->n_rows && v->row_seq[*row] == b; ++*row)
        v->dlogp[*row] -= (float)d;
}

static double alternates_gain(const struct logp_view *alternate)
{
    double sum = 0;
    for (int b = 0; b < alternate->n_seqs; b++)
        sum += (alternate->ref_nll[b] - alternate->nll[b]) / alternate->n_seqs;
    return sum;
}

static int add_seqs(const struct term *t, const void *params, struct logp_view *v,
                    struct logp_view *alternate, double *loss, struct err *e)
{
    bool paired = alternate && !t->logp.unpaired;
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
        *loss += t->logp.seq(params, &s, d) / v->mean.seqs;
        add_dnll(v, b, d[0] / v->mean.seqs, &row);
        if (paired)
            add_dnll(alternate, b, d[1] / v->mean.seqs, &alt_row);
    }
    return 0;
}

/* Row i of the block; dz: where its derivative goes, [R,V], or NULL. */
static struct logit_row row_of(const struct logits_view *v, int i, float *dz, double share)
{
    size_t at = (size_t)i * (size_t)v->vocab;
    struct logit_row r = {.n = v->vocab,
                          .label = v->label[i],
                          .at = v->at[i],
                          .of = v->of[i],
                          .z = v->z + at,
                          .ref = v->ref ? v->ref + at : NULL,
                          .dz = dz ? dz + at : NULL,
                          .share = share,
                          .measured = v->measured,
                          .gap = v->gap};
    for (int k = 0; k < TERM_MAX_HELPERS; k++)
        r.helper[k] = v->helper[k] ? v->helper[k] + at : NULL;
    return r;
}

/* Adds up f of all rows, in a fixed order for any number of threads. */
static int add_rows(const struct logits_view *v, row_loss *f, const void *params, float *dz,
                    double share, double *loss, struct err *e)
{
    double *each = mem_alloc((size_t)v->n_rows + 1, sizeof *each, e);
    if (!each)
        return -1;
#pragma omp parallel for schedule(static) if ((size_t)v->n_rows * (size_t)v->vocab > WORTH_THREADS)
    for (int i = 0; i < v->n_rows; i++) {
        const struct logit_row r = row_of(v, i, dz, share);
        each[i] = f(params, &r);
    }
    for (int i = 0; i < v->n_rows; i++)
        *loss += each[i];
    free(each);
    return 0;
}

int term_measure(const struct term *t, const void *params, const struct logits_view *v, double *sum,
                 struct err *e)
{
    return add_rows(v, t->logits.measure, params, NULL, 1, sum, e);
}

/* 1 / n_b for each sequence with n_b label tokens, 0 without any; crossed: the mean over the B x B
 * matrix S_i / n_j of this micro-batch, the result of [B] divided by [B,1]. */
static double *inverse_labels(const struct hidden_view *v, bool crossed, struct err *e)
{
    double *inverse = mem_alloc((size_t)v->n_seqs + 1, sizeof *inverse, e), sum = 0;
    if (!inverse)
        return NULL;
    for (int i = 0; i < v->n_tokens; i++)
        inverse[v->token[i].seq] += v->token[i].scored;
    for (int b = 0; b < v->n_seqs; b++)
        sum += inverse[b] = inverse[b] > 0 ? 1 / inverse[b] : 0;
    for (int b = 0; b < v->n_seqs && crossed; b++)
        inverse[b] = sum / v->n_seqs;
    return inverse;
}

/* Factor of each token's loss into share[N]; 0: the token is not in the mean. */
static int share_states(const struct hidden_term *t, const void *params,
                        const struct hidden_view *v, double *share, struct err *e)
{
    double *inverse = inverse_labels(v, t->crossed && t->crossed(params), e);
    bool answer = false;
    for (int i = 0; inverse && i < v->n_tokens; i++) {
        const struct token_view *at = &v->token[i];
        bool first = i == 0 || at->seq != v->token[i - 1].seq;
        answer = (!first && answer) || at->scored;
        switch (t->mean) {
        case MEAN_TOKENS:
            share[i] = at->scored && !first ? 1 / v->mean.rows : 0;
            break;
        case MEAN_OF_SEQS:
            share[i] = at->scored ? inverse[at->seq] / v->mean.seqs : 0;
            break;
        case MEAN_ALL_TOKENS:
            share[i] = 1 / (v->mean.tokens * v->n_layers);
            break;
        case MEAN_PROMPTS:
            share[i] = answer ? 0 : 1 / v->mean.prompts;
            break;
        }
    }
    free(inverse);
    return inverse ? 0 : -1;
}

static int add_states(const struct hidden_term *t, const void *params, struct hidden_view *v,
                      double *loss, struct err *e)
{
    size_t c = (size_t)v->width, n = (size_t)v->n_tokens;
    double *share = mem_alloc(n + 1, sizeof *share, e);
    if (!share || share_states(t, params, v, share, e)) {
        free(share);
        return -1;
    }
#pragma omp parallel for schedule(static) if (n * c > WORTH_THREADS)
    for (size_t i = 0; i < n; i++) {
        struct state_view s = {.h = v->hidden + i * c,
                               .ref = v->ref ? v->ref + i * c : NULL,
                               .direction = v->direction,
                               .width = v->width,
                               .token = v->token[i].id,
                               .share = share[i]};
        if (share[i] != 0)
            share[i] *= t->state(params, &s, v->dhidden + i * c);
    }
    for (size_t i = 0; i < n; i++)
        *loss += share[i];
    free(share);
    return 0;
}

static int add_logp(const struct term *t, const void *params, struct view *const *v, double *loss,
                    struct err *e)
{
    if (t->logp.token)
        return add_tokens(&t->logp, params, &v[0]->logp, loss);
    if (t->logp.seq)
        return add_seqs(t, params, &v[0]->logp, t->n_views > 1 ? &v[1]->logp : NULL, loss, e);
    return t->logp.loss(params, v, loss, e);
}

static int add_logits(const struct term *t, const void *params, struct view *const *v, double *loss,
                      struct err *e)
{
    struct logits_view *l = &v[0]->logits;
    return add_rows(l, t->logits.row, params, l->dz, sign_of(t->logits.sign) / l->mean_rows, loss,
                    e);
}

static int add_hidden(const struct term *t, const void *params, struct view *const *v, double *loss,
                      struct err *e)
{
    if (term_direction(t, params) && !v[0]->hidden.direction)
        return err_set(e, "term '%s' needs a direction: the batch has no 'control_vec'", t->name);
    return t->hidden.state ? add_states(&t->hidden, params, &v[0]->hidden, loss, e)
                           : t->hidden.loss(params, v, loss, e);
}

int term_loss(const struct term *t, const void *params, struct view *const *v, double *loss,
              struct err *e)
{
    static int (*const add[])(const struct term *, const void *, struct view *const *, double *,
                              struct err *) = {
        [VIEW_LOGP] = add_logp, [VIEW_LOGITS] = add_logits, [VIEW_HIDDEN] = add_hidden};
    return add[t->kind](t, params, v, loss, e);
}

double log_sigmoid(double s)
{
    return s > 0 ? -log1p(exp(-s)) : s - log1p(exp(s));
}

double sigmoid(double s)
{
    return s > 0 ? 1 / (1 + exp(-s)) : exp(s) / (1 + exp(s));
}
