/* Figures of single examples, from a real pass of a small llama, against the peer's own functions.
 * First tier: copies of the reference files under test/data/metrics. Second tier: those that are
 * too large to keep. */
#include "base/mem.h"
#include "data/dataset.h"
#include "eval/example.h"
#include "eval/extract.h"
#include "eval/gradnorm.h"
#include "eval/perplexity.h"
#include "eval/stats.h"
#include "figures.h"
#include "model/generate.h"
#include "tensor/file.h"

#define ROW_TOL  2e-5 /* absolute, of what comes from f32 logits */
#define GRAD_TOL 1e-5 /* relative */

static bool read_set(struct dataset *d, const struct tensor_file *f, const char *set)
{
    static const char *const parts[] = {"input_ids", "labels", "attention_mask"};
    struct err e;
    int *v[3], b = 0, t = 0;
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", set, parts[i]);
        const struct tensor *x = tensor_find(f, name);
        v[i] = x ? tensor_ints(x, &e) : NULL;
        b = x ? (int)x->shape[0] : 0;
        t = x ? (int)x->shape[1] : 0;
    }
    bool fine = v[0] && v[1] && v[2] &&
                !dataset_from_matrix(d, ROLE_GENERIC, v[0], v[1], v[2], b, t, 0, &e);
    for (int i = 0; i < 3; i++)
        free(v[i]);
    return ok(fine, "%s: %d sequences", set, fine ? d->n : 0);
}

/* ---- against the peer ---- */

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

static bool open_case(struct case_of *c, struct model *m, const struct tensor_file *f,
                      const char *set)
{
    struct err e;
    return read_set(&c->d, f, set) &&
           ok(!model_score(&c->s, m, c->d.seqs, c->d.n, &all, NULL, &e), "%s: scored", set) &&
           (c->norm = mem_alloc((size_t)c->d.n, sizeof *c->norm, &e)) &&
           ok(!gradnorm_all(c->norm, m, c->d.seqs, c->d.n, true, NULL, &e), "%s: norms", set);
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

/* ---- definitions on made-up scores ---- */

static void check_definitions(void)
{
    int label[] = {5, 6, 7, 8, 9}, best[] = {5, 0, 7, 8, 9}, rank[] = {0, 3, 0, 0, 0};
    float logp[] = {-1, -4, -2, -8, -1}, mean[] = {-1, -1, -1, -1, -1};
    float variance[] = {4, 4, 4, 0, 4};
    struct score s = {5, label, logp, best, 16, mean, variance, rank}, none = {0};
    struct err e;
    double x;
    near(example_exact(&s), 0.8, RTOL, 0, "four of five by heart");
    near(example_strength(&s, false), 0.6, RTOL, 0, "the last three can be extracted");
    near(example_reciprocal_rank(&s), 4.25 / 5, RTOL, 0, "reciprocal rank");
    near(example_entropy(&s), 1, RTOL, 0, "entropy");
    ok(!example_min_k(&s, 0.4, &x, &e) && x == 6, "min-k of two of five");
    ok(!example_min_k(&s, 0.01, &x, &e) && x == 8, "min-k takes at least one");
    ok(!example_min_k(&s, 1, &x, &e) && x == example_loss(&s), "min-k of all is the loss");
    ok(!example_min_k_plus_plus(&s, 0.2, &x, &e) && fabs(x - 7000) < 1e-3,
       "min-k++ bounds the variance from below");
    best[4] = 0;
    ok(example_strength(&s, false) == 0 && fabs(example_strength(&s, true) - 0.2) < 1e-15,
       "nothing can be extracted where the last token is wrong, unless there is a floor");
    struct score cut = example_drop_last(&s);
    ok(cut.n == 4 && cut.nll == 15 && example_drop_last(&none).n == 0, "without the last token");
    ok(isnan(example_loss(&none)) && isnan(example_exact(&none)) && isnan(example_entropy(&none)) &&
           isnan(example_reciprocal_rank(&none)) && example_strength(&none, true) == 0 &&
           !example_min_k(&none, 0.4, &x, &e) && x == 0,
       "an example without scored tokens");
}

/* ---- texts ---- */

/* Extraction likelihood by its definition: each prefix continued alone, n-grams compared by loops.
 */
static double likelihood(struct model *m, const int *ids, int len, int n)
{
    double sum = 0;
    for (int t = 1; t <= len - n; t++) {
        struct generation g = {0};
        struct seq prompt = {.n = t, .ids = ids};
        struct generate_options o = {.max_new_tokens = len - t};
        struct err e;
        int found = 0;
        model_generate(&g, m, &prompt, 1, &o, NULL, &e);
        for (int i = 0; i + n <= g.n; i++) {
            bool in = false;
            for (int j = t; j + n <= len; j++)
                in = in || !memcmp(g.ids + i, ids + j, (size_t)n * sizeof *ids);
            found += in;
        }
        sum += (double)found / (len - t - n + 1);
        generation_fini(&g);
    }
    return sum / (len - n);
}

static void check_likelihood(struct model *m)
{
    enum { LEN = 24 };
    struct err e;
    struct generation g = {0};
    int ids[LEN] = {7, 30, 11};
    double got;
    struct generate_options o = {.max_new_tokens = LEN - 3, .ignore_eos = true};
    model_generate(&g, m, &(struct seq){.n = 3, .ids = ids}, 1, &o, NULL, &e);
    memcpy(ids + 3, g.ids, (size_t)g.n * sizeof *ids);
    ids[12] = 5; /* known by heart but for one token */
    for (int n = 1; n <= 4; n++)
        if (ok(!extract_likelihood(m, ids, LEN, n, &got, &e), "extraction likelihood"))
            near(got, likelihood(m, ids, LEN, n), RTOL, 0, "of %d-grams: %.3f", n, got);
    ok(!extract_likelihood(m, ids, 4, 4, &got, &e) && isnan(got), "none of too short a text");
    generation_fini(&g);
}

/* An encoder whose tokens are bytes, and a model for which each has the loss of its value. */
static int encode_bytes(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
                        int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    int *ids = ctx;
    (void)e, (void)prompt;
    *prompt_ids = *whole_ids = ids;
    *n_prompt = 0;
    for (*n_whole = 0; answer[*n_whole]; ++*n_whole)
        ids[*n_whole] = answer[*n_whole] - '0';
    return 0;
}

static int score_values(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                        struct err *e)
{
    (void)ctx, (void)distribution;
    *out = (struct scores){.n = d->n, .v = mem_alloc((size_t)d->n, sizeof *out->v, e)};
    for (int i = 0; i < d->n; i++)
        for (int t = 0; t < d->seqs[i].n; t++)
            if (d->seqs[i].labels[t] != LABEL_NONE) {
                out->v[i].n++;
                out->v[i].nll += d->seqs[i].labels[t];
            }
    return 0;
}

static void check_perplexity(void)
{
    int ids[64];
    const char *const texts[] = {"912", "", "5", "94321"};
    struct encoder enc = {.encode = encode_bytes, .ctx = ids};
    struct scorer judge = {.score = score_values};
    double out[4];
    struct err e;
    ok(!perplexity_of(texts, 4, &judge, &enc, out, &e), "perplexity of four texts");
    near(out[0], exp(1.5), RTOL, 0, "of three tokens, two are scored");
    near(out[3], exp(2.5), RTOL, 0, "of five tokens, four");
    ok(isnan(out[1]) && isnan(out[2]), "none of an empty text, none of one token");
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
             example_zlib_bytes("a text", &bytes, &e) ||
             gradnorm_all(norm, m, d.seqs, 1, false, NULL, &e);
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
    check_definitions();
    check_perplexity();
    if (ok(!model_open(&m, path, false, &e), "the model") &&
        ok(!tensor_file_open(&f, inputs, &e), "its inputs")) {
        check_peer(&m, &f);
        check_likelihood(&m);
        check_memory(&m, &f);
        tensor_file_close(&f);
        model_close(&m);
    }
    free(path);
    free(inputs);
    return done();
}
