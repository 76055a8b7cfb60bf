/* Scoring sequences that begin alike, together, against scoring each by itself; and what scoring
 * refuses. */
#include "base/rng.h"
#include "figures.h"
#include "model/score.h"

static const struct score_options all = {.distribution = true};

enum { TEXTS = 40, MOST = 60 };

/* Sequences that branch off one another at random places, some of them copies or beginnings of
 * others, some with tokens that nobody attends to. */
static void make_family(struct seq *seqs, int ids[][MOST], int labels[][MOST], uint8_t mask[][MOST],
                        int vocab, bool masked)
{
    struct rng r;
    rng_seed(&r, 3 + masked);
    for (int i = 0; i < TEXTS; i++) {
        int from = i ? (int)rng_below(&r, (uint32_t)i) : 0;
        int kept = i ? (int)rng_below(&r, (uint32_t)seqs[from].n + 1) : 0;
        int n = kept + (int)rng_below(&r, 20);
        n = n < 2 ? 2 : n > MOST ? MOST : n;
        for (int t = 0; t < n; t++) {
            bool copy = t < kept;
            ids[i][t] = copy ? ids[from][t] : (int)rng_below(&r, (uint32_t)vocab);
            mask[i][t] = copy ? mask[from][t] : !t || rng_below(&r, 5) > 0;
            labels[i][t] = rng_below(&r, 3) ? LABEL_NONE : ids[i][t];
        }
        if (i == 7) /* the last label of a shared place may differ */
            labels[i][n - 1] = (ids[i][n - 1] + 1) % vocab;
        seqs[i] = (struct seq){n, ids[i], i == 9 ? NULL : labels[i], masked ? mask[i] : NULL};
    }
}

static double distance(const struct score *a, const struct score *b)
{
    if (a->n != b->n)
        return INFINITY;
    /* The sum over n labels may be off by n times what one is. */
    double worst = fabs(a->nll - b->nll) / (a->n > 1 ? a->n : 1);
    for (int k = 0; k < a->n; k++) {
        worst = fmax(worst, fabs((double)a->logp[k] - (double)b->logp[k]));
        worst = fmax(worst, fabs((double)a->mean[k] - (double)b->mean[k]));
        worst = fmax(worst, fabs((double)a->variance[k] - (double)b->variance[k]) / 10);
        if (a->label[k] != b->label[k] || a->best[k] != b->best[k] || a->rank[k] != b->rank[k])
            return INFINITY;
    }
    return worst;
}

static void check_sharing(struct model *m, bool masked)
{
    static struct seq seqs[TEXTS];
    static int ids[TEXTS][MOST], labels[TEXTS][MOST];
    static uint8_t mask[TEXTS][MOST];
    struct scores together, apart;
    struct err e;
    double worst = 0;
    make_family(seqs, ids, labels, mask, m->cfg.vocab, masked);
    for (int tokens = 0; tokens <= 120; tokens += 60) { /* 0: all in one batch */
        struct score_options o = {.tokens = tokens, .distribution = true};
        if (!ok(!model_score(&together, m, seqs, TEXTS, &o, NULL, &e), "by %d", tokens))
            return note("%s", e.msg);
        for (int i = 0; i < TEXTS; i++) {
            if (model_score(&apart, m, &seqs[i], 1, &all, NULL, &e))
                return note("%s", e.msg);
            worst = fmax(worst, distance(&together.v[i], &apart.v[0]));
            scores_fini(&apart);
        }
        scores_fini(&together);
    }
    near(worst, 0, 0, 2e-5, "together as one by one%s", masked ? ", with masks" : "");
}

static void check_prefix(void)
{
    int a[] = {1, 2, 3, 4}, b[] = {1, 2, 3, 5};
    uint8_t hidden[] = {1, 0, 1, 1};
    struct seq x = {4, a, NULL, NULL}, y = {4, b, NULL, NULL}, z = {3, a, NULL, hidden};
    ok(seq_common(&x, &y) == 3 && seq_common(&x, &x) == 4 && seq_common(&x, &z) == 1,
       "what sequences have in common ends at another id or mask");
}

static void check_refusals(struct model *m)
{
    struct err e;
    struct scores s;
    int ids[600] = {0}, labels[600];
    for (int i = 0; i < 600; i++)
        labels[i] = 1;
    struct seq q = {600, ids, labels, NULL};
    ok(model_score(&s, m, &q, 1, NULL, NULL, &e) && strstr(e.msg, "512 positions"), "%s", e.msg);
    q.n = 3;
    labels[1] = 320;
    ok(model_score(&s, m, &q, 1, NULL, NULL, &e) && strstr(e.msg, "label 320"), "%s", e.msg);
    labels[1] = 1;
    ids[1] = -1;
    ok(model_score(&s, m, &q, 1, NULL, NULL, &e) && strstr(e.msg, "id -1"), "%s", e.msg);
    q.labels = NULL;
    ok(!model_score(&s, m, &q, 1, NULL, NULL, &e) && s.v[0].n == 0, "nothing to score is fine");
    scores_fini(&s);
}

int main(void)
{
    struct err e;
    struct model m;
    char *path = test_data("models/llama");
    check_prefix();
    if (ok(!model_open(&m, path, false, &e), "the model")) {
        check_sharing(&m, false);
        check_sharing(&m, true);
        check_refusals(&m);
        model_close(&m);
    }
    free(path);
    return done();
}
