/* Membership from shadow models: whether the forget rows can still be told from rows that were
 * never trained on, by U-LiRA (arXiv 2403.01218) and RMIA (arXiv 2312.03262). */
#include <math.h>
#include <stdlib.h>

#include "attack/shadow.h"
#include "base/json.h"
#include "base/mem.h"
#include "eval/robustness.h"

enum { POOLED_BELOW = 16 }; /* shadow models a side: one deviation for all rows */

static const struct param table[] = {
    INT_PARAM(struct shadow_params, shadows, 2, 1024, 16,
              "shadow models, an even number: half of them are trained on a row"),
    STRING_PARAM(struct shadow_params, base, NULL, "MODEL",
                 "that shadow models start from; else the one that the target was trained from"),
    STRING_PARAM(struct shadow_params, train_options, NULL, "FILE",
                 "run.json or recipe of their training; else the target's"),
    STRING_PARAM(struct shadow_params, unlearn_options, NULL, "FILE",
                 "run.json or recipe of their unlearning; else that of the model under attack"),
    STRING_PARAM(struct shadow_params, shadow_dir, NULL, "DIR",
                 "where they are made, and found again; else 'shadows' in the output directory"),
    BOOL_PARAM(struct shadow_params, keep_shadows, false, "keep the models once they are scored"),
    REAL_PARAM(struct shadow_params, gamma, 0, 1000, 1,
               "RMIA: a row must be this much likelier than one of the population"),
    REAL_PARAM(struct shadow_params, offline_a, 0, 1, 0.3,
               "RMIA: a of the offline mean (1+a)/2 mean + (1-a)/2"),
    {0}};

/* Figures of scores [n] whose first `members` are of members, and the scores. */
static int put_scores(const double *score, int n, int members, json_t *to, struct err *e)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_finite(score[i]));
    const int rc = attack_put_auc(to, score, members, score + members, n - members, e);
    json_object_set_new(to, "scores", list);
    return rc;
}

/* What is known of the pool: rows' probabilities under the model and under the shadows. */
struct evidence {
    const struct shadow_pool *pool;
    const struct shadow *shadow; /* [n] */
    int n;
    const double *p; /* [pool n + population] under the model under attack */
};

static int put_lira(const struct evidence *v, json_t *to, struct err *e)
{
    const int rows = v->pool->n, side = v->n / 2;
    const size_t count = (size_t)rows * (size_t)side;
    double *all = mem_alloc(2 * count + 2 * (size_t)rows, sizeof *all, e);
    if (!all)
        return -1;
    double *in = all, *out = in + count, *observed = out + count, *score = observed + rows;
    for (int i = 0; i < rows; i++) {
        double *const to_in = in + (size_t)i * (size_t)side, *const to_out = out + (to_in - in);
        int n_in = 0, n_out = 0;
        for (int k = 0; k < v->n; k++)
            if (v->shadow[k].in[i])
                to_in[n_in++] = lira_phi(v->shadow[k].unlearned[i]);
            else
                to_out[n_out++] = lira_phi(v->shadow[k].trained[i]);
        observed[i] = lira_phi(v->p[i]);
    }
    int rc = lira_scores(observed, in, out, rows, side, LIRA_RATIO, side < POOLED_BELOW, score, e);
    double right = 0;
    for (int i = 0; i < rows; i++)
        right += (score[i] > 0) == (i < v->pool->members);
    rc = rc || put_scores(score, rows, v->pool->members, to, e);
    json_put_real(to, "accuracy", right / rows);
    free(all);
    return rc;
}

static int put_rmia(const struct evidence *v, const struct shadow_params *p, json_t *to,
                    struct err *e)
{
    const size_t rows = (size_t)v->pool->n, others = (size_t)v->pool->n_population,
                 n = (size_t)v->n;
    double *refs = mem_alloc((rows + others) * n + rows, sizeof *refs, e);
    unsigned char *trained = refs ? mem_alloc(rows * n, 1, e) : NULL;
    if (!trained)
        return free(refs), -1;
    double *score = refs + (rows + others) * n;
    for (size_t i = 0; i < rows + others; i++)
        for (size_t k = 0; k < n; k++) {
            refs[i * n + k] = v->shadow[k].trained[i];
            if (i < rows)
                trained[i * n + k] = v->shadow[k].in[i];
        }
    const int rc = rmia_scores(v->p, refs, trained, (int)rows, v->p + rows, refs + rows * n,
                               (int)others, v->n, p->offline_a, p->gamma, score, e) ||
                   put_scores(score, (int)rows, v->pool->members, to, e);
    free(refs);
    free(trained);
    return rc;
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct shadow_params *p = params;
    const int n = (int)(p->shadows - p->shadows % 2);
    struct shadow_params even = *p;
    struct shadow_pool pool = {0};
    struct shadow *shadow = mem_alloc((size_t)n, sizeof *shadow, e);
    double *own = NULL;
    json_t *lira = json_object(), *rmia = json_object();
    even.shadows = n;
    int rc = !shadow || shadow_pool_open(&pool, a, e) || shadow_make(shadow, a, &even, &pool, e);
    const int all = pool.n + pool.n_population;
    rc = rc || !(own = mem_alloc((size_t)all, sizeof *own, e)) ||
         shadow_score(own, a, &a->s.model, pool.seqs, all, e);
    const struct evidence v = {&pool, shadow, n, own};
    rc = rc || put_lira(&v, lira, e) || put_rmia(&v, p, rmia, e);
    json_object_set_new(block, "lira", lira);
    json_object_set_new(block, "rmia", rmia);
    a->spent.candidates = n;
    for (int k = 0; shadow && k < n; k++)
        shadow_fini(&shadow[k]);
    free(shadow);
    free(own);
    shadow_pool_fini(&pool);
    return rc ? -1 : 0;
}

const struct attack attack_membership = {
    .name = "membership",
    .seeded = true,
    .params = table,
    .params_size = sizeof(struct shadow_params),
    .help = "membership of forget rows by U-LiRA and RMIA, with shadow models trained here",
    .paper = "arXiv 2403.01218, 2312.03262",
    .touches = "nothing",
    .access = "grey",
    .guarded = true,
    .verified = "formulas: scikit-learn, ml_privacy_meter (stats.t); the target's AUC",
    .run = run,
};
