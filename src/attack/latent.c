/* Perturbation of hidden states (arXiv 2407.15549): what is added at one layer to the tokens of a
 * prompt brings the answer back. Latent adversarial training (optim/lat.c) trains against the same
 * search. As an evaluation: how large must it be.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attack/continuous.h"
#include "base/json.h"

struct latent_params {
    const char *where, *tokens, *eps, *rule, *control_key;
    int64_t layer, steps, restarts;
    double lr, weight_decay, spread;
};

static const char places[] = "residual|attention|mlp|mlp_in", rules[] = "adam|sign";
static const enum place place_of[] = {PLACE_RESID, PLACE_ATTN_OUT, PLACE_MLP_OUT, PLACE_MLP_IN};

static const struct param table[] = {
    INT_PARAM(struct latent_params, layer, -1, 9999, -1,
              "the layer, counted from 0; -1: the middle one"),
    CHOICE_PARAM(struct latent_params, where, places, "mlp",
                 "its output, what attention or the MLP adds to it, or the MLP's input"),
    CHOICE_PARAM(struct latent_params, tokens, perturb_token_sets, "prompt",
                 "tokens that are perturbed"),
    STRING_PARAM(struct latent_params, eps, "0.5,1,2", "LIST",
                 "maximum L2 norms of a token's perturbation, a search each"),
    CHOICE_PARAM(struct latent_params, rule, rules, "adam", "a step: Adam's, or along signs"),
    REAL_PARAM(struct latent_params, lr, 0, 1e6, 0.05, "learning rate"),
    REAL_PARAM(struct latent_params, weight_decay, 0, 10, 0.01, "of the perturbation"),
    INT_PARAM(struct latent_params, steps, 0, 1000000, 16, "steps of a search"),
    INT_PARAM(struct latent_params, restarts, 1, 10000, 1,
              "searches; all but the first start from noise"),
    REAL_PARAM(struct latent_params, spread, 0, 1e6, 0.02, "standard deviation of that noise"),
    INPUT_CONTROL_PARAM(struct latent_params),
    {0}};

static int layer_of(const struct latent_params *p, const struct model *m, int *layer, struct err *e)
{
    *layer = p->layer < 0 ? m->cfg.layers / 2 : (int)p->layer;
    if (*layer < m->cfg.layers)
        return 0;
    return err_about(e, "layer", "the model has no layer %d", *layer),
           err_range(e, 0, m->cfg.layers - 1);
}

static int run(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct latent_params *p = params;
    struct input in;
    int layer, rc;
    if (layer_of(p, &a->s.model, &layer, e) ||
        input_init(&in, a, p->control_key, 1, (long)p->steps, e))
        return -1;
    if (!(rc = input_score(&in, e)))
        input_put_before(&in, block);
    for (const char *at = p->eps; !rc && *at;) {
        char name[48], setting[48];
        double eps;
        if ((rc = attack_next(&at, "eps", 0, 1e9, &eps, e)))
            break;
        snprintf(name, sizeof name, "latent_%g", eps);
        snprintf(setting, sizeof setting, "%g", eps);
        struct continuous c = {
            .name = name,
            .setting = setting,
            .at = {.place = place_of[param_choice(places, p->where)], .layer = layer},
            .step = {.rule = (enum perturb_rule)param_choice(rules, p->rule),
                     .lr = p->lr,
                     .decay = p->weight_decay,
                     .radius = eps},
            .steps = (long)p->steps,
            .restarts = (long)p->restarts,
            .spread = p->spread,
            .tokens = (enum perturb_tokens)param_choice(perturb_token_sets, p->tokens),
        };
        rc = continuous_run(&c, &in, block, e);
    }
    input_fini(&in);
    return rc;
}

const struct attack attack_latent = {
    .name = "latent",
    .seeded = true,
    .params = table,
    .params_size = sizeof(struct latent_params),
    .help = "perturb hidden states of the prompt at a layer, up to a norm",
    .paper = "arXiv 2407.15549",
    .touches = "hidden states",
    .access = "white",
    .verified = "LAT's code (GDAdversary)",
    .run = run,
};
