/* Every method against golden figures: loss and gradients of one micro-batch. methods/ has the
 * peer's own code, survey/ PyTorch on the papers' formulas. test/data holds each gradient's norm
 * and 128 of its entries; the whole gradients, and those of a larger model, are in golden/. */
#include "survey.h"
#include "train/helpers.h"
#include "train/weighting.h"

enum {
    OU = COMPAT_MICRO_MEAN | COMPAT_PAD_EMBED_FROZEN /* and the quirks of the chosen terms */
};

static const struct figure peer[] = {
    {"CEU", "CEU", ""},
    {"DPO", "DPO", ""},
    {"DPO", "IdkDPO", ""},
    {"DPO", "AltPO", ""},
    {"GradAscent", "GradAscent", ""},
    {"GradDiff_KL", "GradDiff", "retain_loss_type=KL"},
    {"GradDiff_NLL", "GradDiff", ""},
    {"NPO", "NPO", ""},
    {"NPO_KL", "NPO", "retain_loss_type=KL alpha=0.5"},
    {"RMU", "RMU", "layer=1"},
    {"SatImp", "SatImp", "gamma=1 alpha=0.01"},
    {"SatImp_soft", "SatImp", "beta1=0.5 gamma=1 alpha=0.1"},
    {"SimNPO_delta0", "SimNPO", "beta=0.7 gamma=1 alpha=0.5"},
    {"SimNPO_delta1", "SimNPO", "beta=1 delta=1 gamma=1 alpha=0.125"},
    {"PDU_plain", "PDU", "retain_loss_eps=0.25"},
    {"PDU_primal_dual", "PDU", "retain_loss_eps=0.25 dual_warmup_epochs=0"},
    {"UNDIAL", "UNDIAL", ""},
    {"UNDIAL_alpha", "UNDIAL", "beta=3 alpha=1"},
    {"WGA", "WGA", ""},
    {0},
};

/* In one micro-batch the peer's mean is the paper's too. */
static const struct figure plain[] = {
    {"CEU", "CEU", ""},
    {"DPO", "DPO", ""},
    {"SatImp", "SatImp", "gamma=1 alpha=0.01"},
    {0},
};

static const struct figure survey[] = {
    {"adaptive_rmu", "AdaptiveRMU", "layer=1 beta=5 alpha=1.2"},
    {"circuit_breaker", "CircuitBreaker", "layer=1 gamma=1 alpha=0.5"},
    {"flat_kl", "FLAT", "mean=batch"},
    {"flat_tv", "FLAT", "mean=batch divergence=TV"},
    {"forget_kl_ascent", "KLAscent", "gamma=0.5"},
    {"ga_forget_kl", "KLMin", "retain_role=forget"},
    {"idk_ap", "IDKAP", ""},
    {"idk_po", "PO", ""},
    {"jensun", "JensUn", ""},
    {"kl_masked", "KLMin", ""},
    {"kto_logsigmoid", "KTO", "alpha=0"},
    {"kto_sigmoid", "KTO", "alpha=0 link=sigmoid"},
    {"l1_sparse", "L1Sparse", ""},
    {"llmu", "LLMU", ""},
    {"me_gd", "ME", ""},
    {"rkld", "RKLD", ""},
    {"rmu_intended", "RMU", "layer=1"},
    {"scrub_max", "SCRUB", "alpha=0"},
    {"scrub_min", "SCRUB", "gamma=0 kl_weight=0.5"},
    {"undial_masked", "UNDIAL", ""},
    {"whp_hard", "WHP", ""},
    {"whp_soft", "WHP", "target=soft"},
    {0},
};

/* By tools/make_stages_golden.py, in the repository alone. */
static const struct figure stages[] = {
    {"kga", "KGA", "gap=0.5"}, {"random_mapping", "RandomMapping", ""}, {0}};

/* SOUL's own mean: over every row, padding included. */
static const struct figure survey_wide[] = {{"soul_kl", "SOULKL", "gamma=0.5"}, {0}};

/* What other repositories call NPO and SimNPO (tools/make_npo_golden.py). */
static const struct figure forms[] = {
    {"npo_raw_logits", "NPO", "forget_term=npo_raw_logits"},
    {"npo_token_mean", "NPO", "forget_term=npo_token_mean"},
    {"simnpo_raw_logits", "SimNPO", "forget_term=simnpo_raw_logits gamma=1 delta=0.5"},
    {0},
};
static const struct figure forms_wide[] = {
    {"npo_raw_logits_wide", "NPO", "forget_term=npo_raw_logits"}, {0}};

/* Worst difference by the largest entry; all entries, or the 128 of a sample and the norm. -1: the
 * file does not have this gradient. */
static double gradient_off(const struct tensor_file *f, const char *name, const float *g, size_t n)
{
    struct err e;
    char full[160], sample[160], norm[160];
    snprintf(full, sizeof full, "grad.%s", name);
    snprintf(sample, sizeof sample, "sample.%s", name);
    snprintf(norm, sizeof norm, "norm.%s", name);
    const struct tensor *t = tensor_find(f, full);
    size_t count = t ? n : 128;
    double off = 0, top = 0, sum = 0;
    if (!t && !(t = tensor_find(f, sample)))
        return -1;
    float *want = tensor_f32(t, &e);
    BUG_ON(!want || t->count != count);
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)g[count == n ? i : i * n / count] - (double)want[i]);
        off = d <= off ? off : d;
        top = fmax(top, fabs((double)want[i]));
    }
    free(want);
    for (size_t i = 0; i < n; i++)
        sum += (double)g[i] * (double)g[i];
    if (tensor_find(f, norm)) {
        double want_norm = read_value(f, norm, 0);
        top = fmax(top, want_norm / sqrt((double)n));
        off = fmax(off, fabs(sqrt(sum) - want_norm) / want_norm * top);
    }
    return top > 0 ? off / top : off;
}

static void check_gradients(const struct engine *g, const struct tensor_file *want,
                            const char *file)
{
    double worst = 0;
    int n = 0;
    const char *where = "";
    for (int i = 0; i < g->model->table.n; i++) {
        const struct weight *w = &g->model->table.v[i];
        double off = gradient_off(want, w->name, g->grads + w->offset, w->count);
        n += off != -1;
        if (!(off <= worst)) {
            worst = off;
            where = w->name;
        }
    }
    if (n)
        ok(n == g->model->table.n && worst <= 1e-4,
           "%s: %d gradients, the worst off by %.1e of its largest entry%s%s", file, n, worst,
           worst > 1e-4 ? ": " : "", worst > 1e-4 ? where : "");
}

/* The retain weight once the loss is formed, where the figure has it. */
static void check_dual(struct engine *g, const struct order *o, const struct tensor_file *want,
                       const struct micro_result *res, const char *what)
{
    struct gradient step = {.engine = g, .order = o, .n = 1};
    struct err e;
    const struct tensor *t = tensor_find(want, "dual_after");
    float *dual = t ? tensor_f32(t, &e) : NULL;
    if (!dual)
        return;
    near(g->obj[1].weight, 1, 0, 0, "%s: lambda before", what);
    dual_after_micro(&step, 0, res);
    near(g->obj[1].weight, (double)dual[1], 1e-6, 0, "%s: lambda after", what);
    free(dual);
}

/* The gap of new data, where the figure has it. */
static void check_gap(struct bench *b, const struct tensor_file *want, const char *what)
{
    struct err e;
    double gap;
    if (!tensor_find(want, "gap"))
        return;
    BUG_ON(gap_measure(&gap, &b->ref, &b->reinforced, &b->sets[ROLE_ALTERNATE], &e));
    near(gap, read_value(want, "gap", 0), 1e-6, 0, "%s: gap", what);
}

static void check(struct bench *b, const char *root, const char *dir, const struct figure *f,
                  unsigned compat)
{
    struct err e = {.msg = "it does"};
    struct engine g;
    struct recipe r;
    struct tensor_file want;
    struct micro mb;
    struct order o = {.micro = &mb, .n = 1, .per_epoch = 1};
    struct norm norm;
    struct micro_result res;
    char what[128];
    snprintf(what, sizeof what, "%s/%s by %s", dir, f->file, f->method);
    open_recipe(&r, f);
    recipe_apply_compat(&r, compat ? "ou" : "none");
    engine_init(&g, &b->m);
    BUG_ON(tensor_file_open(&want, path_of(root, dir, f->file, ".safetensors"), &e));
    g.ref = &b->ref;
    engine_helper(&g, "reinforced")->model = &b->reinforced;
    g.compat = compat;
    float *own = b->direction ? NULL : read_direction(&want, "control_vec");
    g.direction = own ? own : b->direction;
    for (int i = 0; i < ROLE_COUNT; i++)
        g.sets[i] = b->has[i] ? &b->sets[i] : NULL;
    if (!strcmp(f->method, "LLMU"))
        g.sets[ROLE_ALTERNATE] = &b->random;
    take_rows(g.sets, 0, false, &mb);
    BUG_ON(recipe_bind(&r, &g, &e) || engine_cache_reference(&g, &b->ref, &o, 0, 1, &e));
    engine_count(&g, &o, 0, 1, &norm);
    if (ok(!engine_micro(&g, &mb, &norm, &res, &e), "%s: runs: %s", what, e.msg)) {
        double loss = 0, total = read_value(&want, "loss", 0);
        for (int i = 0; i < g.n_obj; i++)
            loss += g.obj[i].weight * res.loss[i];
        loss += engine_add_penalty(&g);
        near(loss, total, 0, 1e-5 * fmax(1, fabs(total)), "%s: loss", what);
        if (r.part[PART_FORGET].row && tensor_find(&want, "forget_loss")) {
            double forget = read_value(&want, "forget_loss", 0);
            near(res.loss[0], forget, 0, 1e-5 * fmax(1, fabs(forget)), "%s: forget loss", what);
        }
        check_gradients(&g, &want, what);
        check_dual(&g, &o, &want, &res, what);
        check_gap(b, &want, what);
    }
    free(own);
    tensor_file_close(&want);
    recipe_fini(&r);
    engine_fini(&g);
}

static void check_all(const char *root, const char *dir, const struct figure *figures,
                      unsigned compat, const char *cur, const char *ref)
{
    struct bench b;
    bench_open(&b, root, dir, cur, ref);
    for (const struct figure *f = figures; f->file; f++)
        check(&b, root, dir, f, compat);
    bench_close(&b);
}

int main(void)
{
    char *root = test_data(""), *golden = test_shared("golden");
    check_all(root, "methods", peer, OU, "m_cur", "m_ref");
    check_all(root, "methods", plain, 0, "m_cur", "m_ref");
    check_all(root, "survey", survey, 0, "m_cur", "m_ref");
    check_all(root, "survey", stages, 0, "m_cur", "m_ref");
    check_all(root, "survey", survey_wide, OU, "m_cur", "m_ref");
    check_all(root, "survey", forms, 0, "m_cur", "m_ref");
    check_all(root, "survey", forms_wide, OU, "m_cur", "m_ref");
    if (golden) {
        check_all(golden, "survey", survey, 0, "m_cur", "m_ref");
        check_all(golden, "methods", peer, OU, "m_cur", "m_ref");
        check_all(golden, "methods_a", peer, OU, "llama_cur", "llama");
    } else
        skip("no golden/ for whole gradients and the larger model");
    free(root);
    free(golden);
    return done();
}
