/* The norms of gradients that are never made, beside those of gradients that are: decoders of many
 * families, whose matrices have biases, are fused or stand by themselves, short and long texts. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "eval/example.h"
#include "model/forward.h"
#include "model/head.h"
#include "tap.h"

enum { MOST = 120, SEQS = 4 };

/* All gradients of the mean loss over a sequence's labels. */
static double plain_norm(struct model *m, const struct seq *s, struct err *e)
{
    struct batch b;
    struct label_rows rows;
    struct pass p;
    struct head h;
    struct arena a;
    float *grads = mem_alloc(m->table.grads, sizeof *grads, e), logp[MOST], lse[MOST], g[MOST];
    arena_init(&a);
    double sum = NAN;
    if (grads && !batch_pack(&b, s, 1, m->cfg.vocab, m->cfg.positions, &a, e) &&
        !batch_label_rows(&rows, &b, s, &a, e) &&
        !model_forward(m, &b, &(struct forward){.keep = true}, &p, &a, e) &&
        !head_init(&h, &p, &rows, true, &a, e)) {
        float *dx = arena_take(&a, (size_t)(s->n * m->cfg.width), sizeof *dx, e);
        for (int i = 0; i < s->n * m->cfg.width; i++)
            dx[i] = 0;
        for (int i = 0; i < rows.n; i++)
            g[i] = -1 / (float)rows.n;
        head_logp(&h, logp, lse, NULL);
        head_logp_back(&h, g, lse, grads);
        if (!head_finish_back(&h, dx, grads, &a, e) && !pass_backward(&p, dx, grads, &a, e))
            sum = 0;
    }
    for (int i = 0; i < m->table.n; i++) {
        const float *v = grads + m->table.v[i].at;
        sum += sqrt(m->ops->dot(v, v, m->table.v[i].count));
    }
    arena_fini(&a);
    free(grads);
    return sum / m->table.n;
}

static void check_model(const char *name)
{
    static const int lengths[SEQS] = {2, 9, 20, MOST}; /* some longer than the matrices are wide */
    char *path = test_data(name);
    int ids[MOST], labels[MOST], good = 0;
    size_t grads;
    struct model m;
    struct gradnorm g;
    struct rng r;
    struct err e;
    if (!ok(!model_open(&m, path, false, &e), "%s", name))
        return free(path);
    rng_seed(&r, 3);
    for (int t = 0; t < MOST; t++) {
        ids[t] = (int)rng_below(&r, (uint32_t)m.cfg.vocab);
        labels[t] = t % 3 ? ids[t] : LABEL_NONE;
    }
    grads = m.table.grads;
    for (int i = 0; i < SEQS; i++) {
        int n = lengths[i] < m.cfg.positions ? lengths[i] : m.cfg.positions;
        const struct seq s = {.n = n, .ids = ids, .labels = labels};
        double got = NAN, want = plain_norm(&m, &s, &e);
        if (!gradnorm_init(&g, &m, false, &e))
            gradnorm_of(&g, &s, &got, &e);
        gradnorm_fini(&g);
        good += want > 0 && fabs(got - want) < 1e-5 * want;
        if (!(fabs(got - want) < 1e-5 * want))
            note("%d tokens: %.9g, not %.9g", s.n, got, want);
    }
    ok(good == SEQS, "%s: norms of gradients that are not made", name);
    ok(m.table.grads == grads, "%s: the model is as it was", name);
    model_close(&m);
    free(path);
}

int main(void)
{
    static const char *const names[] = {
        "models/llama",    "models/llama_bias",  "models/phi3",      "models/gpt2",
        "models/gpt_neox", "models/gemma2",      "models/qwen3",     "models/opt",
        "models/olmo2",    "models/llama3_tied", "models/qwen3_moe", "models/mixtral"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_model(names[i]);
    return done();
}
