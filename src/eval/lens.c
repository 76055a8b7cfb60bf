#include "eval/lens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sizes.h"
#include "model/states.h"

enum { TOKENS = SIZE(1024, 8) }; /* of a pass */

/* As many sequences from `first` on as fit into a pass, at least one. */
static int take_seqs(const struct seq *seqs, int first, int n)
{
    int count = 1, tokens = seqs[first].n;
    while (first + count < n && tokens + seqs[first + count].n <= TOKENS)
        tokens += seqs[first + count++].n;
    return count;
}

static int pack(struct batch *b, struct model *m, const struct seq *seqs, int n,
                const volatile sig_atomic_t *interrupt, struct arena *a, struct err *e)
{
    arena_reset(a);
    return interrupt_check(interrupt, e) ||
           batch_pack(b, seqs, n, m->cfg.vocab, m->cfg.positions, a, e);
}

/* --- figures of a row of logits --- */

struct prediction {
    double lse; /* log sum exp of the logits */
    float logp, entropy, margin;
    int best, rank;
};

static struct prediction predict(const float *z, int vocab, int label)
{
    double sum = 0, mean = 0;
    int best = 0, rank = 0;
    float second = -INFINITY;
    for (int v = 1; v < vocab; v++) {
        const bool above = z[v] > z[best];
        second = fmaxf(second, above ? z[best] : z[v]);
        best = above ? v : best;
    }
    for (int v = 0; v < vocab; v++) {
        const double p = exp((double)z[v] - (double)z[best]);
        sum += p;
        mean += p * ((double)z[v] - (double)z[best]);
        rank += z[v] > z[label];
    }
    const double lse = log(sum);
    return (struct prediction){.lse = (double)z[best] + lse,
                               .logp = (float)((double)z[label] - (double)z[best] - lse),
                               .entropy = (float)(lse - mean / sum),
                               .margin = z[best] - second,
                               .best = best,
                               .rank = rank};
}

/* The model's own predictions of a block of rows, which all layers are compared with. */
struct final_block {
    struct head head;
    int first;    /* row of the block that follows; -1: none yet */
    float *p;     /* [block,V] probabilities */
    double *sums; /* [block] sum p log p */
};

static void read_final(struct final_block *f, int first)
{
    const struct model *m = f->head.p->m;
    const int vocab = m->cfg.vocab;
    int n;
    if (f->first == first)
        return;
    const device float *row = head_logits(&f->head, first, &n);
    const float *z = m->ops->map_read(row, (size_t)n * (size_t)vocab);
#pragma omp parallel for schedule(static)
    for (int r = 0; r < n; r++) {
        const float *own = z + (size_t)r * (size_t)vocab;
        const double lse = predict(own, vocab, 0).lse;
        double sum = 0;
        for (int v = 0; v < vocab; v++) {
            const float p = (float)exp((double)own[v] - lse);
            f->p[(size_t)r * (size_t)vocab + (size_t)v] = p;
            sum += (double)p * ((double)own[v] - lse);
        }
        f->sums[r] = sum;
    }
    m->ops->unmap(row);
    f->first = first;
}

/* --- a batch --- */

/* A batch's labels: `rows` of the batch, of which `at` is the first one's place in `out`. */
struct lens_batch {
    struct lens *out;
    struct model *m;
    struct label_rows rows;
    struct states states;
    int at;
    struct arena *a, *of_layer; /* the second is reset for every layer */
};

/* KL of the model's own prediction p to the lens, sum p log p - sum p log q. */
static double divergence_of(const float *p, double sum, const float *zq, double lse, int vocab)
{
    double cross = 0;
    for (int v = 0; v < vocab; v++)
        cross += (double)p[v] * ((double)zq[v] - lse);
    return sum - cross;
}

static int read_layer(struct lens_batch *b, int layer, struct final_block *final, struct err *e)
{
    struct lens *out = b->out;
    const struct ops *o = b->m->ops;
    const int vocab = b->m->cfg.vocab;
    struct head h;
    struct pass p;
    struct label_rows rows;
    int n;
    arena_reset(b->of_layer);
    if (states_head(&h, &p, &rows, b->m, &b->states, layer, b->rows.label, true, b->of_layer, e))
        return -1;
    const size_t to = (size_t)layer * (size_t)out->n + (size_t)b->at;
    for (int first = 0; first < rows.n; first += n) {
        const device float *row = head_logits(&h, first, &n);
        const float *z = o->map_read(row, (size_t)n * (size_t)vocab);
        read_final(final, first);
#pragma omp parallel for schedule(static)
        for (int r = 0; r < n; r++) {
            const size_t i = to + (size_t)(first + r), at = (size_t)r * (size_t)vocab;
            const struct prediction f = predict(z + at, vocab, rows.label[first + r]);
            out->logp[i] = f.logp;
            out->entropy[i] = f.entropy;
            out->margin[i] = f.margin;
            out->best[i] = f.best;
            out->rank[i] = f.rank;
            out->kl[i] = (float)divergence_of(final->p + at, final->sums[r], z + at, f.lse, vocab);
        }
        o->unmap(row);
    }
    return 0;
}

static int read_raw(struct lens_batch *b, int layer, struct err *e)
{
    struct head h;
    struct pass p;
    struct label_rows rows;
    arena_reset(b->of_layer);
    if (states_head(&h, &p, &rows, b->m, &b->states, layer, b->rows.label, false, b->of_layer, e))
        return -1;
    head_logp(&h, b->out->raw_logp + (size_t)layer * (size_t)b->out->n + b->at, NULL, NULL);
    return 0;
}

static int read_batch(struct lens_batch *b, const struct batch *batch, const struct seq *seqs,
                      int first, struct err *e)
{
    struct final_block final = {.first = -1};
    struct pass p;
    struct label_rows rows;
    if (batch_label_rows(&b->rows, batch, seqs, b->a, e))
        return -1;
    const int n = b->rows.n, layers = b->m->cfg.layers;
    if (!n)
        return 0;
    if (states_read(&b->states, b->m, batch, b->rows.token, n, b->a, e) ||
        states_head(&final.head, &p, &rows, b->m, &b->states, layers, b->rows.label, true, b->a,
                    e) ||
        !(final.p = arena_take(b->a, (size_t) final.head.block,
                               (size_t)b->m->cfg.vocab * sizeof(float), e)) ||
        !(final.sums = arena_take(b->a, (size_t) final.head.block, sizeof *final.sums, e)))
        return -1;
    for (int r = 0; r < n; r++) {
        b->out->label[b->at + r] = b->rows.label[r];
        b->out->seq[b->at + r] = first + b->rows.seq[r];
    }
    for (int l = 0; l <= layers; l++)
        if (read_layer(b, l, &final, e) || (b->out->raw_logp && read_raw(b, l, e)))
            return -1;
    b->at += n;
    return 0;
}

static int make_room(struct lens *out, bool raw, struct err *e)
{
    const size_t n = (size_t)out->n * (size_t)(out->layers + 1);
    float **const reals[] = {&out->logp, &out->entropy, &out->kl, &out->margin, &out->raw_logp};
    for (int k = 0; k < 4 + raw; k++)
        if (!(*reals[k] = mem_alloc(n, sizeof(float), e)))
            return -1;
    return !(out->label = mem_alloc((size_t)out->n, sizeof(int), e)) ||
           !(out->seq = mem_alloc((size_t)out->n, sizeof(int), e)) ||
           !(out->best = mem_alloc(n, sizeof(int), e)) ||
           !(out->rank = mem_alloc(n, sizeof(int), e));
}

int lens_read(struct lens *out, struct model *m, const struct seq *seqs, int n,
              const struct lens_options *o, struct err *e)
{
    struct arena a, of_layer;
    struct lens_batch b = {.out = out, .m = m, .a = &a, .of_layer = &of_layer};
    struct progress bar;
    *out = (struct lens){.layers = m->cfg.layers};
    for (int i = 0; i < n; i++)
        out->n += seq_labels(&seqs[i]);
    arena_init(&a);
    arena_init(&of_layer);
    int rc = make_room(out, o->raw, e);
    progress_start(&bar, "lens", n);
    for (int i = 0, count; !rc && i < n; i += count) {
        struct batch batch;
        count = take_seqs(seqs, i, n);
        rc = pack(&batch, m, seqs + i, count, o->interrupt, &a, e) ||
             read_batch(&b, &batch, seqs + i, i, e);
        progress_step(&bar, i + count, 0, NULL);
    }
    progress_end(&bar);
    arena_fini(&a);
    arena_fini(&of_layer);
    if (rc)
        lens_fini(out);
    return rc ? -1 : 0;
}

void lens_fini(struct lens *l)
{
    free(l->label);
    free(l->seq);
    free(l->logp);
    free(l->raw_logp);
    free(l->entropy);
    free(l->kl);
    free(l->margin);
    free(l->best);
    free(l->rank);
    *l = (struct lens){0};
}

/* --- features --- */

/* Puts the states of sequences first.. of n at their layers' places in x [L+1,n,C]. */
static int read_features(float *x, int first, int n, struct model *m, const struct batch *b,
                         const int *at, struct arena *a, struct err *e)
{
    struct states s;
    int *token = arena_take(a, (size_t)b->n_seqs, sizeof *token, e);
    if (!token)
        return -1;
    for (int i = 0; i < b->n_seqs; i++)
        token[i] = b->start[i] + at[first + i];
    if (states_read(&s, m, b, token, b->n_seqs, a, e))
        return -1;
    const size_t width = (size_t)s.width, count = (size_t)b->n_seqs * width;
    for (int l = 0; l <= s.layers; l++) {
        const device float *from = states_at(&s, l);
        memcpy(x + ((size_t)l * (size_t)n + (size_t)first) * width, m->ops->map_read(from, count),
               count * sizeof *x);
        m->ops->unmap(from);
    }
    return 0;
}

int lens_features(float **x, struct model *m, const struct seq *seqs, const int *at, int n,
                  const volatile sig_atomic_t *interrupt, struct err *e)
{
    struct arena a;
    int rc = 0;
    *x = mem_alloc((size_t)(m->cfg.layers + 1) * (size_t)n, (size_t)m->cfg.width * sizeof **x, e);
    if (!*x)
        return -1;
    arena_init(&a);
    for (int i = 0, count; !rc && i < n; i += count) {
        struct batch b;
        count = take_seqs(seqs, i, n);
        rc = pack(&b, m, seqs + i, count, interrupt, &a, e) ||
             read_features(*x, i, n, m, &b, at, &a, e);
    }
    arena_fini(&a);
    if (rc) {
        free(*x);
        *x = NULL;
    }
    return rc ? -1 : 0;
}
