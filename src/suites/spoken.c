/* Metrics of the model's own answers, one number a row: likeness to the true answer, and how much
 * an answer repeats itself. */
#include <math.h>
#include <string.h>

#include "eval/bleu.h"
#include "eval/fluency.h"
#include "suites/kinds.h"

enum { REPEATED = 4, ENTROPY = 2 }; /* words of an n-gram */

static int bleu(const struct one_row *r, double *out, struct err *e)
{
    const struct answer *a = &r->x->answers[r->i];
    struct bleu b = {0};
    if (bleu_add(&b, a->whole, a->answer, e))
        return -1;
    *out = bleu_sentence(&b);
    return 0;
}

static int exact_match(const struct one_row *r, double *out, struct err *e)
{
    const struct answer *a = &r->x->answers[r->i];
    (void)e;
    *out = !strcmp(a->whole, a->answer);
    return 0;
}

static int unique_words(const struct one_row *r, double *out, struct err *e)
{
    struct fluency f;
    if (fluency_of(r->x->answers[r->i].answer, 1, &f, e))
        return -1;
    *out = f.unique;
    return 0;
}

static int repetition(const struct one_row *r, double *out, struct err *e)
{
    struct fluency f;
    if (fluency_of(r->x->answers[r->i].answer, REPEATED, &f, e))
        return -1;
    *out = f.repetition;
    return 0;
}

static int word_entropy(const struct one_row *r, double *out, struct err *e)
{
    struct fluency f;
    if (fluency_of(r->x->answers[r->i].answer, ENTROPY, &f, e))
        return -1;
    *out = f.entropy;
    return 0;
}

static int perplexity(const struct one_row *r, double *out, struct err *e)
{
    (void)e;
    *out = r->x->perplexities[r->i];
    return 0;
}

const struct metric_kind metric_bleu = {SUITE_MEAN,
                                        .name = "bleu",
                                        .help = "BLEU of the model's own answer, tokenizer 13a",
                                        .forgotten = "low on forget",
                                        .verified = "sacrebleu",
                                        .needs = NEED_ANSWERS,
                                        .row = bleu};
const struct metric_kind metric_exact_match = {SUITE_MEAN,
                                               .name = "exact_match",
                                               .help = "the model's own answer is the true one",
                                               .forgotten = "0 on forget",
                                               .verified = "its definition",
                                               .needs = NEED_ANSWERS,
                                               .row = exact_match,
                                               .rate = true};
const struct metric_kind metric_unique_words = {
    SUITE_MEAN,
    .name = "unique_words",
    .help = "share of different words in the model's own answer",
    .forgotten = "fluent: as in the retrained model",
    .verified = "plain Python",
    .needs = NEED_ANSWERS,
    .row = unique_words};
const struct metric_kind metric_repetition = {
    SUITE_MEAN,
    .name = "repetition",
    .help = "share of 4-grams that came before in the model's own answer (arXiv 1908.04319)",
    .forgotten = "fluent: as in the retrained model",
    .verified = "plain Python",
    .needs = NEED_ANSWERS,
    .row = repetition};
const struct metric_kind metric_word_entropy = {
    SUITE_MEAN,
    .name = "word_entropy",
    .help = "of bigrams in the model's own answer, in bits (arXiv 1809.05972)",
    .forgotten = "fluent: as in the retrained model",
    .verified = "plain Python",
    .needs = NEED_ANSWERS,
    .row = word_entropy};
const struct metric_kind metric_perplexity = {
    SUITE_MEAN,
    .name = "perplexity",
    .help = "of the model's own answer under another model (`--reference`)",
    .forgotten = "fluent: as in the retrained model",
    .verified = "its definition",
    .needs = NEED_ANSWERS | NEED_JUDGE,
    .row = perplexity};
