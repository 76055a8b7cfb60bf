#include "model/lora.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/regex.h"
#include "base/rng.h"

#define PADDED(n) (((n) + 15) & ~(size_t)15)

/* --- which weights --- */

/* "all-linear" is empty names; a list has names; a pattern is compiled. */
struct targets {
    const char *names;
    bool compiled;
    struct pattern pattern;
};

/* A list of names has no character that only patterns have. */
static bool is_pattern(const char *s)
{
    return s[strcspn(s, "*+?|()[]{}\\^$")] != 0;
}

static int targets_init(struct targets *t, const char *s, struct err *e)
{
    *t = (struct targets){.names = s};
    if (!is_pattern(s))
        return 0;
    t->compiled = true;
    return pattern_init(&t->pattern, s, PATTERN_WHOLE, e) ? err_prefix(e, "lora_targets '%s': ", s)
                                                          : 0;
}

static void targets_fini(struct targets *t)
{
    pattern_fini(&t->pattern);
}

/* module[0..n) is one of the names, or ends with ".name". */
static bool is_listed(const char *names, const char *module, size_t n)
{
    for (size_t len; *names; names += len + (names[len] == ',')) {
        len = strcspn(names, ",");
        if (len && len <= n && !memcmp(module + n - len, names, len) &&
            (len == n || module[n - len - 1] == '.'))
            return true;
    }
    return false;
}

static bool is_target(const struct targets *t, const struct weight *w)
{
    const char *end = strstr(w->name, ".weight");
    size_t n = end ? (size_t)(end - w->name) : 0;
    if (!n || w->n_dims != 2 || w->slot == W_EMBED || w->slot == W_POS || w->slot == W_ROUTER)
        return false;
    struct err ignored;
    bool yes;
    if (t->compiled)
        return !pattern_matches(&t->pattern, w->name, n, &yes, &ignored) && yes;
    return !strcmp(t->names, "all-linear") ? w->slot != W_HEAD : is_listed(t->names, w->name, n);
}

size_t lora_floats(const struct model *m, int rank)
{
    const struct targets all = {.names = "all-linear"};
    size_t floats = 0;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        if (is_target(&all, w))
            floats += PADDED((size_t)(rank * w->shape[0])) + PADDED((size_t)(rank * w->shape[1]));
    }
    return floats;
}

/* --- attaching --- */

/* The table's next row, a matrix of the adapter of weight w. */
static void add_row(struct model *m, const struct weight *w, const char *part, int64_t rows,
                    int64_t cols)
{
    struct lora *l = m->lora;
    struct weight *row = &m->table.v[m->table.n++];
    int n = (int)(strstr(w->name, ".weight") - w->name);
    *row = (struct weight){.slot = w->slot,
                           .layer = w->layer,
                           .n_dims = 2,
                           .shape = {rows, cols},
                           .count = (size_t)(rows * cols),
                           .offset = l->floats,
                           .decay = true,
                           .trainable = true,
                           .wants_grad = true};
    snprintf(row->name, sizeof row->name, "%.*s.%s.weight", n, w->name, part);
    l->floats += PADDED(row->count);
}

/* Rows for every target, in the table's order. */
static int add_rows(struct model *m, const struct targets *t, const char *asked, struct err *e)
{
    struct weight_table *table = &m->table;
    int n = table->n, found = 0;
    for (int i = 0; i < n; i++)
        found += is_target(t, &table->v[i]);
    if (!found)
        return err_set(e,
                       "lora_targets '%s' names no linear layer; give all-linear, or names such "
                       "as those in '%s'",
                       asked, table->v[n / 2].name);
    size_t rows = (size_t)n, weights = (size_t)n, need = (size_t)(n + 2 * found);
    if (mem_reserve(&table->v, &rows, need, sizeof *table->v, e) ||
        mem_reserve(&m->w, &weights, need, sizeof *m->w, e) ||
        !(m->lora->of = mem_alloc((size_t)n, sizeof *m->lora->of, e)))
        return -1;
    for (int i = 0; i < n; i++) {
        struct weight *w = &table->v[i];
        w->trainable = w->wants_grad = false;
        m->lora->of[i] = -1;
        if (!is_target(t, w))
            continue;
        m->lora->of[i] = table->n;
        add_row(m, w, "lora_A", m->lora->rank, w->shape[1]);
        add_row(m, w, "lora_B", w->shape[0], m->lora->rank);
        if (w->shape[1] > m->lora->widest)
            m->lora->widest = (int)w->shape[1];
    }
    return 0;
}

/* A as torch.nn.Linear starts, uniform within 1/sqrt(in) of 0 (He et al.'s rule with a = sqrt 5, as
 * PEFT has it); B is 0. */
static void draw_weights(struct model *m, unsigned seed)
{
    for (int i = m->table.n_model; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        m->w[i] = m->own + w->offset;
        if ((i - m->table.n_model) % 2)
            continue;
        struct rng r;
        rng_stream(&r, seed, RNG_INIT, (uint32_t)(1 + i - m->table.n_model));
        float bound = 1 / sqrtf((float)w->shape[1]);
        float *p = m->ops->map(m->own + w->offset, w->count);
        for (size_t k = 0; k < w->count; k++)
            p[k] = bound * (2 * rng_float(&r) - 1);
        m->ops->unmap(m->own + w->offset);
    }
}

static int make_room(struct model *m, struct err *e)
{
    struct lora *l = m->lora;
    size_t u = LORA_ROWS * (size_t)l->rank;
    size_t x = l->dropout > 0 ? LORA_ROWS * (size_t)l->widest : 0;
    return (m->own = m->ops->alloc(l->floats, e)) && (l->u = m->ops->alloc(u, e)) &&
                   (l->du = m->ops->alloc(u, e)) && (l->x = m->ops->alloc(x, e))
               ? 0
               : -1;
}

int lora_attach(struct model *m, const struct lora_options *o, unsigned seed, struct err *e)
{
    struct targets t;
    BUG_ON(m->own || m->lora);
    if (!(m->lora = mem_alloc(1, sizeof *m->lora, e)))
        return -1;
    struct lora *l = m->lora;
    double root = o->use_rslora ? sqrt((double)o->lora_rank) : (double)o->lora_rank;
    l->rank = (int)o->lora_rank;
    l->alpha = o->lora_alpha;
    l->scale = (float)(o->lora_alpha / root);
    l->dropout = o->lora_dropout;
    l->rslora = o->use_rslora;
    l->regex = is_pattern(o->lora_targets);
    l->seed = seed;
    int rc = -1;
    if (!targets_init(&t, o->lora_targets, e) && (l->targets = mem_strdup(o->lora_targets, e)) &&
        !add_rows(m, &t, o->lora_targets, e) && !make_room(m, e)) {
        draw_weights(m, seed);
        weight_table_place(&m->table);
        rc = 0;
    }
    targets_fini(&t);
    return rc;
}

void lora_free(struct lora *l, const struct ops *o)
{
    if (!l)
        return;
    free(l->targets);
    free(l->of);
    o->free(l->u);
    o->free(l->du);
    o->free(l->x);
    free(l);
}

void lora_base(const struct model *m, struct model *view)
{
    *view = (struct model){.cfg = m->cfg,
                           .table = m->table,
                           .w = m->w,
                           .stored = m->stored,
                           .ops = m->ops,
                           .path = m->path,
                           .of = m};
}

/* --- in a pass, and merged into a weight --- */

void lora_draw(struct lora *l, long micro)
{
    if (l)
        l->draw = micro;
}

/* A block of rows of one product. */
struct block {
    const struct weight *a, *b;
    const device float *wa, *wb; /* wb: from row `first` on */
    int i, n, in;
    size_t at;  /* of x in its whole */
    bool drops; /* dropout */
};

static struct block block_of(const struct model *m, int i, size_t first, bool training)
{
    int k = m->lora->of[i];
    const struct weight *a = &m->table.v[k];
    return (struct block){.a = a,
                          .b = a + 1,
                          .wa = m->w[k],
                          .wb = m->w[k + 1] + first * (size_t)m->lora->rank,
                          .i = i,
                          .in = (int)a->shape[1],
                          .drops = training && m->lora->dropout > 0};
}

/* to [n,in] = the rows of x that are the block's, with dropout. */
static void drop(const struct model *m, const struct block *b, device float *to,
                 const device float *x)
{
    const struct lora *l = m->lora;
    const uint64_t micro = rng_at(l->seed, (uint64_t)(l->draw + 1));
    const struct dropout d = {l->dropout, rng_at(micro + (uint64_t)b->i, 0), b->at};
    m->ops->dropout(to, x, (size_t)b->n * (size_t)b->in, &d);
}

static void block_take(struct block *b, int row, int n)
{
    b->n = n - row < LORA_ROWS ? n - row : LORA_ROWS;
    b->at = (size_t)row * (size_t)b->in;
}

/* u [n,r] = s x~ A^T; returns x~, which is x but where training drops some of it. */
static const device float *project(const struct model *m, const struct block *b,
                                   const device float *x)
{
    struct lora *l = m->lora;
    if (b->drops) {
        drop(m, b, l->x, x);
        x = l->x;
    }
    m->ops->linear(l->u, x, b->wa, b->n, b->in, l->rank, 0);
    m->ops->scale(l->u, l->scale, (size_t)b->n * (size_t)l->rank);
    return x;
}

void lora_forward(const struct model *m, int i, size_t first, int out, device float *y,
                  const device float *x, int n, bool training)
{
    const struct lora *l = m->lora;
    if (!l || l->of[i] < 0)
        return;
    struct block b = block_of(m, i, first, training);
    for (int row = 0; row < n; row += b.n) {
        block_take(&b, row, n);
        project(m, &b, x + b.at);
        m->ops->linear(y + (size_t)row * (size_t)out, l->u, b.wb, b.n, l->rank, out, 1);
    }
}

static void block_back(const struct model *m, const struct block *b, size_t first, int out,
                       device float *grads, device float *dx, const device float *dy,
                       const device float *x)
{
    const struct lora *l = m->lora;
    size_t count = (size_t)b->n * (size_t)b->in;
    x = project(m, b, x);
    if (grads && b->b->wants_grad)
        m->ops->linear_dw(grads + b->b->at + first * (size_t)l->rank, dy, l->u, b->n, l->rank, out,
                          1);
    m->ops->linear_dx(l->du, dy, b->wb, b->n, l->rank, out, 0);
    m->ops->scale(l->du, l->scale, (size_t)b->n * (size_t)l->rank);
    if (grads && b->a->wants_grad)
        m->ops->linear_dw(grads + b->a->at, l->du, x, b->n, b->in, l->rank, 1);
    if (!dx)
        return;
    m->ops->linear_dx(b->drops ? l->x : dx, l->du, b->wa, b->n, b->in, l->rank, !b->drops);
    if (b->drops) {
        drop(m, b, l->x, l->x);
        m->ops->add(dx, l->x, count);
    }
}

void lora_backward(const struct model *m, int i, size_t first, int out, device float *grads,
                   device float *dx, const device float *dy, const device float *x, int n,
                   bool training)
{
    if (!m->lora || m->lora->of[i] < 0)
        return;
    struct block b = block_of(m, i, first, training);
    for (int row = 0; row < n; row += b.n) {
        block_take(&b, row, n);
        block_back(m, &b, first, out, grads, dx ? dx + b.at : NULL, dy + (size_t)row * (size_t)out,
                   x + b.at);
    }
}

size_t lora_room(const struct model *m)
{
    size_t most = 0;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        const bool adapted = m->lora && m->lora->of[i] >= 0;
        size_t n = w->count + (adapted ? (size_t)w->shape[0] * (size_t)m->lora->rank : 0);
        most = (adapted || model_stored(m, i)) && n > most ? n : most;
    }
    return most;
}

const device float *lora_merged(const struct model *m, int i, device float *room)
{
    const struct lora *l = m->lora;
    const struct weight *w = &m->table.v[i];
    const bool adapted = l && l->of[i] >= 0;
    if (!adapted && !model_stored(m, i))
        return m->w[i];
    model_copy_weight(m, i, room);
    if (!adapted)
        return room;
    struct block b = block_of(m, i, 0, false);
    device float *sb = room + w->count;
    m->ops->copy(sb, b.wb, b.b->count);
    m->ops->scale(sb, l->scale, b.b->count);
    m->ops->linear_dx(room, sb, b.wa, (int)w->shape[0], b.in, l->rank, 1);
    return room;
}
