/* Pruning, noise, and the line to the target. */
#include <math.h>
#include <string.h>

#include "attack/weights.h"
#include "base/mem.h"
#include "base/sort.h"
#include "base/rng.h"
#include "locate/locators.h"
#include "locate/scores.h"
#include "tensor/file.h"

/* --- prune --- */

struct prune_params {
    const char *ratio, *scope, *by;
};

static const struct param prune_table[] = {
    STRING_PARAM(struct prune_params, ratio, "0.1,0.3,0.5", "LIST",
                 "shares of weights that become zero"),
    CHOICE_PARAM(struct prune_params, scope, "tensor|row|global", "tensor",
                 "the smallest of each tensor, of each row, or of all tensors"),
    CHOICE_PARAM(struct prune_params, by, "magnitude|wanda", "magnitude",
                 "the weight's own, or times the norm of its input over the retain rows, row by "
                 "row (arXiv 2306.11695)"),
    {0}};

struct prune_setting {
    double ratio;
    bool by_row;
    float threshold;    /* of all tensors; below 0: each tensor or row has its own */
    const float *score; /* of all weights, by weight.at; NULL: their magnitudes */
};

/* Zeroes the k = floor(ratio n) weights of w[n] with the smallest scores, or magnitudes: all ties
 * at the threshold by tensor, exactly k and the lowest index first by row. */
static size_t prune_run(float *w, const float *score, size_t n, const struct prune_setting *s,
                        float *sorted)
{
    const size_t k = (size_t)((double)n * s->ratio);
    size_t zeroed = 0, below = 0;
    for (size_t i = 0; i < n; i++)
        sorted[i] = score ? score[i] : fabsf(w[i]);
    sort_floats(sorted, n);
    if (!k)
        return 0;
    const float threshold = sorted[k - 1];
    while (below < k && sorted[below] < threshold)
        below++;
    size_t ties = s->by_row ? k - below : n;
    for (size_t i = 0; i < n; i++) {
        const float v = score ? score[i] : fabsf(w[i]);
        if (v > threshold || (v == threshold && !ties))
            continue;
        ties -= v == threshold;
        w[i] = 0;
        zeroed++;
    }
    return zeroed;
}

static int prune_matrix(struct matrix_job *j, struct err *e)
{
    const struct prune_setting *s = j->setting;
    const size_t run = s->by_row ? j->cols : j->rows * j->cols, n = j->rows * j->cols;
    size_t zeroed = 0;
    for (size_t i = 0; s->threshold >= 0 && i < n; i++)
        if (fabsf(j->w[i]) <= s->threshold) {
            j->w[i] = 0;
            zeroed++;
        }
    float *sorted = s->threshold < 0 ? mem_alloc(run, sizeof *sorted, e) : NULL;
    if (s->threshold < 0 && !sorted)
        return -1;
    for (size_t at = 0; sorted && at < n; at += run)
        zeroed +=
            prune_run(j->w + at, s->score ? s->score + j->weight->at + at : NULL, run, s, sorted);
    attack_count(j->counts, "zeroed", zeroed);
    free(sorted);
    return 0;
}

static int see_matrix(struct matrix_job *j, struct err *e)
{
    (void)e;
    struct kth *r = (void *)j->setting;
    for (size_t i = 0; i < j->rows * j->cols; i++)
        kth_see(r, j->w[i]);
    return 0;
}

/* The magnitude of rank floor(ratio n) among all matrices, in two passes over them, without
 * sorting; below 0 if that is none. */
static int global_threshold(struct attack_run *a, double ratio, float *threshold, struct err *e)
{
    struct kth r;
    size_t k = 0;
    *threshold = -1;
    int rc = kth_init(&r, e) || attack_each_matrix(a, &r, see_matrix, NULL, e);
    if (!rc && (k = (size_t)((double)r.n * ratio))) {
        kth_choose(&r, &k);
        rc = attack_each_matrix(a, &r, see_matrix, NULL, e);
        *threshold = rc ? -1 : kth_choose(&r, &k);
    }
    free(r.count);
    return rc;
}

/* Wanda's scores of the weights as they are. */
struct wanda_scores {
    struct engine engine;
    struct scoring scoring;
    struct choice how;
};

static int score_weights(struct wanda_scores *w, struct attack_run *a, struct err *e)
{
    if (!a->sets[ATTACK_RETAIN].n)
        return err_about(e, "retain", "Wanda takes its norms from retain rows");
    engine_init(&w->engine, &a->s.model);
    w->engine.compat = a->s.compat;
    w->engine.sets[ROLE_RETAIN] = &a->sets[ATTACK_RETAIN];
    static const struct param_preset retain[] = {{"wanda_role", "retain"}, {NULL, NULL}};
    if (locate_weights(&locator_all, NULL, a->s.compat, &a->s.model, 0, e) ||
        choice_init(&w->how, &locator_wanda, retain, e) ||
        scoring_init(&w->scoring, &w->engine, &locator_wanda, e))
        return -1;
    w->scoring.stop = a->stop;
    const int rc = locator_wanda.score(w->how.params, &w->scoring, e);
    a->spent.forward_tokens += w->scoring.tokens;
    return rc;
}

static void wanda_fini(struct wanda_scores *w)
{
    scoring_fini(&w->scoring);
    choice_fini(&w->how);
    engine_fini(&w->engine);
}

static int run_prune(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct prune_params *p = params;
    const bool wanda = !strcmp(p->by, "wanda");
    struct wanda_scores scores = {.how = {.row = NULL}};
    int rc = attack_measure_before(a, block, e) || (wanda && score_weights(&scores, a, e));
    for (const char *at = p->ratio; !rc && *at;) {
        struct prune_setting s = {.by_row = wanda || !strcmp(p->scope, "row"),
                                  .threshold = -1,
                                  .score = scores.scoring.v};
        char name[32];
        rc = attack_next(&at, "ratio", 0, 1, &s.ratio, e) ||
             (!wanda && !strcmp(p->scope, "global") &&
              global_threshold(a, s.ratio, &s.threshold, e));
        snprintf(name, sizeof name, "%g", s.ratio);
        rc = rc || attack_setting(a, name, &s, prune_matrix, block, e);
    }
    if (wanda)
        wanda_fini(&scores);
    return rc;
}

const struct attack attack_prune = {
    .name = "prune",
    .params = prune_table,
    .params_size = sizeof(struct prune_params),
    .help = "set the smallest weights to zero, also by Wanda",
    .touches = "weights",
    .access = "white",
    .verified = "PyTorch, losses of pruned models",
    .writes = true,
    .run = run_prune,
};

/* --- noise --- */

struct noise_params {
    const char *sigma;
    int64_t draws;
};

static const struct param noise_table[] = {
    STRING_PARAM(struct noise_params, sigma, "0.01,0.03,0.1", "LIST",
                 "noise as a part of each tensor's standard deviation"),
    INT_PARAM(struct noise_params, draws, 1, 100, 3, "draws at each sigma"),
    {0}};

struct noise_setting {
    double sigma;
    uint32_t seed;
    struct tensor_file
        file; /* of a replayed draw: epsilon.NAME [rows, cols] of the weights that get noise */
    bool replays;
};

/* The replayed noise of a weight, owned by the caller; NULL: it gets none, or a failure. */
static float *replayed_noise(const struct matrix_job *j, bool *failed, struct err *e)
{
    const struct noise_setting *s = j->setting;
    char name[sizeof j->weight->name + 16];
    snprintf(name, sizeof name, "epsilon.%s", j->weight->name);
    const struct tensor *t = tensor_find(&s->file, name);
    if (t && t->count != j->rows * j->cols)
        err_about(e, "replay", "'%s' has %zu numbers, the weight has %zu", name, t->count,
                  j->rows * j->cols);
    float *v = t && t->count == j->rows * j->cols ? tensor_f32(t, e) : NULL;
    *failed = t && !v;
    return v;
}

static int noise_matrix(struct matrix_job *j, struct err *e)
{
    const struct noise_setting *s = j->setting;
    const size_t n = j->rows * j->cols;
    bool failed = false;
    float *given = s->replays ? replayed_noise(j, &failed, e) : NULL;
    if (s->replays && !given)
        return failed ? -1 : 0;
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++)
        mean += (double)j->w[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        square += ((double)j->w[i] - mean) * ((double)j->w[i] - mean) / (double)n;
    struct rng rng;
    rng_stream(&rng, s->seed, RNG_NOISE, (uint32_t)(j->weight - j->a->s.model.table.v));
    const double scale = s->sigma * sqrt(square);
    for (size_t i = 0; i < n; i++)
        j->w[i] += (float)(scale * (given ? (double)given[i] : rng_normal(&rng)));
    attack_count(j->counts, "noisy", n);
    free(given);
    return 0;
}

/* replay/noise.safetensors, of further draws noise_2.safetensors ...; *more: there is such a draw.
 */
static int open_noise(struct noise_setting *s, const struct attack_run *a, int draw, bool *more,
                      struct err *e)
{
    char name[40], *path;
    *more = true;
    if (!a->o->replay)
        return 0;
    snprintf(name, sizeof name, draw ? "noise_%d.safetensors" : "noise.safetensors", draw + 1);
    if (attack_replay_file(a, name, &path, e))
        return -1;
    *more = path != NULL;
    if (!path)
        return draw ? 0 : err_about(e, "replay", "'%s' has no %s", a->o->replay, name);
    s->replays = !tensor_file_open(&s->file, path, e);
    free(path);
    return s->replays ? 0 : -1;
}

static int run_noise(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct noise_params *p = params;
    int rc = attack_measure_before(a, block, e);
    for (const char *at = p->sigma; !rc && *at;) {
        struct noise_setting s = {0};
        rc = attack_next(&at, "sigma", 0, 10, &s.sigma, e);
        bool more = true;
        for (int draw = 0; !rc && more && draw < p->draws; draw++) {
            char name[48];
            snprintf(name, sizeof name, "%g draw %d", s.sigma, draw + 1);
            s.seed = (uint32_t)a->o->seed * 1000 + (uint32_t)draw;
            s.replays = false;
            rc = open_noise(&s, a, draw, &more, e) ||
                 (more && attack_setting(a, name, &s, noise_matrix, block, e));
            if (s.replays)
                tensor_file_close(&s.file);
        }
    }
    return rc;
}

const struct attack attack_noise = {
    .name = "noise",
    .params = noise_table,
    .params_size = sizeof(struct noise_params),
    .help = "add Gaussian noise to weights, scaled by each tensor",
    .touches = "weights",
    .access = "white",
    .verified = "PyTorch, losses with given noise; none at 0, more is farther",
    .writes = true,
    .run = run_noise,
};

/* --- interpolate --- */

struct interpolate_params {
    const char *alpha;
};

static const struct param interpolate_table[] = {
    STRING_PARAM(struct interpolate_params, alpha, "0.25,0.5,0.75,1", "LIST",
                 "weights (1 - alpha) w + alpha target; below 0: away from the target"),
    {0}};

static int interpolate_matrix(struct matrix_job *j, struct err *e)
{
    (void)e;
    const double alpha = *(const double *)j->setting;
    const size_t n = j->rows * j->cols;
    for (size_t i = 0; i < n; i++)
        j->w[i] = (float)((1 - alpha) * (double)j->w[i] + alpha * (double)j->target[i]);
    return 0;
}

static int run_interpolate(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct interpolate_params *p = params;
    if (!a->has_target)
        return err_about(e, "target", "interpolate needs the model before unlearning");
    int rc = attack_measure_before(a, block, e);
    for (const char *at = p->alpha; !rc && *at;) {
        double alpha;
        char name[32];
        rc = attack_next(&at, "alpha", -10, 10, &alpha, e);
        snprintf(name, sizeof name, "%g", alpha);
        rc = rc || attack_setting(a, name, &alpha, interpolate_matrix, block, e);
    }
    return rc;
}

const struct attack attack_interpolate = {
    .name = "interpolate",
    .params = interpolate_table,
    .params_size = sizeof(struct interpolate_params),
    .help = "move the matrices of the layers on the line to the model before unlearning",
    .paper = "arXiv 2505.22310",
    .touches = "weights",
    .access = "white, and the target",
    .verified = "a property: alpha 0 changes no bit",
    .writes = true,
    .compares = true,
    .run = run_interpolate,
};
