/* ROUGE as the field's unlearning benchmarks compute it: unigram recall, and the longest common
 * subsequence of the two token lists (ROUGE-L). All scores lie in [0,1]; they are 0 where either
 * text has no tokens. Definitions: C.-Y. Lin, ROUGE, ACL 2004 workshop; spec metrics.md section 2.
 *
 * Tokens: lower-case as Python does it, split at everything but a-z and 0-9, and, with `stem`,
 * words of more than three letters stemmed (eval/porter.h). Texts are UTF-8; memory is linear in
 * their length.
 */
#ifndef EVAL_ROUGE_H
#define EVAL_ROUGE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct rouge {
    double recall_1;                    /* ROUGE-1 */
    double precision_l, recall_l, f1_l; /* ROUGE-L */
};

int rouge_score(const char *truth, const char *guess, bool stem, struct rouge *out, struct err *e);

/* Appends the tokens, each followed by a NUL; their number, or -1. */
int rouge_tokens(const char *text, bool stem, struct buf *out, struct err *e);

#endif
