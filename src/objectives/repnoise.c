/* Representation noising (RepNoise, arXiv 2405.14577): the hidden states of forget answers, after
 * every layer, are made Gaussian noise. The loss of a layer is the squared maximum mean discrepancy
 * between B samples x (the concatenated label tokens of a forget sequence, padded with zeros)
 * and B samples y of N(0,1) of the same lengths:
 *   (1/B^2) sum_ab k(x_a,x_b) + k(y_a,y_b) - 2 k(x_a,y_b),  k(u,v) = sum_i exp(-|u-v|^2 / s_i),
 * with five bandwidths s_i = s 2^i / 4, s the mean of |u-v|^2 over all pairs, a constant. The mean
 * is over layers; B is that of the micro-batch. */
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "objectives/terms.h"

enum { KERNELS = 5 };

static const struct param params[] = {
    LAST_LAYER,
    {0},
};

/* 2B samples of `size` numbers: hidden states, then noise. */
struct samples {
    int *of;      /* owned [S] index of the sequence's sample; -1: it has no labels */
    float *x;     /* owned [2B, size] */
    double *dist; /* owned [2B, 2B] squared distances */
    int b;
    size_t size;
};

static void samples_fini(struct samples *s)
{
    free(s->of);
    free(s->x);
    free(s->dist);
}

/* Numbers the sequences that have labels, -1 for the others; sets s->b and s->size. */
static int *number_samples(const struct hidden_view *v, struct samples *s, struct err *e)
{
    int *length = mem_alloc((size_t)v->n_seqs + 1, sizeof *length, e), longest = 0;
    if (!length)
        return NULL;
    for (int t = 0; t < v->n_tokens; t++)
        if (v->token[t].scored && ++length[v->token[t].seq] > longest)
            longest = length[v->token[t].seq];
    for (int b = 0; b < v->n_seqs; b++)
        length[b] = length[b] ? s->b++ : -1;
    s->size = (size_t)longest * (size_t)v->width;
    return length;
}

static void fill(struct samples *s, const struct hidden_view *v)
{
    size_t c = (size_t)v->width, at = 0;
    struct rng r;
    rng_stream(&r, v->noise, RNG_NOISE, (uint32_t)v->layer);
    for (int t = 0; t < v->n_tokens; t++) {
        at = t && v->token[t].seq == v->token[t - 1].seq ? at : 0;
        if (!v->token[t].scored)
            continue;
        float *x = s->x + (size_t)s->of[v->token[t].seq] * s->size + at;
        float *y = x + (size_t)s->b * s->size;
        for (size_t i = 0; i < c; i++) {
            x[i] = v->hidden[(size_t)t * c + i];
            y[i] = (float)rng_normal(&r);
        }
        at += c;
    }
}

static int samples_init(struct samples *s, const struct hidden_view *v, struct err *e)
{
    *s = (struct samples){0};
    if (!(s->of = number_samples(v, s, e)))
        return -1;
    size_t n = 2 * (size_t)s->b;
    if (!(s->x = mem_alloc(n * s->size, sizeof *s->x, e)) ||
        !(s->dist = mem_alloc(n * n, sizeof *s->dist, e)))
        return -1;
    fill(s, v);
    return 0;
}

/* Computes all distances; returns their mean over pairs of different samples. */
static double measure(const struct samples *s)
{
    int n = 2 * s->b;
    double sum = 0;
    for (int a = 0; a < n; a++)
        for (int b = 0; b < a; b++) {
            const float *u = s->x + (size_t)a * s->size, *w = s->x + (size_t)b * s->size;
            double d = 0;
            for (size_t i = 0; i < s->size; i++)
                d += ((double)u[i] - (double)w[i]) * ((double)u[i] - (double)w[i]);
            s->dist[a * n + b] = s->dist[b * n + a] = d;
            sum += 2 * d;
        }
    return n > 1 ? sum / ((double)n * (n - 1)) : 0;
}

/* k, and its derivative with respect to the squared distance. */
static double kernel(double dist, double bandwidth, double *slope)
{
    double k = 0;
    *slope = 0;
    for (int i = 0; i < KERNELS; i++) {
        double width = bandwidth / 4 * (1 << i), value = exp(-dist / width);
        k += value;
        *slope -= value / width;
    }
    return k;
}

/* dx_a += weight (x_a - z), over the label tokens of sample a's sequence. */
static void pull(struct hidden_view *v, const struct samples *s, int a, int z, double weight)
{
    size_t c = (size_t)v->width, at = 0;
    for (int t = 0; t < v->n_tokens; t++) {
        if (s->of[v->token[t].seq] != a || !v->token[t].scored)
            continue;
        const float *x = s->x + (size_t)a * s->size + at, *y = s->x + (size_t)z * s->size + at;
        for (size_t i = 0; i < c; i++)
            v->dhidden[(size_t)t * c + i] += (float)(weight * ((double)x[i] - (double)y[i]));
        at += c;
    }
}

static int noise(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    struct hidden_view *v = &views[0]->hidden;
    struct samples s = {0};
    (void)params_;
    if (samples_init(&s, v, e)) {
        samples_fini(&s);
        return -1;
    }
    double width = measure(&s), b = s.b;
    double share = 1 / (b * v->mean.seqs * v->n_layers); /* of one pair: (b / mean_seqs) / b^2 */
    for (int a = 0; a < 2 * s.b && width > 0; a++)
        for (int z = 0; z < 2 * s.b; z++) {
            bool same = (a < s.b) == (z < s.b);
            double slope, sign = same ? 1 : -1, k = kernel(s.dist[a * 2 * s.b + z], width, &slope);
            *loss += sign * share * k;
            /* |x_a - z|^2 occurs in two pairs: (a,z) and (z,a). */
            if (a < s.b && a != z)
                pull(v, &s, a, z, 4 * sign * share * slope);
        }
    samples_fini(&s);
    return 0;
}

const struct term term_noise_mmd = {
    .name = "noise_mmd",
    .paper = "arXiv 2405.14577",
    .formula = "mean over layers of MMD^2(hidden states of label tokens, N(0,1))",
    .kind = VIEW_HIDDEN,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct hidden_place),
    .hidden = {.loss = noise, .layer = hidden_layer, .all_layers = true},
};
