/* Layers by causal tracing (arXiv 2202.05262): noise on the embeddings of some prompt tokens takes
 * the answer away; where putting back what one layer computes for one token brings it again, there
 * it is kept. Batches of one clean and several noisy copies; the answer is the first scored token,
 * the effect of (t, l) the mean over the noisy copies of its probability, restored minus corrupted.
 *
 * As a locator it scores the neurons of an MLP by the largest effect of its layer over the traced
 * tokens, as a mean over rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "locate/locators.h"
#include "locate/scores.h"
#include "model/head.h"

struct trace_pass {
    struct model *m;
    const struct tracing *t;
    const struct seq *one;
    int token, first, last; /* restored: the outputs of layers first..last-1 at the token */
    enum place place;
};

/* The first copy is clean. */
static void add_noise(void *ctx, const struct pass *p, device float *dev)
{
    const struct trace_pass *x = ctx;
    const struct tracing *t = x->t;
    const size_t c = (size_t)x->m->cfg.width, span = (size_t)(t->to - t->from) * c;
    float *y = x->m->ops->map(dev, (size_t)p->batch->n_tokens * c);
    for (int s = 0; s < t->samples; s++) {
        float *row = y + (size_t)(p->batch->start[1 + s] + t->from) * c;
        for (size_t k = 0; k < span; k++)
            row[k] += t->noise[(size_t)s * span + k];
    }
    x->m->ops->unmap(dev);
}

static void restore(void *ctx, const struct pass *p, device float *dev)
{
    const struct trace_pass *x = ctx;
    const size_t c = (size_t)x->m->cfg.width;
    const int *start = p->batch->start;
    float *y = x->m->ops->map(dev, (size_t)p->batch->n_tokens * c);
    for (int s = 1; s <= x->t->samples; s++)
        memcpy(y + (size_t)(start[s] + x->token) * c, y + (size_t)(start[0] + x->token) * c,
               c * sizeof *y);
    x->m->ops->unmap(dev);
}

/* The mean probability of the answer over the noisy copies; of the clean copy in *clean. */
static int run(const struct trace_pass *x, double *noisy, double *clean, struct arena *a,
               struct err *e)
{
    struct model *m = x->m;
    const int n = x->t->samples + 1, restored = x->last - x->first;
    struct batch b;
    struct pass p;
    struct label_rows rows;
    struct head h;
    arena_reset(a);
    struct seq *seqs = arena_take(a, (size_t)n, sizeof *seqs, e);
    struct tap *taps = arena_zeros(a, (size_t)restored + 1, sizeof *taps, e);
    float *logp = arena_take(a, (size_t)n, sizeof *logp, e);
    if (!seqs || !taps || !logp)
        return -1;
    for (int i = 0; i < n; i++)
        seqs[i] = *x->one;
    taps[0] = (struct tap){.place = PLACE_EMBED, .forward = add_noise, .ctx = (void *)x};
    for (int k = 0; k < restored; k++)
        taps[1 + k] = (struct tap){
            .place = x->place, .layer = x->first + k, .forward = restore, .ctx = (void *)x};
    const struct forward how = {.taps = taps, .n_taps = 1 + restored};
    if (batch_pack(&b, seqs, n, m->cfg.vocab, m->cfg.positions, a, e) ||
        batch_label_rows(&rows, &b, seqs, a, e) || model_forward(m, &b, &how, &p, a, e) ||
        head_init(&h, &p, &rows, false, a, e))
        return -1;
    head_logp(&h, logp, NULL, NULL);
    *noisy = 0;
    for (int i = 1; i < n; i++)
        *noisy += exp((double)logp[i]) / (n - 1);
    *clean = exp((double)logp[0]);
    return 0;
}

/* The layers whose outputs are put back for layer l. */
static void window_of(struct trace_pass *x, int l)
{
    const int half = x->t->window / 2;
    x->first = half ? (l - half > 0 ? l - half : 0) : l;
    x->last = half ? (l + half < x->m->cfg.layers ? l + half : x->m->cfg.layers) : l + 1;
}

int scores_trace(const struct scoring *s, const struct seq *q, const struct tracing *t,
                 struct traced *out, struct err *e)
{
    struct model *m = s->engine->model;
    struct answer_token at = {.labels = NULL};
    struct arena a;
    double ignored;
    arena_init(&a);
    struct trace_pass x = {.m = m, .t = t, .one = &at.seq, .place = t->place};
    const int layers = t->place == PLACE_EMBED ? 1 : m->cfg.layers;
    int rc = answer_token_init(&at, q, e) || run(&x, &out->corrupted, &out->clean, &a, e);
    for (x.token = t->trace_from; x.token < t->trace_to && !rc; x.token++)
        for (int l = 0; l < layers && !rc; l++) {
            const size_t cell = (size_t)(x.token - t->trace_from) * (size_t)layers;
            window_of(&x, l);
            rc = interrupt_check(s->stop, e) ||
                 run(&x, &out->restored[cell + (size_t)l], &ignored, &a, e);
        }
    answer_token_fini(&at);
    arena_fini(&a);
    return rc ? -1 : 0;
}

/* --- the locator --- */

struct causal {
    int64_t corrupt_from, corrupt_to, samples, window;
    double noise, threshold;
    bool every_token;
};

static const struct param params[] = {
    INT_PARAM(struct causal, corrupt_from, 0, 1 << 20, 0, "first prompt token with noise, from 0"),
    INT_PARAM(struct causal, corrupt_to, 0, 1 << 20, 0,
              "the token after the last with noise; 0: the last prompt token"),
    INT_PARAM(struct causal, samples, 1, 1000, 10, "noisy copies"),
    REAL_PARAM(struct causal, noise, 0, 1000, 3,
               "its deviation, in deviations of the embeddings of all such tokens"),
    INT_PARAM(struct causal, window, 1, 1000, 10, "layers whose MLPs are put back together"),
    BOOL_PARAM(
        struct causal, every_token, false,
        "trace every prompt token from the first with noise on, not the last of these alone"),
    REAL_PARAM(struct causal, threshold, 0, 1, 0.5,
               "without a share, layers from this part of the largest effect on are kept"),
    {0},
};

/* Tokens of a row with noise. */
static void span_of(const struct causal *p, const struct seq *q, struct tracing *t)
{
    const int last = seq_prompt(q) - 1; /* the last prompt token */
    t->from = (int)p->corrupt_from;
    t->to = p->corrupt_to && p->corrupt_to < last ? (int)p->corrupt_to : last;
    t->trace_from = p->every_token ? t->from : t->to - 1;
    t->trace_to = p->every_token ? last + 1 : t->to;
}

/* Of all numbers of the embeddings of the tokens with noise, in all rows. */
static double deviation(struct scoring *s, const struct causal *p)
{
    const struct model *m = s->engine->model;
    const struct dataset *set = s->engine->sets[ROLE_FORGET];
    const int embed = weight_index(&m->table, W_EMBED, -1);
    const size_t c = (size_t)m->cfg.width;
    const float *x = scores_weight(s, embed);
    double sum = 0, square = 0, n = 0;
    for (int i = 0; i < set->n; i++) {
        struct tracing t = {.from = 0};
        span_of(p, &set->seqs[i], &t);
        for (int k = t.from; k < t.to; k++)
            for (size_t j = 0; j < c; j++, n++) {
                const double v = (double)x[(size_t)set->seqs[i].ids[k] * c + j];
                sum += v;
                square += v * v;
            }
    }
    scores_weight_done(s, embed);
    return n > 0 ? sqrt(fmax(0, square / n - sum / n * (sum / n))) * m->cfg.embed_scale : 0;
}

/* Adds the largest effect of each layer. */
static int trace_row(struct scoring *s, const struct causal *p, int row, double sigma,
                     double *effect, struct err *e)
{
    const struct model_config *c = &s->engine->model->cfg;
    const struct seq *q = &s->engine->sets[ROLE_FORGET]->seqs[row];
    struct tracing t = {
        .samples = (int)p->samples, .window = (int)p->window, .place = PLACE_MLP_OUT};
    span_of(p, q, &t);
    if (t.from >= t.to)
        return err_set(e, "no prompt token from %d on, before the last, to put noise on", t.from);
    const size_t n = (size_t)(t.to - t.from) * (size_t)c->width * (size_t)t.samples;
    const size_t cells = (size_t)(t.trace_to - t.trace_from) * (size_t)c->layers;
    float *noise = mem_alloc(n, sizeof *noise, e);
    struct traced out = {.restored = noise ? mem_alloc(cells, sizeof(double), e) : NULL};
    struct rng r;
    rng_stream(&r, s->seed, RNG_NOISE, (uint32_t)row);
    for (size_t k = 0; noise && k < n; k++)
        noise[k] = (float)(p->noise * sigma * rng_normal(&r));
    t.noise = noise;
    int rc = out.restored ? scores_trace(s, q, &t, &out, e) : -1;
    for (int l = 0; l < c->layers && !rc; l++) {
        double top = -1;
        for (size_t k = (size_t)l; k < cells; k += (size_t)c->layers)
            top = fmax(top, out.restored[k] - out.corrupted);
        effect[l] += top;
    }
    s->tokens += (double)(cells + 1) * (t.samples + 1) * seq_prompt(q);
    free(out.restored);
    free(noise);
    return rc;
}

static int score(const void *params_, struct scoring *s, struct err *e)
{
    const struct causal *p = params_;
    const struct model_config *c = &s->engine->model->cfg;
    const struct dataset *set = s->engine->sets[ROLE_FORGET];
    double *effect = mem_alloc((size_t)c->layers, sizeof *effect, e), top = 0;
    const double sigma = deviation(s, p);
    struct progress bar;
    int rc = effect ? 0 : -1;
    progress_start(&bar, "forget", set->n);
    for (int i = 0; i < set->n && !rc; i++) {
        rc = trace_row(s, p, i, sigma, effect, e);
        if (rc)
            err_prefix(e, "row %d: ", i);
        progress_step(&bar, i + 1, s->tokens, NULL);
    }
    progress_end(&bar);
    for (int l = 0; l < c->layers && !rc; l++) {
        top = fmax(top, effect[l] / set->n);
        for (int j = 0; j < c->ff; j++)
            s->v[(size_t)l * (size_t)c->ff + (size_t)j] = (float)(effect[l] / set->n);
    }
    s->least = (double)(float)(p->threshold * top);
    free(effect);
    return rc;
}

const struct locator locator_tracing = {
    .name = "tracing",
    .help = "MLPs that bring an answer back that noise on the prompt took away (causal tracing)",
    .paper = "arXiv 2202.05262",
    .formula = "P(answer | noise, MLPs around the layer restored at a token) - P(answer | noise)",
    .verified = "the authors' code (memit): probabilities of every token and layer",
    .params = params,
    .params_size = sizeof(struct causal),
    .unit = UNIT_NEURON,
    .roles = 1U << ROLE_FORGET,
    .score = score,
};
