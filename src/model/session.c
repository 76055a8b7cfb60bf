#include "model/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/ensemble.h"

static int init_one(struct session *s, struct model *m, int slots, int max_len, struct err *e)
{
    *s = (struct session){.m = m, .slots = slots, .max_len = max_len, .count_masked = true};
    size_t rows, floats;
    if (size_mul((size_t)slots, (size_t)max_len, &rows) || rows > INT32_MAX ||
        size_mul(rows, (size_t)(m->cfg.kv_heads * m->cfg.head_dim), &s->stride) ||
        size_mul(s->stride, (size_t)m->cfg.layers, &floats))
        return err_set(e, "a cache of %d sequences of %d tokens is too large; use a smaller batch",
                       slots, max_len);
    arena_init(&s->a);
    if ((s->len = mem_alloc((size_t)slots, sizeof *s->len, e)) &&
        (s->ids = mem_alloc(rows, sizeof *s->ids, e)) && (s->mask = mem_alloc(rows, 1, e)) &&
        (s->k = m->ops->alloc(floats, e)) && (s->v = m->ops->alloc(floats, e)))
        return 0;
    session_fini(s);
    return -1;
}

int session_init(struct session *s, struct model *m, int slots, int max_len, struct err *e)
{
    if (init_one(s, m, slots, max_len, e))
        return -1;
    if (!m->n_others)
        return 0;
    if (!(s->others = mem_alloc((size_t)m->n_others, sizeof *s->others, e)) ||
        !(s->mixed = m->ops->alloc((size_t)m->cfg.vocab, e))) {
        session_fini(s);
        return -1;
    }
    for (; s->n_others < m->n_others; s->n_others++)
        if (init_one(&s->others[s->n_others], &m->others[s->n_others], slots, max_len, e)) {
            session_fini(s);
            return -1;
        }
    return 0;
}

void session_fini(struct session *s)
{
    for (int k = 0; k < s->n_others; k++)
        session_fini(&s->others[k]);
    free(s->others);
    free(s->len);
    free(s->ids);
    free(s->mask);
    if (s->m) {
        s->m->ops->free(s->k);
        s->m->ops->free(s->v);
        s->m->ops->free(s->mixed);
    }
    arena_fini(&s->a);
    *s = (struct session){0};
}

int session_match(struct session *s, int slot, const struct seq *q)
{
    const size_t row = (size_t)slot * (size_t)s->max_len;
    const struct seq held = {.n = s->len[slot], .ids = s->ids + row, .mask = s->mask + row};
    int n = seq_common(&held, q);
    return s->len[slot] = n < q->n ? n : q->n - 1;
}

/* Notes the new tokens in their slots' rows, and their positions: row [N] is the row of each. */
static void place(struct session *s, const int *slot, int *row)
{
    const struct batch *b = &s->batch;
    for (int i = 0; i < b->n_seqs; i++) {
        int first = slot[i] * s->max_len, len = s->len[slot[i]], seen = len;
        for (int t = 0; t < len && !s->count_masked; t++)
            seen -= !s->mask[first + t];
        for (int t = b->start[i], r = first + len; t < b->start[i + 1]; t++, r++) {
            bool counts = s->count_masked || !b->mask || b->mask[t];
            s->ids[r] = b->ids[t];
            s->mask[r] = b->mask ? b->mask[t] : 1;
            b->pos[t] = counts ? seen : 1;
            seen += counts;
            row[t] = r;
        }
    }
    s->masked |= b->mask != NULL;
}

/* The pass's keys are the slots' rows, to which those of the new tokens are added. */
static int keys_init(struct session *s, struct keys *k, const int *slot, struct err *e)
{
    const struct batch *b = &s->batch;
    const size_t n = (size_t)b->n_seqs + 1;
    int *k_start = arena_take(&s->a, n, sizeof(int), e),
        *n_k = arena_take(&s->a, n, sizeof(int), e);
    int *row = arena_take(&s->a, (size_t)b->n_tokens + 1, sizeof(int), e);
    if (!k_start || !n_k || !row)
        return -1;
    place(s, slot, row);
    for (int i = 0; i < b->n_seqs; i++) {
        k_start[i] = slot[i] * s->max_len;
        n_k[i] = s->len[slot[i]] + b->len[i];
    }
    *k = (struct keys){.at = {.n_seqs = b->n_seqs,
                              .q_start = b->start,
                              .n_q = b->len,
                              .k_start = k_start,
                              .n_k = n_k,
                              .key_mask = s->masked ? s->mask : NULL},
                       .k = s->k,
                       .v = s->v,
                       .stride = s->stride,
                       .n = b->n_tokens,
                       .to = row,
                       .positions = s->max_len};
    return 0;
}

/* Room for the rows of logits that are wanted. */
static int take_rows(struct session *s, const struct seq *seqs, int n, struct err *e)
{
    int rows = 0;
    for (int i = 0; i < n; i++) {
        BUG_ON(s->rows && (s->rows[i] < 0 || s->rows[i] > seqs[i].n));
        rows += s->rows ? s->rows[i] : 1;
    }
    s->last = (struct label_rows){.n = rows,
                                  .token = arena_take(&s->a, (size_t)rows + 1, sizeof(int), e)};
    return s->last.token ? 0 : -1;
}

static int feed_one(struct session *s, const int *slot, const struct seq *seqs, int n,
                    struct err *e)
{
    const struct model_config *c = &s->m->cfg;
    struct keys keys;
    const struct forward how = {.keys = &keys, .taps = s->taps, .n_taps = s->n_taps};
    for (int i = 0; i < n; i++)
        if (seqs[i].n > s->max_len - s->len[slot[i]])
            return err_set(e, "a sequence of %d tokens does not fit its %d positions",
                           s->len[slot[i]] + seqs[i].n, s->max_len);
    arena_reset(&s->a);
    if (take_rows(s, seqs, n, e) ||
        batch_pack(&s->batch, seqs, n, c->vocab, c->positions, &s->a, e) ||
        keys_init(s, &keys, slot, e) || model_forward(s->m, &s->batch, &how, &s->pass, &s->a, e))
        return -1;
    s->pass.how.keys = NULL;
    for (int i = 0, r = 0; i < n; i++) {
        for (int k = s->rows ? s->rows[i] : 1; k > 0; k--)
            s->last.token[r++] = s->batch.start[i + 1] - k;
        s->len[slot[i]] += seqs[i].n;
    }
    return head_init(&s->head, &s->pass, &s->last, false, &s->a, e);
}

/* Another member's slots were cut as the session's own, whose lengths are its user's. */
static void follow(struct session *s, int k)
{
    s->others[k].count_masked = s->count_masked;
    s->others[k].rows = s->rows;
    memcpy(s->others[k].len, s->len, (size_t)s->slots * sizeof *s->len);
}

int session_feed(struct session *s, const int *slot, const struct seq *seqs, int n, struct err *e)
{
    for (int k = 0; k < s->n_others; k++) {
        follow(s, k);
        if (feed_one(&s->others[k], slot, seqs, n, e))
            return -1;
    }
    return feed_one(s, slot, seqs, n, e);
}

int session_sync(struct session *s, const int *slot, const struct seq *seqs, int n, struct err *e)
{
    struct seq *rest = mem_alloc((size_t)n, sizeof *rest, e);
    for (int i = 0; rest && i < n; i++)
        rest[i] = seq_rest(&seqs[i], session_match(s, slot[i], &seqs[i]));
    int rc = rest ? session_feed(s, slot, rest, n, e) : -1;
    free(rest);
    return rc;
}

int session_step(struct session *s, const int *slot, const int *ids, int n, struct err *e)
{
    struct seq *seqs = mem_alloc((size_t)n, sizeof *seqs, e);
    for (int i = 0; seqs && i < n; i++)
        seqs[i] = (struct seq){.n = 1, .ids = &ids[i]};
    int rc = seqs ? session_feed(s, slot, seqs, n, e) : -1;
    free(seqs);
    return rc;
}

device float *session_logits(struct session *s, int i)
{
    int first = i / s->head.block * s->head.block, n;
    const int members = 1 + s->n_others, vocab = s->m->cfg.vocab;
    device float *z = head_logits(&s->head, first, &n) + (size_t)(i - first) * (size_t)vocab;
    if (!s->n_others)
        return z;
    if (s->m->rule) {
        device float *all[ENSEMBLE_RULE_MOST + 1] = {s->mixed};
        s->m->ops->copy(s->mixed, z, (size_t)vocab);
        for (int k = 1; k < members; k++)
            all[k] = session_logits(&s->others[k - 1], i);
        ensemble_apply(s->m->ops, s->m->rule, all, members, 1, vocab);
        return s->mixed;
    }
    ensemble_join(s->m->ops, s->mixed, z, 0, members, 1, vocab);
    for (int k = 1; k < members; k++)
        ensemble_join(s->m->ops, s->mixed, session_logits(&s->others[k - 1], i), k, members, 1,
                      vocab);
    return s->mixed;
}

void session_fork(struct session *s, int from, int to, int n)
{
    const struct ops *o = s->m->ops;
    const size_t wide = (size_t)(s->m->cfg.kv_heads * s->m->cfg.head_dim), rows = (size_t)n;
    const size_t source = (size_t)from * (size_t)s->max_len,
                 target = (size_t)to * (size_t)s->max_len;
    BUG_ON(n > s->len[from]);
    for (int k = 0; k < s->n_others; k++) {
        follow(s, k);
        session_fork(&s->others[k], from, to, n);
    }
    s->len[to] = n;
    if (from == to)
        return;
    for (size_t l = 0; l < (size_t)s->m->cfg.layers; l++) {
        device float *k = s->k + l * s->stride, *v = s->v + l * s->stride;
        o->copy(k + target * wide, k + source * wide, rows * wide);
        o->copy(v + target * wide, v + source * wide, rows * wide);
    }
    memcpy(s->mask + target, s->mask + source, rows);
    memcpy(s->ids + target, s->ids + source, rows * sizeof *s->ids);
}
