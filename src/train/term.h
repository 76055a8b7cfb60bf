/* The objective interface. A term is a pure function of what the model computed for one or two
 * roles: it returns a loss and its derivative, and touches nothing else. The engine asks it what it
 * needs and computes no more.
 *
 * Most losses are means of a function of one thing: a scored token, a sequence, a row of logits, a
 * hidden state. Such a term has one hook, which sees one of them and returns its loss and
 * derivative; term_loss divides by the mean's count and adds up. Only a loss that is no such mean
 * takes the whole view.
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
    VIEW_LOGITS, /* rows of logits, a block of rows a call */
    VIEW_HIDDEN, /* hidden states after one layer */
};

extern const char *const view_name[]; /* "logp" ... */

/* Rows of logits that a term may look at. */
enum row_set {
    ROWS_ALL,       /* every token, padding included */
    ROWS_WITH_NEXT, /* those but the last of each sequence */
    ROWS_OF_LABELS, /* the labels' own: each predicts what follows a label */
    ROWS_SCORED,    /* those that predict a label */
};

/* Frozen models beside the reference whose logits a term may look at, over the same labels. */
enum helper {
    HELPER_REINFORCED, /* has learnt the forget data by heart */
    HELPER_EXPERT,     /* the reference after a prompt that makes it an expert */
    HELPER_NOVICE,     /* the reference after a prompt that makes it ignorant */
    HELPER_NEW,        /* has learnt new data; for `gap` alone, before training */
    HELPER_COUNT
};
#define HELPER_BIT(helper) (1u << (helper))

extern const char *const helper_name[HELPER_COUNT];

struct view {
    int n_seqs, n_rows;
    int first_row;       /* VIEW_LOGITS: which of the role's rows the block begins with */
    const int *row_seq;  /* [R] which of the S sequences */
    const int *label;    /* [R]; LABEL_NONE on rows that only a widened term sees */
    const int *n_labels; /* [S] n_b */
    /* What a mean over rows, or over sequences, divides by: the counts of the whole optimiser step,
     * so that a step does not depend on how it is cut into micro-batches (COMPAT_MICRO_MEAN: this
     * micro-batch's own counts). A term adds up its share. */
    double mean_rows, mean_seqs;
    double mean_tokens, mean_prompts; /* VIEW_HIDDEN: the same for tokens, and for those before the
                                         first label of their sequence */
    unsigned compat;                  /* the run's switches */

    /* VIEW_LOGP. ref_* only if the term asks for the reference. */
    const float *logp, *ref_logp; /* [R] */
    const double *nll, *ref_nll;  /* [S] L_b = -sum of logp */
    float *dlogp;                 /* [R] += d loss / d logp */

    /* VIEW_LOGITS. dz is the memory of z: read a row before writing it. */
    int vocab;
    const float *z, *ref_z;            /* [R,V] */
    const float *helper[HELPER_COUNT]; /* [R,V] those it asks for */
    float *dz;                         /* [R,V] = d loss / d z */
    double measured;                   /* what its `measure` added up over this micro-batch */
    double gap; /* mean KL(p_ref || p_new) over the rows of new data, if a term wants it */

    /* VIEW_HIDDEN: all tokens of the S sequences. A term on several layers is called for each. */
    int layer, n_layers; /* after which layer this is; how many there are to see */
    int n_tokens, width;
    const float *hidden, *ref_hidden; /* [N,C] */
    float *dhidden;                   /* [N,C] += d loss / d hidden */
    const int *token, *token_seq;     /* [N] its id, and its sequence */
    const uint8_t *scored;            /* [N] 1 where the token itself is a label */
    const float *direction;           /* [C] fixed for the run: a unit vector, or see `redirects` */
    uint32_t noise; /* seeds what a term draws: another number every micro-batch */
};

/* How the weight of a term that is a constraint moves; see train/dual.h. */
struct dual {
    double step;
    bool each_epoch; /* at the end of each epoch, not after each step */
    double warmup_epochs;
};

#define TERM_MAX_VIEWS 2

/* One sequence, for `seq`: sums over its n labels of -log p. */
struct seq_view {
    int n;
    double nll, ref_nll;         /* L, L^ref; ref_* only if the term asks for the reference */
    double alt_nll, alt_ref_nll; /* W, W^ref of its alternate; 0 for a term of one view */
    double alt_gain;             /* mean of W^ref - W over the micro-batch's alternates */
};

/* One row of logits, for `row`. dz is the memory of z: read an entry before writing it. */
struct logit_row {
    int n, label;                      /* V, and the label or LABEL_NONE */
    int at, of;                        /* which of its sequence's rows, and how many these are */
    const float *z, *ref;              /* [V]; ref NULL without a reference */
    const float *helper[HELPER_COUNT]; /* [V]; NULL where the term does not ask for it */
    float *dz;                         /* [V] = share * d loss / d z */
    double share;                      /* sign / the number of rows of the mean */
};

/* Writes dz and returns the row's loss, both with the share in them. */
typedef double row_loss(const void *params, const struct logit_row *r);

/* One token's hidden state, for `state`. */
struct state_view {
    const float *h, *ref;   /* [C]; ref NULL without a reference */
    const float *direction; /* [C]; NULL: the run has none */
    int width, token;       /* C, and the token's id */
    double share;           /* what dh is multiplied by */
};

/* What the mean of a `token` or `state` loss is over. */
enum mean {
    MEAN_TOKENS,     /* scored tokens, all equal; of `state`: those that are predicted labels */
    MEAN_OF_SEQS,    /* sequences, each the mean of its labels */
    MEAN_ALL_TOKENS, /* every token, and the layers that the term sees */
    MEAN_PROMPTS,    /* tokens before the first label of their sequence */
};

struct term {
    ROW_FIELDS;          /* "npo" */
    const char *paper;   /* arXiv id */
    const char *formula; /* plain text, one line */
    enum view_kind kind;
    int n_views; /* roles it looks at: 1, or 2 with a partner (alternate answers) */
    bool needs_ref;
    unsigned helpers; /* VIEW_LOGITS: bits of the helpers it looks at */
    unsigned widen;   /* VIEW_LOGITS: compat bit under which its rows are those of `widened` */
    enum row_set widened;
    /* One of the five. params: its own struct, filled from the table. token, seq, row and state
     * return the loss of one thing; only a row's has its share in it.
     * VIEW_LOGP: *d = d loss / d logp. */
    double (*token)(const void *params, double logp, double *d);
    /* VIEW_LOGP, the mean is over sequences: d[0] = d loss / d nll, d[1] = d loss / d alt_nll. */
    double (*seq)(const void *params, const struct seq_view *s, double d[TERM_MAX_VIEWS]);
    row_loss *row; /* VIEW_LOGITS, the mean is over its rows */
    /* VIEW_HIDDEN: dh [C] += share * d loss / d h. */
    double (*state)(const void *params, const struct state_view *s, float *dh);
    /* The whole: v[i] is the view of the i-th role. *loss += the share of the mean. */
    int (*loss)(const void *params, struct view *const *v, double *loss, struct err *e);
    enum mean mean; /* of token and state */
    int sign;       /* -1: minus the loss of token or row, ascent; 0 is 1 */
    bool unpaired;  /* seq: alternates belong to no answer, alt_nll is not there */
    /* Its weight is a dual variable: *d is how it moves. False: it stays. NULL: it always does. */
    bool (*dual)(const void *params, struct dual *d);
    /* VIEW_LOGITS, if the loss is no sum over rows: sees all blocks of rows first, to add up what
     * `loss` finds in v->measured when the blocks come again. It writes no dz. NULL: none. */
    int (*measure)(const void *params, struct view *const *v, double *sum, struct err *e);
    /* VIEW_LOGITS: with these parameters it looks at the view's gap. NULL: never. */
    bool (*wants_gap)(const void *params);
    /* VIEW_LOGITS: scored rows at the start of each sequence that it leaves out; NULL: none. */
    int (*skip)(const void *params);
    /* VIEW_HIDDEN: after which layer, 0-based; -1: the parameters name none. */
    int (*layer)(const void *params);
    bool all_layers; /* after every layer up to that one, or to the last */
    /* The run's direction is where the reference goes from the prompts to forget to those it
     * refuses: the difference of mean hidden states of last prompt tokens, after this layer. */
    bool redirects;
    bool steers; /* it is a vector that is drawn */
};

/* It looks at this helper, in every micro-batch or for the gap. */
bool term_looks_at(const struct term *t, const void *params, enum helper helper);
/* Adds the term's loss, and its derivative to the views. */
int term_loss(const struct term *t, const void *params, struct view *const *v, double *loss,
              struct err *e);
/* Adds up the rows' losses, in their order whatever the number of threads; for a `loss` that knows
 * its rows' sign only from all of them. */
int view_add_rows(struct view *v, row_loss *f, const void *params, int sign, double *loss,
                  struct err *e);
/* log sigmoid(s) and sigmoid(s), stable for any s. */
double log_sigmoid(double s);
double sigmoid(double s);

#endif
