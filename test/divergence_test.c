/* How far two models are apart, against PyTorch's figures, where sequences share beginnings; and
 * what must hold of a model beside itself. */
#include "base/mem.h"
#include "figures.h"
#include "model/score.h"

enum { MOST_SEQS = 32, MOST_IDS = 64 };

/* Of its one reader. */
static struct seq seqs[MOST_SEQS];
static int ids[MOST_SEQS][MOST_IDS], labels[MOST_SEQS][MOST_IDS];

static int read_seqs(const json_t *all)
{
    size_t i, t;
    json_t *one, *id;
    json_array_foreach(all, i, one)
    {
        json_array_foreach(json_object_get(one, "ids"), t, id)
        {
            ids[i][t] = (int)json_integer_value(id);
            labels[i][t] =
                (int)json_integer_value(json_array_get(json_object_get(one, "labels"), t));
        }
        seqs[i] = (struct seq){.n = (int)json_array_size(json_object_get(one, "ids")),
                               .ids = ids[i],
                               .labels = labels[i]};
    }
    return (int)json_array_size(all);
}

static bool open_named(struct model *m, const char *name)
{
    char place[64];
    struct err e;
    snprintf(place, sizeof place, "models/%s", name);
    char *path = test_data(place);
    bool there = path && !model_open(m, path, false, &e);
    free(path);
    return ok(there, "the model %s", name);
}

static void check_rows(const json_t *rows, const struct divergence *d, int n, const char *what)
{
    struct worst kl = {0}, nll = {0}, counts = {0};
    for (int i = 0; i < n; i++) {
        const json_t *row = json_array_get(rows, (size_t)i);
        compare_to(&kl, d[i].kl, get(row, "kl"), 2e-5, "kl", i);
        compare_to(&nll, d[i].nll, get(row, "nll"), 2e-6, "nll", i);
        compare_to(&nll, d[i].other_nll, get(row, "other_nll"), 2e-6, "other_nll", i);
        compare_to(&counts, d[i].n, get(row, "n"), 0, "n", i);
        compare_to(&counts, d[i].agree, get(row, "agree"), 0, "agree", i);
    }
    report(&kl, what);
    report(&nll, "log-probabilities of both");
    report(&counts, "labels, and equal first choices");
}

static void check_self(struct model *m, int n)
{
    struct divergence d[MOST_SEQS];
    struct err e;
    bool same = !model_divergence(d, m, m, seqs, n, NULL, NULL, &e);
    for (int i = 0; i < n; i++)
        same = same && d[i].kl == 0 && d[i].agree == d[i].n && d[i].nll == d[i].other_nll;
    ok(same, "a model beside itself: no distance to the last bit");
}

static void check_pair(const json_t *pair, int n)
{
    struct model m, other;
    struct divergence d[MOST_SEQS], alone;
    struct err e;
    const char *name = str(pair, "model"), *second = str(pair, "other");
    if (!open_named(&m, name) || !open_named(&other, second))
        return;
    if (ok(!model_divergence(d, &m, &other, seqs, n, NULL, NULL, &e), "%s beside %s", name, second))
        check_rows(json_object_get(pair, "rows"), d, n, "KL");
    double worst = 0;
    for (int i = 0; i < n; i++) {
        ok(!model_divergence(&alone, &m, &other, &seqs[i], 1, NULL, NULL, &e) && d[i].kl >= 0,
           "row %d", i);
        worst = fmax(worst, fabs(alone.kl - d[i].kl));
    }
    near(worst, 0, 0, 2e-5, "together as one by one");
    check_self(&m, n);
    model_close(&m);
    model_close(&other);
}

static void check_refusals(int n)
{
    struct model m, other;
    struct divergence d[MOST_SEQS];
    struct err e;
    if (!open_named(&m, "m_cur") || !open_named(&other, "qwen2"))
        return;
    ok(model_divergence(d, &m, &other, seqs, n, NULL, NULL, &e) &&
           strstr(e.msg, "share one tokenizer"),
       "%s", e.msg);
    long at = 0, silent = 0;
    int rc;
    do {
        mem_fail_at(at++);
        rc = model_divergence(d, &m, &m, seqs, n, NULL, NULL, &e);
        mem_fail_at(-1);
        silent += rc && !strstr(e.msg, "out of memory");
    } while (rc && at < 1000);
    ok(!rc && at > 4 && !silent, "each of %ld allocations may fail", at - 1);
    model_close(&m);
    model_close(&other);
}

int main(void)
{
    json_t *all = load(test_data("divergence.json")), *pair;
    size_t i;
    int n = read_seqs(json_object_get(all, "seqs"));
    json_array_foreach(json_object_get(all, "pairs"), i, pair) check_pair(pair, n);
    check_refusals(n);
    json_decref(all);
    return done();
}
