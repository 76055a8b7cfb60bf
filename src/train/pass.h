/* State of one micro-batch pass. Private to train/: pass.c packs and runs the batch, pass_terms.c
 * evaluates the terms on its results, pass_logits.c those on logits; frozen.c has what frozen
 * models give them.
 */
#ifndef TRAIN_PASS_H
#define TRAIN_PASS_H

#include "model/head.h"
#include "train/engine.h"

/* Range of one role's sequences, label rows and tokens in the packed batch; tokens are counted by
 * their places on the paths of the sequences (struct batch), shared or not. */
struct part {
    int first_seq, n_seqs, first_row, n_rows, first_token, n_tokens;
    int *n_labels;          /* [S] */
    double *nll, *ref_nll;  /* [S] */
    struct label_rows rows; /* the role's label rows, and their head */
    struct head head;
};

struct micro_pass {
    struct engine *g;
    struct engine_plan plan;
    const struct micro *mb;
    const struct norm *norm;
    struct arena *a;
    struct err *e;
    struct seq *seqs;
    int n_seqs, n_tokens; /* tokens of all sequences, computed or not */
    struct part part[ROLE_COUNT];
    struct batch batch;
    struct label_rows rows;
    struct pass pass;
    float *logp, *lse, *dlogp; /* [rows.n] */
    device float *dx;          /* [N,C] d loss / d pass.x */
    device float **dhidden;    /* [layers] d loss / d pass_states(l), [N,C] or NULL */
    struct tap *taps;          /* [n_taps] of the pass */
    int n_taps;
    int *latent_of;      /* [N] index of the token's perturbation vector; -1: none */
    device float *grads; /* flat by weight.at; NULL: not computed */
    struct micro_result *result;
};

/* n + 1 zeroed elements from the step's arena: of the host, of the device. */
void *pass_take(struct micro_pass *w, size_t n, size_t size);
device float *pass_floats(struct micro_pass *w, size_t n);
/* Packs the roles in use, after resetting the arena: seqs, parts, batch and rows. */
int pass_pack(struct micro_pass *w);
/* The rows that predict the labels of one role. */
struct label_rows pass_part_rows(const struct micro_pass *w, const struct part *p);
/* Denominators of the means over the role's data: of the step, or of this micro-batch alone. */
struct means pass_means(const struct micro_pass *w, enum role role);
/* Adds loss and derivatives of one objective on logits. */
int pass_run_logits(struct micro_pass *w, const struct objective *o, double *loss);
/* Evaluates every active objective on w->pass: losses into w->result, derivatives into w->dx,
 * w->dhidden and the head's gradients. */
int pass_run_terms(struct micro_pass *w);
/* The rows of sequences that are in a set; the sequences are first, first + 1 ... of the batch. */
int rows_of_seqs(const struct seq *seqs, int n_seqs, enum row_set set, int skip,
                 const struct batch *b, int first, struct label_rows *rows, struct arena *a,
                 struct err *e);
/* Packs sequences for a model; share: a prefix that some have in common is there once. */
int pack_seqs(struct batch *b, const struct seq *seqs, int n, const struct model *m, bool share,
              struct arena *a, struct err *e);

/* --- frozen models: k = 0 is the reference, then come the helpers of the objective's term --- */

/* Keeps the states of the order's examples (engine_cache_reference), and their end. */
int frozen_keep(struct engine *g, const struct order *o, int first, int n, struct progress *bar,
                struct err *e);
void frozen_fini(struct engine *g);
/* Model k of objective i, NULL: it has none, and how many layers' states it gives; how many bytes
 * would be kept, of at most `most`. For planning. */
const struct model *frozen_model(struct engine *g, int i, int k, int *states);
int frozen_plan(struct engine *g, const struct order *o, size_t most, size_t *bytes, struct err *e);
/* The head of model k for the rows of objective `obj`, kept or run. */
int frozen_head(struct micro_pass *w, int obj, int k, const struct label_rows *rows,
                struct head *h);
/* states[i] [N,C]: the reference's, over the role's sequences, after the layers that the objective
 * reads; kept or run. */
int frozen_states(struct micro_pass *w, int obj, device float **states);

#endif
