/* One tokenised sequence: the word that text, data, model, training and evaluation share.
 * T = n tokens. labels[t] is ids[t] where token t is scored, else LABEL_NONE; the logits of
 * position t-1 predict labels[t], so labels[0] is never scored.
 */
#ifndef BASE_SEQ_H
#define BASE_SEQ_H

#include <stdint.h>

#define LABEL_NONE (-100)

struct seq {
    int n;               /* tokens */
    const int *ids;      /* [n] borrowed */
    const int *labels;   /* [n] borrowed; NULL: nothing is scored */
    const uint8_t *mask; /* [n] borrowed; 0 = attended by nobody; NULL: all real */
};

/* How many tokens are scored. */
static inline int seq_labels(const struct seq *s)
{
    int n = 0;
    for (int t = 1; s->labels && t < s->n; t++)
        n += s->labels[t] != LABEL_NONE;
    return n;
}

/* Tokens before the first one that is scored, at least one; all if none is. */
static inline int seq_prompt(const struct seq *s)
{
    int n = 1;
    while (n < s->n && (!s->labels || s->labels[n] == LABEL_NONE))
        n++;
    return n;
}

#endif
