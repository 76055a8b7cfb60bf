/* What most commands begin with: a model, and the way from text to its token ids.
 *
 *     struct setup_options o;  two tables of options: {"model and text", setup_params, &o} and
 *                              {"conversations", chat_params, &o.chat}
 *     struct setup s;
 *     setup_open(&s, &o, access, &e)     the model; compat and threads are taken from the options
 *     setup_text(&s, &e)                 its tokenizer and chat template: s.encoder is ready
 *     setup_close(&s)
 *
 * Commands call setup_text only when they meet text: a checkpoint without a tokenizer can be used
 * with token ids.
 */
#ifndef RUN_SETUP_H
#define RUN_SETUP_H

#include "base/err.h"
#include "base/param.h"
#include "data/dataset.h"
#include "model/model.h"
#include "text/chat.h"
#include "text/qa.h"
#include "train/inputs.h"

/* How conversations are written: which template, and what stands in it. */
struct chat_options {
    const char *system; /* NULL: not given */
    struct chat_choice choice;
};

/* What stands between the model and its users (guard/guard.h). */
struct guard_options {
    const char *guard;         /* NULL: nothing */
    const char *assist, *rule; /* models, and how their logits are joined: a guard, too */
};

struct setup_options {
    const char *model, *adapter;
    const char *compat;
    int64_t max_length, threads;
    struct chat_options chat;   /* a table of its own, chat_params */
    struct guard_options guard; /* likewise, guard_params */
};

extern const struct param setup_params[], chat_params[], guard_params[];

struct guards; /* guard/guard.h */

struct setup {
    const struct setup_options *o; /* borrowed */
    struct model model;
    unsigned compat;             /* bits of enum compat */
    struct tokenizer *tokenizer; /* owned; NULL until setup_text */
    struct chat chat;            /* ready after setup_text */
    struct qa_format qa;         /* what the encoder works with */
    struct guards *guards;       /* owned: of the model; NULL: none */
    struct encoder encoder;      /* ready after setup_text; its ctx points into this struct */
};

/* chat_open as the options have it; `compat`: bits of enum compat. Without --date the templates
 * that tell the date get the same one in every run, or the peer's (COMPAT_DATE). */
int chat_options_open(const struct chat_options *o, unsigned compat, const struct tokenizer *t,
                      struct chat *c, struct err *e);
/* The system message of a conversation; NULL: none, so that the template decides. */
const char *chat_options_system(const struct chat_options *o, unsigned compat,
                                const struct chat *c);

/* The files of the model of this name (run/model_name.h) are read here; NULL: no model. */
int setup_add_input(struct inputs *in, const char *name, struct err *e);
/* Where the run that made the model left its record: the adapter's directory or the model's path.
 * Owned by the caller. */
char *setup_made_by(const struct setup_options *o, struct err *e);
/* Opens the model of this name; `adapter`, a directory of PEFT's or NULL, is merged into it. */
int setup_open_model(struct model *m, const char *name, const char *adapter,
                     enum model_access access, struct err *e);

/* On failure nothing is left open. A directory whose deletion of rows is not completed, and an
 * ensemble (run/sharding.h), are refused. */
int setup_open(struct setup *s, const struct setup_options *o, enum model_access access,
               struct err *e);
/* The same for reading; an ensemble's directory is one model, of which the shards are the members
 * (model/ensemble.h). The guards of the options are in front of it. */
int setup_open_ensemble(struct setup *s, const struct setup_options *o, struct err *e);
/* Puts the guards of the options between the model and its users; nothing where there are none.
 * setup_open_ensemble has done so. */
int setup_guard(struct setup *s, struct err *e);
/* The same by the headers of the model's files: for its sizes, its tokenizer and its data. */
int setup_open_header(struct setup *s, const struct setup_options *o, struct err *e);
/* A frozen model with the vocabulary of `like`; another vocabulary is refused. `what` it is, for
 * messages. */
int setup_open_frozen(struct model *m, const char *what, const char *name, const char *adapter,
                      enum model_access access, const struct model *like, struct err *e);
/* The same with fresh random weights: the model directory needs config.json and a tokenizer only.
 */
int setup_open_scratch(struct setup *s, const struct setup_options *o, unsigned seed,
                       struct err *e);
/* Fine to call again. Refuses a tokenizer with more tokens than the model has embeddings. */
int setup_text(struct setup *s, struct err *e);
/* Fails if the first row has no field `key`, which holds the prompts: names the fields that it has,
 * and `forms`, what rows may be. */
int setup_check_rows(const struct rows *rows, const char *key, const char *forms, struct err *e);
/* Rows {"ids"} or {"prompt_ids"}, whose first row tells which, as examples. */
int setup_ids(struct setup *s, enum role role, const struct rows *rows, struct dataset *set,
              struct err *e);
/* The tokenizer alone, where no chat template is needed. */
int setup_tokenizer(struct setup *s, struct err *e);
/* Whether the checkpoint has a tokenizer that setup_tokenizer can open. */
bool setup_has_tokenizer(struct setup *s);
void setup_close(struct setup *s);

/* --- how much memory a job will take, from a model's shape before anything is loaded --- */

enum memory_part {
    MEMORY_PROGRAM,   /* code, and what the matrix library takes for itself: as measured */
    MEMORY_FILES,     /* the checkpoint, mapped: the system may take these pages back */
    MEMORY_WEIGHTS,   /* those that are not used from the files as they stand */
    MEMORY_REFERENCE, /* the same of a frozen copy, where a term needs its logits or hidden states
                       */
    MEMORY_GRADIENTS,
    MEMORY_OPTIMISER, /* the two moments of AdamW */
    MEMORY_ACTIVATIONS,
    MEMORY_LOGITS, /* and the rows they are made from */
    MEMORY_PARTS
};

extern const char *const memory_part_name[MEMORY_PARTS];

enum memory_job {
    MEMORY_EVAL, /* scoring: one layer's activations at a time */
    MEMORY_TRAIN,
    MEMORY_FORGET, /* as train, on two roles at once, with a reference */
    MEMORY_LORA,   /* as forget, with adapters: without them the model is its own reference */
    MEMORY_JOBS
};

extern const char *const memory_job_name[MEMORY_JOBS];

struct memory_estimate {
    size_t bytes[MEMORY_PARTS];
    size_t total;
};

/* Weights of models with experts are not trained but by adapters. */
bool memory_job_runs(const struct model *m, enum memory_job job);
/* `m` may be open by its header only. `tokens`: of one micro-batch of one role. `rank`: of adapters
 * on all linear layers. `recompute`: layers run again in the backward. */
struct memory_estimate memory_estimate(const struct model *m, enum memory_job job, int tokens,
                                       int rank, bool recompute);
/* The largest batch of sequences of `length` tokens that takes at most so many bytes; 0: none. */
int memory_largest_batch(const struct model *m, enum memory_job job, int length, int rank,
                         bool recompute, uint64_t most);

#endif
