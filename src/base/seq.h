/* One tokenised sequence, as text, data, model, training and evaluation share it.
 * T = n tokens. labels[t] is ids[t] where token t is scored, else LABEL_NONE; the logits of
 * position t-1 predict labels[t], so labels[0] is never scored.
 */
#ifndef BASE_SEQ_H
#define BASE_SEQ_H

#include <stddef.h>
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

/* Tokens up to the last one whose logits predict a label, at least one. */
static inline int seq_needed(const struct seq *s)
{
    int n = s->labels ? s->n : 1;
    while (n > 1 && s->labels[n - 1] == LABEL_NONE)
        n--;
    return n > 1 ? n - 1 : n;
}

/* The tokens from t on, without labels. */
static inline struct seq seq_rest(const struct seq *s, int t)
{
    return (struct seq){.n = s->n - t, .ids = s->ids + t, .mask = s->mask ? s->mask + t : NULL};
}

/* Whether token t is attended to. */
static inline int seq_shows(const struct seq *s, int t)
{
    return !s->mask || s->mask[t];
}

/* Length of the common prefix of two sequences: equal ids and masks. */
static inline int seq_common(const struct seq *a, const struct seq *b)
{
    int n = a->n < b->n ? a->n : b->n, t = 0;
    while (t < n && a->ids[t] == b->ids[t] && seq_shows(a, t) == seq_shows(b, t))
        t++;
    return t;
}

#endif
