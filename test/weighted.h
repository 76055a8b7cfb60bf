/* Terms whose weights a paper holds constant: their losses as plain loops, with the weights of
 * another place, so that differences can be taken of them. */

#ifndef TEST_WEIGHTED_H
#define TEST_WEIGHTED_H

#include "boards.h"

static inline double real(const struct term *t, const void *params, const char *name)
{
    double x;
    memcpy(&x, (const char *)params + param_find(t->params, name)->offset, sizeof x);
    return x;
}

/* Terms whose weights are constants: their loss as a plain loop, with the weights at `at`. */
static inline double wga(const void *params, const struct board *b, const struct board *at)
{
    double loss = 0, beta = real(&term_wga, params, "beta");
    for (int r = 0; r < b->n_rows; r++)
        loss += pow(exp((double)at->x[VIEW_LOGP][r]), beta) * (double)b->x[VIEW_LOGP][r];
    return loss / b->mean_rows;
}

static inline double satimp(const void *params, const struct board *b, const struct board *at)
{
    double loss = 0;
    for (int r = 0; r < b->n_rows; r++) {
        double p = exp((double)at->x[VIEW_LOGP][r]);
        loss += pow(p, real(&term_satimp, params, "beta1")) *
                pow(1 - p, real(&term_satimp, params, "beta2")) * (double)b->x[VIEW_LOGP][r];
    }
    return loss / b->mean_rows;
}

static inline double ceu(const void *params, const struct board *b, const struct board *at)
{
    double loss = 0;
    (void)params;
    for (int r = 0; r < b->n_rows; r++) {
        const float *z = b->x[VIEW_LOGITS] + r * V, *z0 = at->x[VIEW_LOGITS] + r * V;
        double all = 0, rest = 0;
        for (int i = 0; i < V; i++) {
            all += exp((double)z[i]);
            rest += i == b->label[r] ? 0 : exp((double)z0[i]);
        }
        for (int i = 0; i < V; i++)
            if (i != b->label[r])
                loss -= exp((double)z0[i]) / rest * ((double)z[i] - log(all));
    }
    return loss / b->mean_rows;
}

static inline double kto(const void *params, const struct board *b, const struct board *at)
{
    double k = 0, loss = 0, beta = real(&term_kto, params, "beta");
    const char *link;
    memcpy(&link, (const char *)params + param_find(term_kto.params, "link")->offset, sizeof link);
    for (int s = 0; s < at[1].n_seqs; s++)
        k += (at[1].ref_nll[s] - at[1].nll[s]) / at[1].n_seqs;
    for (int s = 0; s < b->n_seqs; s++) {
        double margin = k;
        for (int r = 0; r < b->n_rows; r++)
            if (b->row_seq[r] == s)
                margin += beta * (double)(b->ref[VIEW_LOGP][r] - b->x[VIEW_LOGP][r]);
        double p = 1 / (1 + exp(-margin));
        loss += 1 - 2 / beta * (strcmp(link, "sigmoid") ? log(p) : p);
    }
    return loss / b->mean_seqs;
}

/* Sample `a` of the MMD, [4 C]: label tokens of the a-th sequence that has some, or the noise
 * there. */
static inline int noise_samples(const struct board *b, double x[2 * S][4 * C])
{
    struct rng r;
    int n = 0, of[S], used[S] = {0};
    memset(x, 0, 2 * S * sizeof *x);
    for (int s = 0; s < b->n_seqs; s++)
        of[s] = b->n_labels[s] ? n++ : -1;
    rng_stream(&r, 5, RNG_NOISE, 1);
    for (int t = 0; t < b->n_tokens; t++)
        for (int i = 0, s = b->token_seq[t]; b->scored[t] && i < C; i++) {
            x[of[s]][used[s]] = (double)b->x[VIEW_HIDDEN][t * C + i];
            x[n + of[s]][used[s]++] = (double)(float)rng_normal(&r);
        }
    return n;
}

static inline double distance(const double *u, const double *v)
{
    double d = 0;
    for (int i = 0; i < 4 * C; i++)
        d += (u[i] - v[i]) * (u[i] - v[i]);
    return d;
}

/* The bandwidth is a constant. */
static inline double noise_mmd(const void *params, const struct board *b, const struct board *at)
{
    static double x[2 * S][4 * C], x0[2 * S][4 * C];
    int n = noise_samples(b, x);
    double width = 0, loss = 0;
    (void)params;
    noise_samples(at, x0);
    for (int i = 0; i < 2 * n; i++)
        for (int k = 0; k < 2 * n; k++)
            width += distance(x0[i], x0[k]) / (2 * n * (2 * n - 1));
    for (int i = 0; i < 2 * n; i++)
        for (int k = 0; k < 2 * n; k++)
            for (double w = width / 4; w <= 4 * width; w *= 2)
                loss += ((i < n) == (k < n) ? 1 : -1) * exp(-distance(x[i], x[k]) / w);
    return loss / (n * b->mean_seqs * 2);
}

/* Not held, but given as plain loops: over prompt tokens, which stand before the labels here. */
static inline double lunar(const struct board *b, double coeff)
{
    double loss = 0;
    for (int i = 0; i < b->n_tokens * C; i++) {
        double r = coeff * (double)b->direction[i % C];
        double d = (double)b->x[VIEW_HIDDEN][i] - (double)b->ref[VIEW_HIDDEN][i] - r;
        loss += b->scored[i / C] ? 0 : d * d / C;
    }
    return loss / b->mean_prompts;
}

static inline double redirect(const void *params, const struct board *b, const struct board *at)
{
    (void)at;
    return lunar(b, real(&term_redirect, params, "coeff"));
}

static inline double embed_prompt(const void *params, const struct board *b, const struct board *at)
{
    (void)params, (void)at;
    return lunar(b, 0);
}

static const struct weighted {
    const struct term *term;
    double (*loss)(const void *params, const struct board *b, const struct board *at);
    bool batchwise; /* the weight is one of the whole micro-batch, and its second view only that */
} weighted[] = {{&term_wga, wga, false},
                {&term_satimp, satimp, false},
                {&term_ceu, ceu, false},
                {&term_kto, kto, true},
                {&term_noise_mmd, noise_mmd, true},
                {&term_redirect, redirect, false},
                {&term_embed_prompt, embed_prompt, false},
                {&term_kga, NULL, true},
                {0}};

static inline const struct weighted *weighted_of(const struct term *t)
{
    const struct weighted *w = weighted;
    while (w->term && w->term != t)
        w++;
    return w;
}

#endif
