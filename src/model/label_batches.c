#include "model/label_batches.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"

enum {
    DEFAULT_TOKENS = SIZE(1024, 5),
    MOST_TOKENS = 8 * DEFAULT_TOKENS, /* where a long prefix is shared */
    MOST_PATHS = 64 * DEFAULT_TOKENS  /* tokens with shared ones counted for each sequence */
};

static int last_label(const struct seq *s)
{
    int t = s->labels ? s->n - 1 : 0;
    while (t > 0 && s->labels[t] == LABEL_NONE)
        t--;
    return t;
}

/* By their tokens, so that those that begin alike are neighbours and a prefix comes before what
 * continues from it. */
static int compare_items(const void *a, const void *b)
{
    const struct label_item *x = a, *y = b;
    int t = seq_common(&x->seq, &y->seq);
    if (t == x->seq.n || t == y->seq.n)
        return x->seq.n != y->seq.n ? (x->seq.n > y->seq.n) - (x->seq.n < y->seq.n)
                                    : (x->index > y->index) - (x->index < y->index);
    if (x->seq.ids[t] != y->seq.ids[t])
        return x->seq.ids[t] < y->seq.ids[t] ? -1 : 1;
    return x->seq.mask && !x->seq.mask[t] ? -1 : 1;
}

int label_batches_init(struct label_batches *b, const struct seq *seqs, int n, int tokens,
                       struct err *e)
{
    *b = (struct label_batches){.tokens = tokens};
    if (!(b->items = mem_alloc((size_t)n, sizeof *b->items, e)) ||
        !(b->common = mem_alloc((size_t)n, sizeof *b->common, e)))
        return -1;
    for (int i = 0; i < n; i++) {
        struct seq s = seqs[i];
        if ((s.n = last_label(&s)) > 0)
            b->items[b->n++] = (struct label_item){s, i};
    }
    if (b->n)
        qsort(b->items, (size_t)b->n, sizeof *b->items, compare_items);
    return 0;
}

void label_batches_fini(struct label_batches *b)
{
    free(b->items);
    free(b->common);
    *b = (struct label_batches){0};
}

/* How many items make the next batch; also fills in what they share. */
static int choose(struct label_batches *b)
{
    const struct label_item *items = b->items + b->next;
    int n = b->n - b->next, most = b->tokens > 0 ? b->tokens : DEFAULT_TOKENS;
    int all = items[0].seq.n, i = 1;
    long own = items[0].seq.n, paths = own;
    b->common[0] = 0;
    for (; i < n; i++) {
        b->common[i] = b->apart ? 0 : seq_common(&items[i - 1].seq, &items[i].seq);
        all = b->common[i] < all ? b->common[i] : all;
        long limit = b->tokens > 0 ? most : most + 7L * all; /* what all share is computed again */
        own += items[i].seq.n - b->common[i];
        paths += items[i].seq.n;
        if (own > (limit < MOST_TOKENS ? limit : MOST_TOKENS) || paths > MOST_PATHS)
            break;
    }
    return i;
}

/* Two sequences that share a label and all before it share its row of logits. */
static int pick_rows(struct label_batch *b, const int *common, int vocab, struct arena *a,
                     struct err *e)
{
    struct label_rows *rows = &b->rows;
    const struct batch *own = &b->batch;
    size_t room = (size_t)own->place[b->n] + (size_t)b->n;
    int *at = arena_take(a, room, sizeof(int), e); /* row that label t of a path has, by place */
    *rows = (struct label_rows){0};
    if (!at || !(b->row = arena_take(a, room, sizeof(int), e)) ||
        !(rows->token = arena_take(a, room, sizeof(int), e)) ||
        !(rows->label = arena_take(a, room, sizeof(int), e)))
        return -1;
    int count = 0;
    const int *before = at;
    for (int i = 0; i < b->n; i++) {
        const struct seq *s = &b->items[i].seq; /* s->labels[s->n] is its last label */
        int *mine = at + own->place[i] + i;
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
                rows->token[rows->n] = batch_token(own, own->place[i] + t - 1);
                rows->label[rows->n] = label;
                mine[t] = rows->n++;
            }
            b->row[count++] = mine[t];
        }
        before = mine;
    }
    return 0;
}

int label_batches_take(struct label_batches *b, struct label_batch *out,
                       const struct model_config *c, struct arena *a, struct err *e)
{
    arena_reset(a);
    *out = (struct label_batch){.items = b->items + b->next, .n = choose(b)};
    struct seq *seqs = arena_take(a, (size_t)out->n + 1, sizeof *seqs, e);
    for (int i = 0; seqs && i < out->n; i++)
        seqs[i] = out->items[i].seq;
    if (!seqs ||
        batch_pack_shared(&out->batch, seqs, out->n, NULL, b->common, c->vocab, c->positions, a,
                          e) ||
        pick_rows(out, b->common, c->vocab, a, e))
        return -1;
    b->next += out->n;
    return 0;
}

int label_batch_forward(struct model *m, const struct label_batch *b, const struct pass_taps *taps,
                        struct pass *p, struct arena *a, struct err *e)
{
    struct forward how = {.keep = false};
    if (taps) {
        int *of = arena_take(a, (size_t)b->n, sizeof *of, e);
        int *first = arena_zeros(a, (size_t)b->n, sizeof *first, e);
        if (!of || !first)
            return -1;
        for (int i = 0; i < b->n; i++)
            of[i] = b->items[i].index;
        taps->feed(taps->ctx, of, first, b->n);
        how.taps = taps->taps;
        how.n_taps = taps->n_taps;
    }
    return model_forward(m, &b->batch, &how, p, a, e);
}
