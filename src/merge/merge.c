#include "merge/merge.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "locate/mask_file.h"
#include "model/lora.h"
#include "tensor/matrix.h"
#include "text/tokenizer.h"

/* --- opening --- */

static int check_shapes(const struct model *a, const struct model *b, struct err *e)
{
    for (int i = 0; i < a->table.n_model; i++) {
        const struct weight *x = &a->table.v[i];
        const int k = weight_by_name(&b->table, x->name);
        if (k < 0)
            return err_set(e, "it has no tensor '%s'", x->name);
        const struct weight *y = &b->table.v[k];
        if (y->n_dims != x->n_dims || y->shape[0] != x->shape[0] || y->shape[1] != x->shape[1])
            return err_set(e, "tensor '%s' is %lld x %lld, the base's %lld x %lld", x->name,
                           (long long)y->shape[0], (long long)y->shape[1], (long long)x->shape[0],
                           (long long)x->shape[1]);
    }
    for (int i = 0; i < b->table.n_model; i++)
        if (weight_by_name(&a->table, b->table.v[i].name) < 0)
            return err_set(e, "it has a tensor '%s', which the base lacks", b->table.v[i].name);
    return 0;
}

/* Where both have a tokenizer, every id must be the same token: an embedding's rows are added. */
static int check_tokens(const struct tokenizer *a, const struct tokenizer *b, int vocab,
                        struct err *e)
{
    for (int id = 0; id < vocab; id++) {
        size_t n = 0, k = 0;
        const char *x = tokenizer_token(a, id, &n), *y = tokenizer_token(b, id, &k);
        if (!x != !y || (x && (n != k || memcmp(x, y, n))))
            return err_set(e, "it has another tokenizer: id %d is '%.*s', the base's '%.*s'", id,
                           y ? (int)k : 4, y ? y : "none", x ? (int)n : 4, x ? x : "none");
    }
    return 0;
}

static int check_tokenizer(const struct model *a, const struct model *b, struct err *e)
{
    struct err ignored;
    struct tokenizer *x = tokenizer_open(a->path, &ignored);
    struct tokenizer *y = x ? tokenizer_open(b->path, &ignored) : NULL;
    const int rc = x && y ? check_tokens(x, y, a->cfg.vocab, e) : 0;
    tokenizer_close(x);
    tokenizer_close(y);
    return rc;
}

static int open_model(struct model *m, const char *path, const struct model *base, struct err *e)
{
    if (model_open_header(m, path, e) ||
        (base && (check_shapes(base, m, e) || check_tokenizer(base, m, e))))
        return err_prefix(e, "'%s': ", path);
    return 0;
}

/* Only A and B are summed. */
static int check_adapter(const struct adapter_file *f, struct err *e)
{
    for (int i = 0; i < f->table.n; i++) {
        const struct adapter_part *p = &f->parts[i];
        const char *what = p->magnitude ? "DoRA's magnitudes"
                           : p->b_bias  ? "a bias"
                           : p->base    ? "weights that stand in for the model's"
                           : p->whole   ? "whole weights"
                           : p->tokens  ? "rows of an embedding"
                           : p->a && adapter_is_embedding(&f->table.v[i])
                               ? "an adapter of an embedding"
                               : NULL;
        if (what)
            return err_set(e, "'%s' has %s: only adapters of A and B alone are merged",
                           f->table.v[i].name, what);
    }
    return adapter_unties(f) ? err_set(e, "it adapts a head that is tied to the embedding") : 0;
}

static bool stored_in_half(const struct model *m)
{
    for (int i = 0; i < m->table.n_model; i++) {
        const struct tensor *t = store_find(m, &m->table.v[i]);
        if (t && t->dtype != DT_F32 && t->dtype != DT_F64)
            return true;
    }
    return false;
}

static int open_source(struct merging *g, struct merge_source *s, const struct merge_names *of,
                       struct err *e)
{
    s->name = of->name;
    s->weight = of->weight;
    s->is_adapter = of->is_adapter;
    if (!(s->product = mem_alloc((size_t)g->n, sizeof *s->product, e)))
        return -1;
    if (!s->is_adapter) {
        if (open_model(&s->m, s->name, &g->base, e))
            return -1;
        s->half = stored_in_half(&s->m);
        return 0;
    }
    return adapter_open(&s->adapter, &g->base, s->name, e) || check_adapter(&s->adapter, e)
               ? err_prefix(e, "'%s': ", s->name)
               : 0;
}

static size_t largest(const struct model *m)
{
    size_t n = 0;
    for (int i = 0; i < m->table.n_model; i++)
        n = m->table.v[i].count > n ? m->table.v[i].count : n;
    return n;
}

static int check_rule(const struct merging *g, struct err *e)
{
    const struct merge_rule *r = g->rule->row;
    if (r->alone && g->n)
        return err_set(e, "'%s' changes the base alone, and takes no other models", r->name);
    if (!r->alone && !g->n)
        return err_about(e, "sources", "'%s' needs models or adapters to merge", r->name);
    for (int k = 0; k < g->n && r->stacks; k++)
        if (!g->v[k].is_adapter)
            return err_set(e, "'%s' stacks adapters, and '%s' is a model", r->name, g->v[k].name);
    return 0;
}

int merging_open(struct merging *g, const char *base, const char *start,
                 const struct merge_names *sources, int n, struct err *e)
{
    if (open_model(&g->base, base, NULL, e) ||
        (start && (g->has_start = true, open_model(&g->start, start, &g->base, e))) ||
        !(g->v = mem_alloc((size_t)n, sizeof *g->v, e)))
        return -1;
    g->n = n;
    for (int k = 0; k < n; k++)
        if (open_source(g, &g->v[k], &sources[k], e))
            return -1;
    g->most = largest(&g->base);
    return check_rule(g, e) || !(g->held = g->base.ops->alloc(g->most, e)) ||
                   !(g->sum = mem_alloc(g->most, sizeof *g->sum, e))
               ? -1
               : 0;
}

int merging_mask(struct merging *g, int k, const char *path, struct err *e)
{
    free(g->v[k].kept);
    g->v[k].kept = NULL;
    return mask_load(&g->base, &g->v[k].kept, path, e);
}

void merging_close(struct merging *g)
{
    if (g->held)
        g->base.ops->free(g->held);
    if (g->own_theta)
        g->base.ops->free(g->own_theta);
    for (int k = 0; k < g->n; k++) {
        model_close(&g->v[k].m);
        adapter_close(&g->v[k].adapter);
        free(g->v[k].product);
        free(g->v[k].kept);
    }
    free(g->v);
    free(g->sum);
    free(g->divisor);
    free(g->elected);
    model_close(&g->start);
    model_close(&g->base);
    *g = (struct merging){0};
}

/* --- reading --- */

static const float *read_weight(const struct model *m, const struct weight *w, device float *to,
                                struct err *e)
{
    const struct weight *own = &m->table.v[weight_by_name(&m->table, w->name)];
    if (store_read(m, own, to, e)) {
        err_prefix(e, "'%s': ", m->path);
        return NULL;
    }
    return m->ops->map_read(to, own->count);
}

static void drop_theta(struct merging *g)
{
    if (g->own_theta)
        g->base.ops->free(g->own_theta);
    g->own_theta = NULL;
}

const float *merging_base(struct merging *g, int i, struct err *e)
{
    if (!g->own_theta && !(g->own_theta = g->base.ops->alloc(g->most, e)))
        return NULL;
    return read_weight(&g->base, &g->base.table.v[i], g->own_theta, e);
}

/* x = s B A, or zeros where the weight has no adapter. */
static int read_product(struct merging *g, const struct adapter_file *f, float *x, struct err *e)
{
    const int row = weight_by_name(&f->table, g->w->name);
    const struct adapter_part *p = row < 0 ? NULL : &f->parts[row];
    if (!p || !p->a) {
        memset(x, 0, g->w->count * sizeof *x);
        return 0;
    }
    float *a = tensor_f32(p->a, e), *b = a ? adapter_rows(&g->base, g->w, p->b, e) : NULL;
    int rc = b ? 0 : -1;
    if (b)
        matrix_product(x, b, a, (int)g->w->shape[0], (int)g->w->shape[1], p->rank, p->scale);
    free(a);
    free(b);
    return rc;
}

int merging_read(struct merging *g, int k, struct err *e)
{
    const struct merge_source *s = &g->v[k];
    const struct ops *ops = g->base.ops;
    if (!s->is_adapter) {
        g->minus = g->theta;
        return (g->x = read_weight(&s->m, g->w, g->held, e)) ? 0 : -1;
    }
    g->minus = NULL;
    g->x = ops->map(g->held, g->w->count);
    int rc = read_product(g, &s->adapter, (float *)g->x, e);
    if (!rc && !ops->all_finite(g->held, g->w->count))
        rc = err_set(e, "'%s': its adapter of '%s' holds NaN or infinity", s->name, g->w->name);
    return rc;
}

static int enter(struct merging *g, int i, const float *theta, struct err *e)
{
    g->i = i;
    g->w = &g->base.table.v[i];
    g->theta = theta;
    return interrupt_check(g->stop, e);
}

int merging_each(struct merging *g, int (*see)(struct merging *g, void *ctx, struct err *e),
                 void *ctx, struct err *e)
{
    for (int i = 0; i < g->base.table.n_model; i++) {
        const float *theta = merging_base(g, i, e);
        if (!theta || enter(g, i, theta, e) || see(g, ctx, e))
            return -1;
    }
    return 0;
}

/* --- the sources' vectors --- */

/* Pairs of more sources than this would read every weight too often. */
enum { COSINES = 8 };

static int measure(struct merging *g, void *ctx, struct err *e)
{
    (void)ctx;
    for (int a = 0; a < g->n; a++) {
        if (merging_read(g, a, e))
            return -1;
        for (size_t j = 0; j < g->w->count; j++) {
            const double t = g->sum[j] = merging_tau(g, j);
            g->v[a].product[a] += t * t;
            g->v[a].zeros += t == 0;
        }
        for (int b = 0; b < a && g->n <= COSINES; b++) {
            if (merging_read(g, b, e))
                return -1;
            double dot = 0;
            for (size_t j = 0; j < g->w->count; j++)
                dot += g->sum[j] * merging_tau(g, j);
            g->v[a].product[b] += dot;
        }
    }
    return 0;
}

double merging_cosine(const struct merging *g, int a, int b)
{
    if (g->n > COSINES)
        return NAN;
    const double dot = g->v[a > b ? a : b].product[a > b ? b : a];
    return dot / (merging_length(g, a) * merging_length(g, b));
}

int merging_prepare(struct merging *g, struct err *e)
{
    const struct merge_rule *r = g->rule->row;
    const double all = (double)model_n_params(&g->base);
    if (g->n && merging_each(g, measure, NULL, e))
        return -1;
    for (int k = 0; k < g->n; k++) {
        const struct merge_source *s = &g->v[k];
        if (s->product[k] == 0)
            return err_set(e, "'%s' does not differ from the base", s->name);
        if (s->half && (double)s->zeros > 0.5 * all)
            log_warn("'%s' is stored in 16 bits or fewer, and equals the base in %.3g %% of its "
                     "weights: changes below half a unit of the last place are lost; train with "
                     "f32 weights",
                     s->name, 100 * (double)s->zeros / all);
    }
    const int rc = r->prepare ? r->prepare(g, e) : 0;
    drop_theta(g); /* the writer's copy of a weight serves, unless the start is another model */
    return rc;
}

/* --- the result --- */

int merging_vector(struct merging *g, int i, const float *theta, struct err *e)
{
    const struct merge_rule *r = g->rule->row;
    if (enter(g, i, theta, e))
        return -1;
    const size_t n = g->w->count;
    memset(g->sum, 0, n * sizeof *g->sum);
    if (r->combine(g, e))
        return -1;
    const double c = r->sign * g->lambda;
    for (size_t j = 0; j < n; j++) {
        g->moved += g->sum[j] != 0;
        g->squares += g->sum[j] * g->sum[j];
        g->sum[j] *= c;
    }
    g->count += n;
    return 0;
}

int merging_weight(void *ctx, int i, float *w, struct err *e)
{
    struct merging *g = ctx;
    const float *theta = g->has_start ? merging_base(g, i, e) : w;
    if (!theta || merging_vector(g, i, theta, e))
        return -1;
    for (size_t j = 0; j < g->w->count; j++)
        w[j] = (float)((double)w[j] + g->sum[j]);
    for (size_t j = 0; j < g->w->count; j++)
        if (!isfinite(w[j]))
            return err_set(e, "the merged tensor '%s' holds NaN or infinity", g->w->name);
    return 0;
}
