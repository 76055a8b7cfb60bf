/* The objective interface. A term is a pure function of the model's outputs for one or two roles:
 * it returns a loss and its derivative, without side effects. Its row tells the engine what it
 * needs; nothing else is computed.
 *
 * Most losses are means of a function of one scored token, one sequence, one row of logits or one
 * hidden state. Such a term has one hook, which gets one of them and returns its loss and
 * derivative; term_loss divides by the mean's count and adds up. Only a loss that is not such a
 * mean gets the whole view.
 *
 * Shapes: S sequences of the role in this micro-batch, R scored rows (row r is the position that
 * predicts label[r]), V vocabulary, N tokens, C width. Everything is borrowed and valid during the
 * call.
 */
#ifndef TRAIN_TERM_H
#define TRAIN_TERM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compat.h"
#include "base/err.h"
#include "base/table.h"

enum view_kind {
    VIEW_LOGP,   /* log-probabilities of the labels */
    VIEW_LOGITS, /* rows of logits, one block of rows per call */
    VIEW_HIDDEN, /* hidden states after one layer */
};

extern const char *const view_name[]; /* "logp" ... */

/* Sets of logit rows that a term may use. */
enum row_set {
    ROWS_ALL,       /* every token, padding included */
    ROWS_WITH_NEXT, /* all but the last of each sequence */
    ROWS_OF_LABELS, /* at the labels' positions: each predicts the token after a label */
    ROWS_SCORED,    /* those that predict a label */
};

/* Helper models: frozen models besides the reference whose logits a term uses, for the same labels.
 * A term names them; a run makes or opens models of these names (run/procedure.h):
 *   reinforced      overfitted to the forget data
 *   expert, novice  the reference, prompted to answer as an expert or a novice
 *   new             trained on new data; for `gap` alone, before training */
#define TERM_MAX_HELPERS 2

struct view {
    int n_seqs, n_rows;
    int first_row;       /* VIEW_LOGITS: index of the block's first row among the role's rows */
    const int *row_seq;  /* [R] index of the sequence */
    const int *label;    /* [R]; LABEL_NONE on rows of a widened set */
    const int *n_labels; /* [S] n_b */
    /* Denominators of means over rows and over sequences: the counts of the whole optimiser step,
     * so that a step does not depend on its division into micro-batches (COMPAT_MICRO_MEAN: this
     * micro-batch's own counts). A term adds its share of the mean. */
    double mean_rows, mean_seqs;
    double mean_tokens, mean_prompts; /* VIEW_HIDDEN: the same for all tokens, and for those before
                                         the first label of their sequence */
    unsigned compat;                  /* the run's switches */

    /* VIEW_LOGP. ref_* only if the term has needs_ref. */
    const float *logp, *ref_logp; /* [R] */
    const double *nll, *ref_nll;  /* [S] L_b = -sum of logp */
    float *dlogp;                 /* [R] += d loss / d logp */

    /* VIEW_LOGITS. dz is the memory of z: read a row before writing it. */
    int vocab;
    const float *z, *ref_z;                /* [R,V] */
    const float *helper[TERM_MAX_HELPERS]; /* [R,V] in the order of the term's `helpers` */
    float *dz;                             /* [R,V] = d loss / d z */
    double measured;                       /* the sum by `measure` over this micro-batch */
    double gap; /* KGA: mean KL(p_ref || p_new) over the rows of new data */

    /* VIEW_HIDDEN: all tokens of the S sequences. A term on several layers is called once per
     * layer. */
    int layer, n_layers; /* the states are those after this layer; number of the term's layers */
    int n_tokens, width;
    const float *hidden, *ref_hidden; /* [N,C] */
    float *dhidden;                   /* [N,C] += d loss / d hidden */
    const int *token, *token_seq;     /* [N] its id, and its sequence */
    const uint8_t *scored;            /* [N] 1 where the token itself is a label */
    const float *direction; /* [C] constant of the run: random unit vector, or refusal direction */
    uint32_t noise;         /* seed of the term's random numbers: differs between micro-batches */
};

/* Update rule of a constraint term's weight; see train/weighting.h. */
struct dual {
    double step;
    bool each_epoch; /* update after each epoch, not after each step */
    double warmup_epochs;
};

#define TERM_MAX_VIEWS 2

/* One sequence, for `seq`: sums over its n labels of -log p. */
struct seq_view {
    int n;
    double nll, ref_nll;         /* L, L^ref; ref_* only if the term has needs_ref */
    double alt_nll, alt_ref_nll; /* W, W^ref of its alternate; 0 for a term of one view */
    double alt_gain;             /* mean of W^ref - W over the micro-batch's alternates */
};

/* One row of logits, for `row`. dz is the memory of z: read an entry before writing it. */
struct logit_row {
    int n, label;         /* V, and the label or LABEL_NONE */
    int at, of;           /* its index among the rows of its sequence, and their number */
    const float *z, *ref; /* [V]; ref NULL without a reference */
    const float *helper[TERM_MAX_HELPERS]; /* [V] in the order of the term's `helpers` */
    float *dz;                             /* [V] = share * d loss / d z */
    double share;                          /* sign / number of rows of the mean */
};

/* Writes dz and returns the row's loss, both multiplied by the share. */
typedef double row_loss(const void *params, const struct logit_row *r);

/* One token's hidden state, for `state`. */
struct state_view {
    const float *h, *ref;   /* [C]; ref NULL without a reference */
    const float *direction; /* [C]; NULL: the run uses none */
    int width, token;       /* C, and the token's id */
    double share;           /* factor of the derivative */
};

/* The mean of a `token` or `state` loss is over: */
enum mean {
    MEAN_TOKENS,     /* scored tokens; for `state`: the label tokens themselves */
    MEAN_OF_SEQS,    /* sequences, of the means over their labels */
    MEAN_ALL_TOKENS, /* all tokens, and the term's layers */
    MEAN_PROMPTS,    /* tokens before the first label of their sequence */
};

struct term {
    ROW_FIELDS;          /* "npo" */
    const char *paper;   /* arXiv id */
    const char *formula; /* plain text, one line */
    enum view_kind kind;
    int n_views; /* number of roles: 1, or 2 with a partner (alternate answers) */
    bool needs_ref;
    const char
        *helpers[TERM_MAX_HELPERS]; /* VIEW_LOGITS: names of the helpers it uses; NULL: none */
    unsigned widen; /* VIEW_LOGITS: compat bit under which its rows are the set `widened` */
    enum row_set widened;
    /* Exactly one of the following five. params: the term's own struct, filled from the table.
     * token, seq, row and state return the loss of one element; only `row` multiplies it by the
     * share. VIEW_LOGP: *d = d loss / d logp. */
    double (*token)(const void *params, double logp, double *d);
    /* VIEW_LOGP, the mean is over sequences: d[0] = d loss / d nll, d[1] = d loss / d alt_nll. */
    double (*seq)(const void *params, const struct seq_view *s, double d[TERM_MAX_VIEWS]);
    row_loss *row; /* VIEW_LOGITS, the mean is over its rows */
    /* VIEW_HIDDEN: dh [C] += share * d loss / d h. */
    double (*state)(const void *params, const struct state_view *s, float *dh);
    /* The whole view: v[i] is that of the i-th role. *loss += the share of the mean. */
    int (*loss)(const void *params, struct view *const *v, double *loss, struct err *e);
    enum mean mean; /* of token and state */
    int sign;       /* of token and row: -1 is minus the loss (ascent); 0 is 1 */
    bool unpaired;  /* seq: alternates are not paired with answers; alt_nll is not set */
    /* True if the weight is a dual variable, updated by *d. NULL: never. */
    bool (*dual)(const void *params, struct dual *d);
    /* VIEW_LOGITS, if the loss is not a sum over rows: a first pass over all blocks of rows, whose
     * sum is in v->measured in the second pass, by `loss`. Does not write dz. NULL: none. */
    int (*measure)(const void *params, struct view *const *v, double *sum, struct err *e);
    /* VIEW_LOGITS: true if it uses the view's gap with these parameters. NULL: never. */
    bool (*wants_gap)(const void *params);
    /* VIEW_LOGITS: number of scored rows to skip at the start of each sequence; NULL: none. */
    int (*skip)(const void *params);
    /* VIEW_HIDDEN: states after this layer, 0-based; -1: the parameters name no layer. */
    int (*layer)(const void *params);
    bool all_layers; /* states after every layer up to that one, or to the last */
    /* It uses the refusal direction: mean hidden state, after its layer, of the last prompt token
     * over prompts that the reference refuses, minus that over the prompts to forget. */
    bool redirects;
    bool steers; /* it uses the random steering direction */
};

/* The term uses the helper of this name, in each micro-batch or for the gap. */
bool term_uses_helper(const struct term *t, const void *params, const char *name);
/* Adds the term's loss to *loss, and its derivative to the views. */
int term_loss(const struct term *t, const void *params, struct view *const *v, double *loss,
              struct err *e);
/* Adds up the rows' losses, in a fixed order for any number of threads; for a `loss` whose sign
 * depends on all rows. */
int view_add_rows(struct view *v, row_loss *f, const void *params, int sign, double *loss,
                  struct err *e);
/* log sigmoid(s) and sigmoid(s), stable for any s. */
double log_sigmoid(double s);
double sigmoid(double s);

#endif
