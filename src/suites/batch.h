/* Questions of one task, asked at once. */
#ifndef SUITES_BATCH_H
#define SUITES_BATCH_H

#include "eval/choice_score.h"
#include "suites/tasks.h"

/* Who is asked. positions: the longest sequence the model takes. */
struct asked {
    const struct tokenizer *tok;
    const struct backend *model;
    int positions;
};

/* Zero-initialise; batch_fini is due. */
struct batch {
    struct questions q;
    struct choice_score *s; /* owned [q.n] */
    double seconds;         /* that it took */
};

/* The questions of all rows, each behind the first n_shots rows of `shots`. */
int batch_ask(struct batch *b, const struct suite_task *t, const struct rows *rows,
              const struct rows *shots, int n_shots, const struct asked *who, struct err *e);
/* What the log says of question i, a new object: lm-evaluation-harness's {doc_id, target, resps,
 * acc, acc_norm} and, where all rows have the same labels, the label that was chosen. NULL: out of
 * memory. */
json_t *batch_sample(const struct batch *b, int i);
void batch_fini(struct batch *b);

#endif
