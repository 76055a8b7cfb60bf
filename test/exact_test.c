/* Exact and certified removal, and differential privacy, against reference figures
 * (tools/make_exact_golden.py) and their definitions: the mixture of an ensemble's members, Newton
 * removal from a logistic head, the accountant. */
#include "figures.h"
#include "job.h"
#include "model/ensemble.h"
#include "model/generate.h"
#include "model/session.h"
#include "train/accountant.h"
#include "train/certified.h"

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

int main(void)
{
    char *dir = test_data("");
    root = dir;
    golden = load(test_data("exact.json"));
    BUG_ON(!golden);
    check_ensemble();
    check_head();
    check_accountant();
    json_decref(golden);
    free(dir);
    return done();
}
