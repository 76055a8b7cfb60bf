/* Metrics of the model's own answers, one number a row: likeness to the true answer, and how much
 * an answer repeats itself. */
#include <string.h>

#include "eval/bleu.h"
#include "eval/fluency.h"
#include "suites/suite.h"

enum { REPEATED = 4, ENTROPY = 2 }; /* words of an n-gram */

static int bleu(const struct suite *s, const struct exhibit *x, int i, double *out, struct err *e)
{
    struct bleu b = {0};
    (void)s;
    if (bleu_add(&b, x->answers[i].whole, x->answers[i].answer, e))
        return -1;
    *out = bleu_sentence(&b);
    return 0;
}

static int exact_match(const struct suite *s, const struct exhibit *x, int i, double *out,
                       struct err *e)
{
    (void)s, (void)e;
    *out = !strcmp(x->answers[i].whole, x->answers[i].answer);
    return 0;
}

static int unique_words(const struct suite *s, const struct exhibit *x, int i, double *out,
                        struct err *e)
{
    struct fluency f;
    (void)s;
    if (fluency_of(x->answers[i].answer, 1, &f, e))
        return -1;
    *out = f.unique;
    return 0;
}

static int repetition(const struct suite *s, const struct exhibit *x, int i, double *out,
                      struct err *e)
{
    struct fluency f;
    (void)s;
    if (fluency_of(x->answers[i].answer, REPEATED, &f, e))
        return -1;
    *out = f.repetition;
    return 0;
}

static int word_entropy(const struct suite *s, const struct exhibit *x, int i, double *out,
                        struct err *e)
{
    struct fluency f;
    (void)s;
    if (fluency_of(x->answers[i].answer, ENTROPY, &f, e))
        return -1;
    *out = f.entropy;
    return 0;
}

const struct metric_kind metric_bleu = {suite_mean_of_numbers, NEED_ANSWERS, bleu, false};
const struct metric_kind metric_exact_match = {suite_mean_of_numbers, NEED_ANSWERS, exact_match,
                                               false};
const struct metric_kind metric_unique_words = {suite_mean_of_numbers, NEED_ANSWERS, unique_words,
                                                false};
const struct metric_kind metric_repetition = {suite_mean_of_numbers, NEED_ANSWERS, repetition,
                                              false};
const struct metric_kind metric_word_entropy = {suite_mean_of_numbers, NEED_ANSWERS, word_entropy,
                                                false};
