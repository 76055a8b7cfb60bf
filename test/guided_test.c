/* Guided generation: without guidance it is plain generation, with it each token is the best of
 * what whole passes over the three contexts say. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/forward.h"
#include "model/generate.h"
#include "model/head.h"
#include "tap.h"

enum { N = 10, NEW = 9, MOST = 12 };

/* Contexts of different lengths, made up. */
struct contexts {
    int ids[N][3][MOST];
    struct seq v[3][N]; /* the prompt, away from, towards */
};

static void fill(struct contexts *c, int vocab)
{
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 3; k++) {
            for (int t = 0; t < MOST; t++)
                c->ids[i][k][t] = 3 + (int)rng_below(&r, (uint32_t)vocab - 3);
            c->v[k][i] = (struct seq){.n = 2 + (5 * i + 3 * k) % (MOST - 2), .ids = c->ids[i][k]};
        }
    }
}

static int generate(struct generation *g, struct model *m, const struct contexts *c, int n,
                    double strength, struct generate_options o, struct err *e)
{
    const struct guidance guidance = {c->v[1], c->v[2], strength};
    o.guidance = &guidance;
    return model_generate(g, m, c->v[0], n, &o, NULL, e);
}

static bool same(const struct generation *a, const struct generation *b)
{
    return a->n == b->n && a->ended == b->ended &&
           !memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids);
}

static void drop(struct generation *g)
{
    for (int i = 0; i < N; i++)
        generation_fini(&g[i]);
}

static void check_plain(struct model *m, const struct contexts *c, double temperature)
{
    struct generate_options o = {
        .max_new_tokens = NEW, .temperature = temperature, .top_p = 0.9, .seed = 4};
    struct generation plain[N] = {0}, guided[N] = {0};
    struct err e = {.msg = "it does"};
    int equal = 0;
    ok(!model_generate(plain, m, c->v[0], N, &o, NULL, &e) && !generate(guided, m, c, N, 0, o, &e),
       "without guidance at temperature %g: %s", temperature, e.msg);
    for (int i = 0; i < N; i++)
        equal += same(&plain[i], &guided[i]);
    ok(equal == N, "%d of %d answers are the plain ones", equal, N);
    drop(plain);
    drop(guided);
}

/* Logits behind the context and the first n tokens of the answer, by a pass over all of it. */
static void add_logits(struct model *m, const struct seq *s, const struct generation *g, int n,
                       double share, double *z)
{
    struct arena a;
    struct batch b;
    struct pass p;
    struct head h;
    struct err e;
    int ids[MOST + NEW], last = s->n + n - 1, block;
    struct seq all = {.n = s->n + n, .ids = ids};
    struct label_rows rows = {.n = 1, .token = &last};
    memcpy(ids, s->ids, (size_t)s->n * sizeof *ids);
    memcpy(ids + s->n, g->ids, (size_t)n * sizeof *ids);
    arena_init(&a);
    BUG_ON(batch_pack(&b, &all, 1, m->cfg.vocab, m->cfg.positions, &a, &e) ||
           model_forward(m, &b, &(struct forward){.keep = false}, &p, &a, &e) ||
           head_init(&h, &p, &rows, false, &a, &e));
    const float *from = head_logits(&h, 0, &block);
    for (int i = 0; i < m->cfg.vocab; i++)
        z[i] += share * (double)from[i];
    arena_fini(&a);
}

static void check_guided(struct model *m, const struct contexts *c, double guidance)
{
    const struct generate_options o = {.max_new_tokens = NEW};
    struct generation g[N] = {0};
    struct err e = {.msg = "it does"};
    int right = 0, all = 0;
    ok(!generate(g, m, c, N, guidance, o, &e), "guidance %g: %s", guidance, e.msg);
    for (int i = 0; i < N; i++)
        for (int t = 0; t < g[i].n; t++, all++) {
            double z[512] = {0};
            int best = 0;
            add_logits(m, &c->v[0][i], &g[i], t, 1, z);
            add_logits(m, &c->v[1][i], &g[i], t, -guidance, z);
            add_logits(m, &c->v[2][i], &g[i], t, guidance, z);
            for (int k = 1; k < m->cfg.vocab; k++)
                best = z[k] > z[best] ? k : best;
            right += z[g[i].ids[t]] >= z[best] - 1e-4;
        }
    ok(all > N && right == all, "guidance %g: %d of %d tokens are the best", guidance, right, all);
    drop(g);
}

static void check_refusals(struct model *m, const struct contexts *c)
{
    const struct generate_options o = {.max_new_tokens = NEW}, much = {.max_new_tokens = 1 << 20};
    struct generation g[N] = {0};
    struct err e;
    ok(generate(g, m, c, N, 1, much, &e) && strstr(e.msg, "model's"), "too long: %s", e.msg);
    drop(g);
    long failed = 0;
    for (bool done = false; !done; failed++) {
        mem_fail_at(failed);
        done = !generate(g, m, c, 2, 1, o, &e);
        mem_fail_at(-1);
        drop(g);
    }
    ok(failed > 10, "each of %ld allocations may fail", failed - 1);
}

int main(void)
{
    static struct contexts c;
    struct model m;
    struct err e;
    char *path = test_data("models/llama");
    BUG_ON(model_open(&m, path, false, &e) || m.cfg.vocab > 512);
    fill(&c, m.cfg.vocab);
    check_plain(&m, &c, 0);
    check_plain(&m, &c, 1);
    check_guided(&m, &c, 3);
    check_guided(&m, &c, -0.5);
    check_refusals(&m, &c);
    model_close(&m);
    free(path);
    return done();
}
