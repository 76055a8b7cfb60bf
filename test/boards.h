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
    memcpy(b->d[VIEW_LOGITS] + first * V, b->x[VIEW_LOGITS] + first * V,
           (size_t)(n * V) * sizeof(float));
    memset(b->d[VIEW_LOGP], 0, sizeof b->d[VIEW_LOGP]);
    memset(b->d[VIEW_HIDDEN], 0, sizeof b->d[VIEW_HIDDEN]);
    struct view v = {.n_seqs = b->n_seqs,
                     .n_rows = n,
                     .row_seq = b->row_seq + first,
                     .label = b->label + first,
                     .n_labels = b->n_labels,
                     .mean_rows = b->mean_rows,
                     .mean_seqs = b->mean_seqs,
                     .mean_tokens = b->mean_tokens,
                     .mean_prompts = b->mean_prompts,
                     .layer = 1,
                     .n_layers = 2,
                     .noise = 5,
                     .vocab = V,
                     .width = C,
                     .n_tokens = b->n_tokens,
                     .token = b->token,
                     .token_seq = b->token_seq,
                     .scored = b->scored,
                     .direction = b->direction};
    if (kind == VIEW_LOGP) {
        v.logp = b->x[kind];
        v.ref_logp = b->ref[kind];
        v.nll = b->nll;
        v.ref_nll = b->ref_nll;
        v.dlogp = b->d[kind];
    } else if (kind == VIEW_LOGITS) {
        v.z = v.dz = b->d[kind] + first * V;
        v.ref_z = b->ref[kind] + first * V;
        v.first_row = first;
        for (int k = 0; k < TERM_MAX_HELPERS; k++)
            v.helper[k] = b->helper[k] + first * V;
    } else {
        v.hidden = b->x[kind];
        v.ref_hidden = b->ref[kind];
        v.dhidden = b->d[kind];
    }
    return v;
}

static inline double loss_of_rows(const struct term *t, const void *params, struct board *b,
                                  int first, int n)
{
    struct view v[TERM_MAX_VIEWS], *views[TERM_MAX_VIEWS];
    struct err e;
    double loss = 0, measured = 0;
    if (t->measure) {
        static struct board all;
        all = *b;
        v[0] = show(&all, t->kind, 0, all.n_rows);
        BUG_ON(t->measure(params, (struct view *const[]){v}, &measured, &e));
    }
    for (int i = 0; i < t->n_views; i++) {
        add_up(&b[i]);
        v[i] = show(&b[i], t->kind, first, n < 0 ? b[i].n_rows : n);
        v[i].measured = measured;
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
