/* Influence scores: the gradients of all queries, solved, then one pass over the rows. */
#include "influence/walk.h"

#include <string.h>

#include "base/mem.h"

struct scoring_pass {
    struct influence_scores *out;
    int n_queries, n;
    double damping;
    device float **query; /* owned [maps] of [n_queries, out, in]; NULL: not of the block */
    double *part;         /* owned [n_queries, n]: of one map */
    device float *scratch;
    size_t room;
};

/* w->g = the gradient of the walk's row, G [out,in]. */
static device float *gradient_of(struct walk *w, int i, const struct product *y)
{
    const size_t n = kfac_area(&w->k->maps[i]);
    device float *g = walk_room(w, &w->g, &w->g_room, n);
    if (g)
        w->k->m->ops->linear_dw(g, y->dy, y->x, y->n, y->in, y->out, 0);
    return g;
}

static void take_query(struct walk *w, int i, const struct product *y)
{
    struct scoring_pass *p = w->ctx;
    const struct ops *o = w->k->m->ops;
    const size_t n = kfac_area(&w->k->maps[i]);
    device float *g = gradient_of(w, i, y),
                 *scratch = g ? walk_room(w, &p->scratch, &p->room, n) : NULL;
    if (!scratch)
        return;
    if (p->out->query_square)
        p->out->query_square[w->row] += o->dot(g, g, n);
    kfac_solve(w->k, i, p->damping, g, scratch);
    o->copy(p->query[i] + (size_t)w->row * n, g, n);
}

static void score_rows(struct walk *w, int i, const struct product *y)
{
    struct scoring_pass *p = w->ctx;
    const struct kfac *k = w->k;
    const struct ops *o = k->m->ops;
    const size_t n = (size_t)p->n, pairs = (size_t)p->n_queries * n, row = (size_t)w->row;
    struct outer g;
    if (!walk_outer(w, i, y, false, &g))
        return;
    for (size_t q = 0; q < (size_t)p->n_queries; q++)
        memset(p->part + q * n + row, 0, (size_t)y->n_seqs * sizeof *p->part);
    o->outer_dots(p->part + row, n, p->query[i], p->n_queries, &g);
    for (size_t q = 0; q < (size_t)p->n_queries; q++)
        for (size_t at = q * n + row; at < q * n + row + (size_t)y->n_seqs; at++) {
            p->out->score[at] += p->part[at];
            if (p->out->by_map)
                p->out->by_map[(size_t)i * pairs + at] += p->part[at];
        }
    if (p->out->row_square)
        o->outer_norms(p->out->row_square + row, NULL, 0, &g);
    if (p->out->self && walk_outer(w, i, y, true, &g))
        o->outer_norms(p->out->self + row, k->maps[i].lambda, kfac_damping(k, i, p->damping), &g);
}

int kfac_scores(const struct kfac *k, const struct seq *queries, int n_queries,
                const struct seq *rows, int n, double damping, struct influence_scores *out,
                struct err *e)
{
    struct scoring_pass p = {.out = out, .n_queries = n_queries, .n = n, .damping = damping};
    struct walk asked = {.k = k, .see = take_query, .what = "queries", .ctx = &p, .one = true},
                scored = {.k = k, .see = score_rows, .what = "scores", .ctx = &p};
    int rc = (p.query = mem_alloc((size_t)k->n, sizeof *p.query, e)) &&
                     (p.part = mem_alloc((size_t)n_queries * (size_t)n, sizeof *p.part, e))
                 ? 0
                 : -1;
    for (int i = k->lo; i < k->hi && !rc; i++)
        if (!(p.query[i] = k->m->ops->alloc((size_t)n_queries * kfac_area(&k->maps[i]), e)))
            rc = -1;
    rc = rc || walk_rows(&asked, queries, n_queries, e) || walk_rows(&scored, rows, n, e);
    for (int i = 0; p.query && i < k->n; i++)
        k->m->ops->free(p.query[i]);
    k->m->ops->free(p.scratch);
    free(p.query);
    free(p.part);
    return rc;
}

int kfac_solve_flat(const struct kfac *k, double damping, const device float *b, device float *x,
                    struct err *e)
{
    const struct ops *o = k->m->ops;
    size_t most = 1;
    for (int i = k->lo; i < k->hi; i++)
        most = kfac_area(&k->maps[i]) > most ? kfac_area(&k->maps[i]) : most;
    device float *scratch = o->alloc(most, e);
    for (int i = k->lo; i < k->hi && scratch; i++) {
        const struct kfac_map *at = &k->maps[i];
        const struct weight *w = &k->m->table.v[at->weight];
        const size_t first = w->at + (size_t)at->first * (size_t)at->in;
        if (!w->trainable)
            continue;
        o->copy(x + first, b + first, kfac_area(at));
        kfac_solve(k, i, damping, x + first, scratch);
    }
    o->free(scratch);
    return scratch ? 0 : -1;
}
