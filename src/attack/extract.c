/* The exact probability that sampling gives the true answer, without any sample (arXiv 2410.19482).
 */
#include <math.h>
#include <string.h>

#include "attack/extract.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sort.h"
#include "model/head.h"
#include "model/label_batches.h"

/* --- the distribution that is sampled from --- */

/* The logit that the k largest reach, ties included. */
static int kth(const float *z, int vocab, int64_t k, float *at, struct err *e)
{
    float *sorted = mem_alloc((size_t)vocab, sizeof *sorted, e);
    if (!sorted)
        return -1;
    memcpy(sorted, z, (size_t)vocab * sizeof *z);
    sort_floats(sorted, (size_t)vocab);
    *at = k && k < vocab ? sorted[vocab - k] : sorted[0];
    free(sorted);
    return 0;
}

int warp_top_k(int64_t top_k, float *z, int vocab, struct err *e)
{
    float least;
    if (!top_k || top_k >= vocab)
        return 0;
    if (kth(z, vocab, top_k, &least, e))
        return -1;
    for (int i = 0; i < vocab; i++)
        if (z[i] < least)
            z[i] = -INFINITY;
    return 0;
}

/* ln p of a token, -INFINITY if it is left out, from a row of logits z [vocab]. Fails only for lack
 * of memory. */
static int warp_logp(const struct warp *w, const float *z, int vocab, int token, double *logp,
                     struct err *e)
{
    double *p = mem_alloc((size_t)vocab, sizeof *p, e);
    float least = -INFINITY, top = z[0];
    int n = 0;
    if (!p || (w->top_k && kth(z, vocab, w->top_k, &least, e)))
        return free(p), -1;
    for (int i = 1; i < vocab; i++)
        top = z[i] > top ? z[i] : top;
    double sum = 0;
    for (int i = 0; i < vocab; i++)
        if (z[i] >= least)
            sum += p[n++] = exp(((double)z[i] - (double)top) / w->temperature);
    const double own = exp(((double)z[token] - (double)top) / w->temperature);
    bool is_in = z[token] >= least;
    if (is_in && w->top_p < 1) { /* left out from the least on, while they are 1 - top_p at most */
        double mass = 0;
        int out = 0;
        sort_doubles(p, (size_t)n);
        while (out < n - 1 && mass + p[out] <= (1 - w->top_p) * sum)
            mass += p[out++];
        is_in = own >= p[out];
        sum -= mass;
    }
    *logp = is_in ? ((double)z[token] - (double)top) / w->temperature - log(sum) : -INFINITY;
    free(p);
    return 0;
}

/* --- the exact answer --- */

/* Adds the log-probabilities of a block of rows' labels under the warp to logp[sequence]. */
static int add_block(struct head *h, const int *label_row, const int *of, const int *labels,
                     int n_labels, const struct warp *w, double *logp, struct err *e)
{
    const int vocab = h->p->m->cfg.vocab;
    const struct ops *ops = h->p->m->ops;
    for (int first = 0; first < h->rows->n;) {
        int n;
        device float *z = head_logits(h, first, &n);
        const float *at = ops->map_read(z, (size_t)n * (size_t)vocab);
        int rc = 0;
        for (int k = 0; k < n_labels && !rc; k++) {
            if (label_row[k] < first || label_row[k] >= first + n)
                continue;
            double own;
            rc = warp_logp(w, at + (size_t)(label_row[k] - first) * (size_t)vocab, vocab, labels[k],
                           &own, e);
            logp[of[k]] += rc ? 0 : own;
        }
        ops->unmap(z);
        if (rc)
            return rc;
        first += n;
    }
    return 0;
}

static int score_batch(struct attack_run *a, const struct dataset *d, const struct label_batch *b,
                       const struct warp *w, double *logp, struct arena *arena, struct err *e)
{
    struct pass pass;
    struct head head;
    int n = 0;
    int *of = arena_take(arena, (size_t)d->n_labels + 1, sizeof *of, e);
    int *labels = of ? arena_take(arena, (size_t)d->n_labels + 1, sizeof *labels, e) : NULL;
    if (!labels)
        return -1;
    for (int i = 0; i < b->n; i++) { /* an item ends before its last label */
        const int index = b->items[i].index;
        const struct seq *q = &d->seqs[index];
        for (int t = 1; t < q->n; t++)
            if (q->labels[t] != LABEL_NONE) {
                of[n] = index;
                labels[n++] = q->labels[t];
            }
    }
    return label_batch_forward(&a->s.model, b, NULL, &pass, arena, e) ||
           head_init(&head, &pass, &b->rows, false, arena, e) ||
           add_block(&head, b->row, of, labels, n, w, logp, e);
}

/* The log-probability of each example's labels, [d->n]. */
static int forced_logp(struct attack_run *a, const struct dataset *d, const struct warp *w,
                       double *logp, struct err *e)
{
    struct label_batches all = {0};
    struct arena arena = {0};
    memset(logp, 0, (size_t)d->n * sizeof *logp);
    int rc = label_batches_init(&all, d->seqs, d->n, 0, e);
    while (!rc && all.next < all.n) {
        struct label_batch b;
        arena_reset(&arena);
        rc = interrupt_check(a->stop, e) ||
             label_batches_take(&all, &b, &a->s.model.cfg, &arena, e) ||
             score_batch(a, d, &b, w, logp, &arena, e);
    }
    for (int i = 0; i < d->n; i++)
        a->spent.forward_tokens += d->seqs[i].n;
    arena_fini(&arena);
    label_batches_fini(&all);
    return rc;
}

static void put_means(const double *logp, int rows, int64_t n, json_t *block)
{
    json_t *each = json_array();
    double mean = 0, in_n = 0, possible = 0;
    for (int i = 0; i < rows; i++) {
        mean += logp[i] / rows;
        in_n -= expm1((double)n * log1p(-exp(logp[i]))) / rows;
        possible += isfinite(logp[i]) ? 1.0 / rows : 0;
        json_array_append_new(each, json_finite(logp[i]));
    }
    json_put_real(block, "exact_log_p", mean);
    json_put_real(block, "exact_p_in_n", in_n);
    json_put_real(block, "exact_possible", possible);
    json_object_set_new(block, "row_log_p", each);
}

int extract_measure(struct attack_run *a, const struct warp *w, int64_t n, json_t *block,
                    struct err *e)
{
    const struct dataset *d = &a->sets[ATTACK_FORGET];
    double *logp = mem_alloc((size_t)d->n, sizeof *logp, e);
    const int rc = !logp || forced_logp(a, d, w, logp, e);
    if (!rc)
        put_means(logp, d->n, n, block);
    free(logp);
    return rc;
}

struct extract_params {
    double temperature, top_p;
    int64_t top_k, n;
};

static const struct param extract_table[] = {
    REAL_PARAM(struct extract_params, temperature, 0.01, 100, 1, "softmax temperature"),
    INT_PARAM(struct extract_params, top_k, 0, 1 << 24, 0,
              "tokens sampled from, ties included; 0: all"),
    REAL_PARAM(struct extract_params, top_p, 0.001, 1, 1,
               "cumulative probability of the tokens sampled from"),
    INT_PARAM(struct extract_params, n, 1, 1 << 30, 100, "answers that would be sampled"),
    {0}};

static int run_extract(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct extract_params *p = params;
    const struct warp w = {p->temperature, p->top_p, p->top_k};
    return extract_measure(a, &w, p->n, block, e);
}

const struct attack attack_extract = {
    .name = "extract",
    .params = extract_table,
    .params_size = sizeof(struct extract_params),
    .help = "the exact probability that sampling gives the answer, without any sample",
    .paper = "arXiv 2410.19482",
    .touches = "decoding",
    .access = "grey",
    .verified = "transformers' logits processors",
    .run = run_extract,
};
