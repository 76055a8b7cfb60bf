#include "suites/suite.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "eval/stats.h"
#include "suites/metrics.h"
#include "suites/recipe.h"

/* Results of one set, over its finite rows. */
struct side {
    int n, missing;
    double *kl, *same, *tokens; /* of each row; all owned by kl */
    double *loss, *retrained;
    double all_tokens;
};

/* The first metric that uses the set; NULL: none, or the set is not given. */
static const struct metric *first_metric(const struct suite *s, int set)
{
    for (const struct metric *m = s->recipe->metrics; m->name; m++)
        if (m->answer && (m->set == set || (m->kind->flags & METRIC_ATTACK && m->against == set)) &&
            suite_rows(s, set, m->answer))
            return m;
    return NULL;
}

/* The set of non-members of the first attack on this set; -1: none. */
static int non_members(const struct suite *s, int set)
{
    for (const struct metric *m = s->recipe->metrics; m->name; m++)
        if (m->kind->flags & METRIC_ATTACK && m->set == set)
            return m->against;
    return -1;
}

static int side_init(struct side *x, int n, struct err *e)
{
    if (!(x->kl = mem_alloc(5 * (size_t)n, sizeof *x->kl, e)))
        return -1;
    x->same = x->kl + n;
    x->tokens = x->kl + 2 * n;
    x->loss = x->kl + 3 * n;
    x->retrained = x->kl + 4 * n;
    return 0;
}

static void side_add(struct side *x, const struct divergence *d)
{
    if (!d->n || !isfinite(d->kl + d->nll + d->other_nll)) {
        x->missing++;
        return;
    }
    x->kl[x->n] = d->kl;
    x->same[x->n] = d->agree;
    x->tokens[x->n] = d->n;
    x->loss[x->n] = d->nll / d->n;
    x->retrained[x->n++] = d->other_nll / d->n;
    x->all_tokens += d->n;
}

static int measure(struct side *x, const struct suite *s, int set, const struct metric *m,
                   const struct comparer *c, struct err *e)
{
    struct dataset d;
    struct divergence *v = NULL;
    const struct prompt_settings how = suite_prompt_settings(s, set);
    if (observations_dataset(&d, suite_rows(s, set, m->answer), &how, m->answer, s->encoder, e))
        return -1;
    int rc = !(v = mem_alloc((size_t)d.n, sizeof *v, e)) || c->compare(c->ctx, &d, v, e) ||
             side_init(x, d.n, e);
    for (int i = 0; !rc && i < d.n; i++)
        side_add(x, &v[i]);
    if (x->missing)
        log_note("%s: %d of %d rows have no finite loss or distance and are left out",
                 s->recipe->sets[set].name, x->missing, d.n);
    free(v);
    dataset_fini(&d);
    return rc;
}

/* Sets NAME, NAME_low and NAME_high. */
static int set_figure(json_t *line, const char *name, double x, const struct interval *i)
{
    char low[32], high[32];
    snprintf(low, sizeof low, "%s_low", name);
    snprintf(high, sizeof high, "%s_high", name);
    return json_object_set_new(line, name, peer_number(x)) |
           json_object_set_new(line, low, peer_number(i->low)) |
           json_object_set_new(line, high, peer_number(i->high));
}

/* sum v / tokens */
static int set_ratio(json_t *line, const char *name, const struct side *x, const double *v,
                     struct err *e)
{
    struct interval i;
    double sum = 0;
    for (int k = 0; k < x->n; k++)
        sum += v[k];
    if (interval_of_ratio(v, x->tokens, x->n, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED, &i, e))
        return -1;
    return set_figure(line, name, x->n ? sum / x->all_tokens : NAN, &i) ? suite_no_memory(e) : 0;
}

static int set_separation(json_t *line, const struct side *x, struct err *e)
{
    struct interval i;
    struct ks ks;
    double auc;
    if (ks_two_sample(x->loss, x->n, x->retrained, x->n, &ks, e) ||
        stats_auc(x->loss, x->n, x->retrained, x->n, &auc, e) ||
        interval_of_auc(x->loss, x->n, x->retrained, x->n, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED, &i,
                        e))
        return -1;
    return json_object_set_new(line, "ks", peer_number(ks.p)) | set_figure(line, "auc", auc, &i)
               ? suite_no_memory(e)
               : 0;
}

static int set_gap(json_t *line, const struct side *members, const struct side *others,
                   struct err *e)
{
    double own, retrained;
    if (stats_auc(members->loss, members->n, others->loss, others->n, &own, e) ||
        stats_auc(members->retrained, members->n, others->retrained, others->n, &retrained, e))
        return -1;
    return json_object_set_new(line, "auc_gap", peer_number(own - retrained)) ? suite_no_memory(e)
                                                                              : 0;
}

/* others: non-members; NULL: none. */
static int add_line(struct suite *s, const char *name, const struct side *x,
                    const struct side *others, struct err *e)
{
    json_t *line = json_pack("{s:i, s:i, s:I}", "rows", x->n, "missing", x->missing, "tokens",
                             (json_int_t)x->all_tokens);
    if (!line || json_object_set_new(s->comparison, name, line))
        return suite_no_memory(e);
    return set_ratio(line, "kl", x, x->kl, e) || set_ratio(line, "top1", x, x->same, e) ||
           set_separation(line, x, e) || (others && set_gap(line, x, others, e));
}

int suite_compare_retrained(struct suite *s, const struct comparer *c, struct err *e)
{
    int n = s->recipe->n_sets, rc = 0;
    struct side *sides = mem_alloc((size_t)n, sizeof *sides, e);
    if (!sides)
        return -1;
    json_decref(s->comparison);
    if (!(s->comparison = json_object()))
        rc = suite_no_memory(e);
    for (int i = 0; i < n && !rc; i++) {
        const struct metric *m = first_metric(s, i);
        if (m && (rc = measure(&sides[i], s, i, m, c, e)))
            err_prefix(e, "%s: ", s->recipe->sets[i].name);
    }
    for (int i = 0; i < n && !rc; i++) {
        int against = non_members(s, i);
        if (sides[i].kl)
            rc = add_line(s, s->recipe->sets[i].name, &sides[i],
                          against >= 0 && sides[against].kl ? &sides[against] : NULL, e);
    }
    for (int i = 0; i < n; i++)
        free(sides[i].kl);
    free(sides);
    return rc;
}
