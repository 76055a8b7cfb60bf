/* The value that a request's subject should have: Adam on delta [C], which is added to the stream
 * at the lookup token of every prompt, with all weights frozen.
 *
 *   nll  = mean over prompts of -1/n sum_j log p(target_j)
 *   loss = nll + kl KL(p_delta || p_0) + decay |delta| / |v0|^2        target
 *   loss = exp(-nll of the answer) + the same                          erase
 *   loss = what a lens on the layers sees of it + the same             entropy, margin: lens.c
 *
 * KL is of the next token after the subject in "{subject} is a"; p_0 has delta = 0.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "edit/search.h"

#define GOOD_ENOUGH 0.05 /* a loss below this ends the search for a target */

/* --- the tap --- */

/* The token of the batch at which sequence i gets delta. */
static int lookup_token(const struct value_search *s, int i)
{
    const struct edit_prompt *p = i < s->r->n_prompts ? &s->r->prompts[i] : &s->r->kl;
    return batch_token(&s->batch, s->batch.place[i] + p->lookup);
}

/* A sequence before it shares that token. */
static bool is_shared(const struct value_search *s, int i)
{
    for (int k = 0; k < i; k++)
        if (lookup_token(s, k) == lookup_token(s, i))
            return true;
    return false;
}

static void add_delta(void *ctx, const struct pass *p, device float *x)
{
    struct value_search *s = ctx;
    const size_t width = (size_t)p->m->cfg.width;
    float *host = p->m->ops->map(x, width * (size_t)p->batch->n_tokens);
    for (int i = 0; i < s->n; i++) {
        float *at = host + width * (size_t)lookup_token(s, i);
        for (size_t k = 0; k < width && !is_shared(s, i); k++) {
            if (!s->seen)
                s->v0[k] = (double)at[k];
            at[k] = (float)((double)at[k] + s->delta[k]);
        }
        s->seen = true;
    }
    p->m->ops->unmap(x);
}

static void take_gradient(void *ctx, const struct pass *p, device float *dx)
{
    struct value_search *s = ctx;
    const size_t width = (size_t)p->m->cfg.width;
    const float *host = p->m->ops->map_read(dx, width * (size_t)p->batch->n_tokens);
    for (int i = 0; i < s->n; i++)
        for (size_t k = 0; k < width && !is_shared(s, i); k++)
            s->grad[k] += (double)host[width * (size_t)lookup_token(s, i) + k];
    p->m->ops->unmap(dx);
}

/* --- the loss --- */

void search_log_softmax(double *to, const float *z, int vocab)
{
    double most = -INFINITY, sum = 0;
    for (int i = 0; i < vocab; i++)
        most = fmax(most, (double)z[i]);
    for (int i = 0; i < vocab; i++)
        sum += exp((double)z[i] - most);
    for (int i = 0; i < vocab; i++)
        to[i] = (double)z[i] - most - log(sum);
}

/* KL(p || p_0) of a row with log p; dz: its derivative by the logits, times o->kl. */
static double add_kl(struct value_search *s, const double *logp, float *dz)
{
    const int vocab = s->g->m->cfg.vocab;
    double kl = 0;
    if (isnan(s->first[0]))
        memcpy(s->first, logp, (size_t)vocab * sizeof *logp);
    for (int i = 0; i < vocab; i++)
        kl += exp(logp[i]) * (logp[i] - s->first[i]);
    for (int i = 0; i < vocab; i++)
        dz[i] = (float)(s->o->kl * exp(logp[i]) * (logp[i] - s->first[i] - kl));
    return kl;
}

/* The NLL of the prompts' rows; KL's row is left out. */
static double mean_nll(struct value_search *s, float *logp)
{
    double sum = 0;
    head_logp(&s->head, logp, NULL, NULL);
    for (int i = 0; i < s->rows.n; i++)
        if (s->rows.seq[i] < s->r->n_prompts)
            sum -= (double)logp[i];
    return sum / s->r->n_prompts / s->n_text;
}

/* Derivatives of all rows by the logits; `share`: d loss / d nll of a token. */
static void back_rows(struct value_search *s, double share, double *logp, double loss[LOSSES])
{
    const struct ops *ops = s->g->m->ops;
    const size_t vocab = (size_t)s->g->m->cfg.vocab;
    for (int first = 0, n; first < s->rows.n; first += n) {
        device float *z = head_logits(&s->head, first, &n);
        float *host = ops->map(z, (size_t)n * vocab);
        for (int i = 0; i < n; i++) {
            float *row = host + (size_t)i * vocab;
            search_log_softmax(logp, row, (int)vocab);
            if (s->rows.seq[first + i] == s->r->n_prompts) {
                loss[KL] = s->o->kl * add_kl(s, logp, row);
                continue;
            }
            for (size_t k = 0; k < vocab; k++)
                row[k] = (float)(share * exp(logp[k]));
            row[s->rows.label[first + i]] -= (float)share;
        }
        ops->unmap(z);
        head_back(&s->head, first, n, z, NULL);
        head_drop(&s->head);
    }
}

static double length(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i] * v[i];
    return sqrt(sum);
}

static int forward(struct value_search *s, int layer, struct err *e)
{
    struct model *m = s->g->m;
    const struct edit *row = s->g->method->row;
    s->taps[0] = (struct tap){row->place, layer, add_delta, take_gradient, s, true};
    lens_taps(s);
    const struct forward how = {.keep = true, .taps = s->taps, .n_taps = 1 + s->n_lenses};
    arena_reset(&s->arena);
    return batch_pack_shared(&s->batch, s->seqs, s->n, s->from, s->common, m->cfg.vocab,
                             m->cfg.positions, &s->arena, e) ||
           batch_label_rows(&s->rows, &s->batch, s->seqs, &s->arena, e) ||
           model_forward(m, &s->batch, &how, &s->pass, &s->arena, e) ||
           head_init(&s->head, &s->pass, &s->rows, true, &s->arena, e);
}

/* What the objective is about, with its derivatives; they stand at the logits, or in dx. */
static int find_goal(struct value_search *s, double loss[LOSSES], device float *dx, struct err *e)
{
    float *logp = arena_zeros(&s->arena, (size_t)s->rows.n, sizeof *logp, e);
    double *wide =
        logp ? arena_zeros(&s->arena, (size_t)s->g->m->cfg.vocab, sizeof *wide, e) : NULL;
    double share = 0;
    if (!wide)
        return -1;
    if (s->n_lenses) {
        if (lens_loss(s, &loss[NLL], dx, e))
            return -1;
    } else {
        const double nll = mean_nll(s, logp);
        loss[NLL] = s->objective == OBJECTIVE_ERASE ? exp(-nll) : nll;
        share = (s->objective == OBJECTIVE_ERASE ? -loss[NLL] : 1) / s->r->n_prompts / s->n_text;
    }
    back_rows(s, share, wide, loss);
    return 0;
}

/* Fills in s->grad, d loss / d delta. */
static int find_loss(struct value_search *s, int layer, double loss[LOSSES], struct err *e)
{
    const struct model *m = s->g->m;
    const size_t width = (size_t)m->cfg.width;
    if (forward(s, layer, e))
        return -1;
    const size_t nc = (size_t)s->batch.n_tokens * width;
    device float *dx = m->ops->take(&s->arena, nc, e);
    if (!dx)
        return -1;
    m->ops->fill(dx, 0, nc);
    if (find_goal(s, loss, dx, e))
        return -1;

    const double size = length(s->delta, width), v0 = length(s->v0, width);
    const double decay = s->o->decay / (v0 * v0);
    loss[DECAY] = decay * size;
    loss[WHOLE] = loss[NLL] + loss[KL] + loss[DECAY];
    for (size_t k = 0; k < width; k++) /* at 0 the length has no gradient: 0 by convention */
        s->grad[k] = size > 0 ? decay * s->delta[k] / size : 0;
    if (!isfinite(loss[WHOLE]))
        return err_code(e, ERR_NOT_FINITE, "the loss of the value is not finite");
    return head_finish_back(&s->head, dx, NULL, &s->arena, e) ||
           pass_backward(&s->pass, dx, NULL, &s->arena, e);
}

static void step(struct value_search *s, int t)
{
    const size_t width = (size_t)s->g->m->cfg.width;
    const double b1 = 0.9, b2 = 0.999, most = s->o->clamp * length(s->v0, width);
    for (size_t k = 0; k < width; k++) {
        s->m1[k] = b1 * s->m1[k] + (1 - b1) * s->grad[k];
        s->m2[k] = b2 * s->m2[k] + (1 - b2) * s->grad[k] * s->grad[k];
        s->delta[k] -=
            s->o->lr * (s->m1[k] / (1 - pow(b1, t))) / (sqrt(s->m2[k] / (1 - pow(b2, t))) + 1e-8);
    }
    const double size = length(s->delta, width);
    for (size_t k = 0; k < width && size > most; k++)
        s->delta[k] *= most / size;
}

/* --- the sequences --- */

static void add_seq(struct value_search *s, int **at, const struct edit_prompt *p, bool is_kl)
{
    const int n = is_kl ? p->n : p->n + s->n_text;
    int *ids = *at, *labels = ids + n;
    memcpy(ids, p->ids, (size_t)p->n * sizeof *ids);
    for (int t = 0; t < n; t++)
        labels[t] = LABEL_NONE;
    for (int t = 0; t < s->n_text && !is_kl; t++)
        ids[p->n + t] = labels[p->n + t] = s->text[t];
    if (is_kl)
        labels[p->lookup + 1] = ids[p->lookup + 1];
    s->seqs[s->n++] = (struct seq){.n = n, .ids = ids, .labels = labels};
    *at = labels + n;
}

static int search_init(struct value_search *s, int layer, struct err *e)
{
    const struct edit_request *r = s->r;
    const size_t width = (size_t)s->g->m->cfg.width, vocab = (size_t)s->g->m->cfg.vocab;
    size_t room = (size_t)r->kl.n * 2;
    s->objective = (enum objective)param_choice("target|erase|entropy|margin", s->o->objective);
    if (s->objective <= OBJECTIVE_ERASE) {
        const bool erase = s->objective == OBJECTIVE_ERASE;
        s->text = erase ? r->answer : r->target;
        s->n_text = erase ? r->n_answer : r->n_target;
    }
    if ((s->objective <= OBJECTIVE_ERASE && !s->n_text) ||
        (s->objective == OBJECTIVE_MARGIN && !r->n_answer))
        return err_set(e, "row %d has no %s", r->row,
                       s->objective ? "answer to be forgotten" : "target");
    for (int i = 0; i < r->n_prompts; i++)
        room += 2 * (size_t)(r->prompts[i].n + s->n_text);
    if (!(s->seqs = mem_alloc((size_t)r->n_prompts + 1, sizeof *s->seqs, e)) ||
        !(s->pool = mem_alloc(room, sizeof *s->pool, e)) ||
        !(s->from = mem_alloc((size_t)r->n_prompts + 1, sizeof *s->from, e)) ||
        !(s->common = mem_alloc((size_t)r->n_prompts + 1, sizeof *s->common, e)) ||
        !(s->grad = mem_alloc(width, sizeof(double), e)) ||
        !(s->m1 = mem_alloc(width, sizeof(double), e)) ||
        !(s->m2 = mem_alloc(width, sizeof(double), e)) ||
        !(s->first = mem_alloc(vocab, sizeof(double), e)))
        return -1;
    int *at = s->pool;
    s->first[0] = NAN;
    for (int i = 0; i < r->n_prompts; i++)
        add_seq(s, &at, &r->prompts[i], false);
    add_seq(s, &at, &r->kl, true);
    batch_find_common(s->seqs, s->n, s->from, s->common);
    return lens_init(s, layer, e);
}

int edit_find_value(struct edit_value *v, struct editing *g, int layer,
                    const struct edit_request *r, struct err *e)
{
    struct value_search s = {.g = g, .o = g->method->params, .r = r};
    const size_t width = (size_t)g->m->cfg.width;
    const long done = g->bar.done;
    *v = (struct edit_value){.v0 = NULL};
    int rc = !(v->v0 = s.v0 = mem_alloc(width, sizeof(double), e)) ||
             !(v->delta = s.delta = mem_alloc(width, sizeof(double), e)) ||
             !(v->losses = mem_alloc((size_t)s.o->steps, sizeof *v->losses, e)) ||
             search_init(&s, layer, e);
    for (int t = 0; !rc && t < s.o->steps; t++) {
        double *loss = v->losses[t];
        rc = interrupt_check(g->stop, e) || find_loss(&s, layer, loss, e);
        v->steps = t + 1;
        progress_step(&g->bar, done + t + 1, 0, NULL);
        if (rc || (loss[WHOLE] < GOOD_ENOUGH && s.objective == OBJECTIVE_TARGET) ||
            t + 1 == s.o->steps)
            break;
        step(&s, t + 1);
    }
    if (!rc) {
        v->before = v->losses[0][NLL];
        v->after = v->losses[v->steps - 1][NLL];
        progress_step(&g->bar, done + s.o->steps, 0, NULL);
    }
    arena_fini(&s.arena);
    free(s.seqs);
    free(s.pool);
    free(s.taps);
    free(s.lenses);
    free(s.from);
    free(s.common);
    free(s.grad);
    free(s.m1);
    free(s.m2);
    free(s.first);
    return rc ? -1 : 0;
}

void edit_value_fini(struct edit_value *v)
{
    free(v->v0);
    free(v->delta);
    free(v->losses);
    *v = (struct edit_value){.v0 = NULL};
}
