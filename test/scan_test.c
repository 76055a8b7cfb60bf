/* The hand-written scanners against the patterns they stand for, on random text: wherever a scanner
 * gives a word, the pattern gives the same.
 */
#include <string.h>

#include "base/regex.h"
#include "random_text.h"
#include "tap.h"
#include "text/pretok.h"
#include "text/scan.h"

static const struct {
    const char *name, *pattern;
} rows[] = {
    {"gpt-2", PATTERN_GPT2},
    {"llama-3", PATTERN_WORDS("\\p{N}{1,3}")},
    {"qwen-2", PATTERN_WORDS("\\p{N}")},
};

/* Mostly what the patterns tell apart: letters, digits, kinds of space, apostrophes and signs. */
static size_t make_text(uint64_t *state, char *text, size_t chars)
{
    static const char often[] = "aaabsStTmMdDrRelLvVxyz 1 2 39 '  '\n\r\t \v\f.,!-\x1c_\x7f";
    size_t n = 0;
    for (size_t i = random_next(state) % chars; i-- > 0;) {
        if (random_next(state) % 24 == 0)
            n += random_char(state, text + n);
        else if (random_next(state) % 60 == 0)
            n += (size_t)(stpcpy(text + n, "\xc5\xbf") - (text + n)); /* a long s */
        else
            text[n++] = often[random_next(state) % (sizeof often - 1)];
    }
    return n;
}

static void test_row(size_t row)
{
    struct err e = {.msg = ""};
    struct pretok_work *w = pretok_work_new(&e);
    pcre2_code *regex = pretok_compile(rows[row].pattern, false, &e);
    scan_word *scan = scan_find(rows[row].pattern);
    uint64_t state = 3 + row;
    long known = 0, asked = 0, wrong = 0;
    for (int k = 0; scan && w && regex && k < 20000; k++) {
        char text[200];
        size_t n = make_text(&state, text, 50), from = 0, to = 0;
        for (size_t at = 0; at < n; at = to) {
            size_t len = scan(text + at, n - at);
            if (pretok_match(regex, w, text, n, at, &from, &to, &e))
                break;
            if (len && (from != at || to != at + len) && !wrong++)
                note("'%.*s' at %zu: %zu bytes, the pattern %zu", (int)n, text, at, len, to - from);
            known += len > 0;
            asked += len == 0;
        }
    }
    ok(scan && known > 4 * asked && asked && !wrong,
       "%s: %ld words as the pattern has them, %ld left to it, %ld wrong %s", rows[row].name, known,
       asked, wrong, e.msg);
    pcre2_code_free(regex);
    pretok_work_free(w);
}

int main(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        test_row(i);
    ok(!scan_find("\\p{L}+"), "other patterns have no scanner");
    return done();
}
