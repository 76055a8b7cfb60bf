/* Kronecker factors and influence scores against kronfluence (tools/make_influence_golden.py), and
 * their files. */
#include <unistd.h>

#include "influence/kfac.h"
#include "influenced.h"

static const char *const maps[] = {"model.layers.1.self_attn.k_proj",
                                   "model.layers.0.mlp.down_proj"};

static int find_map(const struct kfac *k, const char *name)
{
    int i = 0;
    while (strcmp(k->maps[i].name, name))
        BUG_ON(++i == k->n);
    return i;
}

static void near_tensor(const char *prefix, const char *name, const float *got, size_t n,
                        double bound)
{
    char key[128];
    double top;
    snprintf(key, sizeof key, "%s.%s", prefix, name);
    float *want = read_f32(&golden, key);
    const double off = worst_of(got, want, n, &top);
    near(off, 0, 0, bound * top, "%s", key);
    free(want);
}

static int compare_factors(void *ctx, const struct kfac *k, struct err *e)
{
    (void)e;
    ++*(int *)ctx;
    for (int m = 0; m < 2; m++) {
        const struct kfac_map *at = &k->maps[find_map(k, maps[m])];
        near_tensor("A", maps[m], k->maps[at->input].a, (size_t)at->in * (size_t)at->in, 1e-4);
        near_tensor("S", maps[m], at->s, (size_t)at->out * (size_t)at->out, 1e-4);
    }
    return 0;
}

static void check_factors(void)
{
    struct bench b;
    struct err e = {.msg = ""};
    struct kfac k;
    const struct fisher_labels data = {.drawn = false};
    int called = 0;
    bench_nlls(&b, 1);
    const struct dataset *retain = &b.sets[ROLE_RETAIN], *forget = &b.sets[ROLE_FORGET];
    ok(!kfac_init(&k, &b.m, STRATEGY_EKFAC, NULL, retain->seqs, &e) && k.n == 21, "21 linear maps");
    ok(!kfac_fit(&k, retain->seqs, retain->n, &data, compare_factors, &called, &e) && called == 1,
       "factors of the empirical Fisher matrix");
    ok(k.tokens == 139 && k.rows == 13,
       "A and S are means over all 139 tokens, Lambda over 13 rows");
    for (int m = 0; m < 2; m++) {
        const struct kfac_map *at = &k.maps[find_map(&k, maps[m])];
        const size_t n = (size_t)at->in * (size_t)at->out;
        near_tensor("lambda", maps[m], at->lambda, n, 1e-3);
        double loss;
        float *flat = vector(&b), *x = vector(&b);
        const int row = 0;
        const struct data_rows one = {ROLE_FORGET, &row, 1, 1};
        BUG_ON(derivative_gradient(&b.g, GOAL_BIT(GOAL_FORGET), &one, flat, &loss, &e));
        b.m.ops->scale(flat, (float)seq_labels(forget->seqs), b.m.table.moving);
        BUG_ON(kfac_solve_flat(&k, 1e-4, flat, x, &e));
        near_tensor("ihvp0", maps[m], x + b.m.table.v[at->weight].at, n, 1e-3);
        free(flat), free(x);
    }
    /* Per token and per row: K-FAC's Lambda is the product of eigenvalues, of another size. */
    const struct kfac_map *at = &k.maps[find_map(&k, maps[0])];
    double of_a = 0, of_s = 0;
    for (int i = 0; i < at->in; i++)
        of_a += at->ea[i] / at->in;
    for (int i = 0; i < at->out; i++)
        of_s += at->es[i] / at->out;
    ok(at->mean > 2 * of_a * of_s,
       "EK-FAC's eigenvalues are of rows (mean %.3g), K-FAC's of tokens (%.3g)", at->mean,
       of_a * of_s);
    near(kfac_damping(&k, 0, -1), 0.1 * k.maps[0].mean, 1e-12, 0,
         "a tenth of the mean is the heuristic damping");
    kfac_fini(&k);
    bench_close(&b);
}

static double *scores(struct bench *b, enum strategy s, double damping,
                      const struct fisher_labels *labels, double bytes,
                      struct influence_scores *more)
{
    struct kfac k;
    struct err e = {.msg = ""};
    const struct dataset *q = &b->sets[ROLE_FORGET], *t = &b->sets[ROLE_RETAIN];
    more->score = calloc((size_t)q->n * (size_t)t->n, sizeof(double));
    BUG_ON(kfac_init(&k, &b->m, s, NULL, t->seqs, &e) || kfac_plan(&k, bytes, q->n, &e));
    if (bytes < 1e9)
        ok(k.n_blocks == 3, "three blocks of a layer each fit the memory");
    for (int i = 0; i < k.n_blocks; i++) {
        kfac_choose(&k, i);
        BUG_ON(kfac_fit(&k, t->seqs, t->n, labels, NULL, NULL, &e) ||
               kfac_scores(&k, q->seqs, q->n, t->seqs, t->n, damping, more, &e));
    }
    kfac_fini(&k);
    return more->score;
}

static void near_scores(const char *key, const double *got, size_t n, double bound)
{
    char name[128];
    double off = 0, top = 0;
    snprintf(name, sizeof name, "score.%s", key);
    float *want = read_f32(&golden, name);
    for (size_t i = 0; i < n; i++) {
        off = fmax(off, fabs(got[i] - (double)want[i]));
        top = fmax(top, fabs((double)want[i]));
    }
    near(off, 0, 0, bound * top, "%s", key);
    free(want);
}

static void check_scores(void)
{
    struct bench b;
    struct err e;
    bench_nlls(&b, 1);
    int *drawn = tensor_ints(tensor_find(&golden, "sampled_labels"), &e);
    const struct fisher_labels data = {.drawn = false}, given = {.given = drawn, .width = 13};
    const struct {
        const char *name;
        enum strategy strategy;
        double damping;
        const struct fisher_labels *labels;
    } rows[] = {
        {"identity_empirical_damped", STRATEGY_IDENTITY, 1e-4, &data},
        {"diagonal_empirical_damped", STRATEGY_DIAGONAL, 1e-4, &data},
        {"diagonal_empirical_heuristic", STRATEGY_DIAGONAL, -1, &data},
        {"kfac_empirical_damped", STRATEGY_KFAC, 1e-4, &data},
        {"kfac_empirical_heuristic", STRATEGY_KFAC, -1, &data},
        {"ekfac_empirical_damped", STRATEGY_EKFAC, 1e-4, &data},
        {"ekfac_empirical_heuristic", STRATEGY_EKFAC, -1, &data},
        {"ekfac_sampled_damped", STRATEGY_EKFAC, 1e-4, &given},
        {"ekfac_sampled_heuristic", STRATEGY_EKFAC, -1, &given},
    };
    enum { PAIRS = 9 * 13 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct influence_scores s = {.score = NULL};
        near_scores(rows[i].name,
                    scores(&b, rows[i].strategy, rows[i].damping, rows[i].labels, 1e12, &s), PAIRS,
                    1e-3);
        free(s.score);
    }
    double self[13] = {0}, *by_map = calloc(21 * PAIRS, sizeof *by_map);
    struct influence_scores s = {.self = self, .by_map = by_map};
    near_scores("ekfac_empirical_damped", scores(&b, STRATEGY_EKFAC, 1e-4, &data, 3e5, &s), PAIRS,
                1e-3);
    near_scores("self", self, 13, 1e-3);
    near_scores("module.model.layers.1.self_attn.k_proj", by_map + 8 * PAIRS, PAIRS, 1e-3);
    free(s.score), free(by_map), free(drawn);
    bench_close(&b);
}

/* Factors from a file give the same bits; those of another model are refused. */
static void check_file(void)
{
    struct bench b;
    struct err e = {.msg = ""};
    struct kfac k;
    struct model other;
    static const struct fisher_labels drawn = {.drawn = true, .seed = 3};
    char path[64];
    double first[9 * 13] = {0}, again[9 * 13] = {0};
    struct influence_scores s = {.score = first}, from_file = {.score = again};
    bench_nlls(&b, 1);
    const struct dataset *q = &b.sets[ROLE_FORGET], *t = &b.sets[ROLE_RETAIN];
    snprintf(path, sizeof path, "/tmp/factors_%ld.safetensors", (long)getpid());
    BUG_ON(kfac_init(&k, &b.m, STRATEGY_EKFAC, NULL, t->seqs, &e) || kfac_plan(&k, 3e5, q->n, &e));
    struct kfac_writer *w = kfac_write_open(path, &k, &e);
    for (int i = 0; i < k.n_blocks; i++) {
        kfac_choose(&k, i);
        BUG_ON(kfac_fit(&k, t->seqs, t->n, &drawn, kfac_write_factors, w, &e) ||
               kfac_write_rest(w, &k, &e) ||
               kfac_scores(&k, q->seqs, q->n, t->seqs, t->n, -1, &s, &e));
    }
    ok(!kfac_write_close(w, false, &e), "factors of three blocks are written");
    BUG_ON(kfac_plan(&k, 1e12, q->n, &e));
    ok(!kfac_read(&k, path, &e) && k.tokens == 139 && k.rows == 13, "and read as one");
    BUG_ON(kfac_scores(&k, q->seqs, q->n, t->seqs, t->n, -1, &from_file, &e));
    double off = 0, top = 0;
    for (int i = 0; i < 9 * 13; i++) {
        off = fmax(off, fabs(first[i] - again[i]));
        top = fmax(top, fabs(first[i]));
    }
    near(off, 0, 0, 1e-6 * top, "with the same scores");
    kfac_fini(&k);
    BUG_ON(kfac_init(&k, &b.m, STRATEGY_KFAC, ".*\\.(k|q)_proj\\.weight", t->seqs, &e));
    ok(k.n == 6 && k.maps[1].input == 0 && !kfac_read(&k, path, &e), "fewer maps are found in it");
    kfac_fini(&k);
    BUG_ON(model_open(&other, path_of("models/", "llama"), MODEL_READ, &e) ||
           kfac_init(&k, &other, STRATEGY_EKFAC, NULL, t->seqs, &e));
    ok(kfac_read(&k, path, &e) && strstr(e.msg, "another model") &&
           strstr(e.msg, "model.layers.0.self_attn"),
       "another model: %s", e.msg);
    kfac_fini(&k);
    model_close(&other);
    ok(kfac_init(&k, &b.m, STRATEGY_EKFAC, "lm_head.weight", t->seqs, &e) &&
           strstr(e.msg, "lm_head"),
       "the head is no linear map of a layer: %s", e.msg);
    kfac_fini(&k);
    unlink(path);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    begin_influence(dir);
    check_factors();
    check_scores();
    check_file();
    tensor_file_close(&golden);
    free(dir);
    return done();
}
