/* Folds: a partition, even in all and of each label, that follows from the seed; worked examples
 * come from other folds, of all labels alike. On many sizes. And a whole run with every allocation
 * failing in turn. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "suites/multiple_private.h"
#include "tap.h"

enum { MOST = 200, LABELS = 5, FOLDS = 12 };

/* n rows, label l about as often as l + 1 allows: labels of different size. */
static void make_labels(int *label, int n, int labels, struct rng *r)
{
    for (int i = 0; i < n; i++)
        label[i] = (int)rng_below(r, 1 + rng_below(r, (uint32_t)labels));
}

static bool within_1(const int *count, int k)
{
    int least = count[0], most = count[0];
    for (int f = 1; f < k; f++) {
        least = count[f] < least ? count[f] : least;
        most = count[f] > most ? count[f] : most;
    }
    return most - least <= 1;
}

/* Every row is in one of k folds; these are even. */
static bool is_even(const int *label, const int *fold, int n, int k)
{
    int all[FOLDS] = {0}, of[LABELS][FOLDS] = {{0}};
    for (int i = 0; i < n; i++) {
        if (fold[i] < 0 || fold[i] >= k)
            return false;
        all[fold[i]]++;
        of[label[i]][fold[i]]++;
    }
    bool even = within_1(all, k);
    for (int l = 0; l < LABELS; l++)
        even = even && within_1(of[l], k);
    return even;
}

static void test_deal(void)
{
    int label[MOST], fold[MOST], again[MOST], other[MOST], bad = 0, moved = 0, cases = 0;
    struct rng r;
    struct err e;
    rng_seed(&r, 1);
    for (int n = 2; n < MOST; n += 7)
        for (int k = 2; k <= FOLDS && k <= n; k += 3, cases++) {
            make_labels(label, n, 1 + n % LABELS, &r);
            memset(fold, -1, sizeof fold);
            bad += folds_deal(label, n, k, 3, fold, &e) || !is_even(label, fold, n, k);
            bad += folds_deal(label, n, k, 3, again, &e) ||
                   memcmp(fold, again, (size_t)n * sizeof *fold) != 0;
            bad += folds_deal(label, n, k, 4, other, &e) || !is_even(label, other, n, k);
            moved += n > 20 && memcmp(fold, other, (size_t)n * sizeof *fold) != 0;
        }
    ok(!bad, "%d divisions: even folds, even labels, the same again", cases);
    ok(moved > 80, "another seed deals otherwise");
}

/* As even as the rows that are left allow: no label twice more than another that had one left. */
static bool is_fair(const int *label, const int *fold, int n, int f, const int *pick, int shots)
{
    int drawn[LABELS] = {0}, left[LABELS] = {0};
    bool used[MOST] = {false};
    for (int i = 0; i < n; i++)
        left[label[i]] += fold[i] != f;
    for (int i = 0; i < shots; i++) {
        if (pick[i] < 0 || pick[i] >= n || used[pick[i]] || fold[pick[i]] == f)
            return false;
        used[pick[i]] = true;
        drawn[label[pick[i]]]++;
        left[label[pick[i]]]--;
    }
    for (int a = 0; a < LABELS; a++)
        for (int b = 0; b < LABELS; b++)
            if (drawn[a] > drawn[b] + 1 && left[b])
                return false;
    return true;
}

static void test_draw(void)
{
    int label[MOST], fold[MOST], pick[MOST], again[MOST], bad = 0, cases = 0, moved = 0;
    struct rng r;
    struct err e;
    rng_seed(&r, 2);
    for (int n = 20; n < MOST; n += 13)
        for (int shots = 1; shots < n / 2; shots += 4, cases++) {
            int k = 2 + n % 5, f = shots % k;
            make_labels(label, n, 1 + n % LABELS, &r);
            bad += folds_deal(label, n, k, 0, fold, &e) ||
                   folds_draw(label, fold, n, f, shots, 5, pick, &e) ||
                   !is_fair(label, fold, n, f, pick, shots);
            bad += folds_draw(label, fold, n, f, shots, 5, again, &e) ||
                   memcmp(pick, again, (size_t)shots * sizeof *pick) != 0;
            bad += folds_draw(label, fold, n, (f + 1) % k, shots, 5, again, &e);
            moved += memcmp(pick, again, (size_t)shots * sizeof *pick) != 0;
        }
    ok(!bad, "%d draws: other folds, no row twice, labels alike, the same again", cases);
    ok(moved > cases / 2, "another fold draws otherwise");
    ok(folds_draw(label, fold, 20, 0, 20, 5, pick, &e) &&
           strstr(e.msg, "20 worked examples requested"),
       "too few: %s", e.msg);
}

static void test_memory(void)
{
    int label[] = {0, 1, 0, 1, 1}, fold[5], pick[5], failed = 0;
    struct err e;
    bool done_deal = false, done_draw = false;
    for (long i = 0; !done_deal || !done_draw; i++) {
        mem_fail_at(i);
        done_deal = !folds_deal(label, 5, 2, 0, fold, &e);
        mem_fail_at(i);
        done_draw = !folds_draw(label, fold, 5, 0, 1, 0, pick, &e);
        failed += !done_deal || !done_draw;
    }
    mem_fail_at(-1);
    ok(failed == 2, "fails for memory, and leaks none");
}

/* A model to which a sequence is as likely as its last token is small. */
static int score(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                 struct err *e)
{
    (void)ctx, (void)distribution;
    *out = (struct scores){.n = d->n, .v = mem_alloc((size_t)d->n, sizeof *out->v, e)};
    for (int i = 0; out->v && i < d->n; i++)
        out->v[i].nll = d->seqs[i].ids[d->seqs[i].n - 1];
    return out->v ? 0 : -1;
}

/* Twelve reviews in two folds, with two worked examples each. */
static int run(struct suite_recipe *r, const struct multiple_model *who, const char *data,
               int *rows, struct err *e)
{
    const struct multiple_options o = {
        .data = data, .columns = "label,text", .limit = 12, .folds = 2, .shots = 2};
    struct multiple m = {.table = NULL};
    int rc = suite_recipe_open(r, "classification", e);
    if (!rc) {
        rc = multiple_run(&m, r, &o, who, e);
        *rows = (int)json_array_size(json_object_get(m.log.eval, "classification"));
    }
    multiple_fini(&m);
    suite_recipe_close(r);
    return rc;
}

static void test_run(void)
{
    char *data = test_data("choice/reviews.csv"), *dir = test_data("tok");
    struct err e = {0};
    struct suite_recipe r;
    struct tokenizer *tok = dir ? tokenizer_open(dir, &e) : NULL;
    const struct backend model = {.score = score};
    const struct multiple_model who = {tok, &model, 2000};
    int rows = 0, failed = 0, rc = -1;
    log_set_quiet(true);
    if (ok(data && tok && !run(&r, &who, data, &rows, &e) && rows == 12, "12 reviews in folds")) {
        for (long i = 0; rc; i++) {
            mem_fail_at(i);
            rc = run(&r, &who, data, &rows, &e);
            failed += rc != 0;
        }
        mem_fail_at(-1);
        ok(failed > 20, "%d allocations failed, each with an error", failed);
    }
    tokenizer_close(tok);
    free(dir);
    free(data);
}

int main(void)
{
    test_run();
    test_deal();
    test_draw();
    test_memory();
    return done();
}
