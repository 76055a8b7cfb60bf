/* What influence scores predict against what happens: a tiny model is trained without a row, or on
 * half of the rows (the linear datamodeling score of arXiv 2303.14186), and the change of the
 * queries' losses is compared with the scores.
 *
 * The training loss is J = 1/N sum_i (sum NLL of row i) + lambda/2 |w - w0|^2, whose minimum heavy
 * ball finds; its second derivative at the minimum is B + lambda. */
#include "influence/kfac.h"
#include "influenced.h"
#include "train/gradient.h"

enum { QUERIES = 9, ROWS = 13, LEFT_OUT = 6, SUBSETS = 8, STEPS = 150 };

static const double lambda = 100;

struct trial {
    struct bench b;
    float *w0, *start, *v, *g; /* [table.moving] */
};

/* The gradient of J without the rows whose `out` is set; returns its length. */
static double gradient_without(struct trial *t, const bool *out)
{
    struct err e;
    int rows[ROWS], n = 0, labels = 0;
    double loss;
    const struct dataset *d = &t->b.sets[ROLE_RETAIN];
    for (int i = 0; i < ROWS; i++)
        if (!out[i]) {
            rows[n++] = i;
            labels += seq_labels(&d->seqs[i]);
        }
    const struct data_rows some = {ROLE_RETAIN, rows, n, 16};
    const struct model *m = &t->b.m;
    BUG_ON(derivative_gradient(&t->b.g, GOAL_BIT(GOAL_RETAIN), &some, t->g, &loss, &e));
    m->ops->scale(t->g, (float)((double)labels / ROWS), m->table.moving);
    float *w = vector(&t->b);
    weights_save(m, w);
    m->ops->axpy(t->g, (float)lambda, w, m->table.moving);
    m->ops->axpy(t->g, (float)-lambda, t->w0, m->table.moving);
    free(w);
    return sqrt(m->ops->dot(t->g, t->g, m->table.moving));
}

/* To the minimum, from where the weights are; returns the gradient's length over the first one. */
static double train_without(struct trial *t, const bool *out)
{
    double first = 0, last = 0;
    const struct ops *o = t->b.m.ops;
    o->fill(t->v, 0, t->b.m.table.moving);
    for (int k = 0; k < STEPS; k++) {
        last = gradient_without(t, out);
        first = k ? first : last;
        o->scale(t->v, 0.85F, t->b.m.table.moving);
        o->axpy(t->v, -3e-4F, t->g, t->b.m.table.moving);
        weights_shift(&t->b.m, 1, t->v);
    }
    return last / first;
}

/* Sum NLL of each query. */
static void losses(struct trial *t, double *nll)
{
    struct err e;
    struct scores s;
    const struct dataset *d = &t->b.sets[ROLE_FORGET];
    BUG_ON(model_score(&s, &t->b.m, d->seqs, QUERIES, NULL, NULL, &e));
    for (int q = 0; q < QUERIES; q++)
        nll[q] = s.v[q].nll;
    scores_fini(&s);
}

/* The change of each query's loss, once trained without those rows from the full minimum. */
static double change_without(struct trial *t, const bool *out, const double *before, double *change)
{
    weights_restore(&t->b.m, t->start);
    const double left = train_without(t, out);
    losses(t, change);
    for (int q = 0; q < QUERIES; q++)
        change[q] -= before[q];
    return left;
}

static double rank_of(const double *x, int n, int i)
{
    double rank = 0;
    for (int k = 0; k < n; k++)
        rank += (x[k] < x[i]) + (k != i && x[k] == x[i]) * 0.5;
    return rank;
}

static double spearman(const double *x, const double *y, int n)
{
    double xy = 0, xx = 0, yy = 0;
    for (int i = 0; i < n; i++) {
        const double a = rank_of(x, n, i) - (n - 1) / 2.0, b = rank_of(y, n, i) - (n - 1) / 2.0;
        xy += a * b;
        xx += a * a;
        yy += b * b;
    }
    return xy / sqrt(xx * yy);
}

static double pearson(const double *x, const double *y, int n)
{
    double xy = 0, xx = 0, yy = 0, mx = 0, my = 0;
    for (int i = 0; i < n; i++) {
        mx += x[i] / n;
        my += y[i] / n;
    }
    for (int i = 0; i < n; i++) {
        xy += (x[i] - mx) * (y[i] - my);
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
    }
    return xy / sqrt(xx * yy);
}

/* [QUERIES, ROWS] at the full minimum. */
static void score_all(struct trial *t, enum strategy strategy, double *score)
{
    struct kfac k;
    struct err e;
    const struct dataset *q = &t->b.sets[ROLE_FORGET], *d = &t->b.sets[ROLE_RETAIN];
    const struct fisher_labels drawn = {.drawn = true, .seed = 1};
    struct influence_scores out = {.score = score};
    BUG_ON(kfac_init(&k, &t->b.m, strategy, NULL, d->seqs, &e) ||
           kfac_fit(&k, d->seqs, ROWS, &drawn, NULL, NULL, &e) ||
           kfac_scores(&k, q->seqs, QUERIES, d->seqs, ROWS, lambda, &out, &e));
    kfac_fini(&k);
}

/* The gradient of the sum NLL of one row. */
static float *gradient_of_row(struct trial *t, enum role role, int row)
{
    struct err e;
    double loss;
    float *g = vector(&t->b);
    const struct data_rows one = {role, &row, 1, 1};
    BUG_ON(derivative_gradient(&t->b.g, GOAL_BIT(role == ROLE_FORGET ? GOAL_FORGET : GOAL_RETAIN),
                               &one, g, &loss, &e));
    t->b.m.ops->scale(g, (float)seq_labels(&t->b.sets[role].seqs[row]), t->b.m.table.moving);
    return g;
}

/* [QUERIES, LEFT_OUT]: the changes by the Gauss-Newton matrix, solved by CG. */
static void predict_by_solving(struct trial *t, double *change)
{
    struct err e;
    struct solve_report r;
    struct curved c = curved_of(&t->b, CURVATURE_GAUSS_NEWTON);
    const struct ops *o = t->b.m.ops;
    const double rows_over_tokens = (double)ROWS / t->b.sets[ROLE_RETAIN].n_labels;
    const struct solve_options how = {
        .lambda = lambda * rows_over_tokens, .tolerance = 1e-2, .iterations = 40};
    float *x = vector(&t->b);
    weights_restore(&t->b.m, t->start);
    for (int i = 0; i < LEFT_OUT; i++) {
        float *g = gradient_of_row(t, ROLE_RETAIN, 2 * i);
        BUG_ON(solve_cg(&c, g, x, &how, &r, &e));
        free(g);
        for (int q = 0; q < QUERIES; q++) {
            float *gq = gradient_of_row(t, ROLE_FORGET, q);
            change[q * LEFT_OUT + i] = o->dot(gq, x, t->b.m.table.moving) * rows_over_tokens / ROWS;
            free(gq);
        }
    }
    free(x);
}

static double slope(const double *of, const double *by, int n)
{
    double both = 0, all = 0;
    for (int i = 0; i < n; i++) {
        both += of[i] * by[i];
        all += by[i] * by[i];
    }
    return both / all;
}

static void check_left_out(struct trial *t, const double *before, const double *ekfac,
                           const double *identity)
{
    enum { PAIRS = QUERIES * LEFT_OUT };
    double actual[PAIRS], factors[PAIRS], gradients[PAIRS], solved[PAIRS], worst = 0;
    predict_by_solving(t, solved);
    for (int i = 0; i < LEFT_OUT; i++) {
        bool out[ROWS] = {[0] = false};
        double change[QUERIES];
        out[2 * i] = true;
        worst = fmax(worst, change_without(t, out, before, change));
        for (int q = 0; q < QUERIES; q++) {
            actual[q * LEFT_OUT + i] = change[q];
            factors[q * LEFT_OUT + i] = ekfac[q * ROWS + 2 * i] / ROWS;
            gradients[q * LEFT_OUT + i] = identity[q * ROWS + 2 * i] / lambda / ROWS;
        }
    }
    ok(worst < 0.05, "trainings without a row reach their minimum: gradient %.2g of the first",
       worst);
    const double r = pearson(actual, solved, PAIRS), k = pearson(actual, factors, PAIRS),
                 g = pearson(actual, gradients, PAIRS);
    ok(r > 0.9 && slope(actual, solved, PAIRS) > 0.6 && slope(actual, solved, PAIRS) < 1.6,
       "leaving one row out: CG predicts the changes: correlation %.3f, slope %.2f", r,
       slope(actual, solved, PAIRS));
    ok(k > 0.7 && k > g, "EK-FAC: correlation %.3f, slope %.2f; gradients alone %.3f", k,
       slope(actual, factors, PAIRS), g);
}

static void check_datamodels(struct trial *t, const double *before, const double *ekfac)
{
    double actual[QUERIES][SUBSETS], predicted[QUERIES][SUBSETS], mean = 0;
    struct rng r;
    rng_stream(&r, 5, RNG_SAMPLE, 0);
    for (int s = 0; s < SUBSETS; s++) {
        bool out[ROWS] = {[0] = false};
        double change[QUERIES];
        for (int n = 0; n < ROWS / 2;) {
            const uint32_t i = rng_below(&r, ROWS);
            n += !out[i];
            out[i] = true;
        }
        change_without(t, out, before, change);
        for (int q = 0; q < QUERIES; q++) {
            actual[q][s] = change[q];
            predicted[q][s] = 0;
            for (int i = 0; i < ROWS; i++)
                predicted[q][s] += out[i] ? ekfac[q * ROWS + i] : 0;
        }
    }
    for (int q = 0; q < QUERIES; q++)
        mean += spearman(actual[q], predicted[q], SUBSETS) / QUERIES;
    ok(mean > 0.6, "linear datamodeling score on %d halves: %.3f", SUBSETS, mean);
}

int main(void)
{
    struct trial t;
    const bool none[ROWS] = {[0] = false};
    double before[QUERIES], ekfac[QUERIES * ROWS] = {0}, identity[QUERIES * ROWS] = {0};
    char *dir = test_data("");
    begin_influence(dir);
    bench_nlls(&t.b, 1);
    choose_weights(&t.b, "model\\.layers.*proj\\.weight"); /* those that have factors */
    t.w0 = vector(&t.b), t.start = vector(&t.b), t.v = vector(&t.b), t.g = vector(&t.b);
    weights_save(&t.b.m, t.w0);
    train_without(&t, none);
    const double left = train_without(&t, none);
    ok(gradient_without(&t, none) < 0.5, "the model is at a minimum: gradient %.3g (%.2g)",
       gradient_without(&t, none), left);
    weights_save(&t.b.m, t.start);
    losses(&t, before);
    score_all(&t, STRATEGY_EKFAC, ekfac);
    score_all(&t, STRATEGY_IDENTITY, identity);
    check_left_out(&t, before, ekfac, identity);
    check_datamodels(&t, before, ekfac);
    free(t.w0), free(t.start), free(t.v), free(t.g);
    bench_close(&t.b);
    tensor_file_close(&golden);
    free(dir);
    return done();
}
