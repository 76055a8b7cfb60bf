#include "base/escape.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"

enum { C1_LEAD = 0xC2 }; /* U+0080 to U+00BF are C2 80 to C2 BF */

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
}

static int write_byte(FILE *to, unsigned char c, int *state)
{
    if (*state) {
        *state = 0;
        if (c >= 0x80 && c < 0xA0)
            return fprintf(to, "\\x%02x", c) < 0 ? EOF : 0;
        if (putc(C1_LEAD, to) == EOF)
            return EOF;
    }
    if (c == C1_LEAD) {
        *state = c;
        return 0;
    }
    if (is_control(c))
        return fprintf(to, "\\x%02x", c) < 0 ? EOF : 0;
    return putc(c, to) == EOF ? EOF : 0;
}

int escape_write(FILE *to, const char *text, size_t n, int *state)
{
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = write_byte(to, (unsigned char)text[i], state);
    return rc;
}

int escape_line(FILE *to, const char *text)
{
    int state = 0, rc = 0;
    for (const char *end; *text && !rc; text = end) {
        size_t n = strcspn(text, "\n");
        rc = escape_write(to, text, n, &state);
        end = text + n;
        if (*end && !rc) {
            rc = fputs("\\n", to) == EOF ? EOF : 0;
            end++;
        }
    }
    if (state && !rc)
        rc = putc(state, to) == EOF ? EOF : 0;
    return rc;
}

struct escaped {
    FILE *to;
    int state;
};

static ssize_t pass_on(void *ctx, const char *text, size_t n)
{
    struct escaped *s = ctx;
    return escape_write(s->to, text, n, &s->state) || fflush(s->to) ? 0 : (ssize_t)n;
}

static int close_both(void *ctx)
{
    struct escaped *s = ctx;
    int rc = fclose(s->to);
    free(s);
    return rc;
}

FILE *escape_stream(int fd)
{
    struct err ignored;
    struct escaped *s = mem_alloc(1, sizeof *s, &ignored);
    if (!s)
        return NULL;
    FILE *f =
        (s->to = fdopen(fd, "w"))
            ? fopencookie(s, "w", (cookie_io_functions_t){.write = pass_on, .close = close_both})
            : NULL;
    if (f)
        setvbuf(f, NULL, _IOLBF, BUFSIZ);
    else
        free(s);
    return f;
}
