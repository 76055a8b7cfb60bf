#include "influence/walk.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"

const char strategy_names[] = "identity|diagonal|kfac|ekfac";

/* --- the maps --- */

struct listing {
    struct kfac *k;
    struct pattern pattern;
    bool chooses; /* by the pattern */
    size_t room;
    const device float *x; /* the input of the last product */
    int input;             /* the first chosen map with it; -1: none */
    struct err *e;
    bool failed;
};

/* What a part of a fused weight is called. */
static const char *part_name(const struct weight *w, int first, const struct model_config *c)
{
    if (w->slot == W_QKV)
        return first == 0 ? ".q" : first == c->heads * c->head_dim ? ".k" : ".v";
    return w->slot == W_GATE_UP ? first ? ".up" : ".gate" : "";
}

static void list(void *ctx, const struct product *y)
{
    struct listing *l = ctx;
    struct kfac *k = l->k;
    const struct weight *w = &k->m->table.v[y->weight];
    bool chosen = !l->chooses;
    if (y->x != l->x)
        l->input = -1;
    l->x = y->x;
    l->failed =
        l->failed ||
        (l->chooses && pattern_matches(&l->pattern, w->name, strlen(w->name), &chosen, l->e)) ||
        mem_reserve(&k->maps, &l->room, (size_t)k->n + 1, sizeof *k->maps, l->e);
    if (l->failed || !chosen)
        return;
    struct kfac_map *i = &k->maps[k->n];
    l->input = l->input < 0 ? k->n : l->input;
    k->n++;
    *i = (struct kfac_map){.weight = y->weight,
                           .first = y->first,
                           .layer = w->layer,
                           .in = y->in,
                           .out = y->out,
                           .input = l->input};
    const size_t n = strlen(w->name), end = strlen(".weight");
    const bool cut = n > end && !strcmp(w->name + n - end, ".weight");
    snprintf(i->name, sizeof i->name, "%.*s%s", (int)(cut ? n - end : n), w->name,
             part_name(w, y->first, &k->m->cfg));
}

int kfac_init(struct kfac *k, struct model *m, enum strategy strategy, const char *regex,
              const struct seq *any, struct err *e)
{
    *k = (struct kfac){.m = m, .strategy = strategy};
    struct listing l = {.k = k, .chooses = regex != NULL, .input = -1, .e = e};
    const struct linear_tap tap = {.forward = list, .ctx = &l};
    struct row_pass p = {.dx = NULL};
    int rc = model_refuse_experts(m, e) ||
             (regex && pattern_init(&l.pattern, regex, PATTERN_WHOLE, e)) ||
             row_pass_forward(&p, m, any, 1, false, &tap, e) || l.failed;
    row_pass_fini(&p);
    if (regex)
        pattern_fini(&l.pattern);
    if (!rc && !k->n)
        rc = err_about(e, "modules", "no linear map of a layer matches '%s' in full; one is '%s'",
                       regex, m->table.v[weight_index(&m->table, W_DOWN, 0)].name);
    return rc || kfac_plan(k, INFINITY, 0, e);
}

/* Of maps of one layer, from i on; *next: the first of the next layer. */
static double layer_bytes(const struct kfac *k, int i, int gradients, int *next)
{
    double floats = 0;
    const int layer = k->maps[i].layer;
    for (; i < k->n && k->maps[i].layer == layer; i++) {
        const struct kfac_map *at = &k->maps[i];
        if (kfac_has_basis(k))
            floats +=
                (double)kfac_square(at->out) + (at->input == i ? (double)kfac_square(at->in) : 0);
        floats += (double)kfac_area(at) * (gradients + (k->strategy != STRATEGY_IDENTITY));
    }
    *next = i;
    return floats * sizeof(float);
}

int kfac_plan(struct kfac *k, double bytes, int gradients, struct err *e)
{
    double sum = 0, one;
    free(k->block);
    if (!(k->block = mem_alloc((size_t)k->n + 1, sizeof *k->block, e)))
        return -1;
    k->n_blocks = 0;
    for (int i = 0, next; i < k->n; i = next) {
        one = layer_bytes(k, i, gradients, &next);
        if (one > bytes)
            return err_about(e, "memory",
                             "the factors and %d gradients of layer %d take %.3g GiB, more than "
                             "the %.3g GiB allowed",
                             gradients, k->maps[i].layer, one / (1 << 30), bytes / (1 << 30));
        sum += one;
        if (!i || sum > bytes) {
            k->block[k->n_blocks++] = i;
            sum = one;
        }
    }
    k->block[k->n_blocks] = k->n;
    kfac_choose(k, 0);
    return 0;
}

static void release(struct kfac *k)
{
    for (int i = 0; i < k->n; i++) {
        struct kfac_map *at = &k->maps[i];
        k->m->ops->free(at->a);
        k->m->ops->free(at->s);
        k->m->ops->free(at->lambda);
        free(at->ea);
        free(at->es);
        at->a = at->s = at->lambda = NULL;
        at->ea = at->es = NULL;
    }
}

void kfac_choose(struct kfac *k, int block)
{
    release(k);
    k->lo = k->block[block];
    k->hi = k->block[block + 1];
}

void kfac_fini(struct kfac *k)
{
    release(k);
    free(k->maps);
    free(k->block);
    *k = (struct kfac){.n = 0};
}

int kfac_reserve(struct kfac *k, struct err *e)
{
    const struct ops *o = k->m->ops;
    for (int i = k->lo; i < k->hi; i++) {
        struct kfac_map *at = &k->maps[i];
        if ((kfac_has_basis(k) &&
             ((at->input == i && !(at->a = o->alloc(kfac_square(at->in), e))) ||
              !(at->s = o->alloc(kfac_square(at->out), e)) ||
              !(at->ea = mem_alloc((size_t)at->in, sizeof *at->ea, e)) ||
              !(at->es = mem_alloc((size_t)at->out, sizeof *at->es, e)))) ||
            (k->strategy != STRATEGY_IDENTITY && !(at->lambda = o->alloc(kfac_area(at), e))))
            return -1;
    }
    return 0;
}

/* --- what the factors are for --- */

double kfac_damping(const struct kfac *k, int i, double damping)
{
    return damping < 0 ? 0.1 * k->maps[i].mean : damping;
}

void kfac_project(const struct kfac *k, int i, device float *g, device float *scratch)
{
    const struct kfac_map *at = &k->maps[i];
    const struct ops *o = k->m->ops;
    if (!kfac_has_basis(k))
        return;
    o->linear(scratch, g, k->maps[at->input].a, at->out, at->in, at->in, 0);
    o->linear_dx(g, at->s, scratch, at->out, at->in, at->out, 0);
}

void kfac_project_back(const struct kfac *k, int i, device float *g, device float *scratch)
{
    const struct kfac_map *at = &k->maps[i];
    const struct ops *o = k->m->ops;
    if (!kfac_has_basis(k))
        return;
    o->linear_dx(scratch, g, k->maps[at->input].a, at->out, at->in, at->in, 0);
    o->fill(g, 0, kfac_area(at));
    o->linear_dw(g, at->s, scratch, at->out, at->in, at->out, 1);
}

/* g /= Lambda + damping. */
static void divide(const struct kfac *k, int i, double damping, device float *g)
{
    const struct kfac_map *at = &k->maps[i];
    const double add = kfac_damping(k, i, damping);
    const float *lambda = k->m->ops->map_read(at->lambda, kfac_area(at));
    float *v = k->m->ops->map(g, kfac_area(at));
    for (size_t c = 0; c < kfac_area(at); c++)
        v[c] = (float)((double)v[c] / ((double)lambda[c] + add));
    k->m->ops->unmap(g);
    k->m->ops->unmap(at->lambda);
}

void kfac_solve(const struct kfac *k, int i, double damping, device float *g, device float *scratch)
{
    if (k->strategy == STRATEGY_IDENTITY)
        return;
    kfac_project(k, i, g, scratch);
    divide(k, i, damping, g);
    kfac_project_back(k, i, g, scratch);
}
