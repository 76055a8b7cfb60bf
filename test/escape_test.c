/* Control characters: what is escaped, whole and in pieces of one byte. */
#include "base/escape.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

static char *written(const char *text, size_t n, size_t piece)
{
    char *out;
    size_t size;
    int state = 0;
    FILE *f = open_memstream(&out, &size);
    for (size_t at = 0; at < n; at += piece)
        escape_write(f, text + at, n - at < piece ? n - at : piece, &state);
    fclose(f);
    return out;
}

static char *line(const char *text)
{
    char *out;
    size_t size;
    FILE *f = open_memstream(&out, &size);
    escape_line(f, text);
    fclose(f);
    return out;
}

static void check(const char *text, const char *want, const char *what)
{
    for (size_t piece = 1; piece < 4; piece++) {
        char *got = written(text, strlen(text), piece);
        ok(!strcmp(got, want), "%s, %zu at a time", what, piece);
        free(got);
    }
}

int main(void)
{
    check("plain, \xc3\xa9 \xe2\x82\xac\n\ttab", "plain, \xc3\xa9 \xe2\x82\xac\n\ttab", "text");
    check("\x1b]0;owned\x07q\x7f", "\\x1b]0;owned\\x07q\\x7f", "C0 and DEL");
    check("a\xc2\x9b"
          "2J\xc2\xa0\xc2\xc2\x85.",
          "a\\x9b2J\xc2\xa0\xc2\\x85.", "C1 in UTF-8");
    char *got = line("one\ntwo\x1b\n");
    ok(!strcmp(got, "one\\ntwo\\x1b\\n"), "a line stays one: '%s'", got);
    free(got);
    got = written("a\0b", 3, 3);
    ok(!strcmp(got, "a\\x00b"), "U+0000: '%s'", got);
    free(got);

    char path[512], back[64] = "";
    snprintf(path, sizeof path, "%s/out", test_dir());
    FILE *to = fopen(path, "w+");
    FILE *f = escape_stream(dup(fileno(to)));
    fputs("red \x1b[31m\n", f);
    fseek(to, 0, SEEK_SET);
    ok(fgets(back, sizeof back, to) && !strcmp(back, "red \\x1b[31m\n"),
       "a stream, whose lines come at once: '%s'", back);
    fclose(f);
    fclose(to);
    return done();
}
