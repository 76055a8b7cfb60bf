/* Masks by activations, Fisher information, rows and neurons, against the authors' code and PyTorch
 * in f64 (tools/make_locate_golden.py). */
#include "located.h"
#include "objectives/terms.h"

static void check_fisher(void)
{
    struct bench b;
    struct err e;
    struct located l;
    bench_rows(&b);
    struct choice c = choose("fisher-ratio", "alpha", "1.5");
    const struct mask_options by_four = {.scope = "own", .score_batch = 4};
    BUG_ON(run_locate(&l, &b.m, &c, &by_four, b.g.sets, NULL, 0, NULL, &e));
    const struct tensor *want = tensor_find(&golden, "ssd.selected");
    size_t wrong = 0;
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        for (size_t k = 0; k < w->count; k++)
            wrong += kept(&l, w->offset + k) != is_set(want, place(w->name) + k) &&
                     fabs((double)l.scores.v[w->at + k] - 1.5) > 1.5e-4;
    }
    ok(!wrong && l.result.kept == 5872,
       "fisher-ratio: SSD's selection index for index, by row whatever the batch");
    located_fini(&l);
    choice_fini(&c);
    bench_close(&b);
}

/* Bits that differ in the linear maps of the layers, and that are set elsewhere. */
static void wanda_bits(const struct bench *b, const struct located *l, size_t *wrong, size_t *other)
{
    *wrong = *other = 0;
    for (int i = 0; i < b->m.table.n; i++) {
        const struct weight *w = &b->m.table.v[i];
        char key[128];
        snprintf(key, sizeof key, "wanda.%s", w->name);
        *strstr(key, ".weight") = 0;
        const struct tensor *want = tensor_find(&golden, key);
        for (size_t k = 0; k < w->count; k++)
            *(want ? wrong : other) += kept(l, w->offset + k) != (want && is_set(want, k));
    }
}

static void check_wanda(void)
{
    struct bench b;
    struct err e;
    struct located l;
    size_t wrong, other;
    bench_rows(&b);
    struct choice c = choose("wanda", NULL, NULL), rest = choose("wanda", "rest_free", "true");
    for (int batch = 1; batch < 9; batch += 3) {
        const struct mask_options o = {.ratio = 0.5, .scope = "own", .score_batch = batch};
        BUG_ON(run_locate(&l, &b.m, &c, &o, b.g.sets, NULL, 0, NULL, &e));
        wanda_bits(&b, &l, &wrong, &other);
        ok(!wrong && !other, "wanda, %d rows at once: index for index, nothing outside the layers",
           batch);
        located_fini(&l);
    }
    BUG_ON(find(&l, &b, &rest, 0.5, "own", NULL, &e));
    wanda_bits(&b, &l, &wrong, &other);
    ok(!wrong && other == 2 * 104 * 24 + 7 * 24, "rest_free: all of embedding, head and norms");
    located_fini(&l);
    /* int(24 * (1 - 0.4)) = 14 are dropped of 24, int(40 * (1 - 0.4)) = 24 of 40 */
    BUG_ON(find(&l, &b, &c, 0.4, "own", NULL, &e));
    ok(l.result.kept == (size_t)3 * ((24 + 12 + 12 + 24 + 40 + 40) * 10 + 24 * 16),
       "a share of 0.4 drops int(n (1 - 0.4)) of each row");
    located_fini(&l);
    choice_fini(&c);
    choice_fini(&rest);
    b.g.sets[ROLE_FORGET] = NULL;
    bench_close(&b);
}

/* q, k and v are rows of one tensor, whose input counts once: after an RMS norm of weight g the sum
 * over columns of s_j / g_j^2 is the width for each token. */
static void check_fused(void)
{
    static const int ids[] = {3, 4, 5, 6, 7, 8, 9};
    struct bench b = {.o = {0}};
    struct err e;
    struct located l;
    BUG_ON(model_open(&b.m, path_of("models/", "phi3"), false, &e) ||
           dataset_from_matrix(&b.sets[ROLE_FORGET], ROLE_FORGET, ids, ids, NULL, 1, 7, 0, &e));
    b.g.sets[ROLE_FORGET] = &b.sets[ROLE_FORGET];
    struct choice c = choose("wanda", NULL, NULL);
    BUG_ON(find(&l, &b, &c, 0.5, "own", NULL, &e));
    const struct weight_table *t = &b.m.table;
    const int qkv = weight_index(t, W_QKV, 0), norm = weight_index(t, W_NORM_ATTN, 0);
    const size_t in = (size_t)t->v[qkv].shape[1];
    const float *w = b.m.ops->map_read(b.m.w[qkv], t->v[qkv].count),
                *g = b.m.ops->map_read(b.m.w[norm], in);
    double sum = 0;
    for (size_t j = 0; j < in; j++) {
        const double s = (double)l.scores.v[t->v[qkv].at + j] / fabs((double)w[j]) / (double)g[j];
        sum += s * s;
    }
    near(sum, 7 * (double)in, 1e-3, 0, "wanda: the input of fused q, k, v counts once");
    b.m.ops->unmap(b.m.w[qkv]);
    b.m.ops->unmap(b.m.w[norm]);
    located_fini(&l);
    choice_fini(&c);
    dataset_fini(&b.sets[ROLE_FORGET]);
    model_close(&b.m);
}

static void check_sure(void)
{
    struct bench b;
    struct err e;
    struct located l;
    bench_rows(&b);
    struct choice c = choose("sure", NULL, NULL);
    BUG_ON(find(&l, &b, &c, 0, "own", NULL, &e));
    float *norms = read_f32(&golden, "sure.norms");
    const struct tensor *want = tensor_find(&golden, "sure.kept");
    double top, off = worst_of(l.scores.v, norms, 904, &top);
    size_t wrong = 0, row = 0;
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        for (size_t k = 0; k < w->count; k++)
            wrong += kept(&l, w->offset + k) != is_set(want, row + k / (size_t)w->shape[1]);
        row += (size_t)w->shape[0];
    }
    near(off, 0, 0, 1e-4 * top, "sure: norms of rows");
    near(l.scores.least, 0.5913607839712539, 1e-5, 0, "the percentile");
    ok(!wrong && l.result.kept == 91 && l.result.units == 904, "rows that are kept, whole");
    free(norms);
    located_fini(&l);
    BUG_ON(find(&l, &b, &c, 0.1, "own", NULL, &e));
    ok(l.result.kept == 90, "a share of 0.1: int(0.1 * 904) rows");
    located_fini(&l);
    choice_fini(&c);
    bench_close(&b);
}

/* Rows whose gradients were given: cosines by a plain loop. */
static void check_pcgu(void)
{
    struct bench b;
    struct err e;
    struct located l;
    double loss, worst = 0;
    int rows[16];
    bench_rows(&b);
    struct choice c = choose("pcgu", NULL, NULL);
    for (int i = 0; i < 16; i++)
        rows[i] = i;
    BUG_ON(find(&l, &b, &c, 1, "own", NULL, &e));
    device float *g[2];
    for (int k = 0; k < 2; k++) {
        const struct data_rows all = {k ? ROLE_RETAIN : ROLE_FORGET, rows, k ? 13 : 9, 16};
        g[k] = b.m.ops->alloc(b.m.table.grads, &e);
        BUG_ON(derivative_gradient(&l.engine, GOAL_BIT(k ? GOAL_RETAIN : GOAL_FORGET), &all, g[k],
                                   &loss, &e));
    }
    size_t without = 0;
    for (int i = 0; i < b.m.table.n; i++) {
        const struct weight *w = &b.m.table.v[i];
        for (int64_t r = 0; w->n_dims == 2 && r < w->shape[0]; r++) {
            double ff = 0, rr = 0, fr = 0;
            for (int64_t k = 0; k < w->shape[1]; k++) {
                size_t at = w->at + (size_t)(r * w->shape[1] + k);
                ff += (double)g[0][at] * (double)g[0][at];
                rr += (double)g[1][at] * (double)g[1][at];
                fr += (double)g[0][at] * (double)g[1][at];
            }
            const double got = (double)l.scores.v[l.scores.first[i] + (size_t)r];
            without += ff * rr == 0;
            worst = ff * rr > 0 ? fmax(worst, fabs(got + fr / sqrt(ff * rr))) : worst;
        }
    }
    near(worst, 0, 0, 1e-4, "pcgu: cosines of the rows' gradients");
    ok(l.result.kept == 736 - without && without > 10,
       "rows of vectors, and the %zu without a gradient, are not kept", without);
    b.m.ops->free(g[0]);
    b.m.ops->free(g[1]);
    located_fini(&l);
    choice_fini(&c);
    bench_close(&b);
}

/* Elements of the neurons that are kept: rows of gate and up, columns of down. */
static size_t wrong_neurons(const struct bench *b, const struct located *l)
{
    size_t wrong = 0;
    for (int i = 0; i < b->m.table.n; i++) {
        const struct weight *w = &b->m.table.v[i];
        const bool down = w->slot == W_DOWN, mlp = down || w->slot == W_GATE || w->slot == W_UP;
        for (int64_t k = 0; k < (int64_t)w->count; k++) {
            const int64_t unit = down ? k % 40 : k / w->shape[1];
            const bool want =
                mlp && (double)l->scores.v[w->layer * 40 + unit] >= l->result.threshold;
            wrong += kept(l, w->offset + (size_t)k) != want;
        }
    }
    return wrong;
}

static void check_selective(void)
{
    static const char *const names[] = {"rms", "abs", "std", "freq"}, *const keys[] = {
                                                                          "rms", "mean_abs", "std",
                                                                          "positive"};
    struct bench b;
    struct err e;
    struct located l;
    bench_rows(&b);
    for (int s = 0; s < 4; s++) {
        struct choice c = choose("selective", "statistic", names[s]);
        double worst[2] = {0}, top[2] = {0}, out[120];
        float *want[2];
        BUG_ON(find(&l, &b, &c, 0.1, "own", NULL, &e));
        for (int k = 0; k < 2; k++) {
            char key[64];
            snprintf(key, sizeof key, "activations.%s.%s", k ? "retain" : "forget", keys[s]);
            want[k] = read_f32(&golden, key);
            BUG_ON(scores_activation(&l.scores, k ? ROLE_RETAIN : ROLE_FORGET, s, out, &e));
            for (int j = 0; j < 120; j++) {
                worst[k] = fmax(worst[k], fabs(out[j] - (double)want[k][j]));
                top[k] = fmax(top[k], fabs((double)want[k][j]));
            }
            near(worst[k], 0, 0, 1e-4 * top[k], "%s", key);
        }
        ok(l.result.kept == 12 && !wrong_neurons(&b, &l),
           "selective, %s: a tenth of the neurons, with all their weights", names[s]);
        free(want[0]);
        free(want[1]);
        located_fini(&l);
        choice_fini(&c);
    }
    struct choice c = choose("selective", NULL, NULL);
    BUG_ON(find(&l, &b, &c, 0.1, "tensor", NULL, &e));
    ok(l.result.kept == 3 * 4, "a share of each layer");
    located_fini(&l);
    choice_fini(&c);
    bench_close(&b);
}

/* Entries floor(j d / 512) of the reference's flat vector, by weight.at: |v| - |want|, relative. */
static double sample_distance(const struct bench *b, const float *v, const char *key)
{
    const struct weight_table *t = &b->m.table;
    float *want = read_f32(&golden, key);
    double diff = 0, sum = 0;
    for (int j = 0; j < 512; j++) {
        const size_t flat = (size_t)j * 18984 / 512;
        for (int i = 0; i < t->n; i++) {
            const size_t from = place(t->v[i].name);
            if (flat < from || flat >= from + t->v[i].count)
                continue;
            const double x = fabs((double)v[t->v[i].at + flat - from]) - fabs((double)want[j]);
            diff += x * x;
            sum += (double)want[j] * (double)want[j];
        }
    }
    free(want);
    return sqrt(diff / sum);
}

static void check_projection(void)
{
    static const char *const kinds[] = {"whole", "tensor", "subspace"}, *const keys[] = {
                                                                            "global", "tensor",
                                                                            "subspace"};
    struct bench b;
    struct err e;
    struct located l;
    bench_rows(&b);
    for (int k = 0; k < 3; k++) {
        struct choice c = choose("projection", "project", kinds[k]);
        char key[64];
        BUG_ON(param_set_text(param_find(((const struct locator *)c.row)->params, "batches"),
                              c.params, "13", &e) ||
               find(&l, &b, &c, 0.5, "own", NULL, &e));
        snprintf(key, sizeof key, "projection.sample_%s", keys[k]);
        near(sample_distance(&b, l.scores.v, key), 0, 0, 1e-4, "projection, %s", kinds[k]);
        double sum = 0;
        for (size_t i = 0; i < b.m.table.grads; i++)
            sum += (double)l.scores.v[i] * (double)l.scores.v[i];
        near(sqrt(sum), read_value(&golden, "projection.norms", k), 1e-5, 0, "its norm");
        located_fini(&l);
        choice_fini(&c);
    }
    bench_close(&b);
}

/* The least cosine, at most 0, of a tensor's gradient and that of the retain rows' NLL. */
static double worst_cosine(struct bench *b, struct gradient *g, device float *u)
{
    struct err e;
    double loss, worst = 0;
    int rows[13];
    for (int i = 0; i < 13; i++)
        rows[i] = i;
    const struct data_rows all = {ROLE_RETAIN, rows, 13, 13};
    device float *r = b->m.ops->alloc(b->m.table.grads, &e);
    gradient_save(g, u);
    BUG_ON(derivative_gradient(&b->g, GOAL_BIT(GOAL_WRAPPER), &all, r, &loss, &e));
    for (int i = 0; i < b->m.table.n; i++) {
        const struct weight *w = &b->m.table.v[i];
        const device float *x = u + w->at, *y = r + w->at;
        worst = fmin(worst, b->m.ops->dot(x, y, w->count) / sqrt(b->m.ops->dot(x, x, w->count) *
                                                                 b->m.ops->dot(y, y, w->count)));
    }
    b->m.ops->free(r);
    return worst;
}

/* Gradient ascent on the forget rows: its gradient under the wrapper is the projected one; and on
 * descent, which is in conflict with nothing here, it is as it was. */
static void check_wrapper(void)
{
    struct bench b;
    struct err e;
    for (int way = 0; way < 3; way++) {
        struct micro mb;
        struct wrapping wrap = {0};
        double micro[1];
        bench_rows(&b);
        const struct objective forget = {.term = &term_nll,
                                         .role = {ROLE_FORGET},
                                         .weight = way < 2 ? -1 : 1,
                                         .goal = GOAL_FORGET};
        BUG_ON(engine_add(&b.g, &forget, &e) || wrapping_choose(&wrap, "project", &e) ||
               wrapping_bind(&wrap, &b.g, &e));
        const struct wrapper *w = wrapping_row(&wrap);
        if (way == 1)
            BUG_ON(param_set_text(w->params, wrap.chosen.params, "true", &e));
        device float *copy = b.m.ops->alloc(b.m.table.moving, &e);
        whole(&b, &mb);
        struct order o = {.micro = &mb, .n = 1, .per_epoch = 1};
        struct gradient g = {.engine = &b.g, .order = &o, .micro = micro, .copy = &copy};
        gradient_start(&g, 0, 1, 1);
        BUG_ON(w->gradient(wrap.chosen.params, &g, &e));
        const float *v = b.m.ops->map_read(b.g.grads, b.m.table.grads);
        if (way == 0)
            near(sample_distance(&b, v, "projection.sample_global"), 0, 0, 1e-4,
                 "wrapper project: ascent off the retain gradient");
        if (way != 1)
            near(gradient_norm(&g), read_value(&golden, "projection.norms", way == 2 ? 3 : 0), 1e-5,
                 0, way == 2 ? "descent is left alone" : "its norm");
        b.m.ops->unmap(b.g.grads);
        if (way == 1)
            near(worst_cosine(&b, &g, copy), 0, 0, 1e-5, "tensors: none is in conflict");
        b.m.ops->free(copy);
        arena_fini(&g.kept);
        wrapping_fini(&wrap);
        bench_close(&b);
    }
}

/* The first forget row alone. */
static void open_one(struct bench *b)
{
    bench_rows(b);
    b->sets[ROLE_FORGET].n = 1;
}

static void check_attribution(void)
{
    struct bench b;
    struct err e;
    struct located l;
    open_one(&b);
    struct choice c = choose("depn", NULL, NULL), all = choose("knowledge", "agree", "1");
    BUG_ON(find(&l, &b, &c, 0, "own", NULL, &e));
    float *want = read_f32(&golden, "integrated.attribution"),
          *keep = read_f32(&golden, "integrated.kept");
    double top, off = worst_of(l.scores.v, want, 120, &top);
    near(off, 0, 0, 1e-4 * top, "depn: attributions");
    size_t wrong = 0, n = 0;
    for (int k = 0; k < 120; k++) {
        wrong += ((double)l.scores.v[k] >= l.scores.least) != (keep[k] > 0);
        n += keep[k] > 0;
    }
    ok(!wrong && l.result.kept == n && !wrong_neurons(&b, &l), "neurons kept, %zu of 120", n);
    /* A fine sum is P(full) - P(zero), layer by layer. */
    double x[120];
    BUG_ON(scores_attribution(&l.scores, &b.sets[ROLE_FORGET].seqs[0], 600, x, &e));
    for (int layer = 0; layer < 3; layer++) {
        double sum = 0;
        for (int j = 0; j < 40; j++)
            sum += x[layer * 40 + j];
        near(sum, read_value(&golden, "integrated.sum_and_gap", 2 * layer + 1), 0, 2e-4,
             "layer %d: complete", layer);
    }
    located_fini(&l);
    BUG_ON(find(&l, &b, &all, 0, "own", NULL, &e));
    wrong = 0;
    top = 0;
    for (int k = 0; k < 120; k++)
        top = fmax(top, (double)want[k]);
    for (int k = 0; k < 120; k++)
        wrong += (l.scores.v[k] > 0) != ((double)want[k] >= 0.2 * top);
    ok(!wrong && l.result.kept > 0, "knowledge: one row's neurons from a fifth of its largest on");
    located_fini(&l);
    b.sets[ROLE_FORGET].n = 9;
    choice_fini(&c);
    c = choose("depn", "points", "3");
    BUG_ON(find(&l, &b, &c, 0.1, "own", NULL, &e));
    double sum[120] = {0}, y[120], worst = 0;
    for (int i = 0; i < 9; i++) {
        BUG_ON(scores_attribution(&l.scores, &b.sets[ROLE_FORGET].seqs[i], 3, y, &e));
        for (int k = 0; k < 120; k++)
            sum[k] += y[k];
    }
    for (int k = 0; k < 120; k++)
        worst = fmax(worst, fabs(sum[k] - (double)l.scores.v[k]));
    near(worst, 0, 0, 1e-6, "depn adds up over rows");
    free(want);
    free(keep);
    located_fini(&l);
    choice_fini(&c);
    choice_fini(&all);
    bench_close(&b);
}

static void check_tracing(void)
{
    struct bench b;
    struct err e;
    struct located l;
    double cells[12];
    open_one(&b);
    struct choice c = choose("tracing", NULL, NULL);
    BUG_ON(find(&l, &b, &c, 0, "own", NULL, &e));
    float *noise = read_f32(&golden, "tracing.noise");
    int *ids = tensor_ints(tensor_find(&golden, "tracing.ids"), &e);
    const struct seq *q = &b.sets[ROLE_FORGET].seqs[0];
    ok(seq_prompt(q) == 4 && !memcmp(ids, q->ids, 4 * sizeof *ids), "the prompt of row 0");
    /* the reference's answer is what the model says, not the label */
    int labels[5] = {LABEL_NONE, LABEL_NONE, LABEL_NONE, LABEL_NONE, 5};
    const struct seq asked = {.n = 5, .ids = q->ids, .labels = labels};
    for (int mlp = 0; mlp < 2; mlp++) {
        const struct tracing t = {1,           3,    0, 4, 10, mlp ? PLACE_MLP_OUT : PLACE_RESID,
                                  mlp ? 2 : 1, noise};
        struct traced out = {.restored = cells};
        float *want = read_f32(&golden, mlp ? "tracing.restored_mlp" : "tracing.restored_layer");
        BUG_ON(scores_trace(&l.scores, &asked, &t, &out, &e));
        near(out.clean, read_value(&golden, "tracing.p_clean", 0), 1e-4, 0, "clean");
        near(out.corrupted, read_value(&golden, "tracing.p_corrupted", 0), 1e-4, 0, "corrupted");
        double worst = 0;
        for (int k = 0; k < 12; k++)
            worst = fmax(worst, fabs(cells[k] - (double)want[k]));
        near(worst, 0, 0, 1e-4 * out.clean, "restored %s, every token and layer",
             mlp ? "MLPs" : "layers");
        free(want);
    }
    size_t wrong = wrong_neurons(&b, &l);
    ok(!wrong && l.result.kept % 40 == 0, "tracing: whole MLPs are kept");
    free(noise);
    free(ids);
    located_fini(&l);
    choice_fini(&c);
    bench_close(&b);
}

/* Every allocation of every locator may fail. */
static void check_memory(void)
{
    struct bench b;
    struct err e;
    open_one(&b);
    b.sets[ROLE_RETAIN].n = 2;
    for (int i = 0; locators[i]; i++) {
        struct located l;
        long failed = 0;
        bool told = true;
        if (!locators[i]->score)
            continue;
        struct choice c = choose(locators[i]->name, NULL, NULL);
        for (bool done = false; !done; failed += !done) {
            snprintf(e.msg, sizeof e.msg, "nothing");
            mem_fail_at(failed);
            done = !find(&l, &b, &c, 0.5, "own", NULL, &e);
            mem_fail_at(-1);
            told &= done || strstr(e.msg, "memory");
            located_fini(&l);
        }
        ok(told && failed > 3, "%s: each of %ld failed allocations is an error", locators[i]->name,
           failed);
        choice_fini(&c);
    }
    bench_close(&b);
}

int main(void)
{
    struct err e;
    char *dir = test_data("");
    root = dir;
    BUG_ON(tensor_file_open(&golden, path_of("", "locate.safetensors"), &e));
    check_fisher();
    check_wanda();
    check_fused();
    check_sure();
    check_pcgu();
    check_selective();
    check_projection();
    check_wrapper();
    check_attribution();
    check_tracing();
    check_memory();
    tensor_file_close(&golden);
    free(dir);
    return done();
}
