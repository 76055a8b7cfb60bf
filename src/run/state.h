/* A run that is in progress, and what it trains on; for the files of this folder.
 */
#ifndef RUN_STATE_H
#define RUN_STATE_H

#include "base/outdir.h"
#include "run/run.h"

enum { RUN_MODELS = 8 };

/* A model of the run (run/procedure.h); all borrowed. */
struct run_model {
    const char *name, *path, *adapter;
};

struct run {
    struct run_config c; /* a copy, which steps change: what it points to is borrowed */
    const struct run_hooks *hooks;
    struct run_result *result;
    const struct step *step;         /* that this is the run of; NULL: the run itself */
    char *step_dir[PROCEDURE_STEPS]; /* owned; NULL: the step did not run */
    struct run_model models[RUN_MODELS];
    int n_models;
    json_t *options;                     /* owned: {name: value} of all */
    json_t *shared;                      /* owned: the options that a resumed run must share */
    json_t *files;                       /* owned {path: SHA-256} of what is read; NULL: not yet */
    struct outdir *dir;                  /* borrowed: run.out, locked */
    const struct exact_request *request; /* borrowed; NULL: to train */
    struct exact *exact; /* borrowed: of a shard's training (exact.c); NULL: another */
};

/* --- run.c --- */

/* Leaves of all options those that a resumed run must share. */
void run_drop_free(json_t *all);
/* The date and time, as the record has them. */
enum { RUN_DATE = 32 };
void run_date(char text[RUN_DATE]);
/* Writes OUT/run.json of a run without a cost of its own: its options, and whether it is finished;
 * first that it is not. */
int run_record_begin(const struct run *r, bool finished, struct err *e);
/* The training alone: of the run or of one of its steps. */
int run_training(struct run *r, struct err *e);

/* --- procedure.c --- */

/* The model of that name, given or made so far; NULL: none. */
const struct run_model *run_model(const struct run *r, const char *name);
/* Those that the config gives. */
void run_models_given(struct run *r);
/* Makes the models that the options do not give. Under resume finished steps are kept, the
 * interrupted one is resumed, and the run's own training starts over unless it was interrupted
 * itself. */
int procedure_run(struct run *r, struct err *e);
/* Of a dry run: checks that their data are there, notes which would be made, and has the run's own
 * model stand in for each helper. */
int procedure_plan(struct run *r, struct err *e);
/* No step that an earlier run left in OUT counts as finished. */
void procedure_clear(const char *out);

/* --- output.c --- */

/* Takes OUT for this run: refuses what is read (also through links), a directory that is in use,
 * and one that holds anything, unless the run replaces it or resumes. OUT/run.json then tells that
 * a run of these options has begun. Fills r->files.
 *
 * A run resumes from its checkpoint; if it has none yet, it begins; if it is *finished, there is
 * nothing to do. Other options or other files than it began with are refused. */
int run_output_open(struct outdir *d, struct run *r, bool *finished, struct err *e);
/* The same checks for a run that writes nothing. */
int run_output_check(const struct run *r, struct err *e);
/* Closes it. failed: a run that left nothing to resume from leaves nothing at all. */
void run_output_close(struct outdir *d, bool failed);

/* What else than to train is asked of a run whose rows can be deleted. */
struct exact_request {
    const int *rows; /* to delete [n_rows] */
    int n_rows;
    const char *like; /* train as the run in this directory is divided, without what it deleted */
    const bool *only; /* [shards] of these shards; NULL: all */
};

/* run_train with a request, or NULL. */
int run_exact(const struct run_config *c, const struct exact_request *q, const struct run_hooks *h,
              struct run_result *out, struct err *e);

/* --- exact.c: runs whose rows can be deleted --- */

struct training;
struct sharding;
/* Whether the options ask for such a run. */
bool exact_is(const struct run_config *c);
/* What does not go with it. */
int exact_check(const struct run_config *c, struct err *e);
/* Brings every shard up to date: trains those that are not trained, and those that have seen a row
 * that is deleted now from the last checkpoint before it. What was interrupted is resumed. */
int exact_run(struct run *r, struct err *e);
/* The order of the shard that `r` trains, what to keep, and where to resume. */
int exact_prepare(struct run *r, struct training *t, struct trainer *how, struct err *e);
/* --- exact_files.c */

/* OUT/state.json of one shard, else OUT/shard-N/state.json:
 * {"without": [positions deleted when its checkpoints were made], "finished", "reads"} */
struct shard_state {
    bool there, finished; /* finished: its model is there, and made without the same */
    bool current;         /* read: finished, without all that is deleted now */
    double reads;         /* examples read from the beginning to the end of its training */
};

/* before [l->n]: what it was made without. A file that is not there is no error. */
int exact_state_read(const char *out, const struct sharding *l, int shard, struct shard_state *s,
                     bool *before, struct err *e);
/* As of now: without all of the shard that is deleted. */
int exact_state_write(const char *out, const struct sharding *l, int shard,
                      const struct shard_state *s, struct err *e);
/* Appends a line to OUT/deletions.jsonl, with its date; takes the reference. */
int exact_log(const char *out, json_t *entry, struct err *e);
/* Removes from OUT what such a run left there, but for models. */
void exact_clear(const char *out);
/* The data of such a run are known by their examples, not by their file, which may lack deleted
 * rows later: drops it from options, and from the hashes of the files read. */
void exact_drop_option(json_t *options);
int exact_drop_files(const struct run *r, struct err *e);
/* OUT, or where there are several shards the directory of one; owned by the caller. */
char *exact_shard_dir(const char *out, int shards, int shard, struct err *e);
/* OUT/sisa.json, likewise. */
char *exact_layout_path(const char *out, struct err *e);
/* Reads it; *there is false, and nothing read, if it is not there. Refuses one that is divided in
 * another way than the options. */
int exact_layout_read(const struct run_config *c, const char *out, struct sharding *l, bool *there,
                      struct err *e);

/* --- order.c, chunk.c, generic.c: data --- */

/* Draws the order that the engine's objectives and the options ask for, or reads its file. `pairs`
 * [ROLE_COUNT] as order_draw has them; of `turns` epochs only the forget terms' data are read, of
 * all others only the retain terms', 0: all are of both. */
int run_order_make(struct order *o, struct engine *g, const struct train_options *to,
                   const struct pairing *pairs, int turns, struct err *e);
/* Instead of it, of DP-SGD: in each step every example of the role enters with probability q =
 * batch * accumulate / examples, by chance; the steps are those of `*o`. */
int run_order_by_chance(struct order *o, enum role role, int examples,
                        const struct train_options *to, struct err *e);
/* Plain text as examples of equal length: all rows joined by an empty line, made into tokens once,
 * cut into pieces of `length` tokens, each after a begin token where the tokenizer puts one. `text`
 * is the rows' field. The setup's text must be ready.
 *
 * Under COMPAT_CHUNK_REENCODE every piece is decoded, made into tokens again and cut to that length
 * once more, as OpenUnlearning does it: what a cut separates may become other tokens. */
int run_chunk(struct dataset *set, enum role role, const struct rows *rows, int length,
              struct setup *s, struct err *e);
/* The recipe uses generic data, of which there is no file: as many rows as there are to forget are
 * promised to the engine. */
void generic_promise(const struct generic_options *f, const struct recipe *r, struct run_data *d,
                     struct engine *g);
/* Keeps the promise, if one was made, with `m` the reference. */
int generic_make(const struct generic_options *f, struct run_data *d, struct setup *s,
                 const struct run_options *o, const struct train_options *to, struct model *m,
                 struct engine *g, struct err *e);

/* --- validation.c: validation metrics on the engine's data --- */

struct run_validation {
    struct validation validation;
    struct engine *engine; /* borrowed; tokens of validation count as read */
};

/* Refuses bounds on data that are not there. */
int run_validation_init(struct run_validation *w, const struct validation_options *o,
                        struct engine *g, struct err *e);

/* Mean NLL of the first rows of the forget and of the retain data, at most 16 and 1024 tokens of
 * each; NaN where there are none. It does not change the numbers of the run, and is not part of its
 * cost. */
int run_measure_nll(const struct engine *g, double *forget, double *retain, struct err *e);

/* --- training.c: the model, its data, the other models, and a method bound to them --- */

struct training {
    struct setup s;
    struct run_validation validation;
    struct model ref, helper[RUN_MODELS]; /* of r->models */
    struct engine engine;
    struct run_data data;
    struct wrapping wrapping; /* its choice is the config's */
    float *direction;         /* owned [C] */
    uint64_t *mask;           /* owned [mask_words]; NULL: none */
    json_t *first_row;        /* owned: text/rendered.h, and "role"; NULL: rows of ids */
};

/* `t` is zeroed. Notes the first row, except of a step, and of rows that can be deleted: the record
 * would keep it. training_close is due in every case. */
int training_open(struct training *t, const struct run *r, struct err *e);
void training_close(struct training *t);

/* After the run's own training (procedure.c): negates what it has learnt, if the run is to. Of
 * adapters A changes its sign (PEM, arXiv 2306.14870), so that a saved one is negated, too. */
int procedure_end(struct training *t, const struct run *r, struct err *e);

#endif
