/* Figures of examples and texts by their definitions: memorisation and attacks on made-up scores,
 * extraction likelihood and perplexity as plain loops. */
#include "base/mem.h"
#include "eval/backend.h"
#include "eval/example.h"
#include "eval/texts.h"
#include "figures.h"
#include "model/generate.h"

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

/* Extraction likelihood by its definition: each prefix continued alone, n-grams compared by loops.
 */
static double likelihood(struct model *m, const int *ids, int len, int first, int n)
{
    double sum = 0;
    for (int t = first; t <= len - n; t++) {
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
    return sum / (len - n - first + 1);
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
        if (ok(!extract_likelihood(m, ids, LEN, 1, n, &got, &e), "extraction likelihood"))
            near(got, likelihood(m, ids, LEN, 1, n), RTOL, 0, "of %d-grams: %.3f", n, got);
    if (ok(!extract_likelihood(m, ids, LEN, 7, 2, &got, &e), "behind a prompt"))
        near(got, likelihood(m, ids, LEN, 7, 2), RTOL, 0, "of bigrams: %.3f", got);
    ok(!extract_likelihood(m, ids, 4, 1, 4, &got, &e) && isnan(got), "none of too short a text");
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
    struct backend judge = {.score = score_values};
    double out[4];
    struct err e;
    ok(!perplexity_of(texts, 4, &judge, &enc, out, &e), "perplexity of four texts");
    near(out[0], exp(1.5), RTOL, 0, "of three tokens, two are scored");
    near(out[3], exp(2.5), RTOL, 0, "of five tokens, four");
    ok(isnan(out[1]) && isnan(out[2]), "none of an empty text, none of one token");
}

int main(void)
{
    struct err e;
    struct model m;
    char *path = test_data("models/llama");
    check_definitions();
    check_perplexity();
    if (ok(!model_open(&m, path, false, &e), "the model")) {
        check_likelihood(&m);
        model_close(&m);
    }
    free(path);
    return done();
}
