/* The objective interface. A term is a pure function of the model's outputs for one or two roles:
 * it returns a loss and its derivative, without side effects. Its row tells the engine what it
 * needs; nothing else is computed.
 *
 * A term has one of three kinds of view: log-probabilities of the labels, rows of logits, hidden
 * states after a layer. Most losses are means of a function of one scored token, one sequence, one
 * row of logits or one hidden state. Such a term has one hook, which gets one of them and returns
 * its loss and derivative; term_loss divides by the mean's count and adds up. Only a loss that is
 * not such a mean gets the whole view.
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

/* Helper models: frozen models besides the reference whose logits a term uses, for the same labels.
 * A term names them; a run makes or opens models of these names (run/procedure.h):
 *   reinforced      overfitted to the forget data
 *   expert, novice  the reference, prompted to answer as an expert or a novice
 *   new             trained on new data; for `gap` alone, before training */
#define TERM_MAX_HELPERS 2

/* The denominators of means: counts over the whole optimiser step, so that a step does not depend
 * on its division into micro-batches (COMPAT_MICRO_MEAN: this micro-batch's own counts). A term
 * adds its share of the mean. */
struct means {
    double rows, seqs;      /* scored rows; sequences */
    double tokens, prompts; /* all tokens; those before the first label of their sequence */
};

/* --- terms on log-probabilities --- */

struct logp_view {
    int n_seqs, n_rows;
    const int *row_seq;  /* [R] index of the sequence */
    const int *n_labels; /* [S] n_b */
    struct means mean;
    const float *logp;           /* [R] */
    const double *nll, *ref_nll; /* [S] L_b = -sum of logp; ref_nll: 0 unless the term needs_ref */
    float *dlogp;                /* [R] += d loss / d logp */
};

#define TERM_MAX_VIEWS 2

/* One sequence, for `seq`: sums over its n labels of -log p. */
struct seq_view {
    int n;
    double nll, ref_nll;         /* L, L^ref; ref_* only if the term has needs_ref */
    double alt_nll, alt_ref_nll; /* W, W^ref of its alternate; 0 for a term of one view */
    double alt_gain;             /* mean of W^ref - W over the micro-batch's alternates */
};

/* The mean of a `token` or `state` loss is over: */
enum mean {
    MEAN_TOKENS,     /* scored tokens; for `state`: the label tokens themselves */
    MEAN_OF_SEQS,    /* sequences, of the means over their labels */
    MEAN_ALL_TOKENS, /* all tokens, and the term's layers */
    MEAN_PROMPTS,    /* tokens before the first label of their sequence */
};

struct view;

/* Exactly one of token, seq and loss. token and seq return the loss of one element. */
struct logp_term {
    double (*token)(const void *params, double logp, double *d); /* *d = d loss / d logp */
    /* The mean is over sequences: d[0] = d loss / d nll, d[1] = d loss / d alt_nll. */
    double (*seq)(const void *params, const struct seq_view *s, double d[TERM_MAX_VIEWS]);
    /* The whole view: v[i] is that of the i-th role. *loss += the share of the mean. */
    int (*loss)(const void *params, struct view *const *v, double *loss, struct err *e);
    enum mean mean; /* of token */
    int sign;       /* of token: -1 is minus the loss (ascent); 0 is 1 */
    bool unpaired;  /* seq: alternates are not paired with answers; alt_nll is not set */
};

/* --- terms on logits --- */

/* Sets of logit rows that a term may use. The others average over more than the scored rows, so
 * that sequences are padded to equal length. */
enum row_set {
    ROWS_SCORED,    /* those that predict a label */
    ROWS_ALL,       /* every token, padding included */
    ROWS_WITH_NEXT, /* all but the last of each sequence */
    ROWS_OF_LABELS, /* at the labels' positions: each predicts the token after a label */
};

/* One block of rows. */
struct logits_view {
    int n_rows, vocab;
    const int *label;   /* [R]; LABEL_NONE on rows that predict none */
    const int *at, *of; /* [R] index among the rows of the sequence, and their number */
    double mean_rows;
    const float *z, *ref;                  /* [R,V]; ref NULL unless the term needs_ref */
    const float *helper[TERM_MAX_HELPERS]; /* [R,V] in the order of the term's `helpers` */
    float *dz;                             /* [R,V] = d loss / d z: the memory of z */
    double measured;                       /* mean of `measure` over all rows of this micro-batch */
    double gap; /* KGA: mean KL(p_ref || p_new) over the rows of new data */
};

/* One row of logits. dz is the memory of z: read an entry before writing it. */
struct logit_row {
    int n, label;         /* V, and the label or LABEL_NONE */
    int at, of;           /* its index among the rows of its sequence, and their number */
    const float *z, *ref; /* [V]; ref NULL without a reference */
    const float *helper[TERM_MAX_HELPERS]; /* [V] in the order of the term's `helpers` */
    float *dz;                             /* [V] = share * d loss / d z */
    double share;                          /* sign / number of rows of the mean */
    double measured, gap;                  /* see struct logits_view */
};

/* Writes dz and returns the row's loss, both multiplied by the share. */
typedef double row_loss(const void *params, const struct logit_row *r);

struct logits_term {
    row_loss *row; /* the mean is over its rows */
    /* If the loss of a row depends on all rows: a first pass over them, whose mean is in
     * r->measured in the second. Writes nothing. NULL: none. */
    row_loss *measure;
    int sign;                              /* -1 is minus the loss (ascent); 0 is 1 */
    const char *helpers[TERM_MAX_HELPERS]; /* names of the helpers it uses; NULL: none */
    /* With these parameters: the set of rows (NULL: ROWS_SCORED); the number of scored rows to skip
     * at the start of each sequence (NULL: none); whether it uses the gap (NULL: never); an error
     * if they are not for a vocabulary of this size (NULL: they are for any). */
    enum row_set (*rows)(const void *params);
    int (*skip)(const void *params);
    bool (*wants_gap)(const void *params);
    int (*check)(const void *params, int vocab, struct err *e);
};

/* --- terms on hidden states --- */

struct token_view {
    int id, seq; /* of the sequence: its index */
    bool scored; /* the token itself is a label */
};

/* All tokens of the S sequences, after one layer. */
struct hidden_view {
    int n_seqs, n_tokens, width;
    int layer, n_layers; /* the states are those after this layer; number of the term's layers */
    struct means mean;
    const float *hidden, *ref;      /* [N,C]; ref NULL unless the term needs_ref */
    float *dhidden;                 /* [N,C] += d loss / d hidden */
    const struct token_view *token; /* [N] */
    const float *direction; /* [C] constant of the run: random unit vector, or refusal direction */
    uint32_t noise;         /* seed of the term's random numbers: differs between micro-batches */
};

/* One token's hidden state, for `state`. */
struct state_view {
    const float *h, *ref;   /* [C]; ref NULL without a reference */
    const float *direction; /* [C]; NULL: the run uses none */
    int width, token;       /* C, and the token's id */
    double share;           /* factor of the derivative */
};

/* The direction that a term steers hidden states to. If active terms ask for different ones, the
 * last of this list is for all. */
enum steer {
    STEER_NONE,
    STEER_RANDOM,      /* a random unit vector */
    STEER_AFTER_DRAWS, /* the same, from the stream that draws the order's rows */
    STEER_REFUSAL,     /* mean hidden state, after the term's layer, of the last prompt token over
                        * refused prompts, minus that over the prompts to forget */
};

/* Exactly one of state and loss. A term on several layers is called once per layer. */
struct hidden_term {
    /* Returns the loss of one state; dh [C] += share * d loss / d h. */
    double (*state)(const void *params, const struct state_view *s, float *dh);
    /* The whole view. *loss += the share of the mean. */
    int (*loss)(const void *params, struct view *const *v, double *loss, struct err *e);
    enum mean mean; /* of state */
    /* MEAN_OF_SEQS: true if the sum of each sequence is divided by the number of labels of every
     * sequence of the micro-batch in turn, [B] / [B,1], not by its own. NULL: never. */
    bool (*crossed)(const void *params);
    /* States after this layer, 0-based; -1: the parameters name no layer. */
    int (*layer)(const void *params);
    bool all_layers; /* states after every layer up to that one, or to the last */
    enum steer (*direction)(const void *params); /* NULL: none */
};

/* --- the row --- */

/* Update rule of a constraint term's weight; see train/weighting.h. */
struct dual {
    double step;
    bool each_epoch; /* update after each epoch, not after each step */
    double warmup_epochs;
};

struct term {
    ROW_FIELDS;          /* "npo" */
    const char *paper;   /* arXiv id */
    const char *formula; /* plain text, one line */
    enum view_kind kind;
    int n_views; /* number of roles: 1, or 2 with a partner (alternate answers), of VIEW_LOGP */
    bool needs_ref;
    /* True if the weight is a dual variable, updated by *d. NULL: never. */
    bool (*dual)(const void *params, struct dual *d);
    union { /* by kind */
        struct logp_term logp;
        struct logits_term logits;
        struct hidden_term hidden;
    };
};

/* What a term gets for one role, by its kind. */
struct view {
    union {
        struct logp_view logp;
        struct logits_view logits;
        struct hidden_view hidden;
    };
};

/* The term uses the helper of this name, in each micro-batch or for the gap. */
bool term_uses_helper(const struct term *t, const void *params, const char *name);
/* What these parameters ask for; of the other kinds ROWS_SCORED, 0 and STEER_NONE. */
enum row_set term_rows(const struct term *t, const void *params);
int term_skip(const struct term *t, const void *params);
enum steer term_direction(const struct term *t, const void *params);
/* An error if the parameters are not for a model of so many layers and words. */
int term_check(const struct term *t, const void *params, int layers, int vocab, struct err *e);

/* Adds the term's loss to *loss, and its derivative to the views. */
int term_loss(const struct term *t, const void *params, struct view *const *v, double *loss,
              struct err *e);
/* VIEW_LOGITS with `measure`: adds the block's rows to *sum. */
int term_measure(const struct term *t, const void *params, const struct logits_view *v, double *sum,
                 struct err *e);
/* log sigmoid(s) and sigmoid(s), stable for any s. */
double log_sigmoid(double s);
double sigmoid(double s);

#endif
