/* Attacks: attempts, with a stated budget, to bring back what a model was made to forget. Each is a
 * row of one table. It runs on up to three models with the same data and budget: the target (before
 * unlearning, the ceiling), the unlearned one, and the retrained one (never trained on the forget
 * set, the control). What counts is the excess over the control: an attack that succeeds on the
 * retrained model, too, shows nothing about forgetting.
 *
 * To add an attack: a file with its parameters and `run`, and a row here.
 */
#ifndef ATTACK_ATTACK_H
#define ATTACK_ATTACK_H

#include "base/file.h"
#include "base/table.h"
#include "data/rows.h"
#include "run/setup.h"

enum attack_model { ATTACK_TARGET, ATTACK_UNLEARNED, ATTACK_RETRAINED, ATTACK_MODELS };
extern const char *const attack_model_name[ATTACK_MODELS];

enum attack_set { ATTACK_FORGET, ATTACK_RETAIN, ATTACK_HOLDOUT, ATTACK_SETS };
extern const char *const attack_set_name[ATTACK_SETS];

/* What all attacks share. */
struct attack_options {
    struct setup_options setup;     /* its model is the unlearned one */
    const char *target, *retrained; /* models; NULL: none */
    const char *set[ATTACK_SETS];   /* files of rows; retain and holdout may be NULL */
    const char *question_key, *answer_key;
    const char *out;    /* an existing directory, for attack.json and what else an attack writes */
    const char *replay; /* directory of an attack's candidates, orders, noise or answers, which are
                         * taken instead of drawn ones; NULL: none */
    bool resume;        /* settings that out/attack.json has complete are not run again */
    int64_t seed;
};

/* The budget, as it was spent: for the report. */
struct attack_budget {
    double forward_tokens, backward_tokens;
    int64_t candidates, steps, rows;
};

/* One attack on one model. */
struct attack_run {
    const struct attack_options *o;
    enum attack_model which;
    struct setup s;      /* the model under attack; open for writing if the attack moves weights */
    struct model before; /* if so: the same as it was, to compare with */
    struct model target; /* if the attack needs it and there is one: the model before unlearning */
    bool has_target;
    struct rows rows[ATTACK_SETS];
    struct dataset sets[ATTACK_SETS]; /* n = 0: none */
    struct attack_budget spent;
    char setting[64]; /* the one that is running; "": none */
    const volatile sig_atomic_t *stop;
};

struct attack {
    ROW_FIELDS;
    const char *help, *paper; /* paper NULL: none introduced it */
    const char *touches;      /* prompt, embeddings, hidden states, decoding, weights */
    const char
        *access; /* of the attacker: black (texts), grey (log-probabilities), white (weights) */
    const char *verified;
    bool writes; /* it moves weights */
    /* With these parameters it moves adapters alone, and the model is open for reading; NULL: never
     */
    bool (*adapts)(const void *params);
    bool guarded;  /* all that it gets of the model comes through a guard */
    bool compares; /* it compares with the target's weights */
    bool seeded;   /* all that it draws follows from the seed: no file replays it */
    /* Puts its results into `block`: numbers, or arrays of them, by name, in objects by setting and
     * set. Settings that are resumable are begun by attack_begin. */
    int (*run)(struct attack_run *a, const void *params, json_t *block, struct err *e);
    /* *text gets rows (JSON Lines) that its parameters have instead of forget rows, owned by the
     * caller; NULL: they have none. NULL: it has no such parameters. */
    int (*rows)(const void *params, char **text, struct err *e);
    /* What follows from all models' blocks together, into all["summary"]; NULL: nothing. */
    int (*summarise)(json_t *all, const void *params, struct err *e);
};

extern const struct attack *const attacks[];

/* Attacks every model that there is, and gives a new object: name, access, options, budget, the
 * blocks target, unlearned and retrained with the same keys, and excess (unlearned minus
 * retrained). A figure that is not finite is null and does not end the attack. out/attack.json, if
 * there is a directory, has the same, rewritten after every model. After a failure or an
 * interruption *out still has the blocks as far as they came, "finished": false, and "partial":
 * the model whose block is not complete, and its setting that is not. */
int attack_all(const struct attack *attack, const void *params, const struct attack_options *o,
               const volatile sig_atomic_t *stop, json_t **out, struct err *e);

/* --- for attacks --- */

/* A new object block[name] for the figures of one setting; NULL: an earlier run completed it, and
 * this one resumes. attack_end when they are complete. */
json_t *attack_begin(struct attack_run *a, json_t *block, const char *name);
void attack_end(struct attack_run *a);
/* *path gets replay/NAME, owned by the caller; NULL: there is no such file, or no replay. */
int attack_replay_file(const struct attack_run *a, const char *name, char **path, struct err *e);
/* out/NAME, owned by the caller; NULL: a failure, or no directory. */
char *attack_out_file(const struct attack_run *a, const char *name, struct err *e);

/* Figures of the model as it stands, by set: nll (mean over tokens), prob (mean over rows of
 * exp(-mean loss)), row_prob (that of each row), and with `moved` also kl, the mean over tokens of
 * KL(before || now) in nats. */
int attack_measure(struct attack_run *a, bool moved, json_t *to, struct err *e);
/* The same of one set, straight into `to`. */
int attack_measure_set(struct attack_run *a, const struct dataset *d, bool moved, json_t *to,
                       struct err *e);

/* Opens rows as examples, with the run's keys. */
int attack_open_set(struct attack_run *a, const char *file, enum role role, struct rows *rows,
                    struct dataset *d, struct err *e);
/* Refuses a budget that needs more memory than the machine has; `what` takes the bytes, `subject`
 * is the parameter that sets them. */
int attack_check_memory(double bytes, const char *what, const char *subject, struct err *e);
/* Whether two rows belong together: both have this field, with the same value. */
bool attack_same_entity(const struct rows *a, int i, const struct rows *b, int j, const char *key);
/* Into `to`: auc, the probability that a value of `one` is above one of `zero`, and the true
 * positive rates at 1 and 5 % false positives. NaN are left out; the values are not changed. */
int attack_put_auc(json_t *to, const double *one, int n_one, const double *zero, int n_zero,
                   struct err *e);
/* The next number of a list "0.1,0.3" at *at, moved on; `what` is the parameter. */
int attack_next(const char **at, const char *what, double lo, double hi, double *v, struct err *e);

/* A file of lines in the attack's directory, which a resumed attack continues (result.c). */
struct attack_lines {
    struct file_out file;
    bool writes;         /* there is a directory */
    struct rows earlier; /* of the run that this one resumes; n = 0: none */
    int n;               /* lines written */
};

int attack_lines_open(struct attack_lines *l, const struct attack_run *a, const char *name,
                      struct err *e);
/* Takes the reference, also on failure. */
int attack_lines_add(struct attack_lines *l, json_t *line, struct err *e);
/* Writes the earlier lines whose field has this value again. */
int attack_lines_keep(struct attack_lines *l, const char *key, const char *value, struct err *e);
/* rc: of the attack, which is returned. After an interruption the lines so far are kept. */
int attack_lines_close(struct attack_lines *l, int rc, struct err *e);

/* --- attack.json (result.c) --- */

/* A new object with what is known before the attack; the blocks of an earlier run where it is
 * resumed, whose options must be the same. */
json_t *result_open(const struct attack *attack, const void *params, const struct attack_options *o,
                    struct err *e);
/* Whether the block of this model is complete. */
bool result_has(const json_t *all, enum attack_model which);
/* A new reference: the block of a resumed run without its incomplete setting, or an empty one; with
 * what that run spent. */
json_t *result_block(json_t *all, struct attack_run *a);
/* Puts the block in; rc: of the attack on this model. */
void result_put(json_t *all, const struct attack_run *a, json_t *block, int rc);
/* Puts in what follows from all blocks. */
void result_compare(json_t *all);
int result_write(const json_t *all, const char *out, struct err *e);

#endif
