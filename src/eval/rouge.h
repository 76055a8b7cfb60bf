/* ROUGE as the field's unlearning benchmarks compute it: unigram recall, and the longest common
 * subsequence of the two token lists (ROUGE-L). All scores lie in [0,1]; they are 0 if either text
 * has no tokens. Definitions: C.-Y. Lin, ROUGE, ACL 2004 workshop; spec metrics.md section 2.
 *
 * Texts are UTF-8 of n bytes and may hold U+0000; memory is linear in their length. Tokens:
 *   ROUGE_LATIN    lower-case as in Python, split at everything but a-z and 0-9
 *   ROUGE_STEMMED  the same, words of more than three letters stemmed (eval/porter.h)
 *   ROUGE_UNICODE  words of all scripts (eval/words.h)
 */
#ifndef EVAL_ROUGE_H
#define EVAL_ROUGE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct rouge {
    double recall_1;                    /* ROUGE-1 */
    double precision_l, recall_l, f1_l; /* ROUGE-L */
};

enum rouge_words { ROUGE_LATIN, ROUGE_STEMMED, ROUGE_UNICODE };

int rouge_score(const char *truth, size_t n_truth, const char *guess, size_t n_guess,
                enum rouge_words how, struct rouge *out, struct err *e);

/* Appends the tokens, each followed by a NUL; their number, or -1. */
int rouge_tokens(const char *text, size_t n, enum rouge_words how, struct buf *out, struct err *e);

#endif
