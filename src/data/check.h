/* Mistakes in the data of a run, told as warnings before anything is computed: rows that are to be
 * forgotten and to be kept, empty answers, files whose names contradict their roles.
 */
#ifndef DATA_CHECK_H
#define DATA_CHECK_H

#include "data/dataset.h"
#include "data/rows.h"

/* Hashes of rows, sorted: of prompt and answer, or of a text or token ids, without regard to upper
 * and lower case (of ASCII) and to white space. */
struct row_keys {
    uint64_t *v; /* owned [n] */
    int n;
};

int row_keys_make(struct row_keys *k, const struct rows *r, const char *question_key,
                  const char *answer_key, struct err *e);
void row_keys_fini(struct row_keys *k);
/* Warns of rows of `what` ("retain") that are among the forget rows `k`: how many, and which is the
 * first. */
int check_overlap(const struct row_keys *k, const struct rows *r, const char *what,
                  const char *question_key, const char *answer_key, struct err *e);
/* Warns of answers without a character that is not a space. */
void check_answers(const struct rows *r, const char *answer_key);
/* Warns if the names of files (specifications of rows, data/rows.h) suggest that forget data are
 * given as those of `role`, or the other way round. NULL: not given. */
void check_names(const char *forget, const char *other, enum role role);

#endif
