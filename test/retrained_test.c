/* Comparison with the retrained model, with invented divergences: against sums by hand, with rows
 * that are not finite, and with failing allocations. */
#include "base/json.h"
#include "base/log.h"
#include "fake_model.h"
#include "suites/suite.h"

static const char recipe_text[] =
    "{\"sets\": {\"in\": {}, \"out\": {}, \"unused\": {}, \"absent\": {}}, \"metrics\": {"
    "\"p\": {\"kind\": \"probability\", \"set\": \"in\", \"field\": \"missing\"}, "
    "\"q\": {\"kind\": \"rouge\", \"set\": \"in\", \"field\": \"answer\"}, "
    "\"a\": {\"kind\": \"mia_loss\", \"set\": \"in\", \"against\": \"out\", \"field\": "
    "\"answer\"}, "
    "\"n\": {\"kind\": \"probability\", \"set\": \"absent\", \"field\": \"answer\"}}}";
static const char in_rows[] = "[{\"question\": \"Q\", \"answer\": [\"ab\", \"c\"]}, "
                              "{\"question\": \"Q\", \"answer\": \"abc\"}]";
static const char out_rows[] = "[{\"question\": \"Q\", \"answer\": \"abcd\"}, "
                               "{\"question\": \"Q\", \"answer\": \"ab\"}]";

struct distances {
    double spoilt; /* the KL of the first sequence of `in` */
};

/* Of `in`, which has three answers: losses 1, 2, 3 against 2, 2, 2.5; of `out` 2, 4 against 3, 1.
 */
static int compare_fake(void *ctx, const struct dataset *d, struct divergence *out, struct err *e)
{
    static const double own[2][3] = {{2, 4}, {1, 2, 3}}, other[2][3] = {{3, 1}, {2, 2, 2.5}};
    const struct distances *f = ctx;
    int in = d->n == 3;
    (void)e;
    for (int i = 0; i < d->n; i++) {
        int n = d->seqs[i].n - 1; /* a question is one id */
        out[i] = (struct divergence){.n = n,
                                     .agree = i,
                                     .nll = n * own[in][i],
                                     .other_nll = n * other[in][i],
                                     .kl = 0.5 * (i + 1)};
    }
    if (in && f->spoilt)
        out[0].kl = f->spoilt;
    return 0;
}

static int run(struct suite *s, struct rows *rows, struct distances *f, struct err *e)
{
    struct comparer c = {f, compare_fake};
    struct fake fake = {0};
    struct encoder enc = {.encode = encode, .ctx = &fake, .pad_id = -1};
    static const struct rows *sets[4];
    sets[0] = &rows[0];
    sets[1] = sets[2] = &rows[1];
    s->sets = sets;
    s->encoder = &enc;
    s->question = "question";
    return suite_compare_retrained(s, &c, e);
}

static void check_figures(struct suite *s, struct rows *rows)
{
    struct err e;
    struct distances f = {0};
    if (!ok(!run(s, rows, &f, &e), "side by side"))
        return note("%s", e.msg);
    const json_t *in = json_object_get(s->comparison, "in"),
                 *out = json_object_get(s->comparison, "out");
    ok(json_object_size(s->comparison) == 2,
       "sets that nothing looks at, or that are absent: no line");
    ok(get(in, "rows") == 3 && get(in, "tokens") == 6 && get(in, "missing") == 0, "three answers");
    near(get(in, "kl"), (0.5 + 1 + 1.5) / 6, RTOL, 0, "KL per token, of rows of unlike lengths");
    near(get(in, "top1"), (0 + 1 + 2) / 6.0, RTOL, 0, "share of equal first choices");
    near(get(in, "kl_low"), 0.5 / 2, RTOL, 0, "the lowest draws hold the first row only");
    near(get(in, "kl_high"), 1.0, RTOL, 0, "the highest the one with least tokens");
    /* (2 2 2.5 > 1): 3; (2 2 2.5 > 2): 1/2 1/2 1; (... > 3): 0 */
    near(get(in, "auc"), 5 / 9.0, RTOL, 0, "AUC of retrained losses over the model's");
    near(get(in, "auc_gap"), (1 + 1.0 / 2 + 1 + 1 + 1) / 6 - (3.0) / 6, RTOL, 0, "gap of attacks");
    near(get(in, "ks"), 1, RTOL, 0, "a distance of 1/3 of three rows is chance");
    ok(!json_object_get(out, "auc_gap") && get(out, "tokens") == 6, "non-members have no gap");

    f.spoilt = NAN;
    ok(!run(s, rows, &f, &e), "a row that is not finite");
    in = json_object_get(s->comparison, "in");
    ok(get(in, "rows") == 2 && get(in, "missing") == 1 && get(in, "tokens") == 4, "is left out");
    near(get(in, "kl"), 2.5 / 4, RTOL, 0, "of the distance");
    near(get(in, "auc"), 1.5 / 4, RTOL, 0, "and of the losses");
}

static void check_no_memory(struct suite *s, struct rows *rows)
{
    struct err e;
    struct distances f = {0};
    long n = 0, silent = 0;
    int rc;
    do {
        mem_fail_at(n++);
        rc = run(s, rows, &f, &e);
        mem_fail_at(-1);
        silent += rc && !strstr(e.msg, "out of memory");
    } while (rc && n < 1000);
    ok(!rc && n > 15 && !silent, "each of %ld allocations may fail", n - 1);
}

int main(void)
{
    struct err e;
    struct rows rows[2];
    struct suite_recipe recipe;
    log_set_quiet(true);
    json_t *text = json_read_text(recipe_text, sizeof recipe_text - 1, "recipe", &e);
    if (!ok(text && !suite_recipe_read(&recipe, text, "own", &e) &&
                !rows_read(&rows[0], "in", in_rows, sizeof in_rows - 1, &e) &&
                !rows_read(&rows[1], "out", out_rows, sizeof out_rows - 1, &e),
            "a suite and its rows"))
        return note("%s", e.msg), done();
    struct suite s = {.recipe = &recipe};
    check_figures(&s, rows);
    check_no_memory(&s, rows);
    suite_fini(&s);
    suite_recipe_close(&recipe);
    rows_close(&rows[0]);
    rows_close(&rows[1]);
    return done();
}
