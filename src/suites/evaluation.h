/* One evaluation by a suite of metrics, from options to results: opens the data and the models, and
 * runs the suite, with a retrained model on that too. Nothing is printed; what it writes are the
 * models' outputs, kept so that an interrupted evaluation resumes.
 *
 *     struct evaluation v = {.o = &o, .setup = &setup, .recipe = &recipe, .files = files,
 *                            .kept = &kept};
 *     evaluation_run(&v, &e)          v.suite has the results
 *     evaluation_fini(&v)             in any case
 */
#ifndef SUITES_EVALUATION_H
#define SUITES_EVALUATION_H

#include "eval/backend.h"
#include "run/setup.h"
#include "suites/recipe.h"
#include "suites/suite.h"

enum { EVAL_SETS = 64 };

struct evaluation_options {
    const char *suite; /* name or file of the recipe */
    const char *reference, *retrained, *retain_logs, *before, *question_key, *answer_key;
    const char *truth_ratio;
    int64_t max_new_tokens, batch, limit;
};

/* All but `limit`, and that. */
extern const struct param evaluation_params[], evaluation_limit_params[];

/* Whether the suite's rows come from attacks: it is no evaluation as below. */
bool evaluation_is_robust(const struct suite_recipe *r);
/* The recipe's data sets as options, on an array [EVAL_SETS] of their files; params: [EVAL_SETS +
 * 1], zeroed. */
void evaluation_set_params(const struct suite_recipe *r, struct param *params);
/* What the suite presets of other options, in presets[most + 1], zeroed. */
int evaluation_presets(const struct suite_recipe *r, struct param_preset *presets, int most,
                       struct err *e);

/* Outputs of the models, in a file of a directory. */
struct evaluation_kept {
    const char *out;   /* directory; NULL: nothing is kept. Made if need be */
    const char *suite; /* the file is OUT/SUITE_EVIDENCE.bin */
    bool overwrite;    /* drop what is there */
    struct cache_file file;
    const volatile sig_atomic_t *interrupt; /* NULL: nothing ends the evaluation */
};

/* Opens the file for the model that is evaluated; refuses another model's. Fill in the options
 * first; cache_file_close is due in any case. */
int evaluation_kept_open(struct evaluation_kept *k, struct model_backend *s, struct err *e);
/* Another model's scores in the same file. */
int evaluation_kept_add(struct evaluation_kept *k, struct model_backend *s, struct err *e);

struct evaluation {
    /* Borrowed. */
    const struct evaluation_options *o;
    const struct setup_options *setup;
    const struct suite_recipe *recipe;
    const char *const *files; /* [EVAL_SETS] by set of the recipe; NULL: not given */
    struct evaluation_kept *kept;
    /* Called once the suite has run on the retrained model, in so many seconds; NULL: not. */
    int (*retrained_done)(void *ctx, const struct evaluation *v, const struct suite *retrained,
                          double seconds, struct err *e);
    void *ctx;

    struct setup s;
    struct model other, retrained; /* for attacks that compare two models; the retrained one */
    struct model_backend backend, reference, retrained_backend;
    struct model_effort both; /* of the model and the retrained one, compared */
    struct rows rows[EVAL_SETS];
    struct rows *sets[EVAL_SETS]; /* NULL: not given */
    json_t *retain_log, *before;
    struct suite suite;
    double start; /* log_seconds() */
};

int evaluation_run(struct evaluation *v, struct err *e);
/* What all models computed. */
struct model_effort evaluation_effort(const struct evaluation *v);
void evaluation_fini(struct evaluation *v);

#endif
