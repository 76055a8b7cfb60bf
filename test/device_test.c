/* A device whose memory the host does not see: maps are copies, and what is mapped for writing is
 * NaN to the operations until it is unmapped. Gradients, steps of optimisers, scores and logits are
 * the bits of the CPU, which shows that every mapping is made, ended, and where it must be. */
#include "bench.h"
#include "model/generate.h"
#include "model/score.h"

static struct mapping {
    device float *x;
    float *host; /* owned */
    size_t n;
    bool written;
} mapped[16];
static int n_mapped, most_mapped;

static float *open_map(const float *x, size_t n, bool written)
{
    struct err e;
    BUG_ON(n_mapped == sizeof mapped / sizeof *mapped);
    float *host = mem_alloc(n, sizeof *host, &e);
    memcpy(host, x, n * sizeof *host);
    mapped[n_mapped++] = (struct mapping){(float *)(uintptr_t)x, host, n, written};
    most_mapped = n_mapped > most_mapped ? n_mapped : most_mapped;
    for (size_t i = 0; written && i < n; i++)
        mapped[n_mapped - 1].x[i] = NAN;
    return host;
}

static float *map(device float *x, size_t n)
{
    return open_map(x, n, true);
}

static const float *map_read(const device float *x, size_t n)
{
    return open_map(x, n, false);
}

static void unmap(const device float *x)
{
    int k = 0;
    while (k < n_mapped && mapped[k].x != x)
        k++;
    BUG_ON(k == n_mapped);
    if (mapped[k].written)
        memcpy(mapped[k].x, mapped[k].host, mapped[k].n * sizeof(float));
    free(mapped[k].host);
    mapped[k] = mapped[--n_mapped];
}

static struct ops far_away(void)
{
    struct ops o = *ops_cpu();
    o.map = map;
    o.map_read = map_read;
    o.unmap = unmap;
    return o;
}

/* The gradient and three steps of an optimiser, on the CPU and on the other device. */
static void check_training(const char *method, const char *wrapper, const struct optim *o,
                           const uint64_t *mask)
{
    const struct ops other = far_away();
    float *grads[2], *w[2];
    size_t n_grads = 0, n = 0;
    most_mapped = 0;
    for (int k = 0; k < 2; k++) {
        struct bench b;
        struct err e;
        bench_open(&b, method, 1, wrapper);
        b.m.ops = b.ref.ops = k ? &other : ops_cpu();
        b.m.table.mask = mask;
        if (wrapping_row(&b.wrap) == &wrapper_lat)
            set(wrapper_lat.params, b.wrap.chosen.params, "lat_layer", "0");
        b.g.l1 = 1e-4;
        void *p = mem_alloc(1, o->params_size, &e);
        if (o->params)
            param_defaults(o->params, p);
        for (long step = 0; step < 3; step++) {
            gradient_of(&b, step);
            engine_add_penalty(&b.g);
            const struct optim_step s = {.ops = b.m.ops,
                                         .table = &b.m.table,
                                         .w = b.m.own,
                                         .state = b.copy + 2,
                                         .grad = b.g.grads,
                                         .grad_scale = 1,
                                         .lr = 1e-2,
                                         .weight_decay = 0.1,
                                         .step = step + 1};
            optim_apply(o, p, &s);
        }
        n_grads = b.m.table.grads;
        n = b.m.table.total;
        grads[k] = copy_of(b.g.grads, n_grads);
        w[k] = copy_of(b.m.own, n);
        free(p);
        bench_close(&b);
    }
    ok(!memcmp(grads[0], grads[1], n_grads * sizeof(float)) &&
           !memcmp(w[0], w[1], n * sizeof(float)) && !n_mapped && most_mapped,
       "%s, wrapper %s, %s%s: the same bits, all %d mappings ended", method, wrapper, o->name,
       mask ? ", masked" : "", most_mapped);
    for (int k = 0; k < 2; k++) {
        free(grads[k]);
        free(w[k]);
    }
}

static void check_use(void)
{
    const struct ops other = far_away();
    const struct generate_options go = {.max_new_tokens = 6, .ignore_eos = true};
    struct scores s[2];
    struct generation g[2] = {{0}};
    bool same = true;
    for (int k = 0; k < 2; k++) {
        struct bench b;
        struct err e;
        bench_open(&b, "FT", 1, "none");
        b.m.ops = k ? &other : ops_cpu();
        struct seq prompt = b.sets[ROLE_FORGET].seqs[0];
        prompt.n = 3;
        BUG_ON(model_score(&s[k], &b.m, b.sets[ROLE_RETAIN].seqs, 2, NULL, NULL, &e) ||
               model_generate(&g[k], &b.m, &prompt, 1, &go, NULL, &e));
        bench_close(&b);
    }
    for (int i = 0; i < 2; i++)
        same = same && s[0].v[i].nll == s[1].v[i].nll;
    ok(same && g[0].n == 6 && !memcmp(g[0].ids, g[1].ids, 6 * sizeof(int)) && !n_mapped,
       "scores and answers: the same");
    for (int k = 0; k < 2; k++) {
        scores_fini(&s[k]);
        generation_fini(&g[k]);
    }
}

int main(void)
{
    static uint64_t mask[1 << 14];
    char *root = test_data("");
    bench_root = root;
    for (size_t i = 0; i < sizeof mask / sizeof *mask; i++)
        mask[i] = i % 2 ? ~(uint64_t)0 : UINT64_C(0x123456789abcdef);
    check_training("FT", "none", &optim_adamw, mask);
    check_training("NPO", "rs", &optim_sgd, NULL);
    check_training("UNDIAL", "none", &optim_lion, mask);
    check_training("RMU", "none", &optim_sophia, NULL);
    check_training("NPO", "lat", &optim_sophia_soul, NULL);
    check_use();
    free(root);
    return done();
}
