/* What attacks on the model's input share: each moves tokens or vectors at places of a row against
 * the derivative of an answer's loss. So strong an attack can make a model emit any text (arXiv
 * 2502.15836), and a low loss of the true answer proves nothing. Therefore each row has two
 * targets, attacked with the same budget: its answer, and a control, an answer that is wrong. What
 * counts is the advantage, min loss(control) - min loss(answer) over the budget, and how far it is
 * from the retrained model's.
 *
 * Losses are means over an answer's labels of minus its log-probabilities, in nats.
 */
#ifndef ATTACK_INPUT_H
#define ATTACK_INPUT_H

#include "attack/attack.h"
#include "train/perturb.h"

enum input_target { INPUT_TRUE, INPUT_CONTROL, INPUT_TARGETS };

/* The field control_key of an attack's parameters. */
#define INPUT_CONTROL_PARAM(type)                                                                  \
    STRING_PARAM(type, control_key, "perturbed_answer", "KEY",                                     \
                 "field of wrong answers, of which the first is the control")

/* Rows into which an attack's tokens are put. */
struct input_slots {
    struct seq *seqs; /* owned [n] */
    int *at;          /* owned [n] the first of the attack's tokens */
    int n, width;     /* rows, tokens of the attack */
    int *pool;        /* owned: ids and labels */
    uint8_t *masks;   /* owned */
};

struct input {
    struct attack_run *a;            /* borrowed */
    int n;                           /* rows */
    struct seq *rows[INPUT_TARGETS]; /* owned [n] as they are; their tokens are the datasets'. NULL:
                                      * there is no control */
    double *before[INPUT_TARGETS];   /* owned [n] losses of those */
    bool named_controls;             /* the control is that of the rows' field, not another row's */
    bool *attacked;                  /* owned [n]: what a universal attack is made for */
    struct dataset control;          /* owned: where the control's tokens are */
    struct engine engine;            /* the loss of one sequence; weights are frozen */
    struct dataset one;              /* that sequence, borrowed */
    /* What was reached: loss of each row by the best of the first s steps, [n, steps + 1], owned.
     * At s = 0 nothing was done to the row. */
    double *reached[INPUT_TARGETS];
    long steps;
    struct progress bar;     /* of the steps of all searches */
    int done[INPUT_TARGETS]; /* rows whose search has ended, of the first ones */
};

/* The forget rows and their controls: the first of the answers at `control_key` where every row has
 * them, else the answer of the next row. The first rows, `share` of them, are attacked. On failure
 * nothing is left open. */
int input_init(struct input *in, struct attack_run *a, const char *control_key, double share,
               long steps, struct err *e);
/* The losses of all rows as they are. */
int input_score(struct input *in, struct err *e);
void input_fini(struct input *in);

/* The loss of a sequence under a perturbation (NULL: none), whose derivative is computed if it has
 * room for it. */
int input_loss(struct input *in, const struct seq *q, const struct latent *at, double *loss,
               struct err *e);
/* Forgets what was reached, and starts the bar: `searches` for each row and target, or of a
 * universal attack for all rows together. input_count: a step was made. */
void input_restart(struct input *in, const char *what, bool universal, long searches);
void input_count(struct input *in);
/* Records a search over rows[n]: loss[n, in->steps + 1] after each step, NaN of those that were not
 * made. True if its best is the best of all searches over these rows. */
bool input_record(struct input *in, enum input_target target, const int *rows, int n,
                  const double *loss);

/* The figures before the attack, into block["before"]; what it reached, into the object of a
 * setting (attack_begin). */
void input_put_before(struct input *in, json_t *block);
void input_put(struct input *in, json_t *to);
/* out/STEM_MODEL.SUFFIX, owned by the caller; NULL: a failure, or no directory. */
char *input_file(const struct input *in, const char *stem, const char *suffix, struct err *e);

/* The tokens `ids` [width] in each row, from at[i] on. */
int input_slots_init(struct input_slots *s, const struct seq *rows, int n, const int *at,
                     const int *ids, int width, struct err *e);
void input_slots_fini(struct input_slots *s);
/* Where row i's question ends: what is inserted there stands in the user's turn, before the
 * template's text. Rows without text: before the first label. */
int input_question_end(struct input *in, int i, int *at, struct err *e);
/* The ids of the attack's first tokens, owned by the caller: of the text or, where the model has no
 * tokenizer, `tokens` random ones. */
int input_start(struct input *in, const char *text, int tokens, int **ids, int *n, struct err *e);

#endif
