#include "eval/texts.h"

#include <stdbool.h>
#include <string.h>

/* A rule replaces a suffix if the condition holds for the word and the length of what is left of
 * it. */
typedef bool condition(const char *w, size_t stem);

struct rule {
    const char *suffix, *to;
    condition *when;
};

static bool is_vowel_letter(char c)
{
    return c && strchr("aeiou", c);
}

/* y is a consonant at the start of the word, elsewhere the opposite of the letter before it. */
static bool is_consonant(const char *w, size_t i)
{
    bool flip = false;
    for (; w[i] == 'y' && i > 0; i--)
        flip = !flip;
    return !is_vowel_letter(w[i]) != flip;
}

/* The measure m: how often a vowel is followed by a consonant. */
static size_t measure(const char *w, size_t n)
{
    size_t m = 0;
    bool before = true;
    for (size_t i = 0; i < n; i++) {
        bool now = w[i] == 'y' ? i == 0 || !before : !is_vowel_letter(w[i]);
        m += now && !before;
        before = now;
    }
    return m;
}

static bool has_vowel(const char *w, size_t n)
{
    bool before = false;
    for (size_t i = 0; i < n; i++) {
        before = w[i] == 'y' ? i == 0 || !before : !is_vowel_letter(w[i]);
        if (!before)
            return true;
    }
    return false;
}

static bool ends_double_consonant(const char *w, size_t n)
{
    return n >= 2 && w[n - 1] == w[n - 2] && is_consonant(w, n - 1);
}

/* *o: consonant, vowel, consonant other than w, x, y; or a whole word of vowel and consonant. */
static bool ends_cvc(const char *w, size_t n)
{
    if (n == 2)
        return !is_consonant(w, 0) && is_consonant(w, 1);
    return n >= 3 && is_consonant(w, n - 3) && !is_consonant(w, n - 2) && is_consonant(w, n - 1) &&
           !strchr("wxy", w[n - 1]);
}

static bool always(const char *w, size_t stem)
{
    (void)w, (void)stem;
    return true;
}

static bool m_above_0(const char *w, size_t stem)
{
    return measure(w, stem) > 0;
}

static bool m_above_1(const char *w, size_t stem)
{
    return measure(w, stem) > 1;
}

static bool m_above_0_with_l(const char *w, size_t stem)
{
    return measure(w, stem + 1) > 0;
}

static bool m_above_1_after_st(const char *w, size_t stem)
{
    return measure(w, stem) > 1 && (w[stem - 1] == 's' || w[stem - 1] == 't');
}

static const struct rule step_1a[] = {
    {"sses", "ss", always}, {"ies", "i", always}, {"ss", "ss", always}, {"s", "", always}, {0}};

static const struct rule step_2[] = {{"ational", "ate", m_above_0},
                                     {"tional", "tion", m_above_0},
                                     {"enci", "ence", m_above_0},
                                     {"anci", "ance", m_above_0},
                                     {"izer", "ize", m_above_0},
                                     {"bli", "ble", m_above_0},
                                     {"alli", "al", m_above_0},
                                     {"entli", "ent", m_above_0},
                                     {"eli", "e", m_above_0},
                                     {"ousli", "ous", m_above_0},
                                     {"ization", "ize", m_above_0},
                                     {"ation", "ate", m_above_0},
                                     {"ator", "ate", m_above_0},
                                     {"alism", "al", m_above_0},
                                     {"iveness", "ive", m_above_0},
                                     {"fulness", "ful", m_above_0},
                                     {"ousness", "ous", m_above_0},
                                     {"aliti", "al", m_above_0},
                                     {"iviti", "ive", m_above_0},
                                     {"biliti", "ble", m_above_0},
                                     {"fulli", "ful", m_above_0},
                                     {"logi", "log", m_above_0_with_l},
                                     {0}};

static const struct rule step_3[] = {{"icate", "ic", m_above_0}, {"ative", "", m_above_0},
                                     {"alize", "al", m_above_0}, {"iciti", "ic", m_above_0},
                                     {"ical", "ic", m_above_0},  {"ful", "", m_above_0},
                                     {"ness", "", m_above_0},    {0}};

static const struct rule step_4[] = {{"al", "", m_above_1},    {"ance", "", m_above_1},
                                     {"ence", "", m_above_1},  {"er", "", m_above_1},
                                     {"ic", "", m_above_1},    {"able", "", m_above_1},
                                     {"ible", "", m_above_1},  {"ant", "", m_above_1},
                                     {"ement", "", m_above_1}, {"ment", "", m_above_1},
                                     {"ent", "", m_above_1},   {"ion", "", m_above_1_after_st},
                                     {"ou", "", m_above_1},    {"ism", "", m_above_1},
                                     {"ate", "", m_above_1},   {"iti", "", m_above_1},
                                     {"ous", "", m_above_1},   {"ive", "", m_above_1},
                                     {"ize", "", m_above_1},   {0}};

static const struct rule irregular[] = {{"sky", "sky", NULL},
                                        {"skies", "sky", NULL},
                                        {"dying", "die", NULL},
                                        {"lying", "lie", NULL},
                                        {"tying", "tie", NULL},
                                        {"news", "news", NULL},
                                        {"innings", "inning", NULL},
                                        {"inning", "inning", NULL},
                                        {"outings", "outing", NULL},
                                        {"outing", "outing", NULL},
                                        {"cannings", "canning", NULL},
                                        {"canning", "canning", NULL},
                                        {"howe", "howe", NULL},
                                        {"proceed", "proceed", NULL},
                                        {"exceed", "exceed", NULL},
                                        {"succeed", "succeed", NULL},
                                        {0}};

static bool ends_with(const char *w, size_t n, const char *suffix)
{
    size_t k = strlen(suffix);
    return n >= k && !memcmp(w + n - k, suffix, k);
}

static size_t put(char *w, size_t stem, const char *text)
{
    size_t k = strlen(text);
    memcpy(w + stem, text, k);
    return stem + k;
}

/* The first rule whose suffix matches ends the step, whether or not its condition holds. */
static size_t apply(const struct rule *r, char *w, size_t n)
{
    for (; r->suffix; r++)
        if (ends_with(w, n, r->suffix)) {
            size_t stem = n - strlen(r->suffix);
            return r->when(w, stem) ? put(w, stem, r->to) : n;
        }
    return n;
}

/* What is left after -ed or -ing gets its e back or loses a doubled letter. */
static size_t mend(char *w, size_t n)
{
    if (ends_with(w, n, "at") || ends_with(w, n, "bl") || ends_with(w, n, "iz"))
        return put(w, n, "e");
    if (ends_double_consonant(w, n))
        return strchr("lsz", w[n - 1]) ? n : n - 1;
    return measure(w, n) == 1 && ends_cvc(w, n) ? put(w, n, "e") : n;
}

static size_t step_1b(char *w, size_t n)
{
    if (ends_with(w, n, "ied"))
        return put(w, n - 3, n == 4 ? "ie" : "i");
    if (ends_with(w, n, "eed"))
        return measure(w, n - 3) > 0 ? n - 1 : n;
    if (ends_with(w, n, "ed") && has_vowel(w, n - 2))
        return mend(w, n - 2);
    if (ends_with(w, n, "ing") && has_vowel(w, n - 3))
        return mend(w, n - 3);
    return n;
}

static size_t step_5(char *w, size_t n)
{
    if (w[n - 1] == 'e') {
        size_t m = measure(w, n - 1);
        if (m > 1 || (m == 1 && !ends_cvc(w, n - 1)))
            n--;
    }
    return ends_with(w, n, "ll") && measure(w, n - 1) > 1 ? n - 1 : n;
}

size_t porter_stem(char *word, size_t n)
{
    for (const struct rule *r = irregular; r->suffix; r++)
        if (n == strlen(r->suffix) && ends_with(word, n, r->suffix))
            return put(word, 0, r->to);
    if (n <= 2)
        return n;
    n = n == 4 && ends_with(word, n, "ies") ? n - 1 : apply(step_1a, word, n);
    n = step_1b(word, n);
    if (n > 2 && word[n - 1] == 'y' && is_consonant(word, n - 2))
        word[n - 1] = 'i';
    /* NLTK: -alli loses its -li before the list is tried. */
    while (ends_with(word, n, "alli") && measure(word, n - 4) > 0)
        n -= 2;
    n = apply(step_2, word, n);
    n = apply(step_3, word, n);
    n = apply(step_4, word, n);
    return step_5(word, n);
}
