/* Merged vectors as adapters: truncated, or, of adapters, their stacked factors. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "merge/merge.h"
#include "model/lora.h"
#include "tensor/matrix.h"

/* Matrices that PEFT's layers of LoRA stand for: those of the layers but for a router. */
static bool can_adapt(const struct weight *w)
{
    return w->layer >= 0 && w->n_dims == 2 && w->slot != W_ROUTER && strstr(w->name, ".weight");
}

static const struct adapter_part *part_of(const struct merging *g, int k, const struct weight *w)
{
    const struct adapter_file *f = &g->v[k].adapter;
    const int row = weight_by_name(&f->table, w->name);
    return row >= 0 && f->parts[row].a ? &f->parts[row] : NULL;
}

static int pair_init(struct lora_pair *p, const struct weight *w, int rank, struct err *e)
{
    *p = (struct lora_pair){.w = w, .a = mem_alloc((size_t)(rank * w->shape[1]), sizeof(float), e)};
    if (p->a)
        p->b = mem_alloc((size_t)(rank * w->shape[0]), sizeof(float), e);
    return p->b ? 0 : -1;
}

/* --- stacked: A = [c w s A_k], B = [B_k] --- */

/* The ranks of the adapters of a weight together. */
static int stacked_rank(const struct merging *g, const struct weight *w)
{
    int rank = 0;
    for (int k = 0; k < g->n; k++) {
        const struct adapter_part *p = part_of(g, k, w);
        rank += p ? p->rank : 0;
    }
    return rank;
}

static int stack_one(const struct merging *g, int k, struct lora_pair *pair, int at, int rank,
                     struct err *e)
{
    const struct merge_rule *r = g->rule->row;
    const struct weight *w = pair->w;
    const struct adapter_part *p = part_of(g, k, w);
    const size_t in = (size_t)w->shape[1], out = (size_t)w->shape[0], own = (size_t)p->rank;
    const double scale = r->sign * g->lambda * g->v[k].weight * p->scale;
    float *a = tensor_f32(p->a, e), *b = a ? adapter_rows(&g->base, w, p->b, e) : NULL;
    for (size_t i = 0; b && i < own * in; i++)
        pair->a[(size_t)at * in + i] = (float)(scale * (double)a[i]);
    for (size_t i = 0; b && i < out; i++)
        memcpy(pair->b + i * (size_t)rank + at, b + i * own, own * sizeof *b);
    const int rc = b ? 0 : -1;
    free(a);
    free(b);
    return rc;
}

/* Where the ranks of a weight are fewer, the rest are zeros. */
static int stack(struct merging *g, struct lora_pair *pair, int rank, struct err *e)
{
    int at = 0;
    for (int k = 0; k < g->n; k++) {
        const struct adapter_part *p = part_of(g, k, pair->w);
        if (p && stack_one(g, k, pair, at, rank, e))
            return -1;
        at += p ? p->rank : 0;
    }
    return 0;
}

/* --- */

static double sum_of_squares(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i] * v[i];
    return sum;
}

/* The pair of weight i; pair->w stays NULL where its vector is 0. */
static int make_pair(struct merging *g, int i, int rank, bool stacked, struct lora_pair *pair,
                     struct low_rank_facts *f, struct err *e)
{
    const struct weight *w = &g->base.table.v[i];
    const float *theta = merging_base(g, i, e);
    if (!theta || merging_vector(g, i, theta, e))
        return -1;
    const double squares = sum_of_squares(g->sum, w->count);
    if (!can_adapt(w)) {
        f->others += squares;
        return 0;
    }
    f->squares += squares;
    if (squares == 0)
        return 0;
    if (pair_init(pair, w, rank, e))
        return -1;
    if (stacked)
        return stack(g, pair, rank, e);
    const int rows = (int)w->shape[0], cols = (int)w->shape[1], least = rows < cols ? rows : cols;
    double left;
    if (rank > least)
        return err_set(e, "rank %d is more than '%s' has, %d x %d", rank, w->name, rows, cols);
    if (matrix_factor(pair->b, pair->a, &left, g->sum, rows, cols, rank, e))
        return err_prefix(e, "'%s': ", w->name);
    f->left += left;
    return 0;
}

int merging_save_adapter(struct merging *g, int rank, const char *dir, struct low_rank_facts *f,
                         struct err *e)
{
    const struct weight_table *t = &g->base.table;
    const bool stacked = ((const struct merge_rule *)g->rule->row)->stacks;
    struct lora_pair *pairs = mem_alloc((size_t)t->n_model, sizeof *pairs, e);
    int rc = pairs ? 0 : -1;
    *f = (struct low_rank_facts){.pairs = 0};
    if (stacked)
        rank = 0;
    for (int i = 0; stacked && i < t->n_model; i++) {
        const int own = stacked_rank(g, &t->v[i]);
        rank = own > rank ? own : rank;
    }
    for (int i = 0; !rc && i < t->n_model; i++) {
        rc = make_pair(g, i, rank, stacked, &pairs[f->pairs], f, e);
        f->pairs += pairs[f->pairs].w != NULL;
    }
    if (!rc && !f->pairs)
        rc = err_set(e, "the merged vector of the layers' matrices is 0: there is no adapter");
    rc = rc || lora_save_pairs(merging_start(g), rank, pairs, f->pairs, dir, e);
    for (int i = 0; pairs && i < t->n_model; i++) {
        free(pairs[i].a);
        free(pairs[i].b);
    }
    free(pairs);
    return rc;
}
