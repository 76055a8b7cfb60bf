/* Latent adversarial training (arXiv 2407.15549): every step trains against the perturbation of
 * hidden states that best restores the forgotten answers. For each batch, delta is added to the
 * hidden states of forget tokens after one layer and found by projected gradient descent: min over
 * |delta_t| <= eps of the mean over labels of
 *   -log p(forget label | delta) - lat_away log(1 - p(other label | delta)),
 * by AdamW from zero, each token's delta projected to length eps after each step. The other labels
 * are those of alternates, or of the retain data, as in the paper's code for RMU; their tokens get
 * the delta of the same position. Then the method makes lat_model_steps steps on this batch with
 * delta on the forget tokens alone. Memory: four arrays [forget tokens of a step, C]. */
#include "optim/optims.h"
#include "train/perturb.h"

struct lat {
    int64_t lat_layer, lat_steps, lat_model_steps;
    double lat_eps, lat_lr, lat_away;
    const char *lat_tokens, *lat_away_role;
};

static const char away_roles[] = "retain|alternate";

/* Indices of the attack's terms. */
enum { TOWARD_FORGET, AWAY_RETAIN, AWAY_ALTERNATE };

static const struct param params[] = {
    INT_PARAM(struct lat, lat_layer, 0, 9999, 7,
              "perturbs the hidden states after this layer, counted from 0"),
    REAL_PARAM(struct lat, lat_eps, 0, 1e6, 2,
               "maximum L2 norm of a token's perturbation; 0: none"),
    INT_PARAM(struct lat, lat_steps, 0, 10000, 16, "steps of the inner attack; 0: none"),
    REAL_PARAM(struct lat, lat_lr, 0, 100, 0.05, "learning rate of the inner attack"),
    INT_PARAM(struct lat, lat_model_steps, 1, 1000, 4, "steps of the model per attack"),
    CHOICE_PARAM(struct lat, lat_tokens, perturb_token_sets, "all",
                 "tokens of a forget example that are perturbed"),
    REAL_PARAM(struct lat, lat_away, 0, 1e6, 0,
               "weight in the attack of lowering the probability of other labels"),
    CHOICE_PARAM(struct lat, lat_away_role, away_roles, "retain", "role of these other labels"),
    {0},
};

static bool is_idle(const struct lat *p)
{
    return p->lat_eps == 0 || p->lat_steps == 0;
}

static long repeats(const void *params_)
{
    const struct lat *p = params_;
    return is_idle(p) ? 1 : (long)p->lat_model_steps;
}

static double weight(const void *params_, int extra)
{
    const struct lat *p = params_;
    if (extra == TOWARD_FORGET)
        return 1;
    return param_choice(away_roles, p->lat_away_role) == extra - AWAY_RETAIN ? p->lat_away : 0;
}

static int find_worst(const struct lat *p, struct gradient *g, struct micro *mb, struct perturb *a,
                      struct err *e)
{
    const struct perturb_options how = {.lr = p->lat_lr, .radius = p->lat_eps};
    struct engine *en = g->engine;
    const bool retain = param_choice(away_roles, p->lat_away_role) == 0;
    int rc = 0;
    en->latent = &a->at;
    a->at.too = retain ? ROLE_RETAIN : ROLE_ALTERNATE;
    en->frozen = true;
    for (int64_t i = 0; i < p->lat_steps && !rc; i++) {
        double loss;
        if (!(rc = gradient_add_rows(g, ~GOALS_METHOD, mb, &loss, e)))
            perturb_step(a, en->model, &how);
    }
    en->latent = NULL;
    a->at.too = ROLE_FORGET;
    en->frozen = false;
    return rc;
}

/* Which of the forget tokens of a micro-batch are perturbed. */
static void choose_tokens(const struct lat *p, const struct gradient *g, const struct micro *mb,
                          bool *moves)
{
    const enum perturb_tokens set =
        (enum perturb_tokens)param_choice(perturb_token_sets, p->lat_tokens);
    for (int s = 0; s < mb->n[ROLE_FORGET]; s++) {
        const struct seq *q = &g->engine->sets[ROLE_FORGET]->seqs[mb->rows[ROLE_FORGET][s]];
        for (int t = 0; t < q->n; t++)
            *moves++ = perturb_takes(set, q, t);
    }
}

static int attack(const struct lat *p, struct gradient *g, int k, struct err *e)
{
    struct micro *mb = &g->order->micro[g->first + k];
    const struct latent at = {.place = PLACE_RESID, .layer = (int)p->lat_layer};
    struct perturb a;
    size_t n = 0;
    bool *moves;
    for (int s = 0; s < mb->n[ROLE_FORGET]; s++)
        n += (size_t)g->engine->sets[ROLE_FORGET]->seqs[mb->rows[ROLE_FORGET][s]].n;
    if (perturb_init(&a, g->engine->model, &at, n, &g->kept, e) ||
        !(moves = arena_zeros(&g->kept, n, sizeof(bool), e)))
        return -1;
    choose_tokens(p, g, mb, moves);
    a.moves = moves;
    if (n && find_worst(p, g, mb, &a, e))
        return -1;
    g->latent[k] = a.at;
    g->latent[k].ddelta = NULL;
    return 0;
}

static int check(const struct lat *p, const struct engine *g, struct err *e)
{
    bool looks = false;
    for (int i = 0; i < g->n_obj; i++)
        for (int v = 0; v < g->obj[i].term->n_views; v++)
            looks |= g->obj[i].goal == GOAL_FORGET && g->obj[i].role[v] == ROLE_FORGET;
    if (!looks)
        return err_set(e, "wrapper 'lat' perturbs forget data, which the method's forget term "
                          "does not use: take another method");
    if (p->lat_layer >= g->model->cfg.layers)
        return err_about(e, "lat_layer", "wrapper 'lat' has no layer %d to perturb",
                         (int)p->lat_layer),
               err_range(e, 0, g->model->cfg.layers - 1);
    return 0;
}

static int gradient(const void *params_, struct gradient *g, struct err *e)
{
    const struct lat *p = params_;
    if (is_idle(p))
        return gradient_add(g, GOALS_METHOD, e);
    if (!g->again) {
        if (check(p, g->engine, e) ||
            !(g->latent = arena_zeros(&g->kept, (size_t)g->n, sizeof *g->latent, e)))
            return -1;
        for (int k = 0; k < g->n; k++)
            if (attack(p, g, k, e))
                return -1;
    }
    return gradient_add(g, GOALS_METHOD, e);
}

const struct wrapper wrapper_lat = {
    .name = "lat",
    .paper = "arXiv 2407.15549",
    .help = "adversarial training against perturbed hidden states of forget data",
    .formula = "L(w, delta), delta = argmin over |delta_t| <= lat_eps of -log p(forget labels) - "
               "lat_away log(1 - p(other labels))",
    .params = params,
    .params_size = sizeof(struct lat),
    .extra = {[TOWARD_FORGET] = {"nll", ROLE_FORGET},
              [AWAY_RETAIN] = {"unlikelihood", ROLE_RETAIN},
              [AWAY_ALTERNATE] = {"unlikelihood", ROLE_ALTERNATE}},
    .weight = weight,
    .repeats = repeats,
    .gradient = gradient,
};
