/* A prefix that sequences of a batch share, computed once: for every family the log-probabilities
 * of all labels and the gradient are those of sequences that share nothing, and the gradient is
 * that of the loss by central differences; fewer products are made. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "decoders.h"
#include "model/forward.h"
#include "model/head.h"
#include "model/lora.h"
#include "tap.h"

enum { SEQS = 6, LONGEST = 14, ROWS = SEQS * LONGEST };

/* A tree: 1 and 2 continue 0, 3 continues 2, 4 is 3 again, 5 is on its own. In the prefix of 0
 * there is a token that nobody attends to, as in all that continue it. */
static void sequences(struct seq *s, int ids[SEQS][LONGEST], uint8_t *mask)
{
    static const int len[SEQS] = {9, LONGEST, 12, 13, 13, 5}, from[SEQS] = {0, 0, 0, 2, 3, 0},
                     common[SEQS] = {0, 8, 5, 10, 13, 0};
    struct rng r;
    rng_seed(&r, 31);
    for (int i = 0; i < SEQS; i++) {
        for (int t = 0; t < len[i]; t++)
            ids[i][t] = t < common[i] ? ids[from[i]][t] : (int)rng_below(&r, VOCAB);
        for (int k = 0; k < i && common[i] < len[i]; k++) /* it ends where it is said to */
            while (common[i] < len[k] && ids[i][common[i]] == ids[k][common[i]])
                ids[i][common[i]] = (ids[i][common[i]] + 1) % VOCAB;
        s[i] = (struct seq){.n = len[i], .ids = ids[i], .labels = ids[i], .mask = mask};
    }
    for (int t = 0; t < LONGEST; t++)
        mask[t] = t != 2;
}

struct result {
    double loss;
    float logp[ROWS];
    float *grads;
    int tokens, products;
};

static void count_product(void *ctx, const struct product *y)
{
    ((struct result *)ctx)->products += y->n;
}

/* What a tap at the residual of layer 1 does to it and to its derivative. */
static void bend(void *ctx, const struct pass *p, device float *x)
{
    (void)ctx;
    p->m->ops->scale(x, 1.25f, (size_t)p->batch->n_tokens * (size_t)p->m->cfg.width);
}

static int run(struct result *out, struct model *m, bool share, bool again, float *grads,
               struct arena *a, struct err *e)
{
    struct seq s[SEQS];
    struct batch b;
    struct label_rows rows;
    struct pass p;
    struct head h;
    int ids[SEQS][LONGEST], from[SEQS] = {0}, common[SEQS] = {0};
    uint8_t mask[LONGEST];
    float lse[ROWS], g[ROWS], dx[ROWS * 24] = {0};
    const struct linear_tap linear = {.forward = count_product, .ctx = out};
    const struct tap tap = {.place = PLACE_RESID, .layer = 1, .forward = bend, .backward = bend};
    const struct forward how = {
        .keep = true, .recompute = again, .taps = &tap, .n_taps = 1, .linear = &linear};
    *out = (struct result){.grads = grads};
    arena_reset(a);
    sequences(s, ids, mask);
    if (share)
        batch_find_common(s, SEQS, from, common);
    if (batch_pack_shared(&b, s, SEQS, from, common, VOCAB, m->cfg.positions, a, e) ||
        batch_label_rows(&rows, &b, s, a, e) || model_forward(m, &b, &how, &p, a, e) ||
        head_init(&h, &p, &rows, true, a, e))
        return -1;
    out->tokens = b.n_tokens;
    head_logp(&h, out->logp, lse, NULL);
    for (int r = 0; r < rows.n; r++) {
        const double weight = 1 + 0.25 * rows.seq[r]; /* each sequence has its own */
        out->loss -= weight * (double)out->logp[r];
        g[r] = (float)-weight;
    }
    if (!grads)
        return 0;
    memset(grads, 0, m->table.grads * sizeof *grads);
    head_logp_back(&h, g, lse, grads);
    return head_finish_back(&h, dx, grads, a, e) || pass_backward(&p, dx, grads, a, e);
}

/* Along a random direction over all that moves. */
static void check_difference(struct model *m, const float *grads, const char *name, struct arena *a)
{
    struct err e;
    struct rng r;
    const size_t n = m->table.total;
    const float h = 1e-3f;
    double slope = 0, norm = 0;
    float *along = mem_alloc(n, sizeof *along, &e);
    struct result up, down;
    rng_seed(&r, 33);
    for (size_t i = 0; i < n; i++) {
        along[i] = (float)(rng_normal(&r) / 8);
        slope += (double)along[i] * (double)grads[i];
        norm += (double)grads[i] * (double)grads[i];
    }
    m->ops->axpy(m->own, h, along, n);
    BUG_ON(run(&up, m, true, false, NULL, a, &e));
    m->ops->axpy(m->own, -2 * h, along, n);
    BUG_ON(run(&down, m, true, false, NULL, a, &e));
    m->ops->axpy(m->own, h, along, n);
    /* ReLU has corners, which a difference goes across. */
    near((up.loss - down.loss) / (2 * (double)h), slope, 0,
         (m->cfg.act == ACT_RELU ? 3e-2 : 1e-2) * sqrt(norm) / 8,
         "%s: shared, the slope is the difference quotient", name);
    free(along);
}

static void compare(struct model *m, const char *name, bool differences, struct arena *a)
{
    struct err e;
    const size_t n = m->table.grads;
    struct result each, once;
    float *g0 = mem_alloc(n, sizeof *g0, &e), *g1 = mem_alloc(n, sizeof *g1, &e);
    double off = 0, far = 0, top = 0;
    BUG_ON(run(&each, m, false, false, g0, a, &e) || run(&once, m, true, false, g1, a, &e));
    for (int r = 0; r < ROWS; r++) {
        double d = fabs((double)each.logp[r] - (double)once.logp[r]);
        far = d <= far ? far : d;
    }
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)g0[i] - (double)g1[i]);
        off = d <= off ? off : d;
        top = fmax(top, fabs((double)g0[i]));
    }
    ok(once.tokens == 66 - 8 - 5 - 10 - 13 && each.tokens == 66, "%s: %d tokens of %d", name,
       once.tokens, each.tokens);
    ok(once.products * each.tokens == each.products * once.tokens, "%s: and as few products", name);
    ok(far < 2e-5, "%s: log-probabilities as alone, off by %.1e", name, far);
    ok(off < 5e-6 * top, "%s: and the gradient, off by %.1e of %.2g", name, off, top);
    if (differences)
        check_difference(m, g1, name, a);
    free(g0);
    free(g1);
}

/* Layers that run again in the backward give the same bits in less memory. */
static void check_again(struct model *m, const char *name, struct arena *a)
{
    struct err e;
    const size_t n = m->table.grads;
    struct result kept, again;
    float *g0 = mem_alloc(n, sizeof *g0, &e), *g1 = mem_alloc(n, sizeof *g1, &e);
    for (int share = 0; share < 2; share++) {
        BUG_ON(run(&kept, m, share, false, g0, a, &e));
        const size_t most = a->used;
        BUG_ON(run(&again, m, share, true, g1, a, &e));
        const size_t less =
            forward_bytes(&m->cfg, kept.tokens, true) - recompute_bytes(&m->cfg, kept.tokens);
        ok(!memcmp(g0, g1, n * sizeof *g0) && kept.loss == again.loss &&
               kept.products == again.products,
           "%s: recomputed%s, the same bits", name, share ? " and shared" : "");
        ok(a->used < most - less + 4096 && a->used + 4096 > most - less,
           "%s: in %zu instead of %zu bytes", name, a->used, most);
    }
    free(g0);
    free(g1);
}

/* Adapters on frozen weights. */
static void check_lora(struct model *m, const char *name, struct arena *a)
{
    struct err e;
    struct rng r;
    char text[80];
    struct lora_options o = {.lora_rank = 2, .lora_alpha = 3, .lora_targets = "all-linear"};
    rng_seed(&r, 35);
    float *base = m->own;
    m->own = NULL; /* as a model that is open for reading */
    if (lora_attach(m, &o, 5, &e)) {
        ok(0, "%s, LoRA: %s", name, e.msg);
    } else {
        for (int i = m->table.n_model; i < m->table.n; i++)
            for (size_t j = 0; j < m->table.v[i].count; j++)
                m->own[m->table.v[i].offset + j] = 0.1f * (float)rng_normal(&r);
        snprintf(text, sizeof text, "%s, LoRA", name);
        compare(m, text, false, a);
        check_again(m, text, a);
    }
    free(base);
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
            compare(&m, name, true, &a);
            check_again(&m, name, &a);
            if (!strcmp(kinds[i].family, "llama") || !strcmp(kinds[i].family, "gemma2"))
                check_lora(&m, name, &a);
        }
        model_close(&m);
    }
    arena_fini(&a);
    return done();
}
