/* Ablation of a direction (arXiv 2406.11717): a model that refuses does so along one direction of
 * its hidden states. That is the difference of their means at the last token of the prompt, after
 * one layer, between rows that are refused and rows that are not. Every matrix that writes to the
 * residual gets the part along it taken away, W -= r r^T W, so that no hidden state has any. Each
 * layer is an attempt: the best one counts, and its number grows with the attempts for the
 * retrained model, too.
 */
#include <math.h>
#include <string.h>

#include "attack/weights.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/states.h"

struct ablate_params {
    const char *layers, *against;
};

static const char againsts[] = "retain|target";

static const struct param ablate_table[] = {
    STRING_PARAM(struct ablate_params, layers, NULL, "LIST",
                 "layers after which directions are taken, from 1; those at a quarter, a half and "
                 "three quarters of the depth without it"),
    CHOICE_PARAM(
        struct ablate_params, against, againsts, "retain",
        "the direction: from hidden states of retain prompts to those of forget prompts, or "
        "from the target's to the model's, both of forget prompts"),
    {0}};

/* --- directions --- */

/* Adds the hidden states at the last token of each prompt to sum [L+1, C]. */
static int add_states(double *sum, struct model *m, const struct dataset *d, struct attack_run *a,
                      struct err *e)
{
    const size_t floats = (size_t)(m->cfg.layers + 1) * (size_t)m->cfg.width;
    struct arena scratch;
    int rc = 0;
    arena_init(&scratch);
    for (int i = 0; !rc && i < d->n; i++) {
        struct batch b;
        struct states s;
        const int last = seq_prompt(&d->seqs[i]) - 1;
        arena_reset(&scratch);
        if (last < 0)
            continue;
        rc = interrupt_check(a->stop, e) ||
             batch_pack(&b, &d->seqs[i], 1, m->cfg.vocab, m->cfg.positions, &scratch, e) ||
             states_read(&s, m, &b, &last, 1, &scratch, e);
        const float *x = rc ? NULL : m->ops->map_read(s.x, floats);
        for (size_t k = 0; !rc && k < floats; k++)
            sum[k] += (double)x[k] / d->n;
        if (!rc)
            m->ops->unmap(s.x);
        a->spent.forward_tokens += d->seqs[i].n;
    }
    arena_fini(&scratch);
    return rc ? -1 : 0;
}

/* direction [L+1, C], of every layer. */
static int find_directions(double *direction, const struct ablate_params *p, struct attack_run *a,
                           struct err *e)
{
    const bool target = param_choice(againsts, p->against) == 1;
    const size_t n = (size_t)(a->s.model.cfg.layers + 1) * (size_t)a->s.model.cfg.width;
    const struct dataset *other = &a->sets[target ? ATTACK_FORGET : ATTACK_RETAIN];
    if (target && !a->has_target)
        return err_about(e, "target", "the direction from the target's states needs it");
    if (!other->n)
        return err_about(e, "retain", "the direction from retain prompts needs retain rows");
    double *mean = mem_alloc(n, sizeof *mean, e);
    const int rc = !mean || add_states(direction, &a->s.model, &a->sets[ATTACK_FORGET], a, e) ||
                           add_states(mean, target ? &a->target : &a->s.model, other, a, e)
                       ? -1
                       : 0;
    for (size_t k = 0; !rc && k < n; k++)
        direction[k] -= mean[k];
    free(mean);
    return rc;
}

/* --- the weights --- */

/* w [rows, cols] whose columns (to_rows: rows) lie in the residual: their part along r goes. */
static void project(float *w, size_t rows, size_t cols, bool by_row, const double *r, double *along)
{
    for (size_t i = 0; by_row && i < rows; i++) {
        double dot = 0;
        for (size_t j = 0; j < cols; j++)
            dot += r[j] * (double)w[i * cols + j];
        for (size_t j = 0; j < cols; j++)
            w[i * cols + j] -= (float)(dot * r[j]);
    }
    if (by_row)
        return;
    memset(along, 0, cols * sizeof *along);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            along[j] += r[i] * (double)w[i * cols + j];
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            w[i * cols + j] -= (float)(r[i] * along[j]);
}

/* What is added to the residual comes from these; a bias is one row. */
static bool writes_residual(enum slot slot, bool *by_row)
{
    *by_row = slot == W_EMBED || slot == W_POS || slot == W_O_B || slot == W_DOWN_B ||
              slot == W_EXPERT_DOWN_B;
    return *by_row || slot == W_O || slot == W_DOWN || slot == W_EXPERT_DOWN;
}

static int ablate(struct attack_run *a, const void *setting, json_t *to, struct err *e)
{
    struct model *m = &a->s.model;
    const double *direction = setting;
    const size_t width = (size_t)m->cfg.width;
    size_t widest = 0;
    for (int i = 0; i < m->table.n_model; i++)
        widest = (size_t)m->table.v[i].shape[1] > widest ? (size_t)m->table.v[i].shape[1] : widest;
    double square = 0, *r = mem_alloc(width + widest, sizeof *r, e);
    for (size_t k = 0; r && k < width; k++)
        square += direction[k] * direction[k];
    for (size_t k = 0; r && k < width; k++)
        r[k] = square > 0 ? direction[k] / sqrt(square) : 0;
    for (int i = 0; r && i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        device float *at = m->own + w->offset;
        bool by_row;
        if (!writes_residual(w->slot, &by_row))
            continue;
        const size_t cols = by_row ? width : (size_t)w->shape[1];
        m->ops->copy(at, a->before.w[i], w->count);
        project(m->ops->map(at, w->count), w->count / cols, cols, by_row, r, r + width);
        m->ops->unmap(at);
    }
    free(r);
    json_put_real(to, "norm", sqrt(square));
    return r ? 0 : -1;
}

/* --- the attack --- */

/* The next of the layers, from 1; 0: there is none. */
static int next_layer(const char **at, const struct model *m, int *quarter, int *layer,
                      struct err *e)
{
    double v = 0;
    const int layers = m->cfg.layers;
    while (!*at && v < 1 && *quarter < 4) /* of few layers some quarters are none */
        v = (double)(layers * (*quarter)++ / 4);
    if (*at && **at && attack_next(at, "layers", 1, layers, &v, e))
        return -1;
    *layer = (int)v;
    return 0;
}

static int run_ablate(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct ablate_params *p = params;
    const struct model *m = &a->s.model;
    const size_t width = (size_t)m->cfg.width;
    const char *at = p->layers;
    int layer, quarter = 1;
    double *direction = mem_alloc((size_t)(m->cfg.layers + 1) * width, sizeof *direction, e);
    int rc = !direction || attack_measure_before(a, block, e) ||
             find_directions(direction, p, a, e) || next_layer(&at, m, &quarter, &layer, e);
    if (!rc && weight_has(&m->table, W_NORM_ATTN_POST))
        log_warn("the norms that follow attention and MLP put some of the direction back");
    while (!rc && layer) {
        char name[24];
        snprintf(name, sizeof name, "layer %d", layer);
        rc = attack_setting_by(a, name, direction + (size_t)layer * width, ablate, block, e) ||
             next_layer(&at, m, &quarter, &layer, e);
    }
    free(direction);
    return rc ? -1 : 0;
}

const struct attack attack_ablate = {
    .name = "ablate",
    .params = ablate_table,
    .params_size = sizeof(struct ablate_params),
    .help = "take the direction of refusal out of all that writes hidden states",
    .paper = "arXiv 2406.11717",
    .touches = "weights",
    .access = "white",
    .verified = "PyTorch, losses of ablated models",
    .writes = true,
    .compares = true,
    .run = run_ablate,
};
