#include "model/forward.h"

#include <stdbool.h>
#include <string.h>

/* Arrays for what the sequences do not share, and for their paths. */
static int take(struct batch *b, const struct seq *seqs, int n, const int *common,
                int max_positions, struct arena *a, struct err *e)
{
    long own = 0, all = 0;
    bool masked = false, shared = false;
    for (int s = 0; s < n; s++) {
        if (seqs[s].n > max_positions)
            return err_set(e, "a sequence of %d tokens is longer than the model's %d positions",
                           seqs[s].n, max_positions);
        all += seqs[s].n;
        own += seqs[s].n - (common ? common[s] : 0);
        shared = shared || (common && common[s]);
        masked = masked || seqs[s].mask;
    }
    if (own > INT32_MAX / 4 || all > INT32_MAX)
        return err_set(e, "a batch of %ld tokens is too large; use a smaller batch",
                       own > INT32_MAX / 4 ? own : all);
    b->n_tokens = (int)own;
    if (!(b->start = arena_take(a, (size_t)n + 1, sizeof(int), e)) ||
        !(b->len = arena_take(a, (size_t)n + 1, sizeof(int), e)) ||
        !(b->ids = arena_take(a, (size_t)own + 1, sizeof(int), e)) ||
        !(b->pos = arena_take(a, (size_t)own + 1, sizeof(int), e)) ||
        (masked && !(b->mask = arena_take(a, (size_t)own + 1, 1, e))))
        return -1;
    b->place = b->start;
    if (shared && (!(b->place = arena_take(a, (size_t)n + 1, sizeof(int), e)) ||
                   !(b->path = arena_take(a, (size_t)all + 1, sizeof(int), e))))
        return -1;
    return 0;
}

int batch_pack_shared(struct batch *b, const struct seq *seqs, int n, const int *from,
                      const int *common, int vocab, int max_positions, struct arena *a,
                      struct err *e)
{
    *b = (struct batch){.n_seqs = n};
    if (take(b, seqs, n, common, max_positions, a, e))
        return -1;
    for (int s = 0, at = 0, place = 0; s <= n; s++) {
        b->start[s] = at;
        b->place[s] = place;
        if (s == n)
            break;
        const int shared = common ? common[s] : 0;
        b->len[s] = seqs[s].n - shared;
        if (shared)
            memcpy(b->path + place, b->path + b->place[from ? from[s] : s - 1],
                   (size_t)shared * sizeof(int));
        place += seqs[s].n;
        for (int t = shared; t < seqs[s].n; t++, at++) {
            int id = seqs[s].ids[t];
            if (id < 0 || id >= vocab)
                return err_set(e, "token id %d is outside the vocabulary of %d", id, vocab);
            b->ids[at] = id;
            b->pos[at] = t;
            if (b->mask)
                b->mask[at] = seqs[s].mask ? seqs[s].mask[t] : 1;
            if (b->path)
                b->path[b->place[s] + t] = at;
        }
    }
    return 0;
}

int batch_pack(struct batch *b, const struct seq *seqs, int n, int vocab, int max_positions,
               struct arena *a, struct err *e)
{
    return batch_pack_shared(b, seqs, n, NULL, NULL, vocab, max_positions, a, e);
}

void batch_find_common(const struct seq *seqs, int n, int *from, int *common)
{
    for (int s = 0; s < n; s++) {
        from[s] = common[s] = 0;
        for (int k = 0; k < s; k++) {
            const int same = seq_common(&seqs[k], &seqs[s]);
            if (same > common[s]) {
                from[s] = k;
                common[s] = same;
            }
        }
    }
}

int batch_label_rows(struct label_rows *r, const struct batch *b, const struct seq *seqs,
                     struct arena *a, struct err *e)
{
    *r = (struct label_rows){0};
    size_t room = (size_t)b->place[b->n_seqs] + 1;
    if (!(r->token = arena_take(a, room, sizeof(int), e)) ||
        !(r->label = arena_take(a, room, sizeof(int), e)) ||
        !(r->seq = arena_take(a, room, sizeof(int), e)))
        return -1;
    for (int s = 0; s < b->n_seqs; s++)
        for (int t = 1; seqs[s].labels && t < seqs[s].n; t++)
            if (seqs[s].labels[t] != LABEL_NONE) {
                r->token[r->n] = batch_token(b, b->place[s] + t - 1);
                r->label[r->n] = seqs[s].labels[t];
                r->seq[r->n++] = s;
            }
    return 0;
}
