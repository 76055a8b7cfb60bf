/* The data of a training job: the examples of every role, where alternate answers come from, and
 * the order of rows.
 */
#ifndef RUN_DATA_H
#define RUN_DATA_H

#include "run/setup.h"
#include "data/check.h"
#include "data/order.h"
#include "methods/method.h"
#include "train/options.h"

/* Helper models that are the reference after a system turn. */
enum prompt { PROMPT_EXPERT, PROMPT_NOVICE, PROMPT_COUNT };
extern const char *const prompt_name[PROMPT_COUNT]; /* as terms name these helpers */

/* Data, other models and result of a run. */
struct run_options {
    const char *files[ROLE_COUNT]; /* data of each role; NULL: none */
    const char *question_key, *answer_key, *alternate_key;
    const char *prompts[PROMPT_COUNT]; /* system turns; NULL: none */
    const char *concept;               /* fills in such prompts; NULL: none */
    const char *alternate_pool;        /* answers of which one is drawn each time; NULL: none */
    const char *refused;               /* prompts that the model refuses; NULL: none */
    const char *ref;                   /* reference model; NULL: the model itself before training */
    const char *reinforced, *new_model; /* helper models; NULL: they are made if needed */
    const char *mask;                   /* file of the elements that may change; NULL: all may */
    int64_t chunk;                      /* tokens of a piece of plain text; 0: each row is one */
    const char *out, *dtype;
    bool scratch, save_adapter, overwrite;
};

/* The type that "f32", "bf16" or "f16" names. */
enum dtype run_dtype(const char *name);

/* What a method may preset. */
struct generic_options {
    const char *from; /* "file" or "guided" */
    const char *sentence;
    double guidance;
    int64_t tokens;
};

struct alternate_options {
    const char *from; /* "file", "forget", "retain" or "tokens" */
    int64_t times;    /* alternates of each example in a micro-batch */
};

extern const struct param alternate_params[], generic_params[];

struct run_data {
    struct dataset sets[ROLE_COUNT], refused;
    struct dataset prompted[PROMPT_COUNT]; /* the forget examples after another system turn */
    struct dataset pool;                   /* answers that alternates are drawn from */
    const struct dataset *answers; /* borrowed: that, or another role's set; NULL: none are drawn */
    struct row_keys forget_keys;   /* of the forget rows, to find them among others */
    struct order order;
};

/* The examples of one file: prompts and answers, plain texts or token ids, which its first row
 * tells. */
int run_data_file(struct setup *s, const struct run_options *o, enum role role, const char *path,
                  struct dataset *set, struct err *e);
/* Reads the files, and finds out where the alternates come from that the recipe needs: from
 * their own file, else a pool or other rows (drawn for each example), else a field of the forget
 * rows. The engine's sets then are these. */
int run_data_read(struct run_data *d, struct setup *s, const struct run_options *o,
                  const struct alternate_options *alternates, const struct recipe *r,
                  struct engine *g, struct err *e);
/* Draws or reads the order, once the objectives are bound, and makes the alternates that it asks
 * for. With `turns` an epoch has the data of the terms whose turn it is. */
int run_data_order(struct run_data *d, struct engine *g, const struct train_options *to,
                   const struct alternate_options *alternates, int turns, struct err *e);
/* The forget examples after the system turn of the expert or the novice, given by the options or
 * derived from their concept; their labels stay the same. */
int run_data_prompted(struct run_data *d, enum prompt k, struct setup *s,
                      const struct run_options *o, struct err *e);
void run_data_fini(struct run_data *d);

#endif
