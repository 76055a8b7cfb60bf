/* ECO: the embeddings of prompts about what is to be forgotten are corrupted, so that the model
 * answers as if it had been asked something else. All tokens but the prompt's last are corrupted,
 * in generation while the prompt is read, not after it; where an answer is scored, its tokens too.
 */
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "guard/classifier.h"
#include "guard/eco.h"
#include "guard/guard.h"
#include "tensor/file.h"

struct params {
    const char *kind, *classifier, *positions, *noise;
    int64_t dims, seed;
    double strength, threshold;
};

static const struct param params[] = {
    CHOICE_PARAM(struct params, kind, ECO_KINDS, "rand_noise_first_n",
                 "how, as in the authors' code"),
    INT_PARAM(struct params, dims, 1, 1 << 24, 1,
              "dimensions that change; at most the model's width"),
    REAL_PARAM(struct params, strength, 0, 1e30, 100,
               "standard deviation of the noise, or what is added or subtracted"),
    STRING_PARAM(struct params, classifier, NULL, "FILE",
                 "corrupts the prompts above its threshold (unlearn guard train); without it, all"),
    REAL_PARAM(struct params, threshold, -1, 1, -1, "instead of the classifier's; -1: that"),
    INT_PARAM(struct params, seed, 0, UINT32_MAX, 0, "of the noise, which is the prompt's own"),
    STRING_PARAM(struct params, positions, NULL, "FILE",
                 "safetensors with 'positions' [rows, tokens]: 1 where a token is corrupted"),
    STRING_PARAM(
        struct params, noise, NULL, "FILE",
        "safetensors with 'KIND.noise' [positions, dims], and 'KIND.dims' of rand_n, of all "
        "rows one after another, instead of drawn noise"),
    {0}};

struct state {
    const struct eco_kind *kind;
    struct classifier classifier;
    struct tensor_file positions, noise;
    int *mask; /* owned [rows, tokens]; NULL: all but the last */
    int64_t rows, tokens;
    float *given; /* owned [given_rows, dims]; NULL: drawn */
    int64_t given_rows;
    int *dims; /* owned, of rand_n; NULL: drawn */
};

static const struct tensor *find(const struct tensor_file *f, const char *name, const char *path,
                                 struct err *e)
{
    const struct tensor *t = tensor_find(f, name);
    if (!t)
        err_code(e, ERR_BAD_FILE, "'%s' has no tensor '%s'", path, name);
    else if (t->n_dims != 2 && strstr(name, ".dims") == NULL)
        err_code(e, ERR_BAD_FILE, "'%s': tensor '%s' must have two dimensions", path, name);
    else
        return t;
    return NULL;
}

static int read_positions(struct state *s, const char *path, struct err *e)
{
    const struct tensor *t;
    if (tensor_file_open(&s->positions, path, e) ||
        !(t = find(&s->positions, "positions", path, e)) || !(s->mask = tensor_ints(t, e)))
        return -1;
    s->rows = t->shape[0];
    s->tokens = t->shape[1];
    return 0;
}

static int read_noise(struct state *s, const struct params *o, struct err *e)
{
    char name[64];
    snprintf(name, sizeof name, "%s.noise", s->kind->name);
    const struct tensor *t;
    if (tensor_file_open(&s->noise, o->noise, e) || !(t = find(&s->noise, name, o->noise, e)))
        return -1;
    if (t->shape[1] != o->dims)
        return err_code(e, ERR_BAD_FILE, "'%s': '%s' has %d columns, not dims, %d", o->noise, name,
                        (int)t->shape[1], (int)o->dims);
    s->given_rows = t->shape[0];
    if (!(s->given = tensor_f32(t, e)))
        return -1;
    if (s->kind->dims != ECO_DRAWN)
        return 0;
    snprintf(name, sizeof name, "%s.dims", s->kind->name);
    if (!(t = find(&s->noise, name, o->noise, e)) || !(s->dims = tensor_ints(t, e)))
        return -1;
    for (int64_t j = 0; j < o->dims; j++)
        if (t->shape[0] != o->dims || s->dims[j] < 0)
            return err_code(e, ERR_BAD_FILE, "'%s': '%s' must hold dims numbers", o->noise, name);
    return 0;
}

static bool has_noise(const struct eco_kind *k)
{
    return k->change == ECO_NOISE || k->change == ECO_SET_NOISE;
}

static int open_eco(struct guard_part *p, struct err *e)
{
    const struct params *o = p->choice.params;
    const int width = p->host->model->cfg.width;
    struct state *s = p->state = mem_alloc(1, sizeof *s, e);
    if (!s)
        return -1;
    s->kind = eco_kind_by_name(o->kind);
    if (o->dims > width)
        return err_set(e, "dims is %d, the model's embeddings have %d", (int)o->dims, width);
    if ((o->classifier && classifier_open(&s->classifier, o->classifier, p, e)) ||
        (o->positions && read_positions(s, o->positions, e)) ||
        (o->noise && has_noise(s->kind) && read_noise(s, o, e)))
        return -1;
    for (int64_t j = 0; s->dims && j < o->dims; j++)
        if (s->dims[j] >= width)
            return err_set(e, "dimension %d is beyond the model's %d", s->dims[j], width);
    return 0;
}

static void close_eco(struct guard_part *p)
{
    struct state *s = p->state;
    if (!s)
        return;
    classifier_close(&s->classifier);
    tensor_file_close(&s->positions);
    tensor_file_close(&s->noise);
    free(s->mask);
    free(s->given);
    free(s->dims);
    free(s);
}

static int prompt(struct guard_part *p, struct guard_prompt *q, struct err *e)
{
    const struct params *o = p->choice.params;
    struct state *s = p->state;
    double score = 1;
    if (s->mask && q->index >= s->rows)
        return err_set(e, "'%s' has %d rows, the data more", o->positions, (int)s->rows);
    if (!o->classifier)
        return guard_note(p, q, "corrupted", e, "every prompt");
    const double above = o->threshold < 0 ? s->classifier.threshold : o->threshold;
    if (classifier_score(&s->classifier, p, q, &score, e))
        return -1;
    return score > above ? guard_note(p, q, "corrupted", e, "score %.4g > %.4g", score, above) : 0;
}

/* The positions of a prompt that are corrupted; those of earlier rows of a file are skipped in its
 * noise. Returns their number. */
static int mark(const struct state *s, const struct guard_view *v, uint8_t *mask, int64_t *before)
{
    int count = 0;
    *before = 0;
    for (int64_t i = 0; s->mask && i < v->q->index * s->tokens; i++)
        *before += s->mask[i] != 0;
    for (int t = 0; t < v->n; t++) {
        mask[t] = s->mask ? t < s->tokens && s->mask[v->q->index * s->tokens + t]
                          : v->forced || t + 1 < v->n;
        count += mask[t];
    }
    return count;
}

struct drawn {
    uint8_t *mask; /* [n] */
    float *noise;  /* [count, dims] */
    int *dims;     /* [width], of which the first are used */
    int *order;    /* [n] */
};

static int draw(struct guard_part *p, const struct guard_view *v, int count, int64_t before,
                struct drawn *d, struct eco_call *c, struct err *e)
{
    const struct params *o = p->choice.params;
    const struct state *s = p->state;
    const int width = p->host->model->cfg.width;
    const size_t n = (size_t)count * (size_t)o->dims;
    /* The same prompt has the same noise, whatever it is generated or scored with. */
    const uint64_t h =
        hash_bytes(HASH_START, v->q->seq.ids, (size_t)v->q->seq.n * sizeof *v->q->seq.ids);
    const float scale =
        p->host->model->cfg.embed_scale > 0 ? (float)p->host->model->cfg.embed_scale : 1;
    struct rng r;
    rng_stream(&r, (uint32_t)o->seed, RNG_NOISE, (uint32_t)h);
    if (has_noise(s->kind) && s->given) {
        if (before + count > s->given_rows)
            return err_set(e, "'%s' has noise for %d positions, the data have more", o->noise,
                           (int)s->given_rows);
        c->noise = s->given + before * o->dims;
        c->drawn = s->dims;
        return 0;
    }
    if (!(d->noise = mem_alloc(n, sizeof *d->noise, e)) ||
        !(d->dims = mem_alloc((size_t)width, sizeof *d->dims, e)) ||
        !(d->order = mem_alloc((size_t)v->n, sizeof *d->order, e)))
        return -1;
    for (int j = 0; j < width; j++)
        d->dims[j] = j;
    for (int t = 0; t < v->n; t++)
        d->order[t] = v->n - 1 - t;
    if (s->kind->change == ECO_SHUFFLE)
        rng_permutation(&r, d->order, v->n);
    if (s->kind->dims == ECO_DRAWN)
        rng_permutation(&r, d->dims, width);
    for (size_t i = 0; i < n && has_noise(s->kind); i++)
        d->noise[i] = (float)(o->strength * rng_normal(&r)) * scale;
    c->noise = has_noise(s->kind) ? d->noise : NULL;
    c->drawn = d->dims;
    c->order = d->order;
    return 0;
}

static int tap(struct guard_part *p, const struct guard_view *v, float *x, struct err *e)
{
    const struct params *o = p->choice.params;
    const struct state *s = p->state;
    const struct model_config *cfg = &p->host->model->cfg;
    const float scale = cfg->embed_scale > 0 ? (float)cfg->embed_scale : 1;
    struct eco_call c = {
        .kind = s->kind, .dims = (int)o->dims, .strength = (float)o->strength * scale};
    struct drawn d = {0};
    int64_t before;
    if (!(v->q->fired & 1u << p->number) || v->first || v->n < 2)
        return 0;
    if (!(d.mask = mem_alloc((size_t)v->n, 1, e)))
        return -1;
    const int count = mark(s, v, d.mask, &before);
    int rc =
        draw(p, v, count, before, &d, &c, e) || eco_corrupt(&c, x, d.mask, v->n, cfg->width, e);
    free(d.mask);
    free(d.noise);
    free(d.dims);
    free(d.order);
    return rc ? -1 : 0;
}

const struct guard guard_eco = {
    .name = "eco",
    .params = params,
    .params_size = sizeof(struct params),
    .help = "corrupts the embeddings of prompts that a classifier flags",
    .paper = "arXiv 2406.07933",
    .formula = "p(y | E(x) + noise) if c(x) > threshold else p(y | x)",
    .access = "embeddings",
    .cost = "x1, + the classifier",
    .verified = "the authors' corruptions, embeddings bit for bit given the noise; greedy tokens",
    .open = open_eco,
    .close = close_eco,
    .prompt = prompt,
    .tap = tap,
    .place = PLACE_EMBED,
};
