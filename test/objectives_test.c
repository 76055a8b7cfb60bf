/* Every method against golden figures: loss and gradients of one micro-batch. methods/ has the
 * peer's own code, survey/ PyTorch on the papers' formulas. test/data holds each gradient's norm
 * and 128 of its entries; the whole gradients, and those of a larger model, are in golden/. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "methods/method.h"
#include "objectives/terms.h"
#include "tap.h"
#include "tensor/file.h"
#include "train/direction.h"
#include "train/dual.h"

enum {
    OU = COMPAT_KL_ALL_POSITIONS | COMPAT_MICRO_MEAN | COMPAT_PAD_EMBED_FROZEN |
         COMPAT_UNDIAL_ALL_POSITIONS | COMPAT_PDU_UNSHIFTED | COMPAT_RMU_BXB
};

struct figure {
    const char *file, *method, *settings; /* settings: "name=value name=value" */
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

/* SOUL's own mean: over every row, padding included. */
static const struct figure survey_wide[] = {{"soul_kl", "SOULKL", "gamma=0.5"}, {0}};

/* A model, its reference and the batches of every role. */
struct bench {
    struct model m, ref, reinforced;
    struct dataset sets[ROLE_COUNT], random;
    bool has[ROLE_COUNT];
    float *direction; /* of the batches; NULL: of the figure, if any */
};

static char *path_of(const char *root, const char *dir, const char *name, const char *suffix)
{
    static char path[4][512];
    static int turn;
    char *p = path[turn = (turn + 1) % 4];
    snprintf(p, sizeof path[0], "%s/%s/%s%s", root, dir, name, suffix);
    return p;
}

/* ROLE.{input_ids,labels,attention_mask} as the role's set. */
static void read_role(struct bench *b, const struct tensor_file *f, enum role role)
{
    static const char *const parts[] = {"input_ids", "labels", "attention_mask"};
    struct err e;
    int *v[3];
    const struct tensor *t = NULL;
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s",
                 role == ROLE_RETAIN_ALTERNATE ? "retain_idk" : role_name[role], parts[i]);
        if (!(t = tensor_find(f, name)))
            return;
        BUG_ON(!(v[i] = tensor_ints(t, &e)));
    }
    BUG_ON(dataset_from_matrix(&b->sets[role], role, v[0], v[1], v[2], (int)t->shape[0],
                               (int)t->shape[1], false, &e));
    b->has[role] = true;
    for (int i = 0; i < 3; i++)
        free(v[i]);
}

/* The random answers as one set: all first ones, then all second ones. */
static void read_random(struct bench *b, const struct tensor_file *f)
{
    enum { WIDEST = 32 };
    static int v[3][16 * WIDEST];
    static const char *const parts[] = {"input_ids", "labels", "attention_mask"};
    struct err e;
    int rows = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++) {
            char name[64];
            snprintf(name, sizeof name, "rand%d.%s", k, parts[i]);
            const struct tensor *t = tensor_find(f, name);
            if (!t)
                return;
            int n = (int)t->shape[0], width = (int)t->shape[1], *x = tensor_ints(t, &e);
            BUG_ON(!x || width > WIDEST || (rows = (k + 1) * n) > 16);
            for (int j = 0; j < n * WIDEST; j++)
                v[i][k * n * WIDEST + j] = j % WIDEST < width ? x[j / WIDEST * width + j % WIDEST]
                                           : i == 1           ? LABEL_NONE
                                                              : 0;
            free(x);
        }
    BUG_ON(
        dataset_from_matrix(&b->random, ROLE_ALTERNATE, v[0], v[1], v[2], rows, WIDEST, false, &e));
}

/* The unit vector along the tensor, or NULL. */
static float *read_direction(const struct tensor_file *f, const char *name)
{
    struct err e;
    const struct tensor *t = tensor_find(f, name);
    float *v = t ? tensor_f32(t, &e) : NULL;
    BUG_ON(v && direction_normalise(v, (int)t->count));
    return v;
}

static void bench_open(struct bench *b, const char *root, const char *dir, const char *cur,
                       const char *ref)
{
    struct err e;
    struct tensor_file f;
    *b = (struct bench){0};
    BUG_ON(model_open(&b->m, path_of(root, "models", cur, ""), true, &e));
    BUG_ON(model_open(&b->ref, path_of(root, "models", ref, ""), false, &e));
    if (!strcmp(ref, "m_ref"))
        BUG_ON(model_open(&b->reinforced, path_of(root, "models", "m_reinforced", ""), false, &e));
    BUG_ON(tensor_file_open(&f, path_of(root, dir, "batches", ".safetensors"), &e));
    for (int r = 0; r < ROLE_COUNT; r++)
        read_role(b, &f, (enum role)r);
    read_random(b, &f);
    b->direction = read_direction(&f, "u");
    tensor_file_close(&f);
}

static void bench_close(struct bench *b)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&b->sets[i]);
    dataset_fini(&b->random);
    free(b->direction);
    model_close(&b->reinforced);
    model_close(&b->m);
    model_close(&b->ref);
}

/* "name=value name=value" into the table's fields; returns how many names it has. The text of a
 * choice is borrowed, so each table has its own. */
static int set_all(const char *settings, char text[256], const struct param *params, void *obj)
{
    char *rest = text;
    int n = 0;
    snprintf(text, 256, "%s", settings);
    for (char *word; (word = strsep(&rest, " "));) {
        struct err e;
        char *value = strchr(word, '=');
        if (!value)
            continue;
        *value++ = 0;
        const struct param *p = params ? param_find(params, word) : NULL;
        if (!p)
            continue;
        BUG_ON(param_set_text(p, obj, value, &e));
        n++;
    }
    return n;
}

static void open_recipe(struct recipe *r, const struct figure *f)
{
    static char text[1 + PART_COUNT][256];
    struct err e;
    int wanted = 0, set;
    *r = (struct recipe){.method = method_by_name(f->method, &e)};
    BUG_ON(!r->method);
    for (const char *c = f->settings; *c; c++)
        wanted += *c == '=';
    param_defaults(method_params, &r->p);
    BUG_ON(param_apply_presets(method_params, &r->p, r->method->presets, &e));
    set = set_all(f->settings, text[0], method_params, &r->p);
    BUG_ON(recipe_choose_terms(r, &e));
    for (int i = 0; i < PART_COUNT; i++)
        if (r->part[i].term)
            set += set_all(f->settings, text[1 + i], r->part[i].term->params, r->part[i].params);
    BUG_ON(set < wanted);
}

static double scalar(const struct tensor_file *f, const char *name)
{
    struct err e;
    const struct tensor *t = tensor_find(f, name);
    float *v = t ? tensor_f32(t, &e) : NULL;
    double x = v ? (double)v[0] : NAN;
    free(v);
    return x;
}

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
        double want_norm = scalar(f, norm);
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

/* Part 0 or 1 of the rows of every role; without halves part 0 is all. */
static void take_rows(const struct dataset *const *sets, int part, bool halves, struct micro *mb)
{
    static int rows[64];
    for (int i = 0; i < 64; i++)
        rows[i] = i;
    *mb = (struct micro){0};
    for (int r = 0; r < ROLE_COUNT; r++) {
        int n = sets[r] ? sets[r]->n : 0, first = halves ? n / 2 : n;
        mb->rows[r] = n ? rows + (part ? first : 0) : NULL;
        mb->n[r] = part ? n - first : first;
    }
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

static void check(struct bench *b, const char *root, const char *dir, const struct figure *f,
                  unsigned compat)
{
    struct err e = {"it does"};
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
    engine_init(&g, &b->m);
    BUG_ON(tensor_file_open(&want, path_of(root, dir, f->file, ".safetensors"), &e));
    g.ref = &b->ref;
    g.helper[HELPER_REINFORCED].model = &b->reinforced;
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
        double loss = 0, total = scalar(&want, "loss");
        for (int i = 0; i < g.n_obj; i++)
            loss += g.obj[i].weight * res.loss[i];
        loss += engine_add_penalty(&g);
        near(loss, total, 0, 1e-5 * fmax(1, fabs(total)), "%s: loss", what);
        if (r.part[PART_FORGET].term && tensor_find(&want, "forget_loss")) {
            double forget = scalar(&want, "forget_loss");
            near(res.loss[0], forget, 0, 1e-5 * fmax(1, fabs(forget)), "%s: forget loss", what);
        }
        check_gradients(&g, &want, what);
        check_dual(&g, &o, &want, &res, what);
    }
    free(own);
    tensor_file_close(&want);
    recipe_fini(&r);
    engine_fini(&g);
}

/* By default a step does not depend on how it is cut into micro-batches. */
static void check_cut(struct bench *b, const struct method *m)
{
    struct engine g[2];
    struct recipe r;
    struct err e;
    double loss[2] = {0}, off = 0, top = 0;
    open_recipe(&r, &(struct figure){NULL, m->name, ""});
    for (int way = 0; way < 2; way++) {
        struct micro mb[2];
        struct order o = {.micro = mb, .n = 1 + way, .per_epoch = 1};
        struct norm norm;
        struct micro_result res;
        engine_init(&g[way], &b->m);
        g[way].ref = &b->ref;
        for (int k = 0; k < HELPER_COUNT; k++)
            g[way].helper[k].model = &b->reinforced;
        for (int i = 0; i < ROLE_COUNT; i++)
            g[way].sets[i] = b->has[i] ? &b->sets[i] : NULL;
        for (int part = 0; part < o.n; part++)
            take_rows(g[way].sets, part, way == 1, &mb[part]);
        BUG_ON(recipe_bind(&r, &g[way], &e));
        BUG_ON(engine_cache_reference(&g[way], &b->ref, &o, 0, o.n, &e));
        engine_count(&g[way], &o, 0, o.n, &norm);
        for (int part = 0; part < o.n; part++) {
            BUG_ON(engine_micro(&g[way], &mb[part], &norm, &res, &e));
            for (int i = 0; i < g[way].n_obj; i++)
                loss[way] += g[way].obj[i].weight * res.loss[i];
        }
    }
    for (size_t i = 0; i < b->m.table.total; i++) {
        double d = fabs((double)g[1].grads[i] - (double)g[0].grads[i]);
        off = d <= off ? off : d;
        top = fmax(top, fabs((double)g[0].grads[i]));
    }
    near(loss[1], loss[0], 1e-5, 1e-6, "%s: two micro-batches lose what one does", m->name);
    near(off, 0, 0, 1e-5 * top, "%s: with the same gradient", m->name);
    recipe_fini(&r);
    engine_fini(&g[0]);
    engine_fini(&g[1]);
}

static void check_cuts(const char *root)
{
    struct bench b;
    bench_open(&b, root, "survey", "m_cur", "m_ref");
    for (const struct method *m = methods; m->name; m++) {
        struct err e;
        const struct term *t = m->forget ? term_by_name(m->forget, &e) : NULL;
        /* KTO's and KGA's constants are the micro-batch's, as is RepNoise's kernel; layers are the
         * business of other tests.
         */
        if (t != &term_kto && t != &term_kga && (!t || t->kind != VIEW_HIDDEN) &&
            strcmp(m->name, "RepNoise"))
            check_cut(&b, m);
    }
    bench_close(&b);
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
    check_all(root, "survey", survey_wide, OU, "m_cur", "m_ref");
    check_cuts(root);
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
