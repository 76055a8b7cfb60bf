/* The K-FAC curvature edit (arXiv 2510.24256): over many rows the directions of memorised texts are
 * flat, and those of what rows share are curved. Each chosen weight is written in the eigenvectors
 * of its Kronecker factors, C = Q_S^T W Q_A; the components with the largest eigenvalues s a^T
 * stay, until their sum is a given share of all; the others are set to 0. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sort.h"
#include "influence/updates.h"
#include "influence/walk.h"
#include "train/gradient.h"

struct curvature_edit {
    const char *modules;
    double kept_mass, memory;
};

static const struct param params[] = {
    STRING_PARAM(struct curvature_edit, modules,
                 ".*\\.mlp\\..*(gate|up|fc|fc1|fc_in|h_to_4h).*weight", "REGEX",
                 "weights that are edited: the whole name must match"),
    REAL_PARAM(struct curvature_edit, kept_mass, 0.01, 1, 0.8,
               "share of the sum of eigenvalues that the kept components have"),
    REAL_PARAM(struct curvature_edit, memory, 0.001, 1e6, 3, "GiB that the factors may take"),
    {0},
};

/* The smallest eigenvalue that stays. */
static int find_least(const struct kfac *k, int i, double share, double *least, struct err *e)
{
    const size_t n = kfac_area(&k->maps[i]);
    double *v = mem_alloc(n, sizeof *v, e), sum = 0, kept = 0;
    if (!v)
        return -1;
    const float *lambda = k->m->ops->map_read(k->maps[i].lambda, n);
    for (size_t c = 0; c < n; c++)
        sum += v[c] = (double)lambda[c];
    k->m->ops->unmap(k->maps[i].lambda);
    sort_doubles(v, n);
    size_t at = n;
    while (at && kept < share * sum)
        kept += v[--at];
    *least = at < n ? v[at] : INFINITY;
    free(v);
    return 0;
}

/* Adds to x what the edit changes in map i; returns how many components stay. */
static double edit_map(const struct kfac *k, int i, double least, device float *x, device float *g,
                       device float *scratch)
{
    const struct kfac_map *at = &k->maps[i];
    const struct weight *w = &k->m->table.v[at->weight];
    const struct ops *o = k->m->ops;
    const size_t n = kfac_area(at), first = (size_t)at->first * (size_t)at->in;
    double kept = 0;
    o->copy(g, k->m->own + w->offset + first, n);
    kfac_project(k, i, g, scratch);
    const float *lambda = o->map_read(at->lambda, n);
    float *c = o->map(g, n);
    for (size_t r = 0; r < n; r++) {
        const bool stays = (double)lambda[r] >= least;
        kept += stays;
        c[r] = stays ? 0 : -c[r]; /* the change, not the result: what stays keeps its bits */
    }
    o->unmap(g);
    o->unmap(at->lambda);
    kfac_project_back(k, i, g, scratch);
    o->copy(x + w->at + first, g, n);
    return kept;
}

static int edit_block(const struct kfac *k, double share, device float *x, double *kept,
                      double *all, struct err *e)
{
    const struct ops *o = k->m->ops;
    size_t most = 1;
    for (int i = k->lo; i < k->hi; i++)
        most = kfac_area(&k->maps[i]) > most ? kfac_area(&k->maps[i]) : most;
    device float *g = o->alloc(2 * most, e);
    int rc = g ? 0 : -1;
    for (int i = k->lo; i < k->hi && !rc; i++) {
        double least;
        if (!k->m->table.v[k->maps[i].weight].trainable)
            continue;
        if (!(rc = find_least(k, i, share, &least, e))) {
            *kept += edit_map(k, i, least, x, g, g + most);
            *all += (double)kfac_area(&k->maps[i]);
        }
    }
    o->free(g);
    return rc;
}

static int edit(struct update_job *j, const struct curvature_edit *p, struct kfac *k,
                device float *x, struct err *e)
{
    const struct dataset *d = j->engine->sets[ROLE_RETAIN];
    const struct fisher_labels labels = {.drawn = true, .seed = j->seed};
    double kept = 0, all = 0;
    for (int i = 0; i < k->n_blocks; i++) {
        kfac_choose(k, i);
        if (kfac_fit(k, d->seqs, d->n, &labels, NULL, NULL, e) ||
            edit_block(k, p->kept_mass, x, &kept, &all, e))
            return -1;
    }
    update_note(j, "kept_components", kept);
    update_note(j, "components", all);
    log_note("curvature edit: %.4g %% of the components of %d weights stay", 100 * kept / all,
             k->n);
    return all > 0 ? update_add(j, 1, x, e)
                   : err_about(e, "modules", "none of the weights to be edited may move");
}

static int apply(const void *params_, struct update_job *j, struct err *e)
{
    const struct curvature_edit *p = params_;
    struct model *m = j->engine->model;
    const struct dataset *d = j->engine->sets[ROLE_RETAIN];
    struct kfac k;
    if (!d || !d->n)
        return err_about(e, "retain", "the factors need retain data");
    device float *x = m->ops->alloc(m->table.grads, e);
    int rc = kfac_init(&k, m, STRATEGY_KFAC, p->modules, d->seqs, e) || !x ||
             kfac_plan(&k, p->memory * (1 << 30), 0, e);
    k.stop = j->stop;
    rc = rc || edit(j, p, &k, x, e);
    kfac_fini(&k);
    m->ops->free(x);
    return rc;
}

const struct update update_curvature_edit = {
    .name = "curvature_edit",
    .help = "components of weights along which the loss of the retain rows is flat are removed",
    .formula = "Q_S C Q_A^T, C = Q_S^T W Q_A without the components of the smallest eigenvalues",
    .further = "lower kept_mass",
    .shorter = "raise kept_mass",
    .params = params,
    .params_size = sizeof(struct curvature_edit),
    .apply = apply,
};
