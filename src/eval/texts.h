/* Words of texts, and scores of generated answers that are computed from their words. */
#ifndef EVAL_TEXTS_H
#define EVAL_TEXTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct backend; /* eval/backend.h */
struct encoder; /* data/dataset.h */

/* Words of texts in any script. The text is normalised (NFKC after full case folding);
 * a word is then a run of letters, marks and digits (Unicode categories L, M, N), but every letter
 * of a script that is written without spaces between words (Chinese, Japanese, Thai, Lao, Khmer,
 * Burmese ...) is a word of its own, with the marks that follow it. Nothing is stemmed.
 */

/* Appends the words of valid UTF-8 text[0..n), each followed by a NUL; their number, or -1. */
int words_unicode(const char *text, size_t n, struct buf *out, struct err *e);
/* Whether most letters and digits of the text are not a-z, A-Z or 0-9, so that metrics with only
 * those (ROUGE, repetition) ignore most of it. */
bool words_are_unseen(const char *text, size_t n);

/* Counts n-grams of two lists of integers: words (words_number) or token ids. Used by BLEU,
 * extraction likelihood and repetition.
 */

/* ids[i] for the n consecutive NUL-terminated words at `text`: equal words get equal numbers, from
 * 0. Returns the number of distinct words, or -1. */
int words_number(const char *text, int n, int *ids, struct err *e);

struct ngrams {
    int a, b;         /* n-grams of each list, repetitions counted */
    int common;       /* in both, each min(count in a, count in b) times */
    int b_in_a;       /* n-grams of b that occur in a, repetitions counted */
    int distinct_a;   /* distinct ones in a */
    double entropy_a; /* of their distribution, in bits; 0 if there are none */
};

/* ids: list a [n_a], then list b [n_b]. Fails only for lack of memory. */
int ngrams_compare(const int *ids, int n_a, int n_b, int n, struct ngrams *out, struct err *e);

/* Porter's stemmer in the extended form of NLTK, as used by rouge_score.
 * Words are lower-case ASCII letters and digits; a digit counts as a consonant.
 * Rules: spec metrics.md section 2.1; M. F. Porter, An algorithm for suffix stripping, Program
 * 14(3), 1980.
 */

/* Stems the n bytes of `word` in place and returns the new length, which is never longer. No NUL is
 * needed nor written. */
size_t porter_stem(char *word, size_t n);

/* ROUGE as the field's unlearning benchmarks compute it: unigram recall, and the longest common
 * subsequence of the two token lists (ROUGE-L). All scores lie in [0,1]; they are 0 if either text
 * has no tokens. Definitions: C.-Y. Lin, ROUGE, ACL 2004 workshop; spec metrics.md section 2.
 *
 * Texts are UTF-8 of n bytes and may hold U+0000; memory is linear in their length. Tokens:
 *   ROUGE_LATIN    lower-case as in Python, split at everything but a-z and 0-9
 *   ROUGE_STEMMED  the same, words of more than three letters stemmed (porter_stem)
 *   ROUGE_UNICODE  words of all scripts (words_unicode)
 */

struct rouge {
    double recall_1;                    /* ROUGE-1 */
    double precision_l, recall_l, f1_l; /* ROUGE-L */
};

enum rouge_words { ROUGE_LATIN, ROUGE_STEMMED, ROUGE_UNICODE };

int rouge_score(const char *truth, size_t n_truth, const char *guess, size_t n_guess,
                enum rouge_words how, struct rouge *out, struct err *e);

/* Appends the tokens, each followed by a NUL; their number, or -1. */
int rouge_tokens(const char *text, size_t n, enum rouge_words how, struct buf *out, struct err *e);

/* BLEU (Papineni et al., ACL 2002) as sacrebleu 2 computes it (arXiv 1804.08771): tokenizer 13a,
 * case kept, 1- to 4-grams, a precision of 0 smoothed to 1/2, 1/4, ... of one match. Scores lie in
 * [0,1]; sacrebleu prints 100 times as much.
 */

enum { BLEU_ORDER = 4 };

/* Counts of a sentence, or summed over a corpus. Zero-initialise. */
struct bleu {
    double match[BLEU_ORDER], total[BLEU_ORDER]; /* n-grams of the guess */
    double guess, truth;                         /* words */
};

/* Adds a pair of texts. Fails only for lack of memory. */
int bleu_add(struct bleu *b, const char *truth, const char *guess, struct err *e);
/* The score of a corpus: 0 where the guesses are too short to have 4-grams. */
double bleu_corpus(const struct bleu *b);
/* The score of one sentence: only orders that it is long enough for. */
double bleu_sentence(const struct bleu *b);

/* Appends the words, each followed by a NUL; their number, or -1. */
int bleu_tokens(const char *text, struct buf *out, struct err *e);

/* Fluency of generated text: repetition, and perplexity under another model. Words are those of
 * ROUGE, not stemmed.
 */

struct fluency {
    int words;
    double unique;     /* distinct words / words */
    double repetition; /* 1 - distinct n-grams / n-grams (rep-n, arXiv 1908.04319) */
    double entropy;    /* of the n-grams, in bits (arXiv 1809.05972) */
};

/* NaN where the text has no words, or no n-grams. Fails only for lack of memory. */
int fluency_of(const char *text, int n, struct fluency *out, struct err *e);

/* What a generated answer looks like, in any script: the share of repeated 4-grams of its words, or
 * of its bytes where it has fewer than 5 words; and whether it is text: not empty, valid UTF-8, at
 * least half of its characters without spaces are letters or digits. Fails only for lack of memory.
 */
struct text_form {
    double repetition; /* 0 where there are no 4-grams */
    bool is_text;
};
int text_form_of(const char *text, size_t n, struct text_form *out, struct err *e);

/* out[i] = exp of the mean loss per token of texts[i] as plain text under the model `judge`; the
 * first token is not scored. NaN for texts of fewer than two tokens. */
int perplexity_of(const char *const *texts, int n, const struct backend *judge,
                  const struct encoder *encoder, double *out, struct err *e);

#endif
