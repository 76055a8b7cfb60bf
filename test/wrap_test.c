/* Wrappers: NPO+SAM against figures that PyTorch computed (golden/survey/sam_npo), penalties
 * against central differences, and what must hold without any reference. */
#include "bench.h"

/* NPO+SAM: the forget gradient at the perturbed weights, the retain gradient at theta. */
static void check_sam_figures(void)
{
    struct bench b;
    struct err e;
    struct tensor_file f;
    bench_open(&b, "NPO", 2.25, "sam");
    BUG_ON(tensor_file_open(&f, path_of("survey/sam_npo.safetensors"), &e));
    float *before = copy_of(b.m.own, b.m.table.total);
    gradient_of(&b, 0);
    compare(&b, &f, "grad", b.g.grads, 1e-4, 0, "sam_npo");
    near(b.step.loss[0], scalar(&f, "loss_forget", 0), 1e-5, 0, "sam_npo: the forget loss");
    near(b.step.loss[1], scalar(&f, "loss_retain", 0), 1e-5, 0, "sam_npo: the retain loss");
    near(b.micro, b.step.loss[0] + 2.25 * b.step.loss[1], 1e-12, 0, "sam_npo: and their sum");
    ok(!memcmp(before, b.m.own, b.m.table.total * sizeof(float)),
       "sam_npo: the weights are where they were");
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOAL_BIT(GOAL_FORGET), &e));
    near(gradient_norm(&b.step), scalar(&f, "norm_g1", 0), 1e-5, 0, "sam_npo: |g1|");
    tensor_file_close(&f);
    free(before);
    bench_close(&b);
}

/* rho |grad L_f| (mu 0), or rho |grad L_f(w + mu v) - grad L_f(w)| with v held fixed, and the
 * method's loss: what gnr and cr minimise. */
static double penalised(struct bench *b, double rho, double mu, const float *v)
{
    struct err e;
    struct gradient *s = &b->step;
    gradient_start(s, 0, 1, 1);
    BUG_ON(gradient_add(s, GOALS_METHOD, &e));
    double loss = gradient_loss(s);
    engine_zero_grads(&b->g);
    BUG_ON(gradient_add(s, GOAL_BIT(GOAL_FORGET), &e));
    if (mu > 0) {
        weights_save(&b->m, b->copy[3]);
        weights_shift(&b->m, mu, v);
        gradient_scale(s, -1);
        BUG_ON(gradient_add(s, GOAL_BIT(GOAL_FORGET), &e));
        weights_restore(&b->m, b->copy[3]);
    }
    return loss + rho * gradient_norm(s);
}

/* Along one direction of all weights the gradient is the slope of the penalised loss. */
static void check_penalty(const char *wrapper, const char *rho_name, double rho, double mu)
{
    struct bench b;
    struct err e;
    char text[32];
    bench_open(&b, "NPO", 1, wrapper);
    snprintf(text, sizeof text, "%g", rho);
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, rho_name, text);
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params,
        mu > 0 ? "cr_difference" : "gnr_difference", "1e-3");
    if (mu > 0)
        set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "cr_mu", "0.05");
    size_t n = b.m.table.total;
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOAL_BIT(GOAL_FORGET), &e));
    double norm = gradient_norm(&b.step);
    float *v = copy_of(b.g.grads, n);
    b.m.ops->scale(v, (float)(1 / norm), n);
    float *g = copy_of(gradient_of(&b, 0), n);
    double length = sqrt(b.m.ops->dot(g, g, n)), h = 1e-3;
    float *before = copy_of(b.m.own, n);
    b.m.ops->axpy(b.m.own, (float)(h / length), g, n);
    double up = penalised(&b, rho, mu, v);
    memcpy(b.m.own, before, n * sizeof *before);
    b.m.ops->axpy(b.m.own, (float)(-h / length), g, n);
    double slope = (up - penalised(&b, rho, mu, v)) / (2 * h);
    near(length, slope, 5e-3, 0, "%s: the gradient is the slope of the penalised loss", wrapper);
    memcpy(b.m.own, before, n * sizeof *before);
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOALS_METHOD, &e));
    b.m.ops->axpy(g, -1, b.g.grads, n);
    ok(sqrt(b.m.ops->dot(g, g, n)) > 0.05 * length, "%s: of which the penalty is a part", wrapper);
    free(before);
    free(g);
    free(v);
    bench_close(&b);
}

/* Random smoothing: the same draw for the same step, another for another, and the noise is rho. */
static void check_noise(void)
{
    struct bench b;
    bench_open(&b, "NPO", 1, "rs");
    size_t n = b.m.table.total;
    float *before = copy_of(b.m.own, n);
    float *one = copy_of(gradient_of(&b, 1), n), *again = copy_of(gradient_of(&b, 1), n);
    ok(!memcmp(one, again, n * sizeof *one), "rs: the step's number decides the draw");
    gradient_of(&b, 2);
    ok(memcmp(one, b.g.grads, n * sizeof *one), "rs: another step, another draw");
    ok(!memcmp(before, b.m.own, n * sizeof *before), "rs: the weights are where they were");
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "rs_rho", "1e-7");
    double alone = b.m.ops->dot(one, gradient_of(&b, 1), n);
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "rs_samples", "3");
    near(b.m.ops->dot(one, gradient_of(&b, 1), n), alone, 1e-3, 0, "rs: of three draws the mean");
    struct rng r;
    rng_stream(&r, 0, RNG_NOISE, 1);
    weights_noise(&b.m, 1e-2, &r);
    b.m.ops->axpy(before, -1, b.m.own, n);
    near(sqrt(b.m.ops->dot(before, before, n) / (double)model_n_params(&b.m)), 1e-2, 0.02, 0,
         "rs: noise of standard deviation rho");
    free(one);
    free(again);
    free(before);
    bench_close(&b);
}

/* The mean of the weights after steps 2, 4, 6 of a made-up walk. */
static void check_average(void)
{
    struct bench b;
    bench_open(&b, "FT", 1, "wa");
    const struct wrapper *w = wrapping_row(&b.wrap);
    set(w->params, b.wrap.chosen.params, "wa_start", "2");
    set(w->params, b.wrap.chosen.params, "wa_every", "2");
    size_t k = b.m.table.v[3].offset + 5;
    for (long s = 1; s <= 7; s++) {
        b.m.own[k] = (float)(s * s);
        w->follow(b.wrap.chosen.params, &b.m, b.copy, s);
    }
    w->finish(b.wrap.chosen.params, &b.m, b.copy, 7);
    near((double)b.m.own[k], (4 + 16 + 36) / 3.0, 1e-6, 0, "wa: the mean of the samples");
    set(w->params, b.wrap.chosen.params, "wa_decay", "0.5");
    for (long s = 1; s <= 7; s++) {
        b.m.own[k] = (float)(s * s);
        w->follow(b.wrap.chosen.params, &b.m, b.copy, s);
    }
    w->finish(b.wrap.chosen.params, &b.m, b.copy, 7);
    near((double)b.m.own[k], 0.25 * 4 + 0.25 * 16 + 0.5 * 36, 1e-6, 0, "wa: exponential");
    b.m.own[k] = -1;
    w->finish(b.wrap.chosen.params, &b.m, b.copy, 1);
    ok(b.m.own[k] == -1, "wa: a run that ends before the first sample keeps its last weights");
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    bench_root = dir;
    check_sam_figures();
    check_idle("sam", "sam_rho");
    check_idle("rs", "rs_rho");
    check_idle("gnr", "gnr_rho");
    check_idle("cr", "cr_rho");
    check_penalty("gnr", "gnr_rho", 0.1, 0);
    check_penalty("cr", "cr_rho", 1, 0.05);
    check_noise();
    check_average();
    free(dir);
    return done();
}
