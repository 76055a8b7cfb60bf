/* Many sequences with labels, cut into batches for teacher-forced passes. They are sorted, so that
 * what some have in common at their beginning (a question before several answers, worked examples
 * before many questions) is computed once; each is computed only up to its last label; a row of
 * logits that two sequences share is made once.
 */
#ifndef MODEL_LABEL_BATCHES_H
#define MODEL_LABEL_BATCHES_H

#include "model/guarded.h"

/* A queued sequence, truncated after the last position whose logits are needed. */
struct label_item {
    struct seq seq;
    int index; /* of the sequence as it was given */
};

struct label_batches {
    struct label_item *items; /* owned [n], sorted; sequences without labels are left out */
    int *common;              /* owned: what each of the batch shares with the one before it */
    int n, next;              /* items; the first that no batch had yet */
    int tokens;               /* computed at once; 0: a good default */
    bool apart;               /* no sequence shares a token with another */
};

struct label_batch {
    const struct label_item *items; /* [S] borrowed */
    int n;
    struct batch batch;     /* a sequence shares what it has in common with the one before it */
    struct label_rows rows; /* of logits, all different; `seq` is not filled in */
    int *row;               /* the row of each label, label after label over the items */
};

/* Where what a pass says of each batch goes as soon as it is there, and comes from if it was there
 * before. The same sequences always make the same batches, and nothing outside of a batch changes a
 * bit of what is said of it; with other company in it, rounding may differ. `out` is what the pass
 * fills: struct scores or struct divergence[n]. */
struct batch_store {
    bool (*recall)(void *ctx, void *out, const struct label_batch *b); /* false: it cannot */
    int (*keep)(void *ctx, const void *out, const struct label_batch *b, struct err *e);
    void *ctx;
};

int label_batches_init(struct label_batches *b, const struct seq *seqs, int n, int tokens,
                       struct err *e);
void label_batches_fini(struct label_batches *b);
/* Packs the next batch into `a`, which is reset: b->next moves on, unless it is b->n already. */
int label_batches_take(struct label_batches *b, struct label_batch *out,
                       const struct model_config *c, struct arena *a, struct err *e);

/* All layers over a batch: p->x holds the last one's output for its own tokens. `taps` may be NULL.
 */
int label_batch_forward(struct model *m, const struct label_batch *b, const struct pass_taps *taps,
                        struct pass *p, struct arena *a, struct err *e);

#endif
