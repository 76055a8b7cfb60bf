#include "text/scan.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Kinds of ASCII characters in the patterns' terms. WIDE: part of a longer character. */
enum { LETTER = 1, DIGIT = 2, SPACE = 4, BREAK = 8, OTHER = 16, WIDE = 32 };

#define L4 LETTER, LETTER, LETTER, LETTER
#define O4 OTHER, OTHER, OTHER, OTHER
#define D4 DIGIT, DIGIT, DIGIT, DIGIT

static const uint8_t kinds[8][16] = {
    {O4, O4, OTHER, SPACE, SPACE | BREAK, SPACE, SPACE, SPACE | BREAK, OTHER, OTHER}, /* 00 .. 0f */
    {O4, O4, O4, O4},
    {SPACE, OTHER, OTHER, OTHER, O4, O4, O4},
    {D4, D4, DIGIT, DIGIT, OTHER, OTHER, O4},
    {OTHER, LETTER, LETTER, LETTER, L4, L4, L4},
    {L4, L4, LETTER, LETTER, LETTER, OTHER, O4},
    {OTHER, LETTER, LETTER, LETTER, L4, L4, L4},
    {L4, L4, LETTER, LETTER, LETTER, OTHER, O4}, /* 70 .. 7f */
};

/* 0 at the end of the text. */
static unsigned kind_at(const char *s, size_t n, size_t i)
{
    if (i >= n)
        return 0;
    unsigned char c = (unsigned char)s[i];
    return c < 128 ? kinds[c >> 4][c & 15] : WIDE;
}

/* The end of the run of these kinds from i on. */
static size_t run(const char *s, size_t n, size_t i, unsigned which)
{
    while (kind_at(s, n, i) & which)
        i++;
    return i;
}

/* A run that the next character, beyond ASCII, might belong to: 0. */
static size_t whole_run(const char *s, size_t n, size_t i, unsigned which)
{
    size_t end = run(s, n, i, which);
    return kind_at(s, n, end) == WIDE ? 0 : end;
}

/* 's, 't, 're, 've, 'm, 'll, 'd; 0: none of them. `bit` 0x20 makes capitals small. A long s is the
 * same letter to a pattern without case, so nothing is decided before a wide character. */
static size_t contraction(const char *s, size_t n, unsigned char bit)
{
    if (n < 2)
        return 0;
    char a = (char)(s[1] | bit), b = n > 2 ? (char)(s[2] | bit) : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ : all but the last space if a word follows. */
static size_t spaces(const char *s, size_t n)
{
    size_t end = whole_run(s, n, 0, SPACE);
    return end > 1 && end < n ? end - 1 : end;
}

static size_t scan_gpt2(const char *s, size_t n)
{
    unsigned k = kind_at(s, n, 0);
    size_t i = 0, end;
    if (*s == '\'' && (end = contraction(s, n, 0)))
        return end;
    if (*s == ' ') {
        k = kind_at(s, n, 1);
        i = 1;
    }
    if (k == WIDE)
        return 0;
    return k & (LETTER | DIGIT | OTHER) ? whole_run(s, n, i, k) : spaces(s, n);
}

/* \s*[\r\n]+ where the spaces hold a break, else as above. */
static size_t breaks(const char *s, size_t n)
{
    size_t end = whole_run(s, n, 0, SPACE);
    for (size_t i = end; i > 0; i--)
        if (kind_at(s, n, i - 1) & BREAK)
            return i;
    return spaces(s, n);
}

static size_t words(const char *s, size_t n, size_t digits)
{
    unsigned k = kind_at(s, n, 0), next = kind_at(s, n, 1);
    size_t i, end;
    if (k == WIDE || next == WIDE)
        return 0;
    if (*s == '\'') {
        if (kind_at(s, n, 2) == WIDE)
            return 0;
        if ((end = contraction(s, n, 0x20)))
            return end;
    }
    if (k == LETTER)
        return whole_run(s, n, 1, LETTER);
    if (!(k & (DIGIT | BREAK)) && next == LETTER)
        return whole_run(s, n, 2, LETTER);
    if (k == DIGIT) {
        for (i = 1; i < digits && kind_at(s, n, i) == DIGIT;)
            i++;
        return i < digits && kind_at(s, n, i) == WIDE ? 0 : i;
    }
    if (k == OTHER || (*s == ' ' && next == OTHER)) {
        end = whole_run(s, n, 1, OTHER);
        return end ? run(s, n, end, BREAK) : 0;
    }
    return breaks(s, n);
}

static size_t scan_words3(const char *s, size_t n)
{
    return words(s, n, 3);
}

static size_t scan_words1(const char *s, size_t n)
{
    return words(s, n, 1);
}

scan_word *scan_find(const char *pattern)
{
    static const struct {
        const char *pattern;
        scan_word *scan;
    } table[] = {
        {PATTERN_GPT2, scan_gpt2},
        {PATTERN_WORDS("\\p{N}{1,3}"), scan_words3},
        {PATTERN_WORDS("\\p{N}"), scan_words1},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(pattern, table[i].pattern))
            return table[i].scan;
    return NULL;
}
