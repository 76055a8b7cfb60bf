/* Examples from token ids: those of a file of tensors, and other answers to the same prompts, that
 * is, the prompt of one example, then the scored tail of another, with its end token if it has one.
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

/* dataset_from_matrix on a file of tensors, ROLE.input_ids, ROLE.attention_mask, ROLE.labels, all
 * [B,T]; names without a role are of the forget role. *there: it has that role. */
int dataset_from_tensors(struct dataset *d, enum role role, const struct tensor_file *f,
                         int keep_padding, bool *there, struct err *e);

#endif
