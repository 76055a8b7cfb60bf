/* Model editing: what an MLP gives for a subject is changed by a closed-form update of its down
 * projection W [C,F], so that the answer to a fact becomes a refusal, nothing, or another text.
 * ROME (arXiv 2202.05262), MEMIT (arXiv 2210.07229) and AlphaEdit (arXiv 2410.02355).
 *
 *   key    k [F]: W's input at the last token of the subject
 *   value  v [C]: the MLP's output there (ROME), or the residual after the layer (the others)
 *   delta  [C]: added to v0, the value of the clean prompt; chosen by Adam (edit/value.c)
 *   C      [F,F]: mean of k k^T over the tokens of generic text (edit/moments.c)
 *
 *   ROME:      W += (v0 + delta - W k0) u^T / (k0 . u), u = C^-1 k / |C^-1 k|, k the mean of the
 *              keys in all contexts, k0 that of the clean prompt
 *   MEMIT:     layer by layer, j-th of n: W += R ((lambda C + K K^T)^-1 K)^T,
 *              R = (z - h) / (n - j), z = v0 + delta, h the last layer's output as it is now
 *   AlphaEdit: the same with (P (K K^T + M) + L2 I)^-1 P K: P projects on the directions that C
 *              nearly lacks, M is the sum of K K^T of the edits before
 *
 * Shapes: C width, F feed-forward width, n requests, r rank. Sums and solutions are f64.
 */
#ifndef EDIT_EDIT_H
#define EDIT_EDIT_H

#include <signal.h>

#include "base/log.h"
#include "base/table.h"
#include "model/forward.h"

struct tensor_file;

/* Token ids of a prompt. */
struct edit_prompt {
    int *ids; /* owned [n] */
    int n;
    int lookup; /* the subject's last token */
};

/* A fact and what it becomes. */
struct edit_request {
    struct edit_prompt *prompts; /* owned [n_prompts]: the clean one, then those in contexts */
    int n_prompts;
    struct edit_prompt kl; /* "{subject} is a": what is said of the subject otherwise */
    int *target;           /* owned [n_target] the new answer */
    int n_target;
    int *answer; /* owned [n_answer] the answer that is to be forgotten; may be empty */
    int n_answer;
    char *subject; /* owned; NULL: given by ids */
    bool guessed;  /* the subject was found by a rule */
    int row;       /* of the data */
};
void edit_request_fini(struct edit_request *r);

/* How delta is chosen; the first fields of every method's parameters. */
#define VALUE_FIELDS                                                                               \
    const char *layers; /* "4-8", "3,5"; NULL: by the method's share of the depth */               \
    const char *objective, *lens_layers;                                                           \
    int64_t lens_rank, steps; /* one update less is made */                                        \
    double lr, clamp, decay, kl

struct value_options {
    VALUE_FIELDS;
};

#define VALUE_PARAMS(type, n_steps, rate, most)                                                    \
    STRING_PARAM(type, layers, NULL, "LIST",                                                       \
                 "layers that are edited, from 0: 4-8 or 3,5; without it the paper's share of "    \
                 "the depth"),                                                                     \
        CHOICE_PARAM(type, objective, "target|erase|entropy|margin", "target",                     \
                     "target: the new answer becomes likely; erase: the old one unlikely; "        \
                     "entropy: the layers know no answer; margin: the old one's first token is "   \
                     "neither among the likely nor among the unlikely ones (arXiv 2309.17410)"),   \
        STRING_PARAM(type, lens_layers, NULL, "LIST",                                              \
                     "layers of entropy and margin; without it all from the edited one on"),       \
        INT_PARAM(type, lens_rank, 1, 1000000, 20, "of margin: how many are likely, or unlikely"), \
        INT_PARAM(type, steps, 1, 10000, n_steps, "forward passes of the search for a value"),     \
        REAL_PARAM(type, lr, 0, 1e6, rate, "of the search"),                                       \
        REAL_PARAM(type, clamp, 0, 1e6, most, "|delta| is at most this times |v0|"),               \
        REAL_PARAM(type, decay, 0, 1e6, 0.5, "weight of |delta| / |v0|^2 in the loss"),            \
        REAL_PARAM(type, kl, 0, 1e6, 0.0625, "weight of what changes after \"{subject} is a\"")

struct edit_trace; /* numbers kept on the way, by name */

struct edit_layer {
    int layer, weight; /* index of W in the weight table */
    double *a, *b;     /* owned [rank,F], [rank,C]: all updates so far, W - W0 = b^T a */
    size_t a_room, b_room;
    int rank;
    double *past; /* owned [n_past,F]: keys of the edits before (AlphaEdit's M) */
    size_t past_room;
    double *basis; /* owned [n_basis,F]: orthonormal, P = basis^T basis; NULL: not computed */
    int n_past, n_basis;
    double before; /* |W0| */
};

struct editing {
    struct model *m;                   /* borrowed, open for writing */
    const struct choice *method;       /* borrowed: a row of `edits` and its parameters */
    const struct tensor_file *moments; /* borrowed: edit_moments_write's; NULL: C = I */
    struct edit_layer *layers;         /* owned */
    int n_layers;
    struct edit_trace *trace;          /* borrowed; NULL: nothing is kept */
    const char *target;                /* borrowed: its name, for the trace of ROME */
    const volatile sig_atomic_t *stop; /* borrowed; NULL: never */
    int done;                          /* requests */
    struct progress bar;               /* of forward passes; shown by editing_run */
};

struct edit {
    ROW_FIELDS;
    const char *help, *paper, *verified;
    enum place place; /* of the value */
    double from, to;  /* default layers, as shares of the depth */
    size_t moments;   /* offset of the bool in the parameters that tells whether C is used */
    bool one;         /* a request at a time */
    /* Edits the weights of all layers for n requests together. */
    int (*apply)(struct editing *g, const struct edit_request *r, int n, struct err *e);
};

extern const struct edit *const edits[]; /* ends with NULL */
extern const struct edit edit_rome, edit_memit, edit_alphaedit;

/* Finds the layers. Refuses models whose MLP's output is not W k + b as it is added to the
 * residual: experts, norms after the MLP, scaled branches. editing_fini is due in every case. */
int editing_init(struct editing *g, struct model *m, const struct choice *method, struct err *e);
/* "4-8", "3,5" or both, into list [n], of layers below n: how many; -1: an error about `subject`.
 */
int edit_read_layers(const char *text, int n, int *list, const char *subject, struct err *e);
/* Whether C is used, so that `moments` must be there. */
bool edit_wants_moments(const struct editing *g);
/* Edits for n requests, `batch` at a time (0: all together), one after the other. */
int editing_run(struct editing *g, const struct edit_request *r, int n, int batch, struct err *e);
/* |W - W0| / |W0| of layer i of g; NaN: no memory. */
double editing_growth(const struct editing *g, int i);
/* W - W0 of all layers as a PEFT adapter in `dir`: merged with weight -1 it undoes the edit. */
int editing_save_delta(const struct editing *g, const char *dir, struct err *e);
void editing_fini(struct editing *g);

/* --- value.c --- */

struct edit_value {
    double *v0, *delta;   /* owned [C] */
    double (*losses)[4];  /* owned [steps]: whole, NLL, KL, decay */
    int steps;            /* forward passes made */
    double before, after; /* mean NLL of the target: delta = 0, and the last */
};
/* `layer` of g's model, at the method's place. */
int edit_find_value(struct edit_value *v, struct editing *g, int layer,
                    const struct edit_request *r, struct err *e);
void edit_value_fini(struct edit_value *v);

/* Keys [n,F] and, unless NULL, the residual after the layer [n,C], of prompts at their lookup. */
int edit_read(const struct editing *g, const struct edit_layer *l, const struct edit_prompt *p,
              int n, double *keys, double *residual, struct err *e);
/* W += b^T a, b [r,C], a [r,F]; both are kept for the delta. */
int edit_update(struct editing *g, struct edit_layer *l, const double *b, const double *a, int r,
                struct err *e);

/* --- moments.c: C of layers --- */

struct seq;
/* Writes covariance.LAYER [F,F] and tokens.LAYER of the layers of g over n sequences. */
int edit_moments_write(const struct editing *g, const struct seq *seqs, int n, const char *path,
                       struct err *e);
/* C in f64, owned by the caller. A file of another shape is refused by name. */
double *edit_moments_read(const struct editing *g, const struct edit_layer *l, struct err *e);
/* The rows of x [m,F] = C^-1 of them; 1e-6 trace / F is added to the diagonal where C is singular.
 */
int edit_moments_solve(const struct editing *g, const struct edit_layer *l, double *x, int m,
                       struct err *e);

/* --- the trace --- */

/* Keeps a copy; fails on no memory only. Nothing where g has no trace. */
int edit_note(const struct editing *g, const char *name, const double *v, int rows, int cols,
              struct err *e);
/* The same, with the number after the name; below 0: none. */
int edit_note_numbered(const struct editing *g, const char *name, int number, const double *v,
                       int rows, int cols, struct err *e);
struct edit_trace *edit_trace_new(struct err *e);
int edit_trace_write(const struct edit_trace *t, const char *path, struct err *e);
void edit_trace_free(struct edit_trace *t);

#endif
