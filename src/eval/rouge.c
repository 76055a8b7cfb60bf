#include "eval/texts.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Both texts as numbers: equal words have equal numbers, counted from 0. */
struct pair {
    int *ids; /* owned: truth, then guess */
    int n_truth, n_guess, n_words;
};

/* The letter or digit that the text at s becomes when lower-cased, or 0; *len its bytes. Beyond
 * ASCII only two code points become ASCII letters: U+0130 (i, then a combining dot) and U+212A (k).
 */
static char lower(const char *s, const char *end, size_t *len)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t left = (size_t)(end - s);
    *len = 1;
    if ((*u >= 'a' && *u <= 'z') || (*u >= '0' && *u <= '9'))
        return (char)*u;
    if (*u >= 'A' && *u <= 'Z')
        return (char)(*u + ('a' - 'A'));
    if (left >= 3 && !memcmp(s, "\xE2\x84\xAA", 3)) {
        *len = 3;
        return 'k';
    }
    /* The dot splits the word: leave the second byte to be read as a separator. */
    return left >= 2 && !memcmp(s, "\xC4\xB0", 2) ? 'i' : 0;
}

static void end_word(struct buf *b, size_t start, bool stem)
{
    if (stem && b->len - start > 3)
        b->len = start + porter_stem(b->data + start, b->len - start);
}

int rouge_tokens(const char *text, size_t n, enum rouge_words how, struct buf *out, struct err *e)
{
    const char *end = text + n;
    int count = 0;
    size_t start = out->len, len = 0;
    if (how == ROUGE_UNICODE)
        return words_unicode(text, n, out, e);
    for (;; text += len) {
        char c = text < end ? lower(text, end, &len) : 0;
        if (c) {
            if (buf_add(out, &c, 1, e))
                return -1;
            continue;
        }
        if (out->len > start) {
            end_word(out, start, how == ROUGE_STEMMED);
            if (buf_add(out, "", 1, e))
                return -1;
            start = out->len;
            count++;
        }
        if (text == end)
            return count;
    }
}

static int number_words(const struct buf *text, struct pair *p, struct err *e)
{
    int n = p->n_truth + p->n_guess;
    if (!(p->ids = mem_alloc((size_t)n, sizeof *p->ids, e)))
        return -1;
    p->n_words = words_number(text->data, n, p->ids, e);
    return p->n_words < 0 ? -1 : 0;
}

/* Common words, each min(count in truth, count in guess) times. */
static int overlap(const struct pair *p, int *common, struct err *e)
{
    int *left = mem_alloc((size_t)p->n_words, sizeof *left, e);
    if (!left)
        return -1;
    *common = 0;
    for (int i = 0; i < p->n_guess; i++)
        left[p->ids[p->n_truth + i]]++;
    for (int i = 0; i < p->n_truth; i++)
        *common += left[p->ids[i]]-- > 0;
    free(left);
    return 0;
}

/* Length of the longest common subsequence, one row of the table at a time:
 * row[j] = lcs(truth[0..i], guess[0..j)). */
static int lcs(const struct pair *p, int *length, struct err *e)
{
    const int *a = p->ids, *b = p->ids + p->n_truth;
    int *row = mem_alloc((size_t)p->n_guess + 1, sizeof *row, e);
    if (!row)
        return -1;
    for (int i = 0; i < p->n_truth; i++) {
        int corner = 0; /* the row above, one to the left */
        for (int j = 0; j < p->n_guess; j++) {
            int above = row[j + 1];
            row[j + 1] = a[i] == b[j] ? corner + 1 : above > row[j] ? above : row[j];
            corner = above;
        }
    }
    *length = row[p->n_guess];
    free(row);
    return 0;
}

static int score_pair(const struct pair *p, struct rouge *out, struct err *e)
{
    int common, length;
    *out = (struct rouge){0};
    if (!p->n_truth || !p->n_guess)
        return 0;
    if (overlap(p, &common, e) || lcs(p, &length, e))
        return -1;
    out->recall_1 = (double)common / p->n_truth;
    out->precision_l = (double)length / p->n_guess;
    out->recall_l = (double)length / p->n_truth;
    double sum = out->precision_l + out->recall_l;
    out->f1_l = sum > 0 ? 2 * out->precision_l * out->recall_l / sum : 0;
    return 0;
}

int rouge_score(const char *truth, size_t n_truth, const char *guess, size_t n_guess,
                enum rouge_words how, struct rouge *out, struct err *e)
{
    struct buf text = {0};
    struct pair p = {0};
    int rc = -1;
    if ((p.n_truth = rouge_tokens(truth, n_truth, how, &text, e)) >= 0 &&
        (p.n_guess = rouge_tokens(guess, n_guess, how, &text, e)) >= 0)
        rc = number_words(&text, &p, e);
    if (!rc)
        rc = score_pair(&p, out, e);
    free(p.ids);
    buf_fini(&text);
    return rc;
}
