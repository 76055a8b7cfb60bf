/* Other answers to the same prompts, put together from token ids: the prompt of one example, then
 * the scored tail of another. What an answer's end is (an end token, say) comes with the tail.
 */
#ifndef DATA_SPLICE_H
#define DATA_SPLICE_H

#include "data/dataset.h"

/* Example i * answers->n + k of `d` is prompt i with answer k, or with the next answer that differs
 * if k is its own. Only those that `used` [prompts->n * answers->n] marks are made; the others have
 * no tokens. An error if a prompt has no other answer, or if both
 * are longer than the model's positions. */
int dataset_splice(struct dataset *d, enum role role, const struct dataset *prompts,
                   const struct dataset *answers, const unsigned char *used, int positions,
                   struct err *e);
/* Example i is prompt i with random ids below `vocab` in the place of its labels. */
int dataset_random_answers(struct dataset *d, enum role role, const struct dataset *prompts,
                           int vocab, unsigned seed, struct err *e);

#endif
