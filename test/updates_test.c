/* Methods of one step against autograd in f64 and the authors' code
 * (tools/make_influence_golden.py), and by their formulas. */
#include "influence/kfac.h"
#include "influence/updates.h"
#include "influenced.h"
#include "train/mask.h"

/* The table of an update's row with some parameters set. */
static int apply_update(struct bench *b, const struct update *u, const struct param_preset *set,
                        json_t *report, struct err *e)
{
    struct choice c;
    struct update_job j = {.engine = &b->g, .seed = 1, .report = report};
    BUG_ON(choice_init(&c, u, set, e));
    int rc = u->apply(c.params, &j, e);
    choice_fini(&c);
    return rc;
}

static float *weights_of(const struct bench *b)
{
    float *w = vector(b);
    return memcpy(w, b->m.own, b->m.table.total * sizeof *w);
}

static void check_steps(void)
{
    static const struct param_preset hessian[] = {{"curvature", "hessian"}, {"lambda", "44.41"},
                                                  {"difference", "1e-3"},   {"tolerance", "3e-4"},
                                                  {"iterations", "100"},    {0}};
    const struct {
        const char *name;
        const struct update *row;
    } steps[] = {{"newton", &update_newton}, {"influence", &update_influence}};
    struct err e = {.msg = ""};
    for (int i = 0; i < 2; i++) {
        struct bench b;
        json_t *report = json_object();
        bench_nlls(&b, 1);
        float *before = weights_of(&b);
        ok(!apply_update(&b, steps[i].row, hessian, report, &e), "the %s step", steps[i].name);
        near_sample(&b, steps[i].name, b.m.own, before, 1e-3);
        ok(json_is_true(json_object_get(report, "converged")) &&
               json_number_value(json_object_get(report, "residual")) <= 3e-4,
           "its report has the residual");
        ok((json_number_value(json_object_get(report, "first_order")) > 0) == (i == 1),
           "to first order the loss whose gradient it takes %s", i ? "rises" : "falls");
        json_decref(report);
        free(before);
        bench_close(&b);
    }
}

static void check_ssd(void)
{
    struct bench b;
    struct err e = {.msg = ""};
    json_t *report = json_object();
    bench_nlls(&b, 1);
    ok(!apply_update(&b, &update_ssd,
                     (struct param_preset[]){{"ssd_alpha", "1.5"}, {"ssd_lambda", "0.7"}, {0}},
                     report, &e),
       "selective synaptic dampening");
    float *want = read_f32(&golden, "ssd");
    double off = 0;
    for (int j = 0; j < SAMPLES; j++)
        off = fmax(off, fabs((double)b.m.own[sampled_at(&b, j)] - (double)want[j]));
    near(off, 0, 0, 2e-5, "its weights");
    near(json_number_value(json_object_get(report, "selected")), 5872, 1e-3, 0,
         "5872 elements are selected");
    ok(apply_update(&b, &update_ssd, (struct param_preset[]){{"ssd_alpha", "2.5"}, {0}}, report,
                    &e) &&
           strstr(e.msg, "at most 2.444"),
       "a ratio that no element can have is refused: %s", e.msg);
    free(want);
    json_decref(report);
    bench_close(&b);
}

/* What a mask holds keeps its bits under every update; others move. */
static void check_masked(void)
{
    struct err e = {.msg = ""};
    for (int i = 0; updates[i]; i++) {
        struct bench b;
        json_t *report = json_object();
        bench_nlls(&b, 1);
        uint64_t *bits = mem_alloc(mask_words(&b.m.table), sizeof *bits, &e);
        for (size_t k = 0; k < b.m.table.total; k += 3)
            bits[k / 64] |= (uint64_t)1 << k % 64;
        BUG_ON(mask_apply(&b.m, bits, &e));
        float *before = weights_of(&b);
        BUG_ON(apply_update(
            &b, updates[i],
            (struct param_preset[]){{updates[i] == &update_ssd ? "ssd_alpha" : "none", "1.5"}, {0}},
            report, &e));
        size_t held = 0, moved = 0;
        for (size_t k = 0; k < b.m.table.total; k++) {
            const bool same = !memcmp(&b.m.own[k], &before[k], sizeof *before);
            held += k % 3 && !same;
            moved += k % 3 == 0 && !same;
        }
        ok(!held && moved, "%s: a masked weight keeps its bits, %zu others move", updates[i]->name,
           moved);
        mask_apply(&b.m, NULL, &e);
        json_decref(report);
        free(bits), free(before);
        bench_close(&b);
    }
}

/* The noise is as wide as its formula. */
/* Without a lambda no curvature may take a step beyond the quadratic model: as lambda falls, that
 * of a given lambda goes on growing, and the chosen one is shortened. */
static void check_length(void)
{
    static const char *const kinds[] = {"gn", "diagonal", "woodfisher", "kfac", "ekfac"};
    struct err e = {.msg = ""};
    for (int i = 0; i < 5; i++) {
        double change[2], length[2], norm[2], vocab = 0;
        for (int given = 0; given < 2; given++) {
            struct bench b;
            json_t *report = json_object();
            bench_nlls(&b, 1);
            vocab = b.m.cfg.vocab;
            ok(!apply_update(&b, &update_influence,
                             (struct param_preset[]){{"curvature", kinds[i]},
                                                     {"lambda", given ? "1e-6" : "0"},
                                                     {"iterations", "5"},
                                                     {0}},
                             report, &e),
               "influence by %s, lambda %s %s", kinds[i], given ? "given" : "chosen", e.msg);
            change[given] = json_number_value(json_object_get(report, "first_order"));
            length[given] = json_number_value(json_object_get(report, "step_length"));
            norm[given] = json_number_value(json_object_get(report, "step_norm"));
            json_decref(report);
            bench_close(&b);
        }
        ok(change[0] > 0 && change[0] <= 1.0001 * log(vocab) && length[0] <= 1 && length[1] == 1 &&
               norm[0] < norm[1],
           "%s: length %.3g, first order %.3g; with a lambda of 1e-6 %.3g, |step| %.3g and %.3g",
           kinds[i], length[0], change[0], change[1], norm[0], norm[1]);
    }
}

static void check_noise(void)
{
    struct bench b;
    struct err e = {.msg = ""};
    json_t *report = json_object();
    struct update_job j = {.engine = &b.g};
    bench_nlls(&b, 1);
    float *f = update_fisher(&j, ROLE_RETAIN, &e), *before = weights_of(&b);
    double mean = 0, sum = 0;
    size_t n = 0;
    for (size_t k = 0; k < b.m.table.moving; k++)
        mean += (double)f[k] / (double)b.m.table.moving;
    BUG_ON(apply_update(
        &b, &update_fisher_noise,
        (struct param_preset[]){{"fisher_noise", "0.1"}, {"fisher_floor", "0.05"}, {0}}, report,
        &e));
    for (int i = 0; i < b.m.table.n; i++)
        for (size_t k = 0; k < b.m.table.v[i].count; k++, n++) {
            const size_t at = b.m.table.v[i].offset + k;
            const double d = ((double)b.m.own[at] - (double)before[at]) / 0.1 *
                             pow((double)f[at] / mean + 0.05, 0.25);
            sum += d * d;
        }
    near(sum / (double)n, 1, 0.03, 0, "Fisher forgetting: noise of the deviation of its formula");
    b.m.ops->free(f);
    free(before);
    json_decref(report);
    bench_close(&b);
}

/* The curvature edit, on one matrix, from its definition. */
static void check_edit(void)
{
    struct bench b;
    struct err e = {.msg = ""};
    struct kfac k;
    json_t *report = json_object();
    const char *regex = "model.layers.1.mlp.gate_proj.weight";
    const struct fisher_labels drawn = {.drawn = true, .seed = 1};
    bench_nlls(&b, 1);
    const struct dataset *retain = &b.sets[ROLE_RETAIN];
    BUG_ON(kfac_init(&k, &b.m, STRATEGY_KFAC, regex, retain->seqs, &e) ||
           kfac_fit(&k, retain->seqs, retain->n, &drawn, NULL, NULL, &e));
    const struct kfac_map *at = &k.maps[0];
    const struct weight *w = &b.m.table.v[at->weight];
    const int in = at->in, out = at->out;
    float *before = weights_of(&b), *old = before + w->offset;
    BUG_ON(apply_update(&b, &update_curvature_edit,
                        (struct param_preset[]){{"modules", regex}, {"kept_mass", "0.7"}, {0}},
                        report, &e));
    const float *now = b.m.own + w->offset;
    double sum = 0, kept = 0, least = INFINITY, off = 0, rest = 0;
    for (int r = 0; r < out; r++)
        for (int c = 0; c < in; c++) {
            double was = 0, is = 0;
            const double value = at->es[r] * at->ea[c];
            for (int i = 0; i < out; i++)
                for (int j = 0; j < in; j++) {
                    const double q = (double)at->s[r * out + i] * (double)at->a[c * in + j];
                    was += q * (double)old[i * in + j];
                    is += q * (double)now[i * in + j];
                }
            sum += value;
            const bool stays = fabs(is) > 1e-4 * fabs(was) && fabs(is) > 1e-5;
            if (stays) {
                kept += value;
                least = fmin(least, value);
                off = fmax(off, fabs(is - was));
            } else {
                rest = fmax(rest, value);
            }
        }
    near(off, 0, 0, 1e-5, "curvature edit: components that stay are as they were");
    ok(kept >= 0.699 * sum && kept - least < 0.701 * sum, "they have 70 %% of the eigenvalues: %g",
       kept / sum);
    ok(rest <= least * 1.001, "and no removed one is larger: %g, %g", rest, least);
    kfac_fini(&k);
    json_decref(report);
    free(before);
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    begin_influence(dir);
    check_steps();
    check_ssd();
    check_masked();
    check_length();
    check_noise();
    check_edit();
    tensor_file_close(&golden);
    free(dir);
    return done();
}
