/* Figures of single examples, from a real pass of a small llama, against the peer's own functions.
 * First tier: copies of the reference files under test/data/metrics. Second tier: those that are
 * too large to keep. */
#include "base/mem.h"
#include "batches.h"
#include "eval/example.h"
#include "eval/stats.h"
#include "figures.h"

#define ROW_TOL  2e-5 /* absolute, of what comes from f32 logits */
#define GRAD_TOL 1e-5 /* relative */

static bool read_set(struct dataset *d, const struct tensor_file *f, const char *set)
{
    bool there = read_batch(d, f, set, ROLE_GENERIC, false);
    return ok(there, "%s: %d sequences", set, there ? d->n : 0);
}

struct case_of {
    struct dataset d;
    struct scores s;
    double *norm;
};

enum figure { LOSS, EXACT, STRENGTH, MIN_K, MIN_K_PP, NORM };

static double figure_of(const struct case_of *c, int i, enum figure f, double k)
{
    struct score cut = example_drop_last(&c->s.v[i]);
    struct err e;
    double x = NAN;
    switch (f) {
    case LOSS:
        return example_loss(&c->s.v[i]);
    case EXACT:
        return example_exact(&cut);
    case STRENGTH:
        return example_strength(&cut, true);
    case MIN_K:
        return example_min_k(&cut, k, &x, &e) ? NAN : x;
    case MIN_K_PP:
        return example_min_k_plus_plus(&cut, k, &x, &e) ? NAN : x;
    default:
        return c->norm[i];
    }
}

static void check_rows(const struct case_of *c, enum figure f, double k, json_t *rows, double rtol,
                       double atol, const char *what)
{
    int bad = 0, n = 0;
    double worst = 0;
    const char *key;
    json_t *row;
    json_object_foreach(rows, key, row)
    {
        double want =
            get(row, f == LOSS && json_object_get(row, "avg_loss") ? "avg_loss" : "score");
        double got = figure_of(c, atoi(key), f, k), off = fabs(got - want);
        bool same = isnan(want) ? isnan(got) : off <= atol + rtol * fabs(want);
        if (!same && !bad++)
            note("%s row %s: got %.9g, want %.9g", what, key, got, want);
        worst = off > worst ? off : worst;
        n++;
    }
    ok(n && !bad, "%s: %d of %d rows, off by %.1e at most", what, n - bad, n, worst);
}

static void check_attack(const struct case_of *forget, const struct case_of *holdout, enum figure f,
                         double k, const json_t *want, const char *what)
{
    double zero[64], one[64], auc = NAN;
    struct err e;
    char name[64];
    const struct case_of *const sets[] = {forget, holdout};
    static const char *const names[] = {"forget", "holdout"};
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s, %s", what, names[i]);
        check_rows(sets[i], f, k,
                   json_object_get(json_object_get(want, names[i]), "value_by_index"),
                   f == NORM ? GRAD_TOL : 0,
                   f == NORM       ? 0
                   : f == MIN_K_PP ? 2 * ROW_TOL
                                   : ROW_TOL,
                   name);
    }
    int skipped = f == NORM; /* its reference leaves out the row with one label */
    for (int i = 0; i < forget->d.n; i++)
        zero[i] = figure_of(forget, i, f, k);
    for (int i = 0; i < holdout->d.n; i++)
        one[i] = figure_of(holdout, i, f, k);
    stats_auc(zero, forget->d.n - skipped, one, holdout->d.n, &auc, &e);
    near(auc, get(want, "auc"), RTOL, 0, "%s: AUC", what);
}

static void check_zlib(const json_t *want)
{
    static const char *const sets[] = {"forget", "holdout"};
    int bad = 0, n = 0;
    for (int s = 0; s < 2; s++) {
        const json_t *texts = json_object_get(json_object_get(want, "texts"), sets[s]);
        const json_t *lengths = json_object_get(json_object_get(want, "zlib_lengths"), sets[s]);
        for (size_t i = 0; i < json_array_size(texts); i++, n++) {
            size_t got = 0;
            struct err e;
            if (example_zlib_bytes(json_string_value(json_array_get(texts, i)), &got, &e) ||
                (json_int_t)got != json_integer_value(json_array_get(lengths, i)))
                bad++;
        }
    }
    ok(n && !bad, "zlib: bytes of %d texts", n);
}

static const struct score_options all = {.distribution = true};

static int norms(double *out, struct model *m, const struct seq *seqs, int n, bool drop_last,
                 struct err *e)
{
    struct gradnorm g;
    int rc = gradnorm_init(&g, m, drop_last, e);
    for (int i = 0; i < n && !rc; i++)
        rc = gradnorm_of(&g, &seqs[i], &out[i], e);
    gradnorm_fini(&g);
    return rc;
}

static bool open_case(struct case_of *c, struct model *m, const struct tensor_file *f,
                      const char *set)
{
    struct err e;
    return read_set(&c->d, f, set) &&
           ok(!model_score(&c->s, m, c->d.seqs, c->d.n, &all, NULL, &e), "%s: scored", set) &&
           (c->norm = mem_alloc((size_t)c->d.n, sizeof *c->norm, &e)) &&
           ok(!norms(c->norm, m, c->d.seqs, c->d.n, true, &e), "%s: norms", set);
}

static void close_case(struct case_of *c)
{
    dataset_fini(&c->d);
    scores_fini(&c->s);
    free(c->norm);
}

static void check_reference(const struct case_of *forget, const struct tensor_file *f,
                            const json_t *want)
{
    struct err e;
    struct model ref;
    struct case_of other = {0};
    char *path = test_shared("golden/models/llama_cur/config.json");
    if (!path)
        return skip("the reference model is not there");
    *strrchr(path, '/') = 0;
    if (ok(!model_open(&ref, path, false, &e), "reference model") &&
        open_case(&other, &ref, f, "forget")) {
        double worst = 0;
        json_t *rows = json_object_get(json_object_get(want, "forget"), "value_by_index");
        for (int i = 0; i < forget->d.n; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d", i);
            double got = example_loss(&forget->s.v[i]) - example_loss(&other.s.v[i]);
            worst = fmax(worst, fabs(got - get(json_object_get(rows, key), "score")));
        }
        near(worst, 0, 0, ROW_TOL, "loss against the reference model's");
        close_case(&other);
        model_close(&ref);
    }
    free(path);
}

/* Mean, variance and rank from the stored distribution of rows 0 to 2. */
static void check_distribution(const struct case_of *c)
{
    struct err e;
    struct tensor_file f;
    char *path = test_shared("golden/metrics/tokenwise.safetensors");
    if (!path)
        return skip("token by token: the reference is not there");
    double mean = 0, variance = 0;
    int ranks = 0, n = 0;
    if (ok(!tensor_file_open(&f, path, &e), "tokenwise.safetensors")) {
        for (int i = 0; i < 3; i++) {
            char name[32];
            snprintf(name, sizeof name, "vocab_logprobs.%d", i);
            const struct tensor *t = tensor_find(&f, name);
            float *lp = tensor_f32(t, &e);
            int v = (int)t->shape[1];
            for (int k = 0; k < t->shape[0]; k++, n++) {
                const struct score *s = &c->s.v[i];
                const float *row = lp + (size_t)k * (size_t)v;
                double one = 0, two = 0;
                int above = 0;
                for (int j = 0; j < v; j++) {
                    one += exp((double)row[j]) * (double)row[j];
                    two += exp((double)row[j]) * (double)row[j] * (double)row[j];
                    above += row[j] > row[s->label[k]];
                }
                mean = fmax(mean, fabs((double)s->mean[k] - one));
                variance = fmax(variance, fabs((double)s->variance[k] - (two - one * one)));
                ranks += s->rank[k] == above;
            }
            free(lp);
        }
        tensor_file_close(&f);
    }
    near(mean, 0, 0, ROW_TOL, "token by token: mean log-probability of %d positions", n);
    near(variance, 0, 0, 1e-4, "token by token: variance");
    ok(n && ranks == n, "token by token: %d of %d ranks", ranks, n);
    free(path);
}

static void check_peer(struct model *m, const struct tensor_file *f)
{
    json_t *want = load(test_data("metrics/model_metrics.json"));
    struct case_of forget = {0}, holdout = {0};
    if (want && open_case(&forget, m, f, "forget") && open_case(&holdout, m, f, "holdout")) {
#define ROWS(x) json_object_get(json_object_get(want, x), "value_by_index")
        check_rows(&forget, EXACT, 0, ROWS("exact_memorization"), 0, 1e-7, "exact memorization");
        check_rows(&forget, STRENGTH, 0, ROWS("extraction_strength"), 0, 1e-12,
                   "extraction strength");
#undef ROWS
        check_attack(&forget, &holdout, LOSS, 0, json_object_get(want, "mia_loss"), "loss");
        check_attack(&forget, &holdout, MIN_K, 0.2, json_object_get(want, "mia_min_k_0.2"),
                     "min-k 0.2");
        check_attack(&forget, &holdout, MIN_K, 0.4, json_object_get(want, "mia_min_k_0.4"),
                     "min-k 0.4");
        check_attack(&forget, &holdout, MIN_K_PP, 0.2,
                     json_object_get(want, "mia_min_k_plus_plus_0.2"), "min-k++ 0.2");
        check_attack(&forget, &holdout, MIN_K_PP, 0.4,
                     json_object_get(want, "mia_min_k_plus_plus_0.4"), "min-k++ 0.4");
        check_attack(&forget, &holdout, NORM, 0, json_object_get(want, "mia_gradnorm_p2"),
                     "gradient norm");
        check_zlib(json_object_get(want, "mia_zlib"));
        check_reference(&forget, f, json_object_get(want, "mia_reference"));
        check_distribution(&forget);
    }
    close_case(&forget);
    close_case(&holdout);
    json_decref(want);
}

static void check_memory(struct model *m, const struct tensor_file *f)
{
    struct err e;
    struct dataset d = {0};
    long failed = 0;
    if (!read_set(&d, f, "correct"))
        return;
    for (long nth = 0, rc = -1; rc; nth++) {
        struct scores s = {0};
        double x, norm[16];
        size_t bytes;
        mem_fail_at(nth);
        rc = model_score(&s, m, d.seqs, 2, &all, NULL, &e) || example_min_k(&s.v[0], 0.4, &x, &e) ||
             example_min_k_plus_plus(&s.v[0], 0.4, &x, &e) ||
             example_zlib_bytes("a text", &bytes, &e) || norms(norm, m, d.seqs, 1, false, &e);
        mem_fail_at(-1);
        failed += rc != 0;
        scores_fini(&s);
    }
    ok(failed > 20, "%ld allocations failed, each with an error", failed);
    dataset_fini(&d);
}

int main(void)
{
    struct err e;
    struct model m;
    struct tensor_file f;
    char *path = test_data("models/llama"), *inputs = test_data("metrics/inputs.safetensors");
    if (ok(!model_open(&m, path, false, &e), "the model") &&
        ok(!tensor_file_open(&f, inputs, &e), "its inputs")) {
        check_peer(&m, &f);
        check_memory(&m, &f);
        tensor_file_close(&f);
        model_close(&m);
    }
    free(path);
    free(inputs);
    return done();
}
