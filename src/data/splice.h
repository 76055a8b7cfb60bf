/* Examples with other answers to the same prompts, built from token ids: the prompt of one example,
 * then the scored tail of another, with its end token if it has one.
 */
#ifndef DATA_SPLICE_H
#define DATA_SPLICE_H

#include "data/dataset.h"

/* Example i * answers->n + k of `d` is prompt i with answer k, or with the next answer that differs
 * if k is its own. Only those that `used` [prompts->n * answers->n] marks are built; the others
 * have no tokens. An error if a prompt has no other answer, or if both are longer than the model's
 * positions. */
int dataset_splice(struct dataset *d, enum role role, const struct dataset *prompts,
                   const struct dataset *answers, const unsigned char *used, int positions,
                   struct err *e);
/* Example i is prompt i with random ids below `vocab` as labels. */
int dataset_random_answers(struct dataset *d, enum role role, const struct dataset *prompts,
                           int vocab, unsigned seed, struct err *e);

#endif
