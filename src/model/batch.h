/* Packed sequences: N tokens of S sequences one after another, no padding. */
#ifndef MODEL_BATCH_H
#define MODEL_BATCH_H

#include "base/arena.h"
#include "base/err.h"
#include "base/seq.h"

struct batch {
    int n_seqs, n_tokens;
    int *start;    /* [S+1] first token of each sequence */
    int *len;      /* [S] */
    int *ids;      /* [N] */
    int *pos;      /* [N] position within the sequence */
    uint8_t *mask; /* [N]; NULL: every token is attended */
};

/* All arrays live in `a`. Refuses ids outside [0, vocab) and sequences longer than `max_positions`.
 */
int batch_pack(struct batch *b, const struct seq *seqs, int n, int vocab, int max_positions,
               struct arena *a, struct err *e);

/* Rows of logits: row r is token token[r] of the batch, predicting label[r], in sequence seq[r]. */
struct label_rows {
    int n;
    int *token, *label, *seq; /* [n] in the arena */
};

/* The rows that predict a scored label, in order. */
int batch_label_rows(struct label_rows *r, const struct batch *b, const struct seq *seqs,
                     struct arena *a, struct err *e);

#endif
