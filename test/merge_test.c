/* Merging: every rule on the tiny models against MUSE's, NegMerge's and TIES' code, mergekit and
 * PEFT (tools/make_merge_golden.py); properties; what is refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sort.h"
#include "merge/merge.h"
#include "model/lora.h"
#include "tap.h"
#include "tensor/matrix.h"

enum { D = 18984, SAMPLES = 512 };

static struct tensor_file golden, order;

static const char *data(const char *name)
{
    static char *kept[16];
    static int n;
    char *p = test_data(name);
    BUG_ON(!p || n == 16);
    return kept[n++] = p;
}

static const char *m_ref, *m_cur, *m_reinforced, *third;

/* Where a weight starts in the reference's flat order. */
static size_t place(const char *weight)
{
    char key[128];
    snprintf(key, sizeof key, "offset.%s", weight);
    int32_t at; /* read without an allocation: test_memory lets them fail */
    memcpy(&at, tensor_find(&order, key)->data, sizeof at);
    return (size_t)at;
}

struct setting {
    const char *rule, *param, *value, *param2, *value2;
};

static struct choice rule_of(const struct setting *s)
{
    struct err e;
    struct choice c;
    const struct merge_rule *r = table_find(merge_rules, "method", s->rule, &e);
    BUG_ON(!r || choice_init(&c, r, NULL, &e));
    if (s->param)
        BUG_ON(param_set_text(param_find(r->params, s->param), c.params, s->value, &e));
    if (s->param2)
        BUG_ON(param_set_text(param_find(r->params, s->param2), c.params, s->value2, &e));
    return c;
}

/* The whole result, flat in the reference's order. */
static int flatten(struct merging *g, float *flat, struct err *e)
{
    const struct model *m = merging_start(g);
    if (merging_prepare(g, e))
        return -1;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        float *at = flat + place(w->name);
        if (store_read(m, w, at, e) || merging_weight(g, i, at, e))
            return -1;
    }
    return 0;
}

static void set_masks(struct merging *g, bool masks)
{
    for (int k = 0; masks && k < 2; k++) {
        char name[32];
        struct err e;
        snprintf(name, sizeof name, "dare_mask%d", k);
        const uint8_t *bits = tensor_find(&golden, name)->data;
        uint64_t *own = mem_alloc((g->base.table.total + 63) / 64, sizeof *own, &e);
        for (int i = 0; i < g->base.table.n_model; i++) {
            const struct weight *w = &g->base.table.v[i];
            const size_t from = place(w->name);
            for (size_t j = 0; j < w->count; j++)
                if (bits[(from + j) / 8] >> (from + j) % 8 & 1)
                    own[(w->offset + j) / 64] |= (uint64_t)1 << (w->offset + j) % 64;
        }
        g->v[k].kept = own;
    }
}

static bool merge(float *flat, const struct setting *s, double lambda, const char *base,
                  const char *start, const struct merge_names *names, int n, bool masks)
{
    struct err e = {.msg = ""};
    const struct choice c = rule_of(s);
    struct choice own = c;
    struct merging g = {.rule = &own, .lambda = lambda};
    int rc = merging_open(&g, base, start, names, n, &e);
    if (!rc)
        set_masks(&g, masks);
    rc = rc || flatten(&g, flat, &e);
    ok(!rc, "%s: %s", s->rule, e.msg);
    merging_close(&g);
    choice_fini(&own);
    return !rc;
}

/* --- the reference's figures --- */

static void check_sample(const float *flat, const char *name)
{
    char key[64];
    struct err e;
    snprintf(key, sizeof key, "%s.norms", name);
    float *sample = tensor_f32(tensor_find(&golden, name), &e),
          *norms = tensor_f32(tensor_find(&golden, key), &e);
    double worst = 0, norm_worst = 0;
    for (size_t k = 0; k < SAMPLES; k++)
        worst = fmax(worst, fabs((double)flat[k * D / SAMPLES] - (double)sample[k]));
    near(worst, 0, 0, 1e-6, "%s: entries", name);
    struct model m;
    BUG_ON(model_open_header(&m, m_cur, &e));
    size_t ends[64], n = 0;
    for (int i = 0; i < m.table.n_model; i++)
        ends[n++] = place(m.table.v[i].name);
    for (size_t i = 1; i < n; i++) /* their order in the reference */
        for (size_t k = i; k > 0 && ends[k] < ends[k - 1]; k--) {
            const size_t t = ends[k];
            ends[k] = ends[k - 1];
            ends[k - 1] = t;
        }
    ends[n] = D;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = ends[i]; j < ends[i + 1]; j++)
            sum += (double)flat[j] * (double)flat[j];
        norm_worst = fmax(norm_worst, fabs(sqrt(sum) / (double)norms[i] - 1));
    }
    near(norm_worst, 0, 0, 1e-6, "%s: norms of %zu tensors", name, n);
    model_close(&m);
    free(sample);
    free(norms);
}

static void test_golden(float *flat)
{
    const struct merge_names cur = {m_cur, 1, false}, reinforced = {m_reinforced, 1, false},
                             other = {third, 1, false}, three[] = {cur, reinforced, other},
                             signed_three[] = {{m_cur, 1, false},
                                               {m_reinforced, 0.5, false},
                                               {third, -0.25, false}},
                             halves[] = {{m_cur, 0.5, false}, {m_reinforced, 0.5, false}},
                             rest[] = {{m_cur, 0.3, false}, {m_reinforced, 0.2, false}};
    const struct {
        const char *name;
        struct setting s;
        double lambda;
        const char *start;
        const struct merge_names *v;
        int n;
        bool masks;
    } rows[] = {
        {"task_vector", {"negate", NULL, NULL, NULL, NULL}, 0.75, NULL, &cur, 1, false},
        {"task_vector_other_start",
         {"negate", NULL, NULL, NULL, NULL},
         0.75,
         m_reinforced,
         &cur,
         1,
         false},
        {"negmerge", {"negmerge", NULL, NULL, NULL, NULL}, 0.9, NULL, three, 3, false},
        {"ties_mergekit",
         {"ties", "density", "0.3", "scope", "tensor"},
         1.3,
         NULL,
         three,
         3,
         false},
        {"ties_global", {"ties", "density", "0.3", NULL, NULL}, 1.3, NULL, three, 3, false},
        {"ties_mergekit_weighted",
         {"ties", "density", "0.3", "scope", "tensor"},
         1,
         NULL,
         signed_three,
         3,
         false},
        {"dare_paper", {"dare", "drop", "0.6", NULL, NULL}, 1, NULL, halves, 2, true},
        {"dare_linear_mergekit",
         {"dare", "drop", "0.6", "rescale", "l1"},
         1,
         NULL,
         halves,
         2,
         true},
        {"dare_ties_mergekit",
         {"dare_ties", "drop", "0.6", "rescale", "l1"},
         1,
         NULL,
         three,
         2,
         true},
        {"soup", {"soup", NULL, NULL, NULL, NULL}, 1, NULL, rest, 2, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (merge(flat, &rows[i].s, rows[i].lambda, m_ref, rows[i].start, rows[i].v, rows[i].n,
                  rows[i].masks))
            check_sample(flat, rows[i].name);
}

/* --- UNDO --- */

static void test_undo(float *flat)
{
    const struct setting undo = {"undo", "alpha", "0.2", NULL, NULL},
                         shrink = {"undo", "alpha", "0.2", "beta", "0"};
    struct err e;
    struct model m;
    float *was = mem_alloc(D, sizeof *was, &e), *again = mem_alloc(D, sizeof *again, &e);
    BUG_ON(model_open_header(&m, m_cur, &e));
    merge(flat, &undo, 1, m_cur, NULL, NULL, 0, false);
    merge(again, &undo, 1, m_cur, NULL, NULL, 0, false);
    ok(!memcmp(flat, again, D * sizeof *flat), "undo: one seed, the same noise");
    double sum = 0, squares = 0, beyond = 0, n = 0, vectors = 0;
    for (int i = 0; i < m.table.n_model; i++) {
        const struct weight *w = &m.table.v[i];
        const size_t at = place(w->name);
        BUG_ON(store_read(&m, w, was + at, &e));
        const double bound = sqrt(6.0 / (double)(w->shape[0] + w->shape[1]));
        for (size_t j = at; j < at + w->count; j++) {
            const double noise =
                ((double)flat[j] - 0.8 * (double)was[j]) / (0.2 * 0.1 * bound); /* in [-1, 1) */
            if (w->n_dims == 1) {
                vectors = fmax(vectors, fabs((double)flat[j] - 0.8 * (double)was[j]));
                continue;
            }
            beyond = fmax(beyond, fabs(noise));
            sum += noise;
            squares += noise * noise;
            n++;
        }
    }
    near(vectors, 0, 0, 1e-7, "undo: vectors shrink only");
    ok(beyond > 0.99 && beyond < 1.0001, "undo: within Xavier's bound (%.6f)", beyond);
    near(sum / n, 0, 0, 0.02, "undo: mean of the noise");
    near(squares / n, 1.0 / 3, 0.03, 0, "undo: its variance");
    merge(flat, &shrink, 1, m_cur, NULL, NULL, 0, false);
    double worst = 0;
    for (size_t j = 0; j < D; j++)
        worst = fmax(worst, fabs((double)flat[j] - 0.8 * (double)was[j]));
    near(worst, 0, 0, 1e-7, "undo: beta 0 is pure shrinking");
    model_close(&m);
    free(was);
    free(again);
}

/* --- properties --- */

static void read_all(const char *path, float *flat)
{
    struct err e;
    struct model m;
    BUG_ON(model_open_header(&m, path, &e));
    for (int i = 0; i < m.table.n_model; i++)
        BUG_ON(store_read(&m, &m.table.v[i], flat + place(m.table.v[i].name), &e));
    model_close(&m);
}

static void test_properties(float *flat)
{
    const struct setting soup = {.rule = "soup"}, dare = {"dare", "drop", "0", NULL, NULL},
                         half = {"dare", "drop", "0.5", NULL, NULL};
    const struct merge_names cur = {m_cur, 1, false};
    struct err e;
    float *want = mem_alloc(D, sizeof *want, &e), *base = mem_alloc(D, sizeof *base, &e);
    read_all(m_cur, want);
    read_all(m_ref, base);
    merge(flat, &soup, 1, m_ref, NULL, &cur, 1, false);
    ok(!memcmp(flat, want, D * sizeof *flat), "a soup of weight 1 is the other model, bit for bit");
    merge(flat, &dare, 1, m_ref, NULL, &cur, 1, false);
    ok(!memcmp(flat, want, D * sizeof *flat), "DARE that drops nothing, likewise");
    merge(flat, &half, 1, m_ref, NULL, &cur, 1, false);
    size_t same = 0;
    double worst = 0;
    for (size_t j = 0; j < D; j++) {
        const double tau = (double)want[j] - (double)base[j], d = (double)flat[j] - (double)base[j];
        same += d == 0;
        worst = d == 0 ? worst : fmax(worst, fabs(d - 2 * tau));
    }
    ok(same > D * 0.47 && same < D * 0.53, "DARE drops half (%zu of %d)", same, D);
    near(worst, 0, 0, 1e-6, "and doubles the rest");
    free(want);
    free(base);
}

/* The rank of a magnitude among many, against a sort. */
static void test_rank(void)
{
    enum { N = 5003 };
    struct err e;
    float v[N], sorted[N];
    uint32_t u = 7;
    for (int i = 0; i < N; i++) {
        u = u * 1664525 + 1013904223;
        v[i] = (float)((int)(u >> 8) % 2001 - 1000) * (i % 3 ? 1e-3F : 1e-9F);
        sorted[i] = fabsf(v[i]);
    }
    sort_floats(sorted, N);
    int bad = 0;
    for (size_t k = 1; k <= N; k += 379) {
        struct kth r;
        size_t left = k;
        BUG_ON(kth_init(&r, &e));
        for (int i = 0; i < N; i++)
            kth_see(&r, v[i]);
        kth_choose(&r, &left);
        for (int i = 0; i < N; i++)
            kth_see(&r, v[i]);
        bad += kth_choose(&r, &left) != sorted[k - 1];
        free(r.count);
    }
    ok(!bad, "the k-th smallest magnitude, without sorting");
}

/* --- adapters --- */

static void check_delta(const char *dir, const char *name)
{
    struct err e = {.msg = ""};
    struct model m;
    struct adapter_file f;
    double worst = 0;
    int pairs = 0;
    BUG_ON(model_open_header(&m, m_cur, &e));
    if (!ok(!adapter_open(&f, &m, dir, &e), "%s: the adapter is read back: %s", name, e.msg))
        return;
    for (int i = 0; i < f.table.n; i++) {
        const struct adapter_part *p = &f.parts[i];
        const struct weight *w = &f.table.v[i];
        char key[160];
        if (!p->a)
            continue;
        snprintf(key, sizeof key, "%s.%.*s", name, (int)strlen(w->name) - 7, w->name);
        float *want = tensor_f32(tensor_find(&golden, key), &e), *a = tensor_f32(p->a, &e),
              *b = tensor_f32(p->b, &e), *got = mem_alloc(w->count, sizeof *got, &e);
        matrix_product(got, b, a, (int)w->shape[0], (int)w->shape[1], p->rank, p->scale);
        for (size_t j = 0; j < w->count; j++)
            worst = fmax(worst, fabs((double)got[j] - (double)want[j]));
        free(want);
        free(a);
        free(b);
        free(got);
        pairs++;
    }
    near(pairs, 6, 0, 0, "%s: pairs", name);
    near(worst, 0, 0, 1e-6, "%s: what it changes", name);
    adapter_close(&f);
    model_close(&m);
}

static void test_adapters(void)
{
    const char *one = data("merge/adapter_one"), *two = data("merge/adapter_two");
    const struct {
        const char *name, *rule;
        double lambda;
        struct merge_names v[2];
        int n;
    } rows[] = {
        {"cat", "cat", 1, {{one, 0.7, true}, {two, 0.4, true}}, 2},
        {"cat_negated", "cat", 1, {{one, 0.7, true}, {two, -0.4, true}}, 2},
        {"svd", "svd", 1, {{one, 0.7, true}, {two, 0.4, true}}, 2},
        {"pem_negated", "pem", 0.8, {{one, 1, true}}, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct setting s = {.rule = rows[i].rule};
        struct choice c = rule_of(&s);
        struct err e = {.msg = ""};
        struct low_rank_facts f;
        struct merging g = {.rule = &c, .lambda = rows[i].lambda};
        char dir[512];
        snprintf(dir, sizeof dir, "%s/%s", test_dir(), rows[i].name);
        int rc = merging_open(&g, m_cur, NULL, rows[i].v, rows[i].n, &e) ||
                 merging_prepare(&g, &e) || merging_save_adapter(&g, 4, dir, &f, &e);
        ok(!rc, "%s is saved: %s", rows[i].name, e.msg);
        if (!rc)
            check_delta(dir, rows[i].name);
        if (!rc && strcmp(rows[i].rule, "svd"))
            near(f.left, 0, 0, 0, "%s leaves nothing out", rows[i].name);
        else if (!rc)
            ok(f.left > 1e-6 && f.left < f.squares, "svd: %g of %g is left out", f.left, f.squares);
        merging_close(&g);
        choice_fini(&c);
    }
}

/* b a is w's best approximation: its error is what is left, and full rank leaves nothing. */
static void test_factor(void)
{
    enum { ROWS = 7, COLS = 11 };
    for (int turned = 0; turned < 2; turned++) {
        const int rows = turned ? COLS : ROWS, cols = turned ? ROWS : COLS;
        double w[ROWS * COLS], left, before = INFINITY;
        float b[COLS * COLS], a[COLS * COLS], got[ROWS * COLS];
        struct err e;
        for (int i = 0; i < ROWS * COLS; i++)
            w[i] = sin(3.0 * i * i + i);
        for (int r = 1; r <= ROWS; r += 2) {
            BUG_ON(matrix_factor(b, a, &left, w, rows, cols, r, &e));
            matrix_product(got, b, a, rows, cols, r, 1);
            double sum = 0;
            for (int i = 0; i < ROWS * COLS; i++)
                sum += (w[i] - (double)got[i]) * (w[i] - (double)got[i]);
            near(left, sum, 1e-4, 1e-10, "%d x %d, rank %d: what is left", rows, cols, r);
            ok(left < before, "less than of a lower rank");
            before = left;
        }
        near(left, 0, 0, 1e-10, "full rank leaves nothing");
    }
}

/* --- what is refused --- */

static void refuses(const char *rule, const char *base, const struct merge_names *v, int n,
                    const char *want, const char *what)
{
    const struct setting s = {.rule = rule};
    struct choice c = rule_of(&s);
    struct err e = {.msg = ""};
    struct merging g = {.rule = &c, .lambda = 1};
    float *flat = mem_alloc(D, sizeof *flat, &e);
    const int rc = merging_open(&g, base, NULL, v, n, &e) || flatten(&g, flat, &e);
    ok(rc && strstr(e.msg, want), "%s: %s", what, e.msg);
    merging_close(&g);
    choice_fini(&c);
    free(flat);
}

static void test_refusals(void)
{
    const struct merge_names other = {data("models/qwen2"), 1, false}, same = {m_ref, 1, false},
                             minus = {m_cur, -1, false}, missing = {"/nonexistent", 1, false};
    refuses("negate", m_ref, &other, 1, "tensor '", "another shape, by its tensor");
    refuses("negate", m_ref, &same, 1, "does not differ", "no difference");
    refuses("negmerge", m_ref, &minus, 1, "must be above 0", "NegMerge with a negative weight");
    refuses("negate", m_ref, &missing, 1, "/nonexistent", "no such model");
    refuses("negate", m_ref, NULL, 0, "needs models", "no sources");
    refuses("undo", m_ref, &same, 1, "alone", "UNDO with a source");
    refuses("cat", m_ref, &same, 1, "is a model", "a model among stacked adapters");
}

static void test_memory(void)
{
    const struct merge_names v[] = {{m_cur, 1, false}, {data("merge/adapter_one"), 1, true}};
    const struct setting s = {"ties", "scope", "tensor", NULL, NULL};
    struct err e;
    float *flat = mem_alloc(D, sizeof *flat, &e);
    long n = 0;
    int rc = -1;
    bool named = true;
    for (; rc && n < 10000; n++) {
        struct choice c = rule_of(&s);
        struct merging g = {.rule = &c, .lambda = 1};
        mem_fail_at(n);
        e.msg[0] = 0;
        rc = merging_open(&g, m_ref, NULL, v, 2, &e) || flatten(&g, flat, &e);
        mem_fail_at(-1);
        named &= !rc || e.msg[0];
        merging_close(&g);
        choice_fini(&c);
        n += n > 60 ? 37 : 0;
    }
    ok(!rc && named, "each allocation that fails is an error (%ld)", n);
    free(flat);
}

int main(void)
{
    static char path[512];
    struct err e;
    float *flat = mem_alloc(D, sizeof *flat, &e);
    m_ref = data("models/m_ref");
    m_cur = data("models/m_cur");
    m_reinforced = data("models/m_reinforced");
    BUG_ON(tensor_file_open(&golden, data("merge/golden.safetensors"), &e) ||
           tensor_file_open(&order, data("locate.safetensors"), &e));
    /* The third model is a soup of the two. */
    const struct setting s = {.rule = "soup"};
    struct choice c = rule_of(&s);
    struct merging g = {.rule = &c, .lambda = 1};
    const struct merge_names two[] = {{m_cur, 0.7, false}, {m_reinforced, -0.2, false}};
    const struct save_options so = {
        .dtype = DT_F32, .shard_bytes = 20000, .change = merging_weight, .ctx = &g};
    snprintf(path, sizeof path, "%s/third", test_dir());
    third = path;
    ok(!merging_open(&g, m_ref, NULL, two, 2, &e) && !merging_prepare(&g, &e) &&
           !model_save(&g.base, third, &so, &e),
       "a merged model is saved in several files");
    merging_close(&g);
    choice_fini(&c);
    test_rank();
    test_golden(flat);
    test_undo(flat);
    test_properties(flat);
    test_factor();
    test_adapters();
    test_refusals();
    test_memory();
    tensor_file_close(&golden);
    tensor_file_close(&order);
    free(flat);
    return done();
}
