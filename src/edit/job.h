/* An edit from start to end: requests from a file, second moments of keys, the updates, what they
 * did to the answers, and the edited model.
 */
#ifndef EDIT_JOB_H
#define EDIT_JOB_H

#include <jansson.h>

#include "base/outdir.h"
#include "edit/edit.h"
#include "run/setup.h"

struct edit_options {
    struct setup_options setup;
    const char *requests, *forget;    /* one of them: token ids, or rows */
    const char *neighbour;            /* rows that should keep their answers; NULL: none */
    const char *covariance, *generic; /* a file of edit_moments_write, or rows of text */
    const char *collect; /* rows of text: only the moments are made, and written to out */
    const char *target, *refusal;
    const char *question_key, *answer_key, *subject_key, *paraphrase_key;
    const char *contexts; /* a JSON array of texts; NULL: the model writes them */
    int64_t n_contexts, context_tokens, seed, batch;
    const char *out, *save_delta, *trace, *dtype;
    bool overwrite;
};

/* Of a set of questions, before and after: probabilities of a token, geometric means over the
 * answer, means over the set. */
struct edit_figures {
    const char *name; /* "forget", "paraphrase", "neighbour" */
    int n, n_answers;
    double target[2];  /* probability of the new answer */
    double answer[2];  /* of the old one, where rows have one */
    double success[2]; /* share of rows whose new answer is likelier than the old */
};

struct edit_result {
    struct edit_figures sets[3];
    int n_sets, n, guessed;
    struct {
        int layer, rank;
        double growth; /* |W - W0| / |W0| */
    } * layers;        /* owned [n_layers] */
    int n_layers;
    double seconds;
};

/* `d`: --out, open; of `collect` NULL. */
int run_edit(struct edit_result *r, const struct edit_options *o, const struct choice *method,
             struct outdir *d, const volatile sig_atomic_t *stop, struct err *e);
json_t *edit_result_json(const struct edit_result *r, const char *method);
void edit_result_fini(struct edit_result *r);

#endif
