/* Sequences that are being continued over a KV cache. A session has slots; each holds the tokens of
 * one sequence and, layer by layer, their keys and values. New tokens of several slots go through
 * the model in one pass, and the logits after the last one of each are there until the next pass.
 *
 * Memory: 2 L G D floats a token of every slot, taken at once by session_init.
 *
 * Of an ensemble (model/ensemble.h) every member has a cache; the logits are the logarithms of the
 * members' mean probabilities.
 */
#ifndef MODEL_SESSION_H
#define MODEL_SESSION_H

#include "model/head.h"

struct session {
    struct model *m; /* borrowed */
    int slots, max_len;
    bool count_masked; /* tokens with mask 0 count as positions, too; else they are rotated by 1, as
                        * HF's generate() has it */
    int *len;          /* owned [slots] tokens held; 0 empties a slot */
    int *ids;          /* owned [slots*max_len]: token t of slot s is row s * max_len + t */
    uint8_t *mask;     /* owned [slots*max_len] 0 = attended by nobody */
    bool masked;       /* some token has mask 0 */
    const int *rows;   /* borrowed: of the i-th sequence of the next passes the logits after its
                        * last rows[i] tokens are wanted, 0 or more; NULL: after one */
    const struct tap *taps; /* borrowed: of every pass; not of other members' */
    int n_taps;
    device float *k, *v; /* owned [L, slots*max_len, G*D] */
    size_t stride;       /* floats of a layer */

    struct arena a; /* of the last pass, all below */
    struct batch batch;
    struct pass pass;
    struct label_rows last; /* the tokens of that pass after which there are logits */
    struct head head;

    struct session *others; /* owned [n_others]: of the other members, with the same slots */
    int n_others;
    device float *mixed; /* owned [V]: what all members predict; NULL: no ensemble */
};

/* Slots of up to max_len tokens each. count_masked is true; set it before the first token. */
int session_init(struct session *s, struct model *m, int slots, int max_len, struct err *e);
void session_fini(struct session *s);

/* Cuts a slot to what it has in common with the sequence, all but its last token at most. Returns
 * how many tokens it still holds. */
int session_match(struct session *s, int slot, const struct seq *q);
/* Appends the tokens of seqs[i], at least one, to slot[i], in one pass for all n; no slot twice. */
int session_feed(struct session *s, const int *slot, const struct seq *seqs, int n, struct err *e);
/* Both: slot[i] holds seqs[i], of which only what it did not hold was computed. */
int session_sync(struct session *s, const int *slot, const struct seq *seqs, int n, struct err *e);
/* Appends ids[i] to slot[i]. */
int session_step(struct session *s, const int *slot, const int *ids, int n, struct err *e);
/* The logits [V] after the last token of the i-th sequence of the last pass; with `rows` number i
 * of all rows that were wanted. They may be overwritten; valid until another i is asked for, or the
 * next pass. */
device float *session_logits(struct session *s, int i);
/* Slot `to` holds what the first n tokens of slot `from` are, and nothing else. */
void session_fork(struct session *s, int from, int to, int n);

#endif
