/* Objectives on what layers know of the answer (arXiv 2309.17410): the residual h_l at a prompt's
 * last token, through the final norm and the head, p = softmax(head(norm(h_l))).
 *
 *   entropy:  -mean H(p)
 *   margin:   mean max(0, p_a - p_(k)) + mean max(0, p_(-k) - p_a)
 *
 * over layers and prompts; a is the answer's first token, p_(k) the k-th largest probability,
 * p_(-k) the k-th smallest.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "edit/search.h"

int lens_init(struct value_search *s, int layer, struct err *e)
{
    const int n = s->g->m->cfg.layers;
    if (!(s->taps = mem_alloc((size_t)n + 1, sizeof *s->taps, e)) ||
        !(s->lenses = mem_alloc((size_t)n, sizeof *s->lenses, e)))
        return -1;
    if (s->objective <= OBJECTIVE_ERASE)
        return 0;
    int *list = mem_alloc((size_t)n, sizeof *list, e), count = 0, rc = list ? 0 : -1;
    if (!rc && s->o->lens_layers) {
        count = edit_read_layers(s->o->lens_layers, n, list, "lens_layers", e);
        if (count < 0)
            rc = -1;
        else if (list[0] < layer)
            rc = err_about(e, "lens_layers", "layer %d lies below layer %d, which is edited",
                           list[0], layer);
    }
    for (int i = layer; !rc && !s->o->lens_layers && i < n; i++)
        list[count++] = i;
    for (int i = 0; i < count && !rc; i++)
        s->lenses[i] = (struct value_lens){s, list[i], NULL};
    s->n_lenses = rc ? 0 : count;
    if (!rc && s->o->lens_rank > s->g->m->cfg.vocab)
        rc = err_about(e, "lens_rank", "rank %lld is above the vocabulary of %d",
                       (long long)s->o->lens_rank, s->g->m->cfg.vocab);
    free(list);
    return rc;
}

static void add_derivative(void *ctx, const struct pass *p, device float *dx)
{
    const struct value_lens *l = ctx;
    p->m->ops->axpy(dx, 1, l->dx, (size_t)p->batch->n_tokens * (size_t)p->m->cfg.width);
}

/* --- one row: log p [V] in, the loss out; d loss / d logits times share in dz --- */

static double back_entropy(const double *logp, int vocab, double share, float *dz)
{
    double h = 0;
    for (int i = 0; i < vocab; i++)
        h -= exp(logp[i]) * logp[i];
    for (int i = 0; i < vocab; i++)
        dz[i] = (float)(share * exp(logp[i]) * (logp[i] + h));
    return -h;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* dz += u p_j (e_j - p): the derivative of u p_j. */
static void add_probability(const double *logp, int vocab, int j, double u, float *dz)
{
    const double p = exp(logp[j]);
    for (int i = 0; i < vocab; i++)
        dz[i] -= (float)(u * p * exp(logp[i]));
    dz[j] += (float)(u * p);
}

static int place_of(const double *logp, int vocab, double value)
{
    int i = 0;
    while (i + 1 < vocab && logp[i] != value)
        i++;
    return i;
}

/* `sorted` [V] is scratch. */
static double back_margin(const struct value_search *s, const double *logp, double *sorted,
                          double share, float *dz)
{
    const int vocab = s->g->m->cfg.vocab, k = (int)s->o->lens_rank, a = s->r->answer[0];
    memcpy(sorted, logp, (size_t)vocab * sizeof *sorted);
    qsort(sorted, (size_t)vocab, sizeof *sorted, ascending);
    memset(dz, 0, (size_t)vocab * sizeof *dz);
    const double high = sorted[vocab - k], low = sorted[k - 1];
    const double over = exp(logp[a]) - exp(high), under = exp(low) - exp(logp[a]);
    if (over > 0) {
        add_probability(logp, vocab, a, share, dz);
        add_probability(logp, vocab, place_of(logp, vocab, high), -share, dz);
    }
    if (under > 0) {
        add_probability(logp, vocab, place_of(logp, vocab, low), share, dz);
        add_probability(logp, vocab, a, -share, dz);
    }
    return fmax(over, 0) + fmax(under, 0);
}

/* --- all of them --- */

/* The last tokens of the prompts. */
static int last_tokens(struct value_search *s, struct label_rows *rows, struct err *e)
{
    const size_t n = (size_t)s->r->n_prompts;
    *rows = (struct label_rows){.n = s->r->n_prompts,
                                .token = arena_zeros(&s->arena, n, sizeof(int), e)};
    if (!rows->token || !(rows->label = arena_zeros(&s->arena, n, sizeof(int), e)) ||
        !(rows->seq = arena_zeros(&s->arena, n, sizeof(int), e)))
        return -1;
    for (int i = 0; i < rows->n; i++) {
        rows->token[i] = batch_token(&s->batch, s->batch.place[i] + s->r->prompts[i].n - 1);
        rows->seq[i] = i;
    }
    return 0;
}

static double back_rows(struct value_search *s, struct head *h, double share, double *logp)
{
    const struct ops *ops = s->g->m->ops;
    const int vocab = s->g->m->cfg.vocab;
    double sum = 0;
    for (int first = 0, n; first < h->rows->n; first += n) {
        device float *z = head_logits(h, first, &n);
        float *host = ops->map(z, (size_t)n * (size_t)vocab);
        for (int i = 0; i < n; i++) {
            float *row = host + (size_t)i * (size_t)vocab;
            search_log_softmax(logp, row, vocab);
            sum += s->objective == OBJECTIVE_ENTROPY
                       ? back_entropy(logp, vocab, share, row)
                       : back_margin(s, logp, logp + vocab, share, row);
        }
        ops->unmap(z);
        head_back(h, first, n, z, NULL);
        head_drop(h);
    }
    return sum;
}

int lens_loss(struct value_search *s, double *loss, device float *dx, struct err *e)
{
    const struct model *m = s->g->m;
    const size_t nc = (size_t)s->batch.n_tokens * (size_t)m->cfg.width;
    const double share = 1.0 / s->n_lenses / s->r->n_prompts;
    struct label_rows rows;
    double *logp = arena_zeros(&s->arena, 2 * (size_t)m->cfg.vocab, sizeof *logp, e);
    if (!logp || last_tokens(s, &rows, e))
        return -1;
    *loss = 0;
    for (int i = 0; i < s->n_lenses; i++) {
        struct value_lens *l = &s->lenses[i];
        struct head h;
        struct pass at = s->pass;
        const bool last = l->layer + 1 == m->cfg.layers;
        at.x = (device float *)pass_states(&s->pass, l->layer + 1);
        if (head_init(&h, &at, &rows, true, &s->arena, e) ||
            !(l->dx = last ? dx : m->ops->take(&s->arena, nc, e)))
            return -1;
        if (!last)
            m->ops->fill(l->dx, 0, nc);
        *loss += share * back_rows(s, &h, share, logp);
        if (head_finish_back(&h, l->dx, NULL, &s->arena, e))
            return -1;
    }
    return 0;
}

void lens_taps(struct value_search *s)
{
    for (int i = 0; i < s->n_lenses; i++) {
        struct value_lens *l = &s->lenses[i];
        const bool last = l->layer + 1 == s->g->m->cfg.layers;
        s->taps[1 + i] = (struct tap){.place = PLACE_RESID,
                                      .layer = l->layer,
                                      .backward = last ? NULL : add_derivative,
                                      .ctx = l};
    }
}
