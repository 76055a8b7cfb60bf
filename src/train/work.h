/* One micro-batch while the engine works on it. Private to train/: micro.c packs and runs, views.c
 * and view_hidden.c show the terms what was computed.
 */
#ifndef TRAIN_WORK_H
#define TRAIN_WORK_H

#include "model/head.h"
#include "train/engine.h"

/* Where one role's sequences, tokens and label rows stand in the packed batch. */
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
    int *latent_of; /* [N] which vector of the engine's perturbation each token gets; -1: none */
    float *grads;   /* flat by weight.at; NULL: none are wanted */
    struct micro_result *result;
};

/* n + 1 zeroed elements of step memory. */
void *work_take(struct work *w, size_t n, size_t size);
/* A compat switch widens the objective's term, so that the role must be padded. */
bool work_is_widened(const struct engine *g, const struct objective *o);
/* Packs the roles in use and runs them through the first layers, 0: as many as the plan has; makes
 * room for dx. */
int work_forward(struct work *w, int layers);
/* A frozen model over n_seqs sequences, counted as forward-only tokens. */
int work_run_frozen(struct work *w, struct model *m, const struct seq *seqs, int n_seqs,
                    const struct forward *how, struct batch *b, struct pass *pass);
/* The fields that all kinds of views share. */
struct view work_view(const struct work *w, enum role role);
/* One objective on hidden states: its loss is added, its derivative too. */
int work_run_hidden(struct work *w, const struct objective *o, double *loss);
/* Runs every objective that has a weight on what w->pass holds: losses into w->result, derivatives
 * into w->dx, w->dhidden and the head's gradients. */
int work_run_terms(struct work *w);

#endif
