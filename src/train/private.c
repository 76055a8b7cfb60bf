#include "train/private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/head.h"
#include "model/lora.h"

/* --- lengths --- */

/* What the first pass adds up, of S sequences. */
struct ghost {
    struct model *m;
    struct err *e;
    struct arena a; /* scratch of one product */
    bool failed;
    const struct batch *b;
    double *square; /* [S] so far */
    int seq;        /* whose head runs, */
    int head_rows;  /* of so many rows; -1: the layers run */
    size_t *at;     /* [table.n] where a trainable vector's gradient stands; SIZE_MAX: no vector */
    size_t vectors; /* numbers of all of them */
    double *vector; /* [S, vectors] */
    bool tied;
    device float **h; /* [S] inputs of a tied head, [R,C], */
    float **picked;   /* [S] and [R,T]: gradient of row r's logit of token t's id */
    int *n_rows;      /* [S] R */
};

static device float *take(struct ghost *g, size_t n)
{
    device float *x = g->failed ? NULL : g->m->ops->take(&g->a, n + 1, g->e);
    g->failed |= !x;
    return x;
}

/* out [n,n] = x x^T; NULL: no memory. */
static device float *gram(struct ghost *g, const device float *x, int n, int width)
{
    device float *out = take(g, (size_t)n * (size_t)n);
    if (out)
        g->m->ops->linear(out, x, x, n, width, n, 0);
    return out;
}

/* |dy^T x|^2 of n rows. */
static double product_square(struct ghost *g, const device float *x, int in, const device float *dy,
                             int out, int n)
{
    const device float *a = gram(g, x, n, in), *b = gram(g, dy, n, out);
    double sum = a && b ? g->m->ops->dot(a, b, (size_t)n * (size_t)n) : 0;
    return sum;
}

/* The vector weight's gradient of sequence s; NULL: it does not move. */
static double *vector_of(struct ghost *g, int weight, int s)
{
    return g->at[weight] == SIZE_MAX ? NULL : g->vector + (size_t)s * g->vectors + g->at[weight];
}

/* += the sum of n rows [n,width] of dy, a bias's. */
static void add_bias(struct ghost *g, double *to, const device float *dy, int n, int width)
{
    const float *v = g->m->ops->map_read(dy, (size_t)n * (size_t)width);
    for (int t = 0; t < n; t++)
        for (int k = 0; k < width; k++)
            to[k] += (double)v[(size_t)t * (size_t)width + (size_t)k];
    g->m->ops->unmap(dy);
}

static int bias_of(const struct model *m, const struct weight *w)
{
    const enum slot slot = slot_bias(w->slot);
    return weight_has(&m->table, slot) ? weight_index(&m->table, slot, w->layer) : -1;
}

/* dB = s dy^T (x A^T), dA = s (dy B)^T x. */
static double adapter_square(struct ghost *g, int a, const device float *x, int in,
                             const device float *dy, int out, int n)
{
    const struct model *m = g->m;
    const struct lora *l = m->lora;
    const device float *wa = m->own + m->table.v[a].offset, *wb = m->own + m->table.v[a + 1].offset;
    device float *u = take(g, (size_t)n * (size_t)l->rank),
                 *v = take(g, (size_t)n * (size_t)l->rank);
    if (!u || !v)
        return 0;
    m->ops->linear(u, x, wa, n, in, l->rank, 0);
    m->ops->linear_dx(v, dy, wb, n, l->rank, out, 0);
    const double s = (double)l->scale;
    return s * s *
           (product_square(g, u, l->rank, dy, out, n) + product_square(g, x, in, v, l->rank, n));
}

static void see_product(void *ctx, const struct product *y)
{
    struct ghost *g = ctx;
    const struct model *m = g->m;
    const struct weight *w = &m->table.v[y->weight];
    const int bias = bias_of(m, w), a = m->lora ? m->lora->of[y->weight] : -1;
    for (int s = 0; s < y->n_seqs; s++) {
        const int first = y->start[s], n = y->start[s + 1] - first;
        const device float *x = y->x + (size_t)first * (size_t)y->in,
                           *dy = y->dy + (size_t)first * (size_t)y->out;
        double *db = bias < 0 ? NULL : vector_of(g, bias, s);
        arena_reset(&g->a);
        if (w->trainable)
            g->square[s] += product_square(g, x, y->in, dy, y->out, n);
        if (a >= 0)
            g->square[s] += adapter_square(g, a, x, y->in, dy, y->out, n);
        if (db)
            add_bias(g, db + y->first, dy, n, y->out);
    }
}

/* Rows first .. first + n - 1 of a norm, of sequence s. */
static void add_norm(struct ghost *g, const struct norm_product *y, int first, int n, int s)
{
    const struct ops *o = g->m->ops;
    const size_t width = (size_t)y->width, all = (size_t)y->rows;
    double *dw = vector_of(g, y->weight, s);
    double *db = y->bias < 0 ? NULL : vector_of(g, y->bias, s);
    const float *x = o->map_read(y->x, all * width), *dy = o->map_read(y->dy, all * width),
                *rstd = o->map_read(y->rstd, all),
                *mean = y->mean ? o->map_read(y->mean, all) : NULL;
    for (size_t r = (size_t)first; r < (size_t)(first + n); r++)
        for (size_t k = 0; k < width; k++) {
            const double d = (double)dy[r * width + k];
            const double xhat =
                ((double)x[r * width + k] - (mean ? (double)mean[r] : 0)) * (double)rstd[r];
            if (dw)
                dw[k] += d * xhat;
            if (db)
                db[k] += d;
        }
    o->unmap(y->x);
    o->unmap(y->dy);
    o->unmap(y->rstd);
    if (mean)
        o->unmap(y->mean);
}

static void see_norm(void *ctx, const struct norm_product *y)
{
    struct ghost *g = ctx;
    if (g->at[y->weight] == SIZE_MAX && (y->bias < 0 || g->at[y->bias] == SIZE_MAX))
        return;
    if (g->head_rows >= 0) {
        add_norm(g, y, 0, y->rows, g->seq);
        return;
    }
    const int heads = y->rows / g->b->n_tokens; /* rows of a token */
    for (int s = 0; s < g->b->n_seqs; s++)
        add_norm(g, y, g->b->start[s] * heads, g->b->len[s] * heads, s);
}

/* Of a head tied to the embedding: 2 <head part, embedding part>. */
static double crossing(struct ghost *g, int s, const device float *dx, int n)
{
    const int rows = g->n_rows[s], width = g->m->cfg.width;
    device float *both = take(g, (size_t)n * (size_t)rows);
    double sum = 0;
    if (!both)
        return 0;
    g->m->ops->linear(both, dx, g->h[s], n, width, rows, 0);
    const float *v = g->m->ops->map_read(both, (size_t)n * (size_t)rows);
    for (int t = 0; t < n; t++)
        for (int r = 0; r < rows; r++)
            sum += (double)v[(size_t)t * (size_t)rows + (size_t)r] *
                   (double)g->picked[s][(size_t)r * (size_t)n + (size_t)t];
    g->m->ops->unmap(both);
    return 2 * sum;
}

/* dx [N,C], the gradient of the embeddings as they enter: of rows of the table, for equal ids
 * together, and of the positions, which are all different. */
static void see_embedding(void *ctx, const struct pass *p, device float *dx)
{
    struct ghost *g = ctx;
    const struct model *m = g->m;
    const double scale = (double)m->cfg.embed_scale;
    const bool moves = m->table.v[weight_index(&m->table, W_EMBED, -1)].trainable;
    const bool places =
        weight_has(&m->table, W_POS) && m->table.v[weight_index(&m->table, W_POS, -1)].trainable;
    for (int s = 0; s < p->batch->n_seqs && (moves || places); s++) {
        const int first = p->batch->start[s], n = p->batch->len[s], *id = p->batch->ids + first;
        const device float *d = dx + (size_t)first * (size_t)m->cfg.width;
        double same = 0, own = 0;
        arena_reset(&g->a);
        const device float *all = gram(g, d, n, m->cfg.width);
        const float *v = all ? m->ops->map_read(all, (size_t)n * (size_t)n) : NULL;
        for (int t = 0; v && t < n; t++)
            for (int k = 0; k < n; k++) {
                const double x = (double)v[(size_t)t * (size_t)n + (size_t)k];
                same += id[t] == id[k] ? x : 0;
                own += t == k ? x : 0;
            }
        if (v)
            m->ops->unmap(all);
        g->square[s] += (moves ? scale * scale * same : 0) + (places ? own : 0);
        if (moves && g->tied)
            g->square[s] += scale * crossing(g, s, d, n);
    }
}

/* --- a pass --- */

struct running {
    struct engine *g;
    struct ghost *ghost; /* NULL: the pass that adds up the gradient */
    struct batch b;
    struct label_rows rows;
    struct pass p;
    device float *dx;
    float *logp, *lse, *dlogp;
    int *labels; /* [S] */
};

/* The head of sequence s alone: dz of all its rows is there at once. */
static int head_of(struct running *r, int s, struct label_rows *rows, double *loss, struct err *e)
{
    struct ghost *g = r->ghost;
    struct model *m = g->m;
    const size_t v = (size_t)m->cfg.vocab, c = (size_t)m->cfg.width, n = (size_t)rows->n;
    const int head = weight_has(&m->table, W_HEAD) ? weight_index(&m->table, W_HEAD, -1) : -1;
    const int bias = weight_has(&m->table, W_HEAD_B) ? weight_index(&m->table, W_HEAD_B, -1) : -1;
    struct head h;
    arena_reset(&g->a);
    device float *all = take(g, n * v);
    if (!all || head_init(&h, &r->p, rows, true, &g->a, e))
        return -1;
    for (int first = 0, k; first < rows->n; first += k) {
        device float *z = head_logits(&h, first, &k);
        m->ops->label_logp(r->logp, r->lse, NULL, z, rows->label + first, k, m->cfg.vocab);
        for (int i = 0; i < k; i++) {
            *loss -= (double)r->logp[i] / rows->n;
            r->dlogp[i] = -1.0f / (float)rows->n;
        }
        head_drop(&h);
        m->ops->label_logp_back(z, r->lse, r->dlogp, rows->label + first, k, m->cfg.vocab);
        head_back(&h, first, k, z, NULL);
        m->ops->copy(all + (size_t)first * v, z, (size_t)k * v);
    }
    if (g->tied || (head >= 0 && m->table.v[head].trainable))
        g->square[s] += product_square(g, h.norm, (int)c, all, (int)v, rows->n);
    double *db = bias < 0 ? NULL : vector_of(g, bias, s);
    if (db)
        add_bias(g, db, all, rows->n, (int)v);
    if (g->tied) {
        const int t0 = r->b.start[s], len = r->b.len[s];
        g->n_rows[s] = rows->n;
        if (!(g->h[s] = m->ops->take(&r->g->arena, n * c, e)) ||
            !(g->picked[s] = arena_take(&r->g->arena, n * (size_t)len, sizeof(float), e)))
            return -1;
        m->ops->copy(g->h[s], h.norm, n * c);
        const float *z = m->ops->map_read(all, n * v);
        for (size_t i = 0; i < n; i++)
            for (int t = 0; t < len; t++)
                g->picked[s][i * (size_t)len + (size_t)t] = z[i * v + (size_t)r->b.ids[t0 + t]];
        m->ops->unmap(all);
    }
    g->seq = s;
    g->head_rows = rows->n;
    int rc = head_finish_back(&h, r->dx, NULL, &g->a, e);
    g->head_rows = -1;
    return rc || g->failed ? -1 : 0;
}

static int heads_apart(struct running *r, double *loss, struct err *e)
{
    for (int s = 0, at = 0; s < r->b.n_seqs; s++) {
        struct label_rows rows = {.token = r->rows.token + at,
                                  .label = r->rows.label + at,
                                  .seq = r->rows.seq + at,
                                  .n = r->labels[s]};
        loss[s] = 0;
        if (head_of(r, s, &rows, &loss[s], e))
            return -1;
        at += r->labels[s];
    }
    return 0;
}

static int head_together(struct running *r, const double *factor, struct err *e)
{
    struct head h;
    struct engine *g = r->g;
    if (head_init(&h, &r->p, &r->rows, true, &g->arena, e))
        return -1;
    head_logp(&h, r->logp, r->lse, NULL);
    for (int i = 0; i < r->rows.n; i++)
        r->dlogp[i] = (float)(-factor[r->rows.seq[i]] / r->labels[r->rows.seq[i]]);
    head_logp_back(&h, r->dlogp, r->lse, g->grads);
    return head_finish_back(&h, r->dx, g->grads, &g->arena, e);
}

/* Up to the head: batch, rows, the layers. */
static int begin(struct running *r, const struct seq *seqs, int n, const struct forward *how,
                 struct err *e)
{
    struct engine *g = r->g;
    struct model *m = g->model;
    arena_reset(&g->arena);
    if (batch_pack(&r->b, seqs, n, m->cfg.vocab, m->cfg.positions, &g->arena, e) ||
        batch_label_rows(&r->rows, &r->b, seqs, &g->arena, e) ||
        model_forward(m, &r->b, how, &r->p, &g->arena, e))
        return -1;
    const size_t count = (size_t)r->b.n_tokens * (size_t)m->cfg.width, rows = (size_t)r->rows.n + 1;
    if (!(r->dx = m->ops->take(&g->arena, count, e)) ||
        !(r->logp = arena_take(&g->arena, rows, sizeof(float), e)) ||
        !(r->lse = arena_take(&g->arena, rows, sizeof(float), e)) ||
        !(r->dlogp = arena_take(&g->arena, rows, sizeof(float), e)) ||
        !(r->labels = arena_zeros(&g->arena, (size_t)n + 1, sizeof(int), e)))
        return -1;
    m->ops->fill(r->dx, 0, count);
    for (int i = 0; i < r->rows.n; i++)
        r->labels[r->rows.seq[i]]++;
    return 0;
}

/* After begin, in whose arena it stands. */
static int ghost_init(struct ghost *g, struct running *r, double *square, struct err *e)
{
    struct arena *a = &r->g->arena;
    const struct weight_table *t = &g->m->table;
    const size_t n = (size_t)r->b.n_seqs;
    g->b = &r->b;
    g->square = square;
    g->head_rows = -1;
    g->tied = !weight_has(t, W_HEAD) && t->v[weight_index(t, W_EMBED, -1)].trainable;
    if (!(g->at = arena_take(a, (size_t)t->n, sizeof *g->at, e)))
        return -1;
    for (int i = 0; i < t->n; i++) {
        const bool is = t->v[i].trainable && t->v[i].n_dims == 1;
        g->at[i] = is ? g->vectors : SIZE_MAX;
        g->vectors += is ? t->v[i].count : 0;
    }
    memset(square, 0, n * sizeof *square);
    return !(g->vector = arena_zeros(a, n * g->vectors + 1, sizeof *g->vector, e)) ||
           !(g->h = arena_zeros(a, n, sizeof *g->h, e)) ||
           !(g->picked = arena_zeros(a, n, sizeof *g->picked, e)) ||
           !(g->n_rows = arena_zeros(a, n, sizeof *g->n_rows, e));
}

int private_norms(struct engine *g, const struct seq *seqs, int n, double *norm, double *loss,
                  struct err *e)
{
    struct ghost ghost = {.m = g->model, .e = e};
    const struct linear_tap linear = {.backward = see_product, .ctx = &ghost};
    const struct norm_tap norms = {.backward = see_norm, .ctx = &ghost};
    const struct tap embed = {
        .place = PLACE_EMBED, .backward = see_embedding, .ctx = &ghost, .reads = true};
    const struct forward how = {.keep = true,
                                .training = true,
                                .taps = &embed,
                                .n_taps = 1,
                                .linear = &linear,
                                .norm = &norms};
    struct running r = {.g = g, .ghost = &ghost};
    arena_init(&ghost.a);
    int rc = begin(&r, seqs, n, &how, e) || ghost_init(&ghost, &r, norm, e) ||
             heads_apart(&r, loss, e) || pass_backward(&r.p, r.dx, NULL, &g->arena, e) ||
             ghost.failed;
    for (int s = 0; s < n && !rc; s++) {
        const double *v = ghost.vector + (size_t)s * ghost.vectors;
        for (size_t k = 0; k < ghost.vectors; k++)
            norm[s] += v[k] * v[k];
        norm[s] = sqrt(fmax(norm[s], 0));
    }
    arena_fini(&ghost.a);
    return rc ? -1 : 0;
}

int private_add(struct engine *g, const struct seq *seqs, int n, const double *factor,
                struct err *e)
{
    const struct forward how = {.keep = true, .training = true};
    struct running r = {.g = g};
    return engine_reserve_grads(g, e) || begin(&r, seqs, n, &how, e) ||
                   head_together(&r, factor, e) || pass_backward(&r.p, r.dx, g->grads, &g->arena, e)
               ? -1
               : 0;
}

double private_factor(double norm, double clip)
{
    return fmin(1, clip / (norm + 1e-6));
}

void private_finish(struct engine *g, double sigma, double clip, double expected, unsigned seed,
                    long step)
{
    const struct model *m = g->model;
    struct rng r;
    rng_stream(&r, seed, RNG_NOISE, (uint32_t)step);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (!w->trainable)
            continue;
        float *x = m->ops->map(g->grads + w->at, w->count);
        for (size_t k = 0; k < w->count; k++)
            x[k] = (float)(((double)x[k] + sigma * clip * rng_normal(&r)) / expected);
        m->ops->unmap(g->grads + w->at);
    }
}

int private_check(const struct model *m, struct err *e)
{
    if (m->cfg.experts)
        return err_set(e, "models with experts are not trained with differential privacy");
    if (m->table.mask)
        return err_about(e, "mask", "differential privacy clips gradients of whole weights");
    if (m->lora && m->lora->dropout > 0)
        return err_about(e, "lora_dropout", "adapters with dropout have no gradient of their own");
    for (int i = 0; m->lora && i < m->table.n_model; i++)
        if (m->lora->of[i] >= 0 && (m->table.v[i].slot == W_QKV || m->table.v[i].slot == W_GATE_UP))
            return err_set(e, "the adapter of '%s' is of several matrices fused into one",
                           m->table.v[i].name);
    return 0;
}

/* The rows of a micro-batch: norms, then their clipped sum. */
static int add_micro(const struct private_rule *rule, struct gradient *g, const struct micro *mb,
                     enum role role, double *loss, struct err *e)
{
    struct engine *en = g->engine;
    const size_t n = (size_t)mb->n[role];
    struct seq *seqs = mem_alloc(n, sizeof *seqs, e);
    double *norm = mem_alloc(2 * n, sizeof *norm, e);
    int rc = seqs && norm ? 0 : -1;
    long tokens = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        seqs[i] = en->sets[role]->seqs[mb->rows[role][i]];
        tokens += seqs[i].n;
    }
    rc = rc || private_norms(en, seqs, (int)n, norm, norm + n, e);
    for (size_t i = 0; i < n && !rc; i++) {
        *loss += norm[n + i];
        norm[i] = private_factor(norm[i], rule->clip);
    }
    rc = rc || private_add(en, seqs, (int)n, norm, e);
    g->tokens += 2 * tokens;
    en->tokens.trained[role] += 2 * (double)tokens;
    free(seqs);
    free(norm);
    return rc ? -1 : 0;
}

int private_gradient(const struct private_rule *rule, struct gradient *g, struct err *e)
{
    const struct objective *o = &g->engine->obj[0];
    const enum role role = o->role[0];
    double loss = 0;
    int rows = 0;
    if (engine_reserve_grads(g->engine, e))
        return -1;
    engine_settle_grads(g->engine);
    for (int k = 0; k < g->n; k++) {
        const struct micro *mb = &g->order->micro[g->first + k];
        g->stopped = g->stop && *g->stop;
        if (interrupt_check(g->stop, e) || (mb->n[role] && add_micro(rule, g, mb, role, &loss, e)))
            return -1;
        rows += mb->n[role];
    }
    private_finish(g->engine, rule->sigma, rule->clip, rule->expected, g->seed, g->step);
    g->loss[0] = rows ? loss / rows : 0;
    g->micro[0] = g->loss[0] * g->n;
    g->seen |= GOAL_BIT(o->goal);
    return 0;
}
