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

const struct metric_kind metric_bleu = {.name = "bleu",
                                        .help = "of the model's own answer",
                                        .compute = suite_mean_of_numbers,
                                        .rescore = logged_score,
                                        .needs = NEED_ANSWERS,
                                        .row = bleu};
const struct metric_kind metric_exact_match = {.name = "exact_match",
                                               .help = "the model's own answer is the true one",
                                               .compute = suite_mean_of_numbers,
                                               .rescore = logged_score,
                                               .needs = NEED_ANSWERS,
                                               .row = exact_match,
                                               .rate = true};
const struct metric_kind metric_unique_words = {
    .name = "unique_words",
    .help = "share of different words in the model's own answer",
    .compute = suite_mean_of_numbers,
    .rescore = logged_score,
    .needs = NEED_ANSWERS,
    .row = unique_words};
const struct metric_kind metric_repetition = {
    .name = "repetition",
    .help = "share of 4-grams that came before in the model's own answer",
    .compute = suite_mean_of_numbers,
    .rescore = logged_score,
    .needs = NEED_ANSWERS,
    .row = repetition};
const struct metric_kind metric_word_entropy = {.name = "word_entropy",
                                                .help =
                                                    "of bigrams in the model's own answer, in bits",
                                                .compute = suite_mean_of_numbers,
                                                .rescore = logged_score,
                                                .needs = NEED_ANSWERS,
                                                .row = word_entropy};
