/* Made-up views for terms: three sequences, the second without labels. */

#ifndef TEST_BOARDS_H
#define TEST_BOARDS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "objectives/terms.h"
#include "tap.h"

enum { S = 3, R = 6, V = 7, N = 12, C = 5, KINDS = 3 };

static const int lengths[S] = {5, 3, 4}, labels[S] = {4, 0, 2};

/* What one role's view shows. x: the values of each kind of view, that the derivative is by. */
struct board {
    int n_seqs, n_rows, n_tokens;
    int row_seq[R], label[R], n_labels[S], token[N], token_seq[N];
    uint8_t scored[N];
    int at[R], of[R];
    struct token_view tokens[N]; /* of the three arrays above, for a view */
    float x[KINDS][R * V > N *C ? R *V : N *C], ref[KINDS][R * V > N *C ? R *V : N *C];
    float helper[TERM_MAX_HELPERS][R * V];
    float d[KINDS][R * V > N *C ? R *V : N *C];
    double nll[S], ref_nll[S], mean_rows, mean_seqs, mean_tokens, mean_prompts;
    float direction[C];
};

static inline int n_values(const struct board *b, enum view_kind kind)
{
    return kind == VIEW_LOGP ? b->n_rows : kind == VIEW_LOGITS ? b->n_rows * V : b->n_tokens * C;
}

static inline void board_fill(struct board *b, unsigned seed)
{
    struct rng r;
    double length = 0;
    *b = (struct board){.n_seqs = S,
                        .n_rows = R,
                        .n_tokens = N,
                        .mean_rows = R,
                        .mean_seqs = S,
                        .mean_tokens = N,
                        .mean_prompts = N - R};
    rng_stream(&r, seed, RNG_INIT, 0);
    for (int s = 0, row = 0, token = 0; s < S; s++) {
        b->n_labels[s] = labels[s];
        for (int i = 0; i < labels[s]; i++, row++) {
            b->row_seq[row] = s;
            b->label[row] = (int)rng_below(&r, V);
        }
        for (int t = 0; t < lengths[s]; t++, token++) {
            b->token[token] = 3 * token % 8;
            b->token_seq[token] = s;
            b->scored[token] = t >= lengths[s] - labels[s];
        }
    }
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < n_values(b, (enum view_kind)kind); i++) {
            double x = rng_normal(&r), ref = x + 0.5 * rng_normal(&r);
            bool logp = kind == VIEW_LOGP;
            b->x[kind][i] = (float)(logp ? -0.2 - fabs(x) : x);
            b->ref[kind][i] = (float)(logp ? -0.2 - fabs(ref) : ref);
        }
    for (int k = 0; k < TERM_MAX_HELPERS; k++)
        for (int i = 0; i < R * V; i++)
            b->helper[k][i] = (float)((double)b->ref[VIEW_LOGITS][i] + 0.5 * rng_normal(&r));
    for (int i = 0; i < C; i++)
        length += pow(b->direction[i] = (float)rng_normal(&r), 2);
    for (int i = 0; i < C; i++)
        b->direction[i] /= (float)sqrt(length);
}

/* Sequence s alone. Means stay those of all. */
static inline void board_cut(struct board *to, const struct board *b, int s)
{
    int row = 0, token = 0;
    *to = *b;
    for (int i = 0; i < s; i++) {
        row += b->n_labels[i];
        token += lengths[i];
    }
    to->n_seqs = 1;
    to->n_rows = to->n_labels[0] = b->n_labels[s];
    to->n_tokens = lengths[s];
    memset(to->row_seq, 0, sizeof to->row_seq);
    memset(to->token_seq, 0, sizeof to->token_seq);
    memmove(to->label, b->label + row, (size_t)to->n_rows * sizeof *to->label);
    memmove(to->token, b->token + token, (size_t)to->n_tokens * sizeof *to->token);
    memmove(to->scored, b->scored + token, (size_t)to->n_tokens);
    for (int k = 0; k < TERM_MAX_HELPERS; k++)
        memmove(to->helper[k], b->helper[k] + row * V, (size_t)(to->n_rows * V) * sizeof(float));
    const int at[KINDS] = {row, row * V, token * C};
    for (int kind = 0; kind < KINDS; kind++) {
        size_t n = (size_t)n_values(to, (enum view_kind)kind) * sizeof(float);
        memcpy(to->x[kind], b->x[kind] + at[kind], n);
        memcpy(to->ref[kind], b->ref[kind] + at[kind], n);
    }
}

/* A sum over rows is kept as the engine keeps it. */
static inline void add_up(struct board *b)
{
    memset(b->nll, 0, sizeof b->nll);
    memset(b->ref_nll, 0, sizeof b->ref_nll);
    for (int r = 0; r < b->n_rows; r++) {
        b->nll[b->row_seq[r]] -= (double)b->x[VIEW_LOGP][r];
        b->ref_nll[b->row_seq[r]] -= (double)b->ref[VIEW_LOGP][r];
    }
}

/* Rows first..first+n of the board, or all it has. Logits are overwritten by their derivative. */
static inline struct view show(struct board *b, enum view_kind kind, int first, int n)
{
    for (int i = 0; i < b->n_tokens; i++)
        b->tokens[i] = (struct token_view){b->token[i], b->token_seq[i], b->scored[i]};
    for (int r = 0; r < b->n_rows; r++) {
        b->at[r] = r && b->row_seq[r] == b->row_seq[r - 1] ? b->at[r - 1] + 1 : 0;
        b->of[r] = b->n_labels[b->row_seq[r]];
    }
    memcpy(b->d[VIEW_LOGITS] + first * V, b->x[VIEW_LOGITS] + first * V,
           (size_t)(n * V) * sizeof(float));
    memset(b->d[VIEW_LOGP], 0, sizeof b->d[VIEW_LOGP]);
    memset(b->d[VIEW_HIDDEN], 0, sizeof b->d[VIEW_HIDDEN]);
    const struct means mean = {b->mean_rows, b->mean_seqs, b->mean_tokens, b->mean_prompts};
    if (kind == VIEW_LOGP)
        return (struct view){.logp = {.n_seqs = b->n_seqs,
                                      .n_rows = n,
                                      .row_seq = b->row_seq + first,
                                      .n_labels = b->n_labels,
                                      .mean = mean,
                                      .logp = b->x[kind],
                                      .nll = b->nll,
                                      .ref_nll = b->ref_nll,
                                      .dlogp = b->d[kind]}};
    if (kind == VIEW_HIDDEN)
        return (struct view){.hidden = {.n_seqs = b->n_seqs,
                                        .n_tokens = b->n_tokens,
                                        .width = C,
                                        .layer = 1,
                                        .n_layers = 2,
                                        .mean = mean,
                                        .hidden = b->x[kind],
                                        .ref = b->ref[kind],
                                        .dhidden = b->d[kind],
                                        .token = b->tokens,
                                        .direction = b->direction,
                                        .noise = 5}};
    struct view v = {.logits = {.n_rows = n,
                                .vocab = V,
                                .label = b->label + first,
                                .at = b->at + first,
                                .of = b->of + first,
                                .mean_rows = b->mean_rows,
                                .z = b->d[kind] + first * V,
                                .ref = b->ref[kind] + first * V,
                                .dz = b->d[kind] + first * V}};
    for (int k = 0; k < TERM_MAX_HELPERS; k++)
        v.logits.helper[k] = b->helper[k] + first * V;
    return v;
}

static inline double loss_of_rows(const struct term *t, const void *params, struct board *b,
                                  int first, int n)
{
    struct view v[TERM_MAX_VIEWS], *views[TERM_MAX_VIEWS];
    struct err e;
    double loss = 0, measured = 0;
    if (t->kind == VIEW_LOGITS && t->logits.measure) {
        static struct board all;
        all = *b;
        v[0] = show(&all, t->kind, 0, all.n_rows);
        BUG_ON(term_measure(t, params, &v[0].logits, &measured, &e));
        measured /= all.n_rows ? all.n_rows : 1;
    }
    for (int i = 0; i < t->n_views; i++) {
        add_up(&b[i]);
        v[i] = show(&b[i], t->kind, first, n < 0 ? b[i].n_rows : n);
        if (t->kind == VIEW_LOGITS)
            v[i].logits.measured = measured;
        views[i] = &v[i];
    }
    if (term_loss(t, params, views, &loss, &e)) {
        note("%s: %s", t->name, e.msg);
        return NAN;
    }
    return loss;
}

static inline double loss_of(const struct term *t, const void *params, struct board *b)
{
    return loss_of_rows(t, params, b, 0, -1);
}

#endif
