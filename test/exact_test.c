/* Exact and certified removal, and differential privacy, against reference figures
 * (tools/make_exact_golden.py) and their definitions: the mixture of an ensemble's members, Newton
 * removal from a logistic head, the accountant. */
#include "base/rng.h"
#include "figures.h"
#include "job.h"
#include "model/ensemble.h"
#include "model/generate.h"
#include "model/lora.h"
#include "objectives/terms.h"
#include "train/accountant.h"
#include "train/certified.h"
#include "train/derivatives.h"
#include "train/private.h"

static json_t *golden;

/* --- an ensemble of three models --- */

static void open_three(struct model *m)
{
    struct err e;
    struct model *others = mem_alloc(2, sizeof *others, &e);
    BUG_ON(!others || model_open(m, path_of("models/", "m_ref"), MODEL_READ, &e) ||
           model_open(&others[0], path_of("models/", "m_cur"), MODEL_READ, &e) ||
           model_open(&others[1], path_of("models/", "m_reinforced"), MODEL_READ, &e) ||
           ensemble_add(m, others, 2, &e));
}

static void read_forget(struct dataset *d)
{
    struct err e;
    struct tensor_file f;
    BUG_ON(tensor_file_open(&f, path_of("loop/", "rows.safetensors"), &e) ||
           !read_batch(d, &f, "forget", ROLE_FORGET, false));
    tensor_file_close(&f);
}

/* log of the mean of the members' probabilities. */
static double mean_logp(const struct scores *s, int i, int k)
{
    double p = 0;
    for (int j = 0; j < 3; j++)
        p += exp((double)s[j].v[i].logp[k]) / 3;
    return log(p);
}

static void check_scores(struct model *m, const struct dataset *d)
{
    static const char *const names[] = {"m_ref", "m_cur", "m_reinforced"};
    const struct score_options o = {.distribution = true};
    struct scores mixed, one[3];
    struct worst w = {0};
    struct err e;
    double off = 0;
    int n;
    double *want = reals(json_object_get(golden, "mixture"), &n);
    ok(!model_score(&mixed, m, d->seqs, d->n, &o, NULL, &e), "ensemble: scores");
    for (int k = 0; k < 3; k++) {
        struct model alone;
        BUG_ON(model_open(&alone, path_of("models/", names[k]), MODEL_READ, &e) ||
               model_score(&one[k], &alone, d->seqs, d->n, NULL, NULL, &e));
        model_close(&alone);
    }
    for (int i = 0; i < d->n; i++) {
        compare_to(&w, mixed.v[i].nll, want[i], 1e-5, "row", i);
        for (int k = 0; k < mixed.v[i].n; k++)
            off = fmax(off, fabs((double)mixed.v[i].logp[k] - mean_logp(one, i, k)));
    }
    report(&w, "ensemble: token mixture of three models");
    near(off, 0, 0, 1e-5, "ensemble: log of the mean probability of every label");
    scores_fini(&mixed);
    for (int k = 0; k < 3; k++)
        scores_fini(&one[k]);
    free(want);
}

/* What is generated is the first choice, token by token, that scoring names. */
static void check_generation(struct model *m, const struct dataset *d)
{
    const struct generate_options o = {.max_new_tokens = 6, .batch = 2, .ignore_eos = true};
    struct generation *g = calloc((size_t)d->n, sizeof *g);
    struct seq *prompts = calloc((size_t)d->n, sizeof *prompts);
    struct err e;
    int wrong = 0, labels[64], ids[64];
    e.msg[0] = 0;
    for (int i = 0; i < d->n; i++)
        prompts[i] = (struct seq){.n = seq_prompt(&d->seqs[i]), .ids = d->seqs[i].ids};
    ok(!model_generate(g, m, prompts, d->n, &o, NULL, &e), "ensemble: generates: %s", e.msg);
    for (int i = 0; i < d->n; i++) {
        const int n = prompts[i].n;
        struct scores s;
        for (int t = 0; t < n + g[i].n; t++) {
            ids[t] = t < n ? prompts[i].ids[t] : g[i].ids[t - n];
            labels[t] = t < n ? LABEL_NONE : ids[t];
        }
        const struct seq whole = {.n = n + g[i].n, .ids = ids, .labels = labels};
        BUG_ON(model_score(&s, m, &whole, 1, NULL, NULL, &e));
        for (int k = 0; k < g[i].n; k++)
            wrong += s.v[0].best[k] != g[i].ids[k];
        scores_fini(&s);
        generation_fini(&g[i]);
    }
    ok(!wrong, "ensemble: greedy answers of %d prompts, two at a time: %d tokens differ", d->n,
       wrong);
    free(prompts);
    free(g);
}

static void check_ensemble(void)
{
    struct model m, alone;
    struct dataset d;
    struct err e;
    uint64_t a, b;
    struct divergence far[16];
    open_three(&m);
    read_forget(&d);
    check_scores(&m, &d);
    check_generation(&m, &d);
    BUG_ON(model_open(&alone, path_of("models/", "m_ref"), MODEL_READ, &e));
    ok(!model_fingerprint(&m, &a, &e) && !model_fingerprint(&alone, &b, &e) && a != b,
       "ensemble: another model for caches");
    ok(model_divergence(far, &m, &alone, d.seqs, d.n, NULL, NULL, &e) &&
           strstr(e.msg, "ensemble of 3 models, which a comparison cannot take"),
       "ensemble: no comparison: %s", e.msg);
    model_close(&alone);
    model_close(&m);
    dataset_fini(&d);
}

/* --- a logistic head --- */

static double *numbers(const json_t *j, const char *key)
{
    int n;
    return reals(json_object_get(j, key), &n);
}

static void check_head(void)
{
    const json_t *j = json_object_get(golden, "certified");
    double *x = numbers(j, "X"), *y = numbers(j, "y"), *b = numbers(j, "b"), *w0 = numbers(j, "w0"),
           *after = numbers(j, "w_after"), *bound = numbers(j, "bound"),
           *residual = numbers(j, "residual"), *epsilon = numbers(j, "epsilon");
    const int n = (int)get(j, "n"), d = (int)get(j, "d");
    bool gone[64] = {false};
    const struct head_data h = {n, d, x, y, b, get(j, "lambda"), gone};
    double w[16] = {0}, delta[16], left, sum = 0;
    struct worst worst = {0};
    struct head_removal r;
    struct err e;
    ok(!certified_train(&h, w, &left, &e) && left < 1e-12, "head: trained to a gradient of %.2g",
       left);
    for (int k = 0; k < d; k++)
        compare_to(&worst, w[k], w0[k], 1e-6, "w0", k);
    for (int row = 0; row < 5; row++) {
        BUG_ON(certified_remove(&h, row, w, delta, &r, &e));
        sum += r.bound;
        for (int k = 0; k < d; k++)
            compare_to(&worst, w[k], after[row * d + k], 1e-6, "w after removal", row);
        compare_to(&worst, r.bound, bound[row], 1e-6, "bound", row);
        compare_to(&worst, r.residual, residual[row], 1e-6, "residual", row);
        compare_to(&worst, certified_epsilon(sum, get(j, "sigma"), get(j, "delta")), epsilon[row],
                   1e-6, "epsilon", row);
        ok(r.residual <= sum, "head: removal %d leaves less than the bounds", row);
    }
    report(&worst, "head: five removals");
    ok(certified_remove(&h, 3, w, delta, &r, &e) && strstr(e.msg, "row 3 is removed already"),
       "head: a row twice");
    ok(certified_remove(&h, n, w, delta, &r, &e) && strstr(e.msg, "there is no row"),
       "head: a row that is not there");
    /* Newton steps over the rest end where the retrained head is. */
    double fresh[16] = {0}, gap = 0;
    BUG_ON(certified_train(&h, w, &left, &e) || certified_train(&h, fresh, &left, &e));
    for (int k = 0; k < d; k++)
        gap = fmax(gap, fabs(w[k] - fresh[k]));
    near(gap, 0, 0, 1e-10, "head: trained on, it is the retrained one");
    double *const all[] = {x, y, b, w0, after, bound, residual, epsilon};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* --- the accountant --- */

/* E_{x ~ N(0, s^2)} (1 - q + q exp((2x - 1) / 2 s^2))^alpha by the trapezium rule. */
static double by_integral(double q, double s, double alpha)
{
    const double step = s / 200;
    double sum = 0;
    for (double x = -40 * s; x < 40 * s + alpha; x += step)
        sum += exp(-x * x / (2 * s * s)) * pow(1 - q + q * exp((2 * x - 1) / (2 * s * s)), alpha);
    return log(sum * step / (s * sqrt(2 * M_PI))) / (alpha - 1);
}

static void check_accountant(void)
{
    const json_t *table = json_object_get(golden, "accountant");
    struct worst one = {0}, all = {0};
    size_t i, k;
    json_t *row, *alpha;
    json_array_foreach(table, i, row)
    {
        const double q = get(row, "q"), sigma = get(row, "sigma");
        const struct privacy p = privacy_of(q, sigma, (long)get(row, "steps"), get(row, "delta"));
        compare_to(&all, p.epsilon, get(row, "epsilon"), 1e-9, "epsilon", (long)i);
        compare_to(&all, p.order, get(row, "order"), 1e-12, "order", (long)i);
        json_array_foreach(json_object_get(row, "alpha"), k, alpha) compare_to(
            &one, rdp_of_step(q, sigma, real(alpha)),
            real(json_array_get(json_object_get(row, "rdp"), k)), 1e-8, "order", (long)k);
    }
    report(&one, "accountant: a step at eight orders");
    report(&all, "accountant: epsilon and its order");
    near(rdp_of_step(0.1, 1.5, 3.7), by_integral(0.1, 1.5, 3.7), 1e-8, 0,
         "accountant: the integral, at a fraction");
    near(rdp_of_step(0.1, 1.5, 4), by_integral(0.1, 1.5, 4), 1e-8, 0, "accountant: at a number");
    ok(rdp_of_step(0, 1, 2) == 0 && rdp_of_step(1, 2, 6) == 0.75, "accountant: nobody, everybody");
    ok(privacy_of(0.01, 50, 1, 1e-5).edge && isinf(privacy_of(0.1, 0, 1, 1e-5).epsilon),
       "accountant: the end of the list is told; without noise there is none");
}

/* --- private gradients --- */

enum { ROWS = 5, MOST = 17 };

/* Rows of different lengths, of which the first two share tokens with one another and repeat their
 * own. */
static void make_rows(struct dataset *d, int vocab)
{
    struct err e;
    struct rng r;
    int ids[ROWS * MOST], labels[ROWS * MOST], mask[ROWS * MOST];
    rng_seed(&r, 11);
    for (int i = 0; i < ROWS; i++)
        for (int t = 0; t < MOST; t++) {
            const int at = i * MOST + t, n = 6 + 2 * i + i % 2;
            ids[at] = i < 2 ? 3 + t % 4 : (int)rng_below(&r, (uint32_t)vocab);
            mask[at] = t < n;
            labels[at] = t > 2 && t < n ? ids[at] : LABEL_NONE;
        }
    BUG_ON(dataset_from_matrix(d, ROLE_RETAIN, ids, labels, mask, ROWS, MOST, 0, &e));
}

struct collected {
    const struct bench *b;
    const double *factor;
    double norm[32], loss[32], *sum;
};

/* |g_i|, and sum += factor g_i. */
static int collect_row(void *ctx, int row, double loss, const device float *grad, struct err *e)
{
    struct collected *c = ctx;
    double square = 0;
    (void)e;
    for (int i = 0; i < c->b->m.table.n; i++) {
        const struct weight *w = &c->b->m.table.v[i];
        for (size_t k = 0; k < w->count && w->trainable; k++) {
            const double g = (double)grad[w->at + k];
            square += g * g;
            c->sum[w->at + k] += c->factor ? c->factor[row] * g : 0;
        }
    }
    c->norm[row] = sqrt(square);
    c->loss[row] = loss;
    return 0;
}

/* A model with a loss on its rows; adapters: instead of its weights. */
static bool open_private(struct bench *b, const char *name, bool adapters)
{
    static const struct lora_options o = {
        .lora_rank = 3, .lora_alpha = 6, .lora_targets = "all-linear"};
    const struct objective nll = {
        .term = &term_nll, .role = {ROLE_RETAIN}, .weight = 1, .goal = GOAL_RETAIN};
    struct err e;
    *b = (struct bench){0};
    BUG_ON(model_open(&b->m, path_of("models/", name), adapters ? MODEL_READ : MODEL_WRITE, &e));
    if (adapters && lora_attach(&b->m, &o, 1, &e))
        return false;
    struct rng r;
    rng_seed(&r, 3);
    weights_noise(&b->m, 0.02, &r); /* B is zero at first */
    engine_init(&b->g, &b->m);
    make_rows(&b->sets[ROLE_RETAIN], b->m.cfg.vocab);
    b->g.sets[ROLE_RETAIN] = &b->sets[ROLE_RETAIN];
    BUG_ON(engine_add(&b->g, &nll, &e));
    return true;
}

static void check_ghost(const char *name, bool adapters)
{
    static const int rows[ROWS] = {0, 1, 2, 3, 4};
    static const double factor[ROWS] = {1, 0.25, 0, 0.5, 0.125};
    struct bench b;
    struct err e = {.msg = ""};
    double norm[ROWS], loss[ROWS], top, off = 0;
    BUG_ON(!open_private(&b, name, adapters));
    const size_t n = b.m.table.grads;
    struct collected c = {&b, factor, {0}, {0}, calloc(n, sizeof(double))};
    const struct data_rows all = {ROLE_RETAIN, rows, ROWS, 1};
    BUG_ON(derivative_each(&b.g, GOALS_METHOD, &all, collect_row, &c, &e));
    const struct seq *seqs = b.sets[ROLE_RETAIN].seqs;
    if (private_norms(&b.g, seqs, ROWS, norm, loss, &e))
        ok(false, "private: %s: %s", name, e.msg);
    for (int i = 0; i < ROWS; i++) {
        off = fmax(off, fabs(norm[i] - c.norm[i]) / c.norm[i]);
        off = fmax(off, fabs(loss[i] - c.loss[i]) / c.loss[i]);
    }
    near(off, 0, 0, 2e-5, "private: %s%s: ghost norms of %d rows together", name,
         adapters ? ", adapters" : "", ROWS);
    BUG_ON(engine_reserve_grads(&b.g, &e));
    engine_zero_grads(&b.g);
    BUG_ON(private_add(&b.g, seqs, ROWS, factor, &e));
    top = off = 0;
    for (int i = 0; i < b.m.table.n; i++)
        for (size_t k = 0; k < b.m.table.v[i].count && b.m.table.v[i].trainable; k++) {
            const size_t at = b.m.table.v[i].at + k;
            off = fmax(off, fabs((double)b.g.grads[at] - c.sum[at]));
            top = fmax(top, fabs(c.sum[at]));
        }
    near(off, 0, 0, 1e-5 * top, "private: %s: the weighted sum", name);
    free(c.sum);
    bench_close(&b);
}

static void check_golden_rows(void)
{
    const json_t *dp = json_object_get(golden, "dp");
    double *want = numbers(dp, "row_norm"), *factor = numbers(dp, "factor"), norm[32], loss[32],
           f[32];
    const double clip = get(dp, "clip");
    struct worst w = {0};
    struct bench b;
    struct tensor_file t;
    struct err e;
    BUG_ON(!open_private(&b, "m_cur", false));
    model_close(&b.m);
    BUG_ON(model_open(&b.m, path_of("models/", "m_cur"), MODEL_WRITE, &e) ||
           tensor_file_open(&t, path_of("loop/", "rows.safetensors"), &e));
    bench_read(&b, &t, "", ROLE_RETAIN, false);
    const struct dataset *d = &b.sets[ROLE_RETAIN];
    BUG_ON(private_norms(&b.g, d->seqs, d->n, norm, loss, &e));
    for (int i = 0; i < d->n; i++) {
        compare_to(&w, norm[i], want[i], 1e-4, "norm", i);
        compare_to(&w, f[i] = private_factor(norm[i], clip), factor[i], 1e-4, "factor", i);
    }
    BUG_ON(engine_reserve_grads(&b.g, &e));
    engine_zero_grads(&b.g);
    BUG_ON(private_add(&b.g, d->seqs, d->n, f, &e));
    compare_to(&w, sqrt(b.m.ops->dot(b.g.grads, b.g.grads, b.m.table.grads)),
               get(dp, "clipped_sum_norm"), 1e-4, "clipped sum", 0);
    report(&w, "private: opacus' rule on golden rows");
    tensor_file_close(&t);
    bench_close(&b);
    free(want);
    free(factor);
}

/* Nothing but noise: its mean, its variance, and that steps and seeds differ. */
static void check_noise(void)
{
    struct bench b;
    struct err e;
    BUG_ON(!open_private(&b, "m_cur", false) || engine_reserve_grads(&b.g, &e));
    const size_t n = b.m.table.grads;
    float *first = calloc(n, sizeof *first);
    double sum = 0, square = 0, fourth = 0, both = 0;
    for (int step = 0; step < 3; step++) {
        engine_zero_grads(&b.g);
        private_finish(&b.g, 2, 0.5, 4, 7, step == 2 ? 0 : step);
        for (size_t k = 0; k < n && !step; k++) {
            const double x = 4 * (double)(first[k] = b.g.grads[k]);
            sum += x;
            square += x * x;
            fourth += x * x * x * x;
        }
        for (size_t k = 0; k < n && step == 1; k++)
            both += 16 * (double)first[k] * (double)b.g.grads[k];
        if (step == 2)
            ok(!memcmp(first, b.g.grads, n * sizeof *first), "private: noise is the step's");
    }
    const double count = (double)model_n_params(&b.m);
    near(sum / count, 0, 0, 4 / sqrt(count), "private: mean of the noise");
    near(square / count, 1, 0, 4 * sqrt(2 / count), "private: variance (sigma C)^2, over B^2");
    near(fourth / count, 3, 0, 4 * sqrt(96 / count), "private: kurtosis of a Gaussian");
    near(both / count, 0, 0, 4 / sqrt(count), "private: steps are independent");
    free(first);
    bench_close(&b);
}

static void check_private(void)
{
    static const char *const family_names[] = {
        "m_cur",       "gpt2",  "llama3_tied", "llama_bias", "gemma2",
        "gemma3_text", "qwen3", "phi",         "gpt_neox",   "gpt_neox_serial",
        "olmo2",       "opt",   "granite",     "phi3",       "mistral"};
    struct bench b;
    struct err e;
    for (size_t i = 0; i < sizeof family_names / sizeof *family_names; i++)
        check_ghost(family_names[i], false);
    check_ghost("m_cur", true);
    check_ghost("gemma2", true);
    check_golden_rows();
    check_noise();
    BUG_ON(!open_private(&b, "phi3", true));
    ok(private_check(&b.m, &e) && strstr(e.msg, "fused into one"), "private: refused: %s", e.msg);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    root = dir;
    golden = load(test_data("exact.json"));
    BUG_ON(!golden);
    check_ensemble();
    check_head();
    check_accountant();
    check_private();
    json_decref(golden);
    free(dir);
    return done();
}
