/* The selection of a mask: the k largest scores of each scope, without sorting them. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"
#include "locate/scores.h"

/* Scores that are compared: n from v on. */
struct span {
    const float *v;
    size_t n;
    int tensor;  /* of elements and rows; -1: neurons */
    size_t unit; /* number of the first among those of its tensor, or among all neurons */
};

/* Scores that are worth more than one thread. */
enum { MANY = SIZE(1 << 16, 64) };

/* Bit patterns in the order of the numbers, -0 as 0; those of NaN and -inf are never kept. */
enum { NEVER = 0x007fffff };

static uint32_t key_of(float x)
{
    uint32_t u;
    x += 0.0F;
    memcpy(&u, &x, sizeof u);
    return isnan(x) ? 0 : u >> 31 ? ~u : u | 0x80000000;
}

static float number_of(uint32_t key)
{
    float x;
    uint32_t u = key >> 31 ? key & 0x7fffffff : ~key;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Counts the keys whose bits above `shift + width` are those of `prefix`, by their next `width`. */
static void count(const struct span *x, int n, uint32_t prefix, int shift, int width, size_t *bins)
{
    memset(bins, 0, ((size_t)1 << 11) * sizeof *bins);
    const int above = shift + width;
    for (int i = 0; i < n; i++) {
#pragma omp parallel for schedule(static) reduction(+ : bins[:1 << 11]) if (x[i].n > MANY)
        for (size_t k = 0; k < x[i].n; k++) {
            uint32_t key = key_of(x[i].v[k]);
            if (above == 32 || key >> above == prefix)
                bins[key >> shift & ((1U << width) - 1)]++;
        }
    }
}

/* The key of the k-th largest score, k > 0, and how many that have it are among the k. */
static uint32_t kth_largest(const struct span *x, int n, size_t k, size_t *ties)
{
    static const int width[] = {11, 11, 10};
    size_t bins[1 << 11];
    uint32_t prefix = 0;
    for (int pass = 0, shift = 32; pass < 3; pass++) {
        shift -= width[pass];
        count(x, n, prefix, shift, width[pass], bins);
        uint32_t bin = (1U << width[pass]) - 1;
        for (; bins[bin] < k; bin--)
            k -= bins[bin];
        prefix = prefix << width[pass] | bin;
    }
    *ties = k;
    return prefix;
}

static size_t count_kept(const struct span *x, int n, uint32_t least)
{
    size_t kept = 0;
    for (int i = 0; i < n; i++) {
#pragma omp parallel for schedule(static) reduction(+ : kept) if (x[i].n > MANY)
        for (size_t k = 0; k < x[i].n; k++)
            kept += key_of(x[i].v[k]) >= least;
    }
    return kept;
}

/* --- marking --- */

struct marking {
    const struct scoring *s;
    const struct locator *l;
    uint64_t *bits;
};

static void set_bit(const struct marking *k, size_t offset)
{
    k->bits[offset / 64] |= (uint64_t)1 << offset % 64;
}

static void set_run(const struct marking *k, const struct weight *w, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        set_bit(k, w->offset + from + i);
}

/* Rows of the neuron j of F in a tensor of its layer, and its column in that of the down
 * projection. */
static void mark_neuron(const struct marking *k, size_t unit)
{
    const struct model *m = k->s->engine->model;
    const size_t f = (size_t)m->cfg.ff, layer = unit / f, j = unit % f;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        const size_t rows = (size_t)w->shape[0], cols = (size_t)w->shape[1];
        if (w->layer != (int)layer || w->slot < W_GATE || w->slot > W_DOWN || !w->trainable)
            continue;
        if (w->slot != W_DOWN)
            for (size_t r = j; r < rows; r += f)
                set_run(k, w, r * cols, cols);
        else
            for (size_t r = 0; r < rows; r++)
                set_bit(k, w->offset + r * cols + j);
    }
}

static void mark(const struct marking *k, const struct span *x, size_t i)
{
    const size_t unit = x->unit + i;
    if (x->tensor < 0) {
        mark_neuron(k, unit);
        return;
    }
    const struct weight *w = &k->s->engine->model->table.v[x->tensor];
    const size_t cols = k->l->unit == UNIT_ROW ? (size_t)w->shape[1] : 1;
    set_run(k, w, unit * cols, cols);
}

/* Marks what is above `key`, and `ties` of those that have it: the first, or the last. */
static size_t mark_all(const struct marking *m, const struct span *x, int n, uint32_t key,
                       size_t ties, bool last)
{
    size_t kept = 0, equal = 0;
    for (int i = 0; i < n && last; i++)
        for (size_t k = 0; k < x[i].n; k++)
            equal += key_of(x[i].v[k]) == key;
    const size_t from = last ? equal - ties : 0;
    equal = 0;
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < x[i].n; k++) {
            const uint32_t own = key_of(x[i].v[k]);
            const size_t turn = equal;
            equal += own == key;
            if (own > key || (own == key && turn >= from && turn - from < ties)) {
                mark(m, &x[i], k);
                kept++;
            }
        }
    return kept;
}

/* The largest score that is not kept, and how many are near the threshold. */
static void look_around(const struct span *x, int n, uint32_t key, bool tied, struct selected *r)
{
    uint32_t next = tied ? key : 0;
    r->threshold = (double)number_of(key);
    r->near = 0;
    for (int i = 0; i < n; i++) {
        const double threshold = r->threshold;
        size_t near = 0;
#pragma omp parallel for schedule(static) reduction(+ : near) reduction(max : next) if (x[i].n > MANY)
        for (size_t k = 0; k < x[i].n; k++) {
            const uint32_t own = key_of(x[i].v[k]);
            if (own < key && own > next)
                next = own;
            near += fabs((double)x[i].v[k] - threshold) <= 1e-4 * fabs(threshold);
        }
        r->near += near;
    }
    r->next = next > NEVER ? (double)number_of(next) : NAN;
}

/* --- the scopes --- */

/* How many of n a share keeps: of a row all but int(n * (1 - ratio)), as Wanda has it. */
static size_t share_of(size_t n, const struct selection *how)
{
    return how->scope == SCOPE_ROW ? n - (size_t)((double)n * (1 - how->ratio))
                                   : (size_t)(how->ratio * (double)n);
}

static void select_in(const struct marking *m, const struct span *x, int n,
                      const struct selection *how, struct selected *r)
{
    size_t units = 0, ties = 0, k, most = count_kept(x, n, NEVER + 1);
    uint32_t key = key_of((float)m->s->least);
    for (int i = 0; i < n; i++)
        units += x[i].n;
    const bool all = how->ratio <= 0;
    key = key > NEVER ? key : NEVER + 1;
    k = all ? count_kept(x, n, key) : share_of(units, how);
    r->units += units;
    r->asked += k;
    k = k < most ? k : most;
    if (!k)
        return;
    key = kth_largest(x, n, k, &ties);
    size_t kept = mark_all(m, x, n, key, ties, how->scope == SCOPE_ROW);
    BUG_ON(kept != k);
    if (how->scope == SCOPE_GLOBAL)
        look_around(x, n, key, count_kept(x, n, key) > k, r);
    r->kept += kept;
}

/* The spans of all tensors, or of all layers' neurons; owned by the caller. */
static struct span *spans_of(const struct marking *m, int *n, struct err *e)
{
    const struct scoring *s = m->s;
    const struct model_config *c = &s->engine->model->cfg;
    const int most = m->l->unit == UNIT_NEURON ? c->layers : s->engine->model->table.n;
    struct span *x = mem_alloc((size_t)most, sizeof *x, e);
    *n = 0;
    for (int i = 0; x && i < most; i++) {
        size_t first = (size_t)i * (size_t)c->ff, units = (size_t)c->ff;
        const bool neurons = m->l->unit == UNIT_NEURON;
        if (!neurons)
            units = scoring_units(s, m->l, i, &first);
        if (units)
            x[(*n)++] = (struct span){.v = s->v + first,
                                      .n = units,
                                      .tensor = neurons ? -1 : i,
                                      .unit = neurons ? first : 0};
    }
    return x;
}

static void select_rows(const struct marking *m, const struct span *x, const struct selection *how,
                        struct selected *r)
{
    const struct weight *w = &m->s->engine->model->table.v[x->tensor];
    const size_t cols = w->n_dims == 1 ? w->count : (size_t)w->shape[1];
    for (size_t row = 0; row < x->n; row += cols) {
        const struct span one = {.v = x->v + row, .n = cols, .tensor = x->tensor, .unit = row};
        select_in(m, &one, 1, how, r);
    }
}

/* Tensors without scores that train freely. */
static void mark_rest(const struct marking *m)
{
    const struct weight_table *t = &m->s->engine->model->table;
    for (int i = 0; i < t->n && m->s->rest_free; i++)
        if (m->s->skipped[i] && t->v[i].trainable)
            set_run(m, &t->v[i], 0, t->v[i].count);
}

int scores_select(const struct scoring *s, const struct locator *l, const struct selection *how,
                  uint64_t *bits, struct selected *r, struct err *e)
{
    const struct marking m = {s, l, bits};
    int n;
    *r = (struct selected){.threshold = NAN, .next = NAN};
    if (how->scope == SCOPE_ROW && l->unit != UNIT_ELEMENT)
        return err_about(e, "scope",
                         "locator '%s' has one score for each row or neuron, and none "
                         "to compare within a row",
                         l->name);
    struct span *x = spans_of(&m, &n, e);
    if (!x)
        return -1;
    if (how->scope == SCOPE_GLOBAL)
        select_in(&m, x, n, how, r);
    for (int i = 0; i < n && how->scope != SCOPE_GLOBAL; i++)
        (how->scope == SCOPE_ROW ? select_rows(&m, &x[i], how, r)
                                 : select_in(&m, &x[i], 1, how, r));
    mark_rest(&m);
    free(x);
    return 0;
}
