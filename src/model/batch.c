#include "model/forward.h"

#include <stdbool.h>

int batch_pack(struct batch *b, const struct seq *seqs, int n, int vocab, int max_positions,
               struct arena *a, struct err *e)
{
    *b = (struct batch){.n_seqs = n};
    long total = 0;
    bool masked = false;
    for (int s = 0; s < n; s++) {
        if (seqs[s].n > max_positions)
            return err_set(e, "a sequence of %d tokens is longer than the model's %d positions",
                           seqs[s].n, max_positions);
        total += seqs[s].n;
        masked = masked || seqs[s].mask;
    }
    if (total > INT32_MAX / 4)
        return err_set(e, "a batch of %ld tokens is too large; use a smaller batch", total);
    b->n_tokens = (int)total;
    if (!(b->start = arena_take(a, (size_t)n + 1, sizeof(int), e)) ||
        !(b->len = arena_take(a, (size_t)n + 1, sizeof(int), e)) ||
        !(b->ids = arena_take(a, (size_t)total + 1, sizeof(int), e)) ||
        !(b->pos = arena_take(a, (size_t)total + 1, sizeof(int), e)) ||
        (masked && !(b->mask = arena_take(a, (size_t)total + 1, 1, e))))
        return -1;
    int at = 0;
    for (int s = 0; s < n; s++) {
        b->start[s] = at;
        b->len[s] = seqs[s].n;
        for (int t = 0; t < seqs[s].n; t++, at++) {
            int id = seqs[s].ids[t];
            if (id < 0 || id >= vocab)
                return err_set(e, "token id %d is outside the vocabulary of %d", id, vocab);
            b->ids[at] = id;
            b->pos[at] = t;
            if (masked)
                b->mask[at] = seqs[s].mask ? seqs[s].mask[t] : 1;
        }
    }
    b->start[n] = at;
    return 0;
}

int batch_label_rows(struct label_rows *r, const struct batch *b, const struct seq *seqs,
                     struct arena *a, struct err *e)
{
    *r = (struct label_rows){0};
    size_t room = (size_t)b->n_tokens + 1;
    if (!(r->token = arena_take(a, room, sizeof(int), e)) ||
        !(r->label = arena_take(a, room, sizeof(int), e)) ||
        !(r->seq = arena_take(a, room, sizeof(int), e)))
        return -1;
    for (int s = 0; s < b->n_seqs; s++)
        for (int t = 1; seqs[s].labels && t < seqs[s].n; t++)
            if (seqs[s].labels[t] != LABEL_NONE) {
                r->token[r->n] = b->start[s] + t - 1;
                r->label[r->n] = seqs[s].labels[t];
                r->seq[r->n++] = s;
            }
    return 0;
}
