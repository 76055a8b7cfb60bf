/* Every family as a small random decoder: the gradient against differences of the loss along
 * directions, generation through the cache against whole forwards, a few steps of training, the
 * memory that was planned, and the order of weights in files.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/forward.h"
#include "model/generate.h"
#include "model/head.h"
#include "model/store.h"
#include "decoders.h"
#include "logits.h"
#include "tap.h"

enum { SEQS = 3, LONGEST = 13 };

/* Three sequences, the middle one with tokens that nobody attends to. */
static void sequences(struct seq *s, int *ids, uint8_t *mask)
{
    const int len[SEQS] = {7, LONGEST, 2};
    struct rng r;
    rng_seed(&r, 22);
    for (int i = 0; i < SEQS; i++, ids += LONGEST) {
        for (int t = 0; t < len[i]; t++)
            ids[t] = (int)rng_below(&r, VOCAB);
        s[i] = (struct seq){.n = len[i], .ids = ids, .labels = ids, .mask = i == 1 ? mask : NULL};
    }
    for (int t = 0; t < LONGEST; t++)
        mask[t] = t != 2 && t != 3;
}

/* The sum of all labels' log-probabilities, negated; with how.keep its gradient in grads, unless
 * that is NULL; how.unset: on top of what is there. */
static double loss_with(struct model *m, const struct forward *how, float *grads, struct arena *a)
{
    struct err e;
    struct seq s[SEQS];
    struct batch b;
    struct label_rows rows;
    struct pass p;
    struct head h;
    int ids[SEQS * LONGEST];
    uint8_t mask[LONGEST];
    float logp[SEQS * LONGEST], lse[SEQS * LONGEST], g[SEQS * LONGEST],
        dx[SEQS * LONGEST * 24] = {0};
    double loss = 0;
    arena_reset(a);
    sequences(s, ids, mask);
    if (batch_pack(&b, s, SEQS, VOCAB, m->cfg.positions, a, &e) ||
        batch_label_rows(&rows, &b, s, a, &e) || model_forward(m, &b, how, &p, a, &e) ||
        head_init(&h, &p, &rows, how->keep, a, &e))
        return NAN;
    head_logp(&h, logp, lse, NULL);
    for (int r = 0; r < rows.n; r++) {
        loss -= (double)logp[r];
        g[r] = -1;
    }
    if (!how->keep)
        return loss;
    if (grads && !how->unset)
        memset(grads, 0, m->table.grads * sizeof *grads);
    head_logp_back(&h, g, lse, grads);
    if (head_finish_back(&h, dx, grads, a, &e) || pass_backward(&p, dx, grads, a, &e))
        return NAN;
    return loss;
}

static double loss_of(struct model *m, float *grads, struct arena *a)
{
    return loss_with(m, &(struct forward){.keep = grads != NULL}, grads, a);
}

/* The bytes that the functions above took, against what is planned for as many tokens and rows. */
static void check_plan(const struct model_config *c, const struct arena *a, const char *name)
{
    int tokens = 7 + LONGEST + 2, rows = tokens - SEQS;
    size_t want = forward_bytes(c, tokens, true) + backward_bytes(c, tokens) +
                  head_bytes(c, rows, true) - (size_t)tokens * 24 * sizeof(float); /* dx is ours */
    /* Each array starts at a cache line, and the batch's own arrays are small. */
    ok(a->used >= want && a->used < want + 4096, "%s: %zu bytes, planned %zu", name, a->used, want);
}

/* d loss along random directions, one weight at a time, against the difference quotient. */
static void check_gradient(struct model *m, const char *name, struct arena *a)
{
    struct err e;
    struct rng r;
    const float h = 1e-2f;
    double worst = 0, size = 0;
    const char *where = "";
    float *grads = mem_alloc(m->table.grads, sizeof *grads, &e);
    float *along = mem_alloc(m->table.total, sizeof *along, &e);
    loss_of(m, grads, a);
    check_plan(&m->cfg, a, name);
    rng_seed(&r, 23);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        float *x = m->own + w->offset;
        double slope = 0, norm = sqrt((double)w->count);
        for (size_t j = 0; j < w->count; j++) {
            along[j] = (float)(rng_normal(&r) / norm);
            slope += (double)along[j] * (double)grads[w->at + j];
        }
        m->ops->axpy(x, h, along, w->count);
        double up = loss_of(m, NULL, a);
        m->ops->axpy(x, -2 * h, along, w->count);
        double down = loss_of(m, NULL, a), off = fabs((up - down) / (2 * (double)h) - slope);
        m->ops->axpy(x, h, along, w->count);
        size = fmax(size, fabs(slope));
        if (!(off <= worst)) {
            worst = off;
            where = w->name;
        }
    }
    /* ReLU has corners, which a difference goes across. */
    double room = m->cfg.act == ACT_RELU ? 1e-2 : 1e-3;
    ok(worst < room * size, "%s: slopes up to %.2g, off by %.1e (%s)", name, size, worst, where);
    free(grads);
    free(along);
}

/* Nothing is added to what nobody wants, and the rest is as with all. */
static void check_frozen(struct model *m, const char *name, struct arena *a)
{
    struct err e;
    size_t total = m->table.grads, differ = 0;
    float *all = mem_alloc(total, sizeof *all, &e), *some = mem_alloc(total, sizeof *some, &e);
    loss_of(m, all, a);
    for (int i = 0; i < m->table.n; i++) {
        struct weight *w = &m->table.v[i];
        w->wants_grad = w->trainable = w->layer == 1 && i % 2;
    }
    loss_of(m, some, a);
    for (int i = 0; i < m->table.n; i++) {
        struct weight *w = &m->table.v[i];
        for (size_t j = 0; j < w->count; j++)
            differ += some[w->at + j] != (w->wants_grad ? all[w->at + j] : 0);
        w->wants_grad = w->trainable = true;
    }
    ok(!differ, "%s: frozen weights get no gradient", name);
    free(all);
    free(some);
}

static int best_of(const float *z)
{
    int best = 0;
    for (int v = 1; v < VOCAB; v++)
        if (z[v] > z[best])
            best = v;
    return best;
}

/* The prompt and what was generated, through one whole forward: every token is its argmax. */
static int count_agreeing(struct model *m, const int *ids, int n_prompt, const struct generation *g,
                          struct arena *a)
{
    struct err e;
    struct batch b;
    struct pass p;
    struct head h;
    int all[48], token[48], good = 0;
    arena_reset(a);
    memcpy(all, ids, (size_t)n_prompt * sizeof *all);
    memcpy(all + n_prompt, g->ids, (size_t)g->n * sizeof *all);
    struct seq s = {.n = n_prompt + g->n, .ids = all};
    for (int i = 0; i < g->n; i++)
        token[i] = n_prompt - 1 + i;
    struct label_rows last = {.n = g->n, .token = token};
    if (batch_pack(&b, &s, 1, VOCAB, m->cfg.positions, a, &e) ||
        model_forward(m, &b, &(struct forward){.keep = false}, &p, a, &e) ||
        head_init(&h, &p, &last, false, a, &e))
        return -1;
    const float *z = all_logits(&h, a);
    for (int i = 0; i < g->n; i++)
        good += g->ids[i] == best_of(z + i * VOCAB) || g->margins[i] < 1e-4f;
    return good;
}

static void check_generation(struct model *m, const char *name, struct arena *a)
{
    enum { NEW = 20 };
    const int ids[2][12] = {{5, 9, 30, 1, 7, 7, 2, 36, 11, 4, 8, 3},
                            {14, 3, 3, 21, 6, 9, 1, 0, 2, 5}};
    const struct seq prompts[2] = {{.n = 12, .ids = ids[0]}, {.n = 10, .ids = ids[1]}};
    const struct generate_options o = {.max_new_tokens = NEW, .top_p = 1};
    struct generation g[2] = {{0}, {0}};
    struct err e;
    int good = 0;
    if (!ok(!model_generate(g, m, prompts, 2, &o, NULL, &e), "%s: generate", name))
        note("%s", e.msg);
    for (int i = 0; i < 2; i++)
        good += count_agreeing(m, ids[i], prompts[i].n, &g[i], a);
    ok(good == 2 * NEW, "%s: %d of %d tokens from the cache are a whole forward's", name, good,
       2 * NEW);
    generation_fini(&g[0]);
    generation_fini(&g[1]);
}

enum { WIDTH = 24, ALL = SEQS * LONGEST * WIDTH };

/* Adds delta to the stream, and reads the derivative there. */
struct nudge {
    float delta[ALL], d[ALL];
};

static void nudge_forward(void *ctx, const struct pass *p, float *x)
{
    const struct nudge *g = ctx;
    p->m->ops->add(x, g->delta, (size_t)p->batch->n_tokens * WIDTH);
}

static void nudge_backward(void *ctx, const struct pass *p, float *dx)
{
    struct nudge *g = ctx;
    memcpy(g->d, dx, (size_t)p->batch->n_tokens * WIDTH * sizeof(float));
}

/* The derivative that a tap reads at each place is the slope of what it adds there, whether any
 * weight wants a gradient or none; and weights get the same gradient with a tap that adds nothing.
 */
static void check_taps(struct model *m, const char *name, struct arena *a)
{
    static struct nudge g;
    static const char *const places[] = {"embedding", "residual", "attention output", "MLP input",
                                         "MLP output"};
    struct err e;
    struct rng r;
    const size_t n = m->table.grads;
    float *plain = mem_alloc(n, sizeof *plain, &e), *tapped = mem_alloc(n, sizeof *tapped, &e);
    loss_of(m, plain, a);
    rng_seed(&r, 29);
    for (enum place k = PLACE_EMBED; k <= PLACE_MLP_OUT; k++) {
        const struct tap tap = {k,   k == PLACE_EMBED ? -1 : 1, nudge_forward, nudge_backward, &g,
                                true};
        const struct forward how = {.keep = true, .taps = &tap, .n_taps = 1};
        struct forward look = how;
        look.keep = false;
        memset(&g, 0, sizeof g);
        loss_with(m, &how, tapped, a);
        double apart = 0, size = 0, slope = 0;
        for (size_t i = 0; i < n; i++) {
            apart = fmax(apart, fabs((double)tapped[i] - (double)plain[i]));
            size = fmax(size, fabs((double)plain[i]));
        }
        near(apart, 0, 0, 1e-5 * size, "%s, %s: a tap changes no gradient", name, places[k]);
        if (m->cfg.experts_used < m->cfg.experts) {
            skip("%s, %s: the slope; a step may change the choice of experts, where the loss jumps",
                 name, places[k]);
            continue;
        }
        for (int i = 0; i < ALL; i++)
            g.delta[i] = 0.1f * (float)rng_normal(&r);
        loss_with(m, &how, NULL, a);
        float along[ALL];
        const double h = 2e-3;
        for (int i = 0; i < ALL; i++) {
            along[i] = (float)rng_normal(&r);
            slope += (double)along[i] * (double)g.d[i];
        }
        m->ops->axpy(g.delta, (float)h, along, ALL);
        double up = loss_with(m, &look, NULL, a);
        m->ops->axpy(g.delta, (float)(-2 * h), along, ALL);
        double down = loss_with(m, &look, NULL, a);
        near((up - down) / (2 * h), slope, m->cfg.act == ACT_RELU ? 5e-2 : 5e-3, 2e-2,
             "%s, %s: what a tap reads is the slope", name, places[k]);
    }
    free(plain);
    free(tapped);
}

/* Gradients of the layers' matrices from what a linear tap sees of them. */
struct products {
    const struct model *m;
    float *grads;
    int forward, backward;
    bool right; /* sequences, but of experts, who see some tokens of each */
};

static bool has_sequences(const struct products *s, const struct product *y)
{
    if (slot_of_expert(s->m->table.v[y->weight].slot))
        return !y->n_seqs && !y->start;
    return y->n_seqs == SEQS && y->start[SEQS] == y->n;
}

static void product_forward(void *ctx, const struct product *y)
{
    struct products *s = ctx;
    s->forward++;
    s->right &= !y->dy && has_sequences(s, y);
}

static void product_backward(void *ctx, const struct product *y)
{
    struct products *s = ctx;
    const struct weight *w = &s->m->table.v[y->weight];
    s->backward++;
    s->right &= has_sequences(s, y);
    s->m->ops->linear_dw(s->grads + w->at + (size_t)y->first * (size_t)y->in, y->dy, y->x, y->n,
                         y->in, y->out, 1);
}

static void check_products(struct model *m, const char *name, struct arena *a)
{
    struct err e;
    const size_t n = m->table.grads;
    float *grads = mem_alloc(n, sizeof *grads, &e);
    struct products s = {.m = m, .grads = mem_alloc(n, sizeof(float), &e), .right = true};
    const struct linear_tap tap = {product_forward, product_backward, &s};
    bool same = true;
    loss_with(m, &(struct forward){.keep = true, .linear = &tap}, grads, a);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->layer >= 0 && w->n_dims == 2)
            same &= !memcmp(grads + w->at, s.grads + w->at, w->count * sizeof *grads);
    }
    ok(same && s.right && s.forward == s.backward && s.forward >= 3 * 6,
       "%s: a linear tap sees %d products, from which every matrix's gradient follows", name,
       s.backward);
    free(grads);
    free(s.grads);
}

/* Gradients that hold nothing yet are written, those of other passes added to; what is not reached
 * is cleared: the vectors, which are set here, are 0 before. */
static void check_unset(struct model *m, const char *name, struct arena *a)
{
    struct err e;
    const size_t n = m->table.grads;
    float *want = mem_alloc(n, sizeof *want, &e), *grads = mem_alloc(n, sizeof *grads, &e);
    bool *unset = mem_alloc((size_t)m->table.n, sizeof *unset, &e), same = true, none = true,
         twice = true;
    loss_with(m, &(struct forward){.keep = true}, want, a);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        unset[i] = w->n_dims == 2;
        for (size_t k = 0; k < w->count && unset[i]; k++)
            grads[w->at + k] = NAN;
    }
    loss_with(m, &(struct forward){.keep = true, .unset = unset}, grads, a);
    for (size_t k = 0; k < n; k++)
        same &= grads[k] == want[k];
    for (int i = 0; i < m->table.n; i++)
        none &= !unset[i];
    loss_with(m, &(struct forward){.keep = true, .unset = unset}, grads, a);
    for (size_t k = 0; k < n; k++)
        twice &= fabsf(grads[k] - 2 * want[k]) <= 1e-5f * (1 + fabsf(want[k]));
    ok(same && none && twice, "%s: gradients that are unset are written, then added to", name);
    free(want);
    free(grads);
    free(unset);
}

/* layout_load undoes layout_store, which moves every number of the weights that it concerns. */
static void check_layouts(const struct model *m, const char *name)
{
    struct err e;
    float *file = mem_alloc(m->table.total, sizeof *file, &e);
    float *back = mem_alloc(m->table.total, sizeof *back, &e);
    bool same = true;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        for (enum layout y = LAYOUT_PLAIN; y <= LAYOUT_ROPE_PAIRS; y++) {
            bool fits = y != LAYOUT_HEAD_QKV || w->slot == W_QKV || w->slot == W_QKV_B;
            fits = fits && (y != LAYOUT_ROPE_PAIRS || w->slot == W_Q || w->slot == W_K_B);
            if (!fits)
                continue;
            memset(file, 0, w->count * sizeof *file);
            layout_store(y, &m->cfg, w, file, m->w[i]);
            layout_load(y, &m->cfg, w, back, file);
            same = same && !memcmp(back, m->w[i], w->count * sizeof *back);
        }
    }
    ok(same, "%s: weights come back from every layout", name);
    free(file);
    free(back);
}

static void check_training(struct model *m, const char *name, struct arena *a)
{
    struct err e;
    size_t n = m->table.total;
    float *grads = mem_alloc(n, sizeof(float), &e), *first = mem_alloc(n, sizeof(float), &e);
    float *second = mem_alloc(n, sizeof(float), &e);
    double loss[4];
    bool falls = true;
    for (int step = 0; step < 4; step++) {
        const struct adamw o = {2e-3, 0.9, 0.999, 1e-8, 0, step + 1};
        loss[step] = loss_of(m, grads, a);
        falls = falls && (!step || loss[step] < loss[step - 1]);
        m->ops->adamw(m->own, first, second, grads, n, 1, &o);
    }
    ok(falls, "%s: the loss falls: %.3f %.3f %.3f %.3f", name, loss[0], loss[1], loss[2], loss[3]);
    free(grads);
    free(first);
    free(second);
}

int main(void)
{
    struct arena a;
    arena_init(&a);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct model m;
        char name[64];
        snprintf(name, sizeof name, "%s%s", kinds[i].family, kinds[i].what);
        if (ok(build(&m, &kinds[i]), "%s", name)) {
            check_gradient(&m, name, &a);
            check_taps(&m, name, &a);
            check_products(&m, name, &a);
            check_unset(&m, name, &a);
            check_frozen(&m, name, &a);
            check_generation(&m, name, &a);
            check_layouts(&m, name);
            check_training(&m, name, &a);
        }
        model_close(&m);
    }
    arena_fini(&a);
    return done();
}
