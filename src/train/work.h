/* State of one micro-batch pass. Private to train/: micro.c packs and runs the batch, views.c and
 * view_hidden.c build the terms' views of the results.
 */
#ifndef TRAIN_WORK_H
#define TRAIN_WORK_H

#include "model/head.h"
#include "train/engine.h"

/* Range of one role's sequences, tokens and label rows in the packed batch. */
struct part {
    int first_seq, n_seqs, first_row, n_rows, first_token, n_tokens;
    int *n_labels;          /* [S] */
    double *nll, *ref_nll;  /* [S] */
    struct label_rows rows; /* the role's label rows, and their head */
    struct head head;
};

struct work {
    struct engine *g;
    struct engine_plan plan;
    const struct micro *mb;
    const struct norm *norm;
    struct arena *a;
    struct err *e;
    struct seq *seqs;
    int n_seqs;
    struct part part[ROLE_COUNT];
    struct batch batch;
    struct label_rows rows;
    struct pass pass;
    float *logp, *lse, *dlogp, *ref_logp; /* [rows.n] */
    float *dx;                            /* [N,C] d loss / d pass.x */
    float **dhidden;                      /* [layers] d loss / d pass_states(l), [N,C] or NULL */
    struct tap *taps;                     /* [n_taps] of the pass */
    int n_taps;
    int *latent_of; /* [N] index of the token's perturbation vector; -1: none */
    float *grads;   /* flat by weight.at; NULL: not computed */
    struct micro_result *result;
};

/* n + 1 zeroed elements from the step's arena. */
void *work_take(struct work *w, size_t n, size_t size);
/* A compat switch widens the term's rows, so that the role must be padded. */
bool work_is_widened(const struct engine *g, const struct objective *o);
/* Packs the roles in use and runs the first `layers` layers, 0: as many as the plan needs;
 * allocates dx. */
int work_forward(struct work *w, int layers);
/* Forward pass of a frozen model over n_seqs sequences, counted as forward-only tokens. */
int work_run_frozen(struct work *w, struct model *m, const struct seq *seqs, int n_seqs,
                    const struct forward *how, struct batch *b, struct pass *pass);
/* A view with the fields common to all kinds. */
struct view work_view(const struct work *w, enum role role);
/* Adds loss and derivative of one objective on hidden states. */
int work_run_hidden(struct work *w, const struct objective *o, double *loss);
/* Evaluates every active objective on w->pass: losses into w->result, derivatives into w->dx,
 * w->dhidden and the head's gradients. */
int work_run_terms(struct work *w);

#endif
