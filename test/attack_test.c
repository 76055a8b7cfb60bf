/* Attacks within a step: perturbed hidden states (lat), an attacker who fine-tunes (tar), and the
 * direction of refusal. Derivatives by central differences; bounds and bits that must hold. */
#include "model/forward.h"
#include "train/helpers.h"
#include "bench.h"

/* d loss / d delta is the slope of the loss, at each place, for terms on hidden states and on
 * logits; what is added to one role's tokens does not touch the other role. A vector that several
 * tokens share has the sum of their derivatives. */
static void check_latent(const char *method, enum place place, int layer, bool shared)
{
    static const char *const names[] = {[PLACE_EMBED] = "the embedding",
                                        [PLACE_RESID] = "the residual",
                                        [PLACE_ATTN_OUT] = "attention",
                                        [PLACE_MLP_IN] = "the MLP's input",
                                        [PLACE_MLP_OUT] = "the MLP"};
    struct bench b;
    struct err e;
    double loss[2], retain[2];
    float delta[64 * 24] = {0}, d[64 * 24], v[64 * 24];
    int of[64], tokens = 0;
    bench_open(&b, method, 1, "none");
    struct latent at = {.place = place, .layer = layer, .delta = delta, .ddelta = d};
    for (int s = 0; s < b.sets[ROLE_FORGET].n; s++)
        tokens += b.sets[ROLE_FORGET].seqs[s].n;
    BUG_ON(tokens > 64);
    for (int i = 0; i < tokens; i++)
        of[i] = i % 4 - 1; /* a token in four has none */
    at.n = shared ? 3 : tokens;
    at.of = shared ? of : NULL;
    int n = at.n * 24;
    for (int i = 0; i < n; i++)
        delta[i] = 0.3f * sinf((float)i);
    gradient_start(&b.step, 0, 1, 1);
    b.step.latent = &at;
    BUG_ON(gradient_add(&b.step, GOALS_METHOD, &e));
    double length = sqrt(b.m.ops->dot(d, d, (size_t)n)), h = 1e-2 / length;
    memcpy(v, d, sizeof v);
    for (int way = 0; way < 2; way++) {
        for (int i = 0; i < n; i++)
            delta[i] = 0.3f * sinf((float)i) + (way ? -1 : 1) * (float)h * v[i];
        gradient_start(&b.step, 0, 1, 1);
        b.step.latent = &at;
        BUG_ON(gradient_add(&b.step, GOALS_METHOD, &e));
        loss[way] = gradient_loss(&b.step);
        retain[way] = b.step.loss[1];
    }
    near(length, (loss[0] - loss[1]) / (2 * h * length), 2e-3, 0,
         "%s: d/d delta%s at %s of layer %d is the slope", method, shared ? ", shared," : "",
         names[place], layer);
    near(retain[0], retain[1], 1e-6, 0, "%s: and nothing else moved", method);
    bench_close(&b);
}

/* The inner attack stays within eps, moves only the tokens it may, and lowers the forget loss. */
static void check_lat(const char *tokens)
{
    struct bench b;
    struct err e;
    bench_open(&b, "NPO", 1, "lat");
    const struct wrapper *w = wrapping_row(&b.wrap);
    set(w->params, b.wrap.chosen.params, "lat_layer", "1");
    set(w->params, b.wrap.chosen.params, "lat_eps", "0.5");
    set(w->params, b.wrap.chosen.params, "lat_tokens", tokens);
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOALS_METHOD, &e));
    double plain = b.step.loss[0];
    gradient_of(&b, 0);
    const struct latent *at = b.step.latent;
    double longest = 0;
    bool right = true;
    for (int s = 0, i = 0; s < b.sets[ROLE_FORGET].n; s++) {
        const struct seq *q = &b.sets[ROLE_FORGET].seqs[s];
        bool label = false;
        for (int t = 0; t < q->n; t++, i++) {
            double length = sqrt(b.m.ops->dot(at->delta + 24 * i, at->delta + 24 * i, 24));
            longest = fmax(longest, length);
            label |= q->labels[t] != LABEL_NONE;
            bool may = !strcmp(tokens, "all") ||
                       (!strcmp(tokens, "prompt") ? !label : q->labels[t] != LABEL_NONE);
            /* The last token predicts nothing: its own delta has no derivative. */
            right &= may ? length > 0 || t + 1 == q->n : length == 0;
        }
    }
    near(longest, 0.5, 1e-5, 0, "lat: the longest perturbation of %s has length eps", tokens);
    ok(right, "lat: %s tokens are perturbed, and no others", tokens);
    ok(b.step.loss[0] > plain + 0.01,
       "lat: the attack brings back what NPO forgets: %.4g, plain %.4g", b.step.loss[0], plain);
    b.step.again = true;
    float *first = copy_of(b.g.grads, b.m.table.total);
    engine_zero_grads(&b.g);
    BUG_ON(w->gradient(b.wrap.chosen.params, &b.step, &e));
    ok(!memcmp(first, b.g.grads, b.m.table.total * sizeof *first),
       "lat: the next steps on the batch meet the same attack");
    free(first);
    bench_close(&b);
}

/* What the attack minimises, at delta = 0.3 sin(i) + by * v; its derivative goes to d. */
static double attack_loss(struct bench *b, struct latent *at, float *delta, const float *v,
                          double by)
{
    struct err e;
    double loss;
    for (int i = 0; i < at->n * 24; i++)
        delta[i] = 0.3f * sinf((float)i) + (float)by * v[i];
    gradient_start(&b->step, 0, 1, 1);
    b->g.latent = at;
    BUG_ON(gradient_add_rows(&b->step, ~GOALS_METHOD, &b->mb, &loss, &e));
    b->g.latent = NULL;
    return loss;
}

/* Away from labels of another role, whose tokens share delta with the forget tokens at their
 * places: d/d delta is the slope, and the attack makes these labels less likely than one that does
 * not look at them. */
static void check_away(const char *name, enum role role, int extra)
{
    struct bench b;
    struct err e;
    static float delta[64 * 24], d[64 * 24], v[64 * 24];
    struct latent at = {.place = PLACE_RESID, .layer = 1, .delta = delta, .ddelta = d};
    struct objective *away;
    double found[2];
    bench_open(&b, "NPO", 1, "lat");
    for (int s = 0; s < b.sets[ROLE_FORGET].n; s++)
        at.n += b.sets[ROLE_FORGET].seqs[s].n;
    BUG_ON(at.n > 64);
    away = &b.g.obj[2 + extra];
    ok(!strcmp(away->term->name, "unlikelihood") && away->role[0] == role && away->weight == 0,
       "lat: away from %s labels, if asked for", name);
    b.g.obj[2].weight = 0.5;
    away->weight = 2;
    at.too = role;
    memset(v, 0, sizeof v);
    attack_loss(&b, &at, delta, v, 0);
    memcpy(v, d, sizeof v);
    double length = sqrt(b.m.ops->dot(v, v, (size_t)at.n * 24)), h = 1e-2 / length;
    double slope = attack_loss(&b, &at, delta, v, h) - attack_loss(&b, &at, delta, v, -h);
    near(length, slope / (2 * h * length), 2e-3, 0, "lat: away from %s, d/d delta is the slope",
         name);
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "lat_layer", "1");
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "lat_eps", "0.5");
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "lat_away_role", name);
    for (int way = 0; way < 2; way++) {
        away->weight = way ? 5 : 0;
        b.g.obj[2].weight = 1;
        gradient_of(&b, 0);
        away->weight = 1;
        b.g.obj[2].weight = 1e-30; /* its tokens carry delta */
        b.g.latent = b.step.latent;
        b.step.latent->too = role;
        BUG_ON(gradient_add_rows(&b.step, ~GOALS_METHOD, &b.mb, &found[way], &e));
        b.g.latent = NULL;
    }
    ok(found[1] < found[0], "lat: away from %s: %.4g, without %.4g", name, found[1], found[0]);
    bench_close(&b);
}

/* An attacker who cannot move (rate 0) leaves the sum of its parts at w; one who can leaves w as it
 * was, and another gradient. */
static void check_tar(void)
{
    struct bench b;
    struct err e;
    bench_open(&b, "NPO", 1, "tar");
    const struct wrapper *w = wrapping_row(&b.wrap);
    size_t n = b.m.table.total;
    ok(w->gradient(b.wrap.chosen.params, (gradient_start(&b.step, 0, 1, 1), &b.step), &e) &&
           !strcmp(e.subject, "batch"),
       "tar: no forget rows left for the attacker: %s", e.msg);
    b.mb.n[ROLE_FORGET] = 1;
    b.m.own[5] += 0.01f; /* hidden states that are not the reference's */
    set(w->params, b.wrap.chosen.params, "tar_steps", "6");
    set(w->params, b.wrap.chosen.params, "tar_every", "2");
    set(w->params, b.wrap.chosen.params, "tar_lr", "0");
    float *before = copy_of(b.m.own, n), *still = copy_of(gradient_of(&b, 0), n);
    double scale = 4 * (exp(-0.0625 * 4) + exp(-0.0625 * 2) + 1);
    gradient_start(&b.step, 0, 1, 1);
    BUG_ON(gradient_add(&b.step, GOAL_BIT(GOAL_WRAPPER + 2), &e));
    double share = scale * gradient_norm(&b.step);
    gradient_scale(&b.step, scale);
    BUG_ON(gradient_add(&b.step, GOALS_METHOD | GOAL_BIT(GOAL_WRAPPER + 3), &e));
    double all = gradient_norm(&b.step);
    gradient_axpy(&b.step, -1, still);
    near(gradient_norm(&b.step), 0, 0, 1e-5 * all, "tar: the gradients at w, and on the way");
    ok(share > 0.01 * all, "tar: of which the way is a part: %.3g of %.3g", share, all);
    set(w->params, b.wrap.chosen.params, "tar_lr", "0.01");
    gradient_of(&b, 0);
    ok(!memcmp(before, b.m.own, n * sizeof *before), "tar: the weights are where they were");
    float *moved = copy_of(b.g.grads, n);
    gradient_of(&b, 0);
    ok(!memcmp(moved, b.g.grads, n * sizeof *moved), "tar: the step's number decides the attack");
    gradient_axpy(&b.step, -1, still);
    ok(gradient_norm(&b.step) > 0.01 * all, "tar: the attack counts");
    free(before);
    free(still);
    free(moved);
    bench_close(&b);
}

/* Whether the attacker takes the retain row 1, which the step itself does not read. */
static bool takes_retain(struct bench *b, long step)
{
    size_t n = b->m.table.total;
    int *id = (int *)b->sets[ROLE_RETAIN].seqs[1].ids, was = *id;
    float *plain = copy_of(gradient_of(b, step), n);
    *id = (was + 1) % b->m.cfg.vocab;
    bool differs = memcmp(plain, gradient_of(b, step), n * sizeof *plain);
    *id = was;
    free(plain);
    return differs;
}

/* Of two steps the first is on retain data where M/K ~ Beta(6,3) is half or more: at most five of
 * eight uniform numbers lie below, 219 times of 256. */
static void check_tar_switch(void)
{
    enum { STEPS = 24 };
    struct bench b;
    int n[2] = {0};
    bench_open(&b, "RMU", 1, "tar");
    b.mb.n[ROLE_FORGET] = b.mb.n[ROLE_RETAIN] = 1;
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "tar_steps", "2");
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "tar_every", "1");
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "tar_batch", "8");
    set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "tar_lr", "0.01");
    for (int turn = 0; turn < 2; turn++) {
        set(choice_params(&b.wrap.chosen), b.wrap.chosen.params, "tar_switch", turn ? "1" : "0");
        for (int step = 0; step < STEPS; step++)
            n[turn] += takes_retain(&b, step);
    }
    ok(n[0] == 0, "tar: without tar_switch the attacker takes no retain row");
    near((double)n[1] / STEPS, 219.0 / 256, 0, 0.2, "tar: with it how often it begins with them");
    bench_close(&b);
}

/* The mean state of last prompt tokens, from one pass over whole examples. */
static void mean_state(struct bench *b, enum role role, int layer, double sign, double *mean)
{
    struct arena a;
    struct batch batch;
    struct pass p;
    struct err e;
    const struct dataset *d = &b->sets[role];
    arena_init(&a);
    BUG_ON(batch_pack(&batch, d->seqs, d->n, b->m.cfg.vocab, b->m.cfg.positions, &a, &e) ||
           model_forward(&b->m, &batch, &(struct forward){.keep = true}, &p, &a, &e));
    for (int s = 0; s < d->n; s++) {
        int t = 0;
        while (d->seqs[s].labels[t + 1] == LABEL_NONE)
            t++;
        for (int i = 0; i < 24; i++)
            mean[i] +=
                sign / d->n * (double)pass_states(&p, layer + 1)[(batch.start[s] + t) * 24 + i];
    }
    arena_fini(&a);
}

static void check_refusal(void)
{
    struct bench b;
    struct err e;
    float v[24];
    double want[24] = {0}, worst = 0, top = 0;
    bench_open(&b, "NPO", 1, "none");
    mean_state(&b, ROLE_RETAIN, 1, 1, want);
    mean_state(&b, ROLE_FORGET, 1, -1, want);
    ok(!direction_to_refusal(v, &b.m, &b.sets[ROLE_RETAIN], &b.sets[ROLE_FORGET], 1, &e),
       "the direction of refusal");
    for (int i = 0; i < 24; i++) {
        worst = fmax(worst, fabs((double)v[i] - want[i]));
        top = fmax(top, fabs(want[i]));
    }
    near(worst, 0, 0, 1e-5 * top, "is the difference of two means");
    bench_close(&b);
}

int main(void)
{
    char *dir = test_data("");
    bench_root = dir;
    check_idle("lat", "lat_eps");
    check_idle("lat", "lat_steps");
    for (int layer = 0; layer < 3; layer++)
        check_latent("NPO", PLACE_RESID, layer, false);
    check_latent("RMU", PLACE_RESID, 1, false);
    check_latent("NPO", PLACE_EMBED, 0, false);
    check_latent("NPO", PLACE_EMBED, 0, true);
    check_latent("NPO", PLACE_MLP_OUT, 1, true);
    check_latent("NPO", PLACE_MLP_IN, 1, false);
    check_latent("NPO", PLACE_ATTN_OUT, 1, false);
    check_lat("all");
    check_lat("prompt");
    check_lat("labels");
    check_away("retain", ROLE_RETAIN, 1);
    check_away("alternate", ROLE_ALTERNATE, 2);
    check_idle("tar", "tar_steps");
    check_tar();
    check_tar_switch();
    check_refusal();
    free(dir);
    return done();
}
