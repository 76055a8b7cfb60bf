/* Metrics of generated answers: similarity to the reference answer, repetition, perplexity. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "eval/texts.h"
#include "suites/metrics.h"

enum { REPEATED = 4, ENTROPY = 2 }; /* n-gram sizes */

#define SAME 1e-9 /* tolerance between two computations of a ROUGE value */

static int set_texts(const struct one_row *r, struct cell *out, struct err *e)
{
    const struct answer *a = &r->x->answers[r->i];
    return cell_set_text(out, TEXT_INPUT, a->input, strlen(a->input), e) ||
           cell_set_text(out, TEXT_TRUTH, a->whole, strlen(a->whole), e) ||
           cell_set_text(out, TEXT_ANSWER, a->answer, strlen(a->answer), e);
}

/* ROUGE of the row's texts; without texts the value in the row. */
static int read_rouge(const struct metric *m, struct records *r, int i, enum column_id column,
                      enum rouge_words words, double *out, struct err *e)
{
    struct cell *c = records_cell(r, i);
    double held = c->x[column];
    struct rouge rouge;
    *out = held;
    int rc = metric_rouge(r, i, words, &rouge, e);
    if (rc)
        return rc < 0 ? -1 : 0;
    c->x[COLUMN_ROUGE_1] = rouge.recall_1;
    c->x[COLUMN_ROUGE_F1] = rouge.f1_l;
    c->x[COLUMN_ROUGE_L] = rouge.recall_l;
    *out = c->x[column];
    if (fabs(*out - held) > SAME)
        log_warn("%s: a row holds ROUGE %.6g, but its texts give %.6g, which is used", m->name,
                 held, *out);
    return 0;
}

int metric_rouge(const struct records *r, int i, enum rouge_words words, struct rouge *out,
                 struct err *e)
{
    const struct record_text *truth = &records_cell(r, i)->text[TEXT_TRUTH];
    const struct record_text *answer = &records_cell(r, i)->text[TEXT_ANSWER];
    if (!truth->s || !answer->s)
        return 1;
    return rouge_score(truth->s, truth->n, answer->s, answer->n, words, out, e) ? -1 : 0;
}

static int rouge_l(const struct metric *m, unsigned compat, struct records *r, int i, double *out,
                   struct err *e)
{
    (void)compat;
    return read_rouge(m, r, i, COLUMN_ROUGE_L, ROUGE_STEMMED, out, e);
}

static int rouge_1(const struct metric *m, unsigned compat, struct records *r, int i, double *out,
                   struct err *e)
{
    (void)compat;
    return read_rouge(m, r, i, COLUMN_ROUGE_1, ROUGE_STEMMED, out, e);
}

static int rouge_f1(const struct metric *m, unsigned compat, struct records *r, int i, double *out,
                    struct err *e)
{
    (void)compat;
    return read_rouge(m, r, i, COLUMN_ROUGE_F1, ROUGE_STEMMED, out, e);
}

static int rouge_unicode(const struct metric *m, unsigned compat, struct records *r, int i,
                         double *out, struct err *e)
{
    (void)compat;
    return read_rouge(m, r, i, COLUMN_ROUGE_L, ROUGE_UNICODE, out, e);
}

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

#define ROUGE(f)                                                                                   \
    .forgotten = "low on forget", .direction = DIRECTION_LOW, .aspect = ASPECT_TEXT,               \
    .needs = NEED_ANSWERS,                                                                         \
    .columns =                                                                                     \
        COLUMN_BIT(COLUMN_ROUGE_1) | COLUMN_BIT(COLUMN_ROUGE_F1) | COLUMN_BIT(COLUMN_ROUGE_L),     \
    .texts = TEXT_BIT(TEXT_INPUT) | TEXT_BIT(TEXT_TRUTH) | TEXT_BIT(TEXT_ANSWER),                  \
    .cell = set_texts, .value = f

const struct metric_kind metrics_generated[] = {
    {.name = "rouge",
     .help = "ROUGE-L recall of the generated answer (greedy, stemmed): longest common subsequence",
     .verified = "rouge_score, logs of TOFU",
     .flags = METRIC_LATIN,
     ROUGE(rouge_l)},
    {.name = "rouge_1",
     .help = "ROUGE-1 recall of the generated answer (greedy, stemmed): common words",
     .verified = "rouge_score, logs of TOFU",
     .flags = METRIC_LATIN,
     ROUGE(rouge_1)},
    {.name = "rouge_f1",
     .help = "ROUGE-L F1 of the generated answer: knowledge memorisation and, for continued texts, "
             "verbatim memorisation (arXiv 2407.06460)",
     .verified = "rouge_score, OpenUnlearning's logs",
     .flags = METRIC_LATIN,
     ROUGE(rouge_f1)},
    {.name = "rouge_unicode",
     .help = "ROUGE-L recall over words of all scripts, not stemmed: runs of letters and digits, "
             "single letters where a script has no spaces (Chinese, Japanese, Thai)",
     .verified = "plain Python",
     ROUGE(rouge_unicode)},
    {.name = "bleu",
     .help = "BLEU of the generated answer, tokenizer 13a",
     .forgotten = "low on forget",
     .direction = DIRECTION_LOW,
     .aspect = ASPECT_TEXT,
     .verified = "sacrebleu",
     .needs = NEED_ANSWERS,
     .score = bleu},
    {.name = "exact_match",
     .help = "the generated answer equals the reference answer",
     .forgotten = "0 on forget",
     .direction = DIRECTION_LOW,
     .aspect = ASPECT_TEXT,
     .verified = "its definition",
     .needs = NEED_ANSWERS,
     .flags = METRIC_RATE,
     .score = exact_match},
    {.name = "unique_words",
     .help = "share of distinct words in the generated answer",
     .forgotten = "fluent: as in the retrained model",
     .direction = DIRECTION_RETRAINED,
     .verified = "plain Python",
     .needs = NEED_ANSWERS,
     .flags = METRIC_LATIN,
     .score = unique_words},
    {.name = "repetition",
     .help = "share of repeated 4-grams in the generated answer (arXiv 1908.04319)",
     .forgotten = "fluent: as in the retrained model",
     .direction = DIRECTION_RETRAINED,
     .verified = "plain Python",
     .needs = NEED_ANSWERS,
     .flags = METRIC_LATIN,
     .score = repetition},
    {.name = "word_entropy",
     .help = "entropy of the bigrams of the generated answer, in bits (arXiv 1809.05972)",
     .forgotten = "fluent: as in the retrained model",
     .direction = DIRECTION_RETRAINED,
     .verified = "plain Python",
     .needs = NEED_ANSWERS,
     .flags = METRIC_LATIN,
     .score = word_entropy},
    {.name = "perplexity",
     .help = "perplexity of the generated answer under another model (`reference`)",
     .forgotten = "fluent: as in the retrained model",
     .direction = DIRECTION_RETRAINED,
     .verified = "its definition",
     .needs = NEED_ANSWERS | NEED_JUDGE,
     .score = perplexity},
    {0}};
