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
        b->common[i] = seq_common(&items[i - 1].seq, &items[i].seq);
        all = b->common[i] < all ? b->common[i] : all;
        long limit = b->tokens > 0 ? most : most + 7L * all; /* what all share is computed again */
        own += items[i].seq.n - b->common[i];
        paths += items[i].seq.n;
        if (own > (limit < MOST_TOKENS ? limit : MOST_TOKENS) || paths > MOST_PATHS)
            break;
    }
    return i;
}

/* The batch of each sequence's own tokens, and where those of the whole sequences are: a sequence
 * has common[i] of them from the one before it. */
static int pack(struct label_batch *b, const int *common, const struct model_config *c,
                struct arena *a, struct err *e)
{
    size_t all = 0;
    struct seq *own = arena_take(a, (size_t)b->n + 1, sizeof *own, e);
    if (!own || !(b->start = arena_take(a, (size_t)b->n + 1, sizeof(int), e)))
        return -1;
    for (int i = 0; i < b->n; i++) {
        const struct seq *s = &b->items[i].seq;
        if (s->n > c->positions)
            return err_set(e, "a sequence of %d tokens is longer than the model's %d positions",
                           s->n, c->positions);
        own[i] = seq_rest(s, common[i]);
        b->start[i] = (int)all;
        all += (size_t)s->n;
        if (all > INT32_MAX)
            return err_set(e, "a batch of %zu tokens is too large; use a smaller batch", all);
    }
    b->start[b->n] = (int)all;
    if (!(b->token = arena_take(a, all + 1, sizeof(int), e)) ||
        batch_pack(&b->batch, own, b->n, c->vocab, c->positions, a, e))
        return -1;
    for (int i = 0; i < b->n; i++) {
        int *path = b->token + b->start[i];
        if (common[i])
            memcpy(path, b->token + b->start[i - 1], (size_t)common[i] * sizeof(int));
        for (int t = 0; t < own[i].n; t++) {
            int token = b->batch.start[i] + t;
            path[common[i] + t] = token;
            b->batch.pos[token] = common[i] + t;
        }
    }
    return 0;
}

/* Two sequences that share a label and all before it share its row of logits. */
static int pick_rows(struct label_batch *b, const int *common, int vocab, struct arena *a,
                     struct err *e)
{
    struct label_rows *rows = &b->rows;
    size_t room = (size_t)b->start[b->n] + (size_t)b->n;
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
        int *mine = at + b->start[i] + i;
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
                rows->token[rows->n] = b->token[b->start[i] + t - 1];
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
    if (pack(out, b->common, c, a, e) || pick_rows(out, b->common, c->vocab, a, e))
        return -1;
    b->next += out->n;
    return 0;
}

/* Keys and values of every whole sequence, one after another: rows [start[S], G*D]. */
static int keys_init(struct keys *k, const struct label_batch *b, const struct model *m,
                     struct arena *a, struct err *e)
{
    const struct batch *own = &b->batch;
    const struct model_config *c = &m->cfg;
    const size_t n = (size_t)b->start[b->n], wide = (size_t)(c->kv_heads * c->head_dim);
    int *n_k = arena_take(a, (size_t)b->n + 1, sizeof(int), e);
    uint8_t *mask = own->mask ? arena_take(a, n, 1, e) : NULL;
    *k = (struct keys){.n = b->start[b->n], .from = b->token};
    if (!n_k || (own->mask && !mask) || !(k->k = m->ops->take(a, n * wide, e)) ||
        !(k->v = m->ops->take(a, n * wide, e)))
        return -1;
    for (int i = 0; i < b->n; i++) {
        n_k[i] = b->start[i + 1] - b->start[i];
        k->positions = n_k[i] > k->positions ? n_k[i] : k->positions;
    }
    for (size_t r = 0; mask && r < n; r++)
        mask[r] = own->mask[b->token[r]];
    k->at = (struct attn){.n_seqs = b->n,
                          .q_start = own->start,
                          .n_q = own->len,
                          .k_start = b->start,
                          .n_k = n_k,
                          .key_mask = mask};
    return 0;
}

int label_batch_forward(struct model *m, const struct label_batch *b, struct pass *p,
                        struct arena *a, struct err *e)
{
    struct forward how = {.keep = false};
    struct keys *keys = arena_take(a, 1, sizeof *keys, e);
    if (!keys)
        return -1;
    if (b->start[b->n] != b->batch.n_tokens) { /* some are shared */
        if (keys_init(keys, b, m, a, e))
            return -1;
        how.keys = keys;
    }
    return model_forward(m, &b->batch, &how, p, a, e);
}
