/* Greedy coordinate gradient (GCG, arXiv 2307.15043): a suffix of tokens in the prompt that makes
 * an answer likely. Each step takes the derivative of the loss with respect to every possible token
 * at every place of the suffix, draws candidates with a few tokens replaced by promising ones, and
 * continues from the candidate with the least loss. Private to attack/: gcg.c has the table's row,
 * gcg_search.c the steps, gcg_candidates.c what is tried, gcg_prompt.c where a suffix stands,
 * gcg_files.c what is written and replayed.
 */
#ifndef ATTACK_GCG_H
#define ATTACK_GCG_H

#include "attack/input.h"
#include "base/rng.h"

struct gcg_params {
    const char *message, *answer, *control; /* instead of rows */
    const char *init, *filter, *candidates, *control_key;
    int64_t topk, width, steps, replace, buffer, tokens;
    double share;
    bool universal, early_stop, ascii, trace;
};

/* Candidates must encode to their own ids again: within the prompt, alone, or they need not. */
enum gcg_filter { GCG_WHOLE, GCG_SUFFIX, GCG_NONE };
extern const char gcg_filters[]; /* "whole|suffix|none" */

struct gcg {
    const struct gcg_params *p;
    struct input *in;
    enum gcg_filter filter;
    struct input_slots slots[INPUT_TARGETS]; /* the rows with the suffix that is current */
    int n;                                   /* tokens of the suffix */
    int *start;                              /* owned [n] it starts from */
    bool *banned;                            /* owned [V] */
    struct arena texts;                      /* of the rows of a message */
};

/* --- prompts --- */

/* Rows with the first suffix in them. The suffix stands where the question has "{}", else at its
 * end; of rows of token ids before the answer. */
int gcg_prompts(struct gcg *g, struct err *e);
/* Whether the tokens of row i with this suffix are those of its text. */
int gcg_retokenises(struct gcg *g, enum input_target t, int i, const int *ids, bool *same,
                    struct err *e);
/* Its text as it stands in row 0. */
int gcg_text(struct gcg *g, const int *ids, struct buf *text, struct err *e);

/* --- candidates --- */

/* Tokens that no candidate has: special ones, those without a text, and with `ascii` those whose
 * text is not printable ASCII. */
int gcg_ban(struct gcg *g, struct err *e);
/* d loss / d onehot [n,V] = grad [n,C] E^T, of rows of the embedding as they are stored. */
void gcg_onehot(const struct model *m, const device float *grad, int n, device float *onehot);
/* The topk ids of least derivative at each place, into top[n, topk], the least first; the lower id
 * where they are equal. */
int gcg_top(const struct gcg *g, const device float *onehot, int *top, struct err *e);
/* sampled[width, n]: `ids` with `replace` places, all different, set to one of their topk each. */
void gcg_sample(const struct gcg *g, const int *ids, const int *top, struct rng *rng, int *sampled);

/* --- a search --- */

/* Over rows[n], which have one suffix. An object for it is appended to `lines`, however far it
 * came: row, target, suffix, ids, loss, elicited (the greedy answer is the target in every row). */
int gcg_search(struct gcg *g, enum input_target target, const int *rows, int n, json_t *lines,
               struct err *e);

/* --- files --- */

/* One step, for the trace; [.] as golden files of nanoGCG have them. */
struct gcg_step {
    int *ids, *top, *sampled, *kept; /* owned [n], [n,topk], [width,n], [n_kept] */
    float *loss, *onehot;            /* owned [n_kept]; [n,V] of the first and last step, or NULL */
    int n_kept, best;                /* best: among the kept */
};

struct gcg_trace {
    struct gcg_step *v; /* owned [n] */
    int n;
    size_t cap;
};

void gcg_trace_fini(struct gcg_trace *t);
/* Writes STEP.ids, STEP.topk_ids ... to out/gcg_MODEL.safetensors; of further rows
 * gcg_rowI_MODEL, of controls gcg_control_... */
int gcg_trace_write(const struct gcg *g, const struct gcg_trace *t, enum input_target target,
                    int row, struct err *e);
/* The file that such a trace is replayed from, or the candidates' own; *path NULL: none. */
int gcg_replay_path(const struct gcg *g, enum input_target target, int row, char **path,
                    struct err *e);
/* STEP.sampled of a replayed file into sampled[width, n]; *width gets how many, 0: no such step. */
int gcg_replay(const struct gcg *g, const struct tensor_file *f, long step, int **sampled,
               int *width, struct err *e);

#endif
