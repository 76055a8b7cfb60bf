#include "train/gap.h"

#include <math.h>

#include "model/decoder.h"
#include "model/head.h"

static double log_sum(const float *z, int n)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        top = fmax(top, (double)z[i]);
    for (int i = 0; i < n; i++)
        sum += exp((double)z[i] - top);
    return top + log(sum);
}

/* KL(softmax(z) || softmax(q)). */
static double divergence(const float *z, const float *q, int n)
{
    double lse = log_sum(z, n), q_lse = log_sum(q, n), sum = 0;
    for (int i = 0; i < n; i++) {
        double lp = (double)z[i] - lse;
        sum += exp(lp) * (lp - ((double)q[i] - q_lse));
    }
    return sum;
}

/* The head of a model over these rows of a batch. */
static int open_head(struct head *h, struct model *m, const struct batch *b,
                     const struct label_rows *rows, struct arena *a, struct err *e)
{
    struct pass p;
    return decoder_forward(m, b, m->cfg.layers, false, &p, a, e) ||
                   head_init(h, m, p.x, rows, false, a, e)
               ? -1
               : 0;
}

/* Adds up the divergences of one sequence's rows, and counts these. */
static int add_seq(double *sum, long *count, struct model *from, struct model *to,
                   const struct seq *s, struct arena *a, struct err *e)
{
    struct batch b;
    struct label_rows rows;
    struct head own, other;
    int vocab = from->cfg.vocab, n, other_n;
    arena_reset(a);
    if (batch_pack(&b, s, 1, vocab, from->cfg.positions, a, e) ||
        batch_label_rows(&rows, &b, s, a, e) || open_head(&own, from, &b, &rows, a, e) ||
        open_head(&other, to, &b, &rows, a, e))
        return -1;
    for (int first = 0; first < rows.n; first += n) {
        const float *z = head_logits(&own, first, &n), *q = head_logits(&other, first, &other_n);
        BUG_ON(n != other_n);
        for (int i = 0; i < n; i++)
            *sum += divergence(z + (size_t)i * (size_t)vocab, q + (size_t)i * (size_t)vocab, vocab);
    }
    *count += rows.n;
    return 0;
}

int gap_measure(double *gap, struct model *from, struct model *to, const struct dataset *set,
                struct err *e)
{
    struct arena a;
    double sum = 0;
    long count = 0;
    int rc = 0;
    arena_init(&a);
    for (int s = 0; s < set->n && !rc; s++)
        rc = add_seq(&sum, &count, from, to, &set->seqs[s], &a, e);
    arena_fini(&a);
    *gap = count ? sum / (double)count : 0;
    return rc;
}
