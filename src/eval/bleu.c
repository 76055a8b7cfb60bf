#include "eval/texts.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/answers.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_point(char c)
{
    return c == '.' || c == ',';
}

/* ASCII punctuation that is always a separate token: all but ' , - and . */
static bool is_separate(char c)
{
    return c && strchr("{|}~[\\]^_`!\"#$%&()*+:;<=>?@/", c);
}

/* One rule of the tokenizer: splits a pair of characters and adds a space on one side. */
struct rule {
    bool (*first)(char), (*second)(char);
    bool negate_first, negate_second;
    bool before, after; /* a space before the first, after the second */
};

static const struct rule rules[] = {
    {is_digit, is_point, true, false, false, true}, /* a point not after a digit */
    {is_point, is_digit, false, true, true, false}, /* a point not before a digit */
    {is_digit, NULL, false, false, false, true}};   /* a dash after a digit */

static bool matches(const struct rule *r, const char *s)
{
    bool second = r->second ? r->second(s[1]) : s[1] == '-';
    return s[1] && r->first(*s) != r->negate_first && second != r->negate_second;
}

/* Matches do not overlap, as with Python's re.sub. */
static int apply(const struct rule *r, const char *s, struct buf *out, struct err *e)
{
    int rc = 0;
    while (*s && !rc) {
        bool hit = matches(r, s);
        if (hit)
            rc = buf_printf(out, e, "%s%c %c%s", r->before ? " " : "", s[0], s[1],
                            r->after ? " " : "");
        else
            rc = buf_add(out, s, 1, e);
        s += hit ? 2 : 1;
    }
    return rc;
}

/* Resolves entities, joins lines, separates punctuation by spaces. */
static int set_off(char *text, struct buf *out, struct err *e)
{
    static const char *const entities[][2] = {
        {"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}};
    text_remove(text, "<skipped>");
    text_remove(text, "-\n");
    for (char *s = text; *s; s++)
        *s = *s == '\n' ? ' ' : *s;
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        text_replace(text, entities[i][0], entities[i][1]);
    int rc = buf_str(out, " ", e);
    for (const char *s = text; *s && !rc; s++)
        rc = buf_printf(out, e, is_separate(*s) ? " %c " : "%c", *s);
    return rc ? rc : buf_str(out, " ", e);
}

/* Words of the text, separated by white space, each ended by a NUL. */
static int split(const char *s, struct buf *out, struct err *e)
{
    int n = 0;
    while (*s) {
        size_t len = 0, gap = text_space(s);
        if (gap) {
            s += gap;
            continue;
        }
        while (s[len] && !text_space(s + len))
            len++;
        if (buf_add(out, s, len, e) || buf_add(out, "", 1, e))
            return -1;
        s += len;
        n++;
    }
    return n;
}

int bleu_tokens(const char *text, struct buf *out, struct err *e)
{
    struct buf from = {0}, to = {0};
    char *copy = mem_strdup(text, e);
    int n = -1, rc = copy ? set_off(copy, &from, e) : -1;
    for (size_t i = 0; i < sizeof rules / sizeof *rules && !rc; i++) {
        buf_clear(&to);
        rc = apply(&rules[i], from.data, &to, e);
        struct buf swap = from;
        from = to;
        to = swap;
    }
    if (!rc)
        n = split(from.data, out, e);
    buf_fini(&from);
    buf_fini(&to);
    free(copy);
    return n;
}

int bleu_add(struct bleu *b, const char *truth, const char *guess, struct err *e)
{
    struct buf words = {0};
    int rc = -1, *ids = NULL;
    int n_truth = bleu_tokens(truth, &words, e);
    int n_guess = n_truth < 0 ? -1 : bleu_tokens(guess, &words, e);
    if (n_guess >= 0 && (ids = mem_alloc((size_t)n_truth + (size_t)n_guess, sizeof *ids, e)) &&
        words_number(words.data, n_truth + n_guess, ids, e) >= 0)
        rc = 0;
    for (int n = 1; n <= BLEU_ORDER && !rc; n++) {
        struct ngrams g;
        rc = ngrams_compare(ids, n_truth, n_guess, n, &g, e);
        b->match[n - 1] += rc ? 0 : g.common;
        b->total[n - 1] += rc ? 0 : g.b;
    }
    if (!rc) {
        b->truth += n_truth;
        b->guess += n_guess;
    }
    free(ids);
    buf_fini(&words);
    return rc;
}

/* Geometric mean of the precisions, times the brevity penalty. */
static double score(const struct bleu *b, bool all_orders)
{
    double sum = 0, halved = 1;
    int orders = 0;
    if (b->match[0] == 0) /* then no longer n-gram matches either */
        return 0;
    for (; orders < BLEU_ORDER && b->total[orders] > 0; orders++) {
        double match = b->match[orders];
        if (match == 0)
            match = 1 / (halved *= 2);
        sum += log(match / b->total[orders]);
    }
    if (all_orders && orders < BLEU_ORDER)
        return 0;
    double brevity = b->guess < b->truth ? exp(1 - b->truth / b->guess) : 1;
    return brevity * exp(sum / orders);
}

double bleu_corpus(const struct bleu *b)
{
    return score(b, true);
}

double bleu_sentence(const struct bleu *b)
{
    return score(b, false);
}
