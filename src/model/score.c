#include "model/score.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/head.h"
#include "model/shared.h"

enum {
    DEFAULT_TOKENS = 1024,
    MOST_TOKENS = 8 * DEFAULT_TOKENS, /* where a long prefix is shared */
    MOST_PATHS = 64 * DEFAULT_TOKENS  /* tokens with shared ones counted for each sequence */
};

/* A sequence on its way: what must be computed of it, which ends before its last label. */
struct item {
    struct seq seq;
    int index;
};

static int count_labels(const struct seq *s)
{
    int n = 0;
    for (int t = 1; s->labels && t < s->n; t++)
        n += s->labels[t] != LABEL_NONE;
    return n;
}

static int last_label(const struct seq *s)
{
    int t = s->labels ? s->n - 1 : 0;
    while (t > 0 && s->labels[t] == LABEL_NONE)
        t--;
    return t;
}

/* The labels, and room for what will be said of them. */
static int pools_init(struct scores *out, const struct seq *seqs, int n, bool distribution,
                      struct err *e)
{
    size_t labels = 0, each = distribution ? 3 : 1;
    if (!(out->v = mem_alloc((size_t)n, sizeof *out->v, e)))
        return -1;
    for (int i = 0; i < n; i++)
        labels += (size_t)(out->v[i].n = count_labels(&seqs[i]));
    if (!(out->floats = mem_alloc(labels * each, sizeof(float), e)) ||
        !(out->ints = mem_alloc(labels * (each < 3 ? 2 : 3), sizeof(int), e)))
        return -1;
    out->n = n;
    for (size_t i = 0, at = 0; i < (size_t)n; at += (size_t)out->v[i++].n) {
        struct score *s = &out->v[i];
        s->logp = out->floats + at;
        s->label = out->ints + at;
        s->best = out->ints + labels + at;
        s->mean = distribution ? out->floats + labels + at : NULL;
        s->variance = distribution ? out->floats + 2 * labels + at : NULL;
        s->rank = distribution ? out->ints + 2 * labels + at : NULL;
        for (int t = 1, k = 0; k < s->n; t++)
            if (seqs[i].labels[t] != LABEL_NONE)
                s->label[k++] = seqs[i].labels[t];
    }
    return 0;
}

/* The rows of logits of one batch. Two sequences that share a label and all before it share its
 * row: row[r] is the row of the r-th label, counted over the sequences. */
static int pick_rows(struct label_rows *rows, int **row, const struct shared *sh,
                     const struct item *items, const int *common, int n, int vocab, struct arena *a,
                     struct err *e)
{
    size_t room = (size_t)sh->n_paths + (size_t)n;
    int *at = arena_take(a, room, sizeof(int), e); /* row that label t of a path has, by place */
    *rows = (struct label_rows){0};
    if (!at || !(*row = arena_take(a, room, sizeof(int), e)) ||
        !(rows->token = arena_take(a, room, sizeof(int), e)) ||
        !(rows->label = arena_take(a, room, sizeof(int), e)))
        return -1;
    int count = 0;
    const int *before = at;
    for (int i = 0; i < n; i++) {
        const struct seq *s = &items[i].seq; /* s->labels[s->n] is its last label */
        int *mine = at + sh->start[i] + i;
        for (int t = 1; t <= s->n; t++) {
            int label = s->labels[t];
            mine[t] = -1;
            if (label == LABEL_NONE)
                continue;
            if (label < 0 || label >= vocab)
                return err_set(e, "label %d is outside the vocabulary of %d", label, vocab);
            if (t <= common[i] && before[t] >= 0 && rows->label[before[t]] == label) {
                mine[t] = before[t];
            } else {
                rows->token[rows->n] = sh->token[sh->start[i] + t - 1];
                rows->label[rows->n] = label;
                mine[t] = rows->n++;
            }
            (*row)[count++] = mine[t];
        }
        before = mine;
    }
    return 0;
}

/* What the head says of each row. */
struct said {
    float *logp, *lse, *mean, *variance;
    int *best, *rank;
};

static int ask_head(struct said *s, struct head *h, bool distribution, struct arena *a,
                    struct err *e)
{
    size_t n = (size_t)h->rows->n + 1;
    *s = (struct said){0};
    if (!(s->logp = arena_take(a, n, sizeof(float), e)) ||
        !(s->best = arena_take(a, n, sizeof(int), e)) ||
        !(s->lse = arena_take(a, n, sizeof(float), e)))
        return -1;
    if (distribution && (!(s->mean = arena_take(a, n, sizeof(float), e)) ||
                         !(s->variance = arena_take(a, n, sizeof(float), e)) ||
                         !(s->rank = arena_take(a, n, sizeof(int), e))))
        return -1;
    const struct ops *o = h->m->ops;
    int v = h->m->cfg.vocab, rows;
    for (int r = 0; r < h->rows->n; r += rows) {
        const float *z = head_logits(h, r, &rows);
        const int *label = h->rows->label + r;
        o->label_logp(s->logp + r, s->lse + r, s->best + r, z, label, rows, v);
        if (distribution)
            o->label_spread(s->mean + r, s->variance + r, s->rank + r, z, s->lse + r, label, rows,
                            v);
    }
    return 0;
}

static void keep(struct score *s, const struct said *said, const int *row)
{
    s->nll = 0;
    for (int k = 0; k < s->n; k++) {
        int r = row[k];
        s->logp[k] = said->logp[r];
        s->best[k] = said->best[r];
        s->nll -= (double)s->logp[k];
        if (s->rank) {
            s->mean[k] = said->mean[r];
            s->variance[k] = said->variance[r];
            s->rank[k] = said->rank[r];
        }
    }
}

/* items[i] shares its first common[i] tokens with the one before it. */
static int score_batch(struct scores *out, struct model *m, const struct item *items,
                       const int *common, int n, bool distribution, struct arena *a, struct err *e)
{
    struct shared sh;
    struct label_rows rows;
    struct head h;
    struct said said;
    int *row;
    float *x;
    struct seq *seqs = arena_take(a, (size_t)n, sizeof *seqs, e);
    if (!seqs)
        return -1;
    for (int i = 0; i < n; i++)
        seqs[i] = items[i].seq;
    if (shared_pack(&sh, seqs, common, n, &m->cfg, a, e) ||
        pick_rows(&rows, &row, &sh, items, common, n, m->cfg.vocab, a, e) ||
        shared_forward(m, &sh, &x, a, e) || head_init(&h, m, x, &rows, false, a, e) ||
        ask_head(&said, &h, distribution, a, e))
        return -1;
    for (int i = 0; i < n; i++) {
        struct score *s = &out->v[items[i].index];
        keep(s, &said, row);
        row += s->n;
    }
    return 0;
}

/* By their tokens, so that those that begin alike are neighbours and a prefix comes before what
 * goes on from it. */
static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int t = shared_prefix(&x->seq, &y->seq);
    if (t == x->seq.n || t == y->seq.n)
        return x->seq.n != y->seq.n ? (x->seq.n > y->seq.n) - (x->seq.n < y->seq.n)
                                    : (x->index > y->index) - (x->index < y->index);
    if (x->seq.ids[t] != y->seq.ids[t])
        return x->seq.ids[t] < y->seq.ids[t] ? -1 : 1;
    return x->seq.mask && !x->seq.mask[t] ? -1 : 1;
}

/* Those with something to score, sorted. */
static struct item *items_new(const struct seq *seqs, int n, int *n_items, struct err *e)
{
    struct item *items = mem_alloc((size_t)n, sizeof *items, e);
    *n_items = 0;
    for (int i = 0; items && i < n; i++) {
        struct seq s = seqs[i];
        if ((s.n = last_label(&s)) > 0)
            items[(*n_items)++] = (struct item){s, i};
    }
    if (items && *n_items)
        qsort(items, (size_t)*n_items, sizeof *items, compare_items);
    return items;
}

/* How many items make the next batch. `common` gets what each shares with the one before. */
static int next_batch(const struct item *items, int n, int tokens, int *common)
{
    int most = tokens > 0 ? tokens : DEFAULT_TOKENS, all = items[0].seq.n, i = 1;
    long own = items[0].seq.n, paths = own;
    common[0] = 0;
    for (; i < n; i++) {
        common[i] = shared_prefix(&items[i - 1].seq, &items[i].seq);
        all = common[i] < all ? common[i] : all;
        long limit = tokens > 0 ? tokens : most + 7L * all; /* what all share is computed again */
        own += items[i].seq.n - common[i];
        paths += items[i].seq.n;
        if (own > (limit < MOST_TOKENS ? limit : MOST_TOKENS) || paths > MOST_PATHS)
            break;
    }
    return i;
}

int model_score(struct scores *out, struct model *m, const struct seq *seqs, int n,
                const struct score_options *o, struct progress *bar, struct err *e)
{
    static const struct score_options defaults = {0};
    o = o ? o : &defaults;
    *out = (struct scores){0};
    int n_items, rc = -1;
    struct item *items = items_new(seqs, n, &n_items, e);
    int *common = items ? mem_alloc((size_t)n_items, sizeof *common, e) : NULL;
    struct arena a;
    arena_init(&a);
    if (!common || pools_init(out, seqs, n, o->distribution, e))
        goto fail;
    long done = bar ? bar->done + n - n_items : 0;
    double seen = bar ? bar->tokens : 0;
    for (int i = 0, k; i < n_items; i += k) {
        k = next_batch(items + i, n_items - i, o->tokens, common);
        arena_reset(&a);
        if (score_batch(out, m, items + i, common, k, o->distribution, &a, e))
            goto fail;
        for (int j = i; j < i + k; j++)
            seen += seqs[items[j].index].n;
        if (bar)
            progress_step(bar, done + i + k, seen, NULL);
    }
    rc = 0;
fail:
    arena_fini(&a);
    free(items);
    free(common);
    if (rc)
        scores_fini(out);
    return rc;
}

void scores_fini(struct scores *s)
{
    free(s->v);
    free(s->floats);
    free(s->ints);
    *s = (struct scores){0};
}
