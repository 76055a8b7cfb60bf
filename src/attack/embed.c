/* Attacks on embeddings (arXiv 2402.09063): vectors that no token has stand in the prompt. `embed`
 * puts them after a row's question, each row with its own, `soft` in front of all prompts (a soft
 * prompt, arXiv 2104.08691), found on a part of the rows and scored on the others, too.
 */
#include <math.h>
#include <string.h>

#include "attack/continuous.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sort.h"

struct embed_params {
    const char *rule, *init, *control_key;
    double step_size, ball, spread, share;
    int64_t steps, restarts, tokens;
    bool universal;
};

#define INIT_20 "! ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! ! !"
static const char rules[] = "adam|sign"; /* as enum perturb_rule */

/* What embed and soft have in common; their defaults of the others differ. */
#define SHARED_PARAMS                                                                              \
    INT_PARAM(struct embed_params, steps, 0, 1000000, 100, "steps of a search"),                   \
        INT_PARAM(struct embed_params, restarts, 1, 10000, 1,                                      \
                  "searches; all but the first start with noise on the vectors"),                  \
        REAL_PARAM(struct embed_params, spread, 0, 1e6, 0.02, "standard deviation of that noise"), \
        REAL_PARAM(struct embed_params, ball, 0, 1e6, 0,                                           \
                   "maximum L2 distance of a vector from where it started; 0: none"),              \
        STRING_PARAM(struct embed_params, init, INIT_20, "TEXT",                                   \
                     "tokens that the vectors start from"),                                        \
        INT_PARAM(struct embed_params, tokens, 1, 100000, 20,                                      \
                  "random tokens to start from, of a model without a tokenizer"),                  \
        INPUT_CONTROL_PARAM(struct embed_params),                                                  \
    {                                                                                              \
        0                                                                                          \
    }

static const struct param embed_table[] = {
    CHOICE_PARAM(struct embed_params, rule, rules, "sign",
                 "a step: step_size along the signs of the derivative, or Adam's"),
    REAL_PARAM(struct embed_params, step_size, 0, 1e6, 1e-3, "learning rate of the vectors"),
    BOOL_PARAM(struct embed_params, universal, false, "the same vectors for all rows"),
    REAL_PARAM(struct embed_params, share, 0, 1, 1,
               "share of the rows, the first ones, that they are then made for"),
    SHARED_PARAMS};

static const struct param soft_table[] = {
    CHOICE_PARAM(struct embed_params, rule, rules, "adam",
                 "a step: Adam's, or step_size along the signs of the derivative"),
    REAL_PARAM(struct embed_params, step_size, 0, 1e6, 1e-2, "learning rate of the vectors"),
    BOOL_PARAM(struct embed_params, universal, true, "false: each row has its own vectors"),
    REAL_PARAM(struct embed_params, share, 0, 1, 0.5,
               "share of the rows, the first ones, that they are made for"),
    SHARED_PARAMS};

/* The median L2 norm of the embedding's rows: what steps and balls compare with. */
static int median_norm(const struct model *m, double *norm, struct err *e)
{
    const size_t v = (size_t)m->cfg.vocab, width = (size_t)m->cfg.width;
    const device float *rows = model_weight(m, W_EMBED, -1);
    double *norms = mem_alloc(v, sizeof *norms, e);
    const float *x = norms ? m->ops->map_read(rows, v * width) : NULL;
    for (size_t i = 0; x && i < v; i++) {
        for (size_t c = 0; c < width; c++)
            norms[i] += (double)x[i * width + c] * (double)x[i * width + c];
        norms[i] = sqrt(norms[i]);
    }
    if (!x)
        return -1;
    m->ops->unmap(rows);
    sort_doubles(norms, v);
    *norm = norms[v / 2];
    free(norms);
    return 0;
}

/* In front of the prompt: after the token that begins every text. */
static int prompt_start(struct input *in, int i)
{
    const int front = in->a->s.tokenizer ? tokenizer_front(in->a->s.tokenizer) : -1;
    return front >= 0 && in->rows[INPUT_TRUE][i].ids[0] == front;
}

static int place_tokens(struct input *in, const struct embed_params *p, bool front,
                        struct input_slots slots[INPUT_TARGETS], struct err *e)
{
    int *ids = NULL, width = 0;
    int *at = mem_alloc((size_t)in->n, sizeof *at, e);
    int rc = !at || input_start(in, p->init, (int)p->tokens, &ids, &width, e);
    for (int i = 0; !rc && i < in->n; i++) {
        at[i] = front ? prompt_start(in, i) : 0;
        rc = !front && input_question_end(in, i, &at[i], e);
    }
    for (int t = 0; !rc && t < INPUT_TARGETS; t++)
        rc = in->rows[t] && input_slots_init(&slots[t], in->rows[t], in->n, at, ids, width, e);
    free(at);
    free(ids);
    return rc;
}

static int attack_rows(struct attack_run *a, const struct embed_params *p, const char *name,
                       json_t *block, struct err *e)
{
    struct input in;
    struct input_slots slots[INPUT_TARGETS] = {{0}};
    struct continuous c = {
        .name = name,
        .at = {.place = PLACE_EMBED},
        .step = {.rule = (enum perturb_rule)param_choice(rules, p->rule),
                 .lr = p->step_size,
                 .radius = p->ball > 0 ? p->ball : INFINITY},
        .steps = (long)p->steps,
        .restarts = (long)p->restarts,
        .spread = p->spread,
        .universal = p->universal,
    };
    double norm = 0;
    if (input_init(&in, a, p->control_key, p->universal ? p->share : 1, c.steps, e))
        return -1;
    int rc = input_score(&in, e) || median_norm(&a->s.model, &norm, e) ||
             place_tokens(&in, p, !strcmp(name, "soft"), slots, e);
    if (!rc) {
        for (int t = 0; t < INPUT_TARGETS; t++)
            c.slots[t] = in.rows[t] ? &slots[t] : NULL;
        json_put_real(block, "embedding_norm", norm);
        input_put_before(&in, block);
        rc = continuous_run(&c, &in, block, e);
    }
    for (int t = 0; t < INPUT_TARGETS; t++)
        input_slots_fini(&slots[t]);
    input_fini(&in);
    return rc;
}

static int run_embed(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    return attack_rows(a, params, "embed", block, e);
}

static int run_soft(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    return attack_rows(a, params, "soft", block, e);
}

const struct attack attack_embed = {
    .name = "embed",
    .seeded = true,
    .params = embed_table,
    .params_size = sizeof(struct embed_params),
    .help = "put vectors after each question that no token has",
    .paper = "arXiv 2402.09063",
    .touches = "embeddings",
    .access = "white",
    .verified = "LLM_Embedding_Attack, PyTorch's Adam",
    .run = run_embed,
};

const struct attack attack_soft = {
    .name = "soft",
    .seeded = true,
    .params = soft_table,
    .params_size = sizeof(struct embed_params),
    .help = "train vectors in front of all prompts on a part of the rows",
    .paper = "arXiv 2104.08691, 2402.09063",
    .touches = "embeddings",
    .access = "white",
    .verified = "LLM_Embedding_Attack (its universal attack)",
    .run = run_soft,
};
