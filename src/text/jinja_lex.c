/* The tokens of a template. White space around tags goes as with trim_blocks (one newline after a
 * statement or comment) and lstrip_blocks (blanks in front of one that starts its line); a '-'
 * inside a tag takes all white space on its side, a '+' none.
 */
#include <errno.h>
#include <string.h>

#include "base/sizes.h"
#include "text/jinja_ast.h"

enum { MOST_TEXT = 4 << 20 };

struct lexer {
    struct jv_run *r;
    const char *s;
    size_t n, at;
    bool line_start; /* what was read last ended a line */
    struct word *v;
    size_t n_words, cap;
    char open[256]; /* brackets within a tag */
    int n_open;
};

static bool is(const struct lexer *x, size_t at, const char *text)
{
    size_t n = strlen(text);
    return x->n - at >= n && !memcmp(x->s + at, text, n);
}

/* Counts the lines of what is passed over. */
static void pass(struct lexer *x, size_t to)
{
    for (size_t i = x->at; i < to; i++)
        x->r->line += x->s[i] == '\n';
    if (to > x->at)
        x->line_start = x->s[to - 1] == '\n';
    x->at = to;
}

static size_t skip_space(const struct lexer *x, size_t at)
{
    for (size_t k; at < x->n && (k = jv_space(x->s + at, x->n - at)); at += k)
        ;
    return at;
}

static struct word *add(struct lexer *x, enum word_kind kind)
{
    if (x->n_words == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : SIZE(256, 2);
        struct word *v = jv_alloc(x->r, cap, sizeof *v);
        if (!v)
            return NULL;
        if (x->n_words)
            memcpy(v, x->v, x->n_words * sizeof *v);
        x->v = v;
        x->cap = cap;
    }
    struct word *w = &x->v[x->n_words++];
    *w = (struct word){.kind = kind, .line = x->r->line, .str = {.s = "", .chars = -1}};
    return w;
}

static int add_data(struct lexer *x, size_t from, size_t to)
{
    if (from == to)
        return 0;
    struct word *w = add(x, WORD_DATA);
    if (!w)
        return -1;
    w->str.s = x->s + from;
    w->str.n = to - from;
    return 0;
}

/* Text in front of a tag, whose sign is '-', '+' or another character. */
static int add_text(struct lexer *x, size_t to, char sign, bool statement)
{
    size_t end = to, line;
    if (sign == '-') {
        end = x->at;
        for (size_t at = x->at, k; at < to; at += k)
            if (!(k = jv_space(x->s + at, to - at)))
                end = at + (k = jv_char(x->s + at, to - at));
    } else if (sign != '+' && statement) {
        for (line = to; line > x->at && x->s[line - 1] != '\n'; line--)
            ;
        if ((line > x->at || x->line_start) && skip_space(x, line) >= to)
            end = line;
    }
    return add_data(x, x->at, end);
}

/* Where a tag ends, at its last sign: 0 if it does not end here. */
static size_t tag_end(const struct lexer *x, size_t at, const char *close, bool trim, bool plus)
{
    if (x->n - at > 1 && x->s[at] == '-' && is(x, at + 1, close))
        return skip_space(x, at + 3);
    if (plus && x->n - at > 1 && x->s[at] == '+' && is(x, at + 1, close))
        return at + 3;
    if (!is(x, at, close))
        return 0;
    return at + 2 + (trim && at + 2 < x->n && x->s[at + 2] == '\n');
}

static int skip_comment(struct lexer *x)
{
    for (size_t at = x->at, end; at < x->n; at++)
        if ((end = tag_end(x, at, "#}", true, true))) {
            pass(x, end);
            return 0;
        }
    return jv_fail(x->r, "this comment does not end");
}

/* "{% NAME %}" at `at`: the byte after NAME, or 0. *sign is that of its start. */
static size_t named_tag(const struct lexer *x, size_t at, const char *name, char *sign)
{
    if (!is(x, at, "{%"))
        return 0;
    at += 2;
    *sign = at < x->n && (x->s[at] == '-' || x->s[at] == '+') ? x->s[at++] : 0;
    at = skip_space(x, at);
    return is(x, at, name) ? skip_space(x, at + strlen(name)) : 0;
}

/* Everything up to {% endraw %}. */
static int add_raw(struct lexer *x)
{
    for (size_t at = x->at; at < x->n; at++) {
        char sign;
        size_t name = named_tag(x, at, "endraw", &sign);
        size_t end = name ? tag_end(x, name, "%}", true, true) : 0;
        if (!end)
            continue;
        if (add_text(x, at, sign, true))
            return -1;
        pass(x, end);
        return 0;
    }
    return jv_fail(x->r, "this raw block does not end");
}

static size_t put_utf8(char *out, unsigned long c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(lead[n] | c);
    return n;
}

/* The escape at s, after its backslash; *used bytes of it. Bytes written, or -1. */
static int unescape(struct jv_run *r, const char *s, size_t n, char *out, size_t *used)
{
    static const char from[] = "\n\\'\"abfnrtv", to[] = "\0\\'\"\a\b\f\n\r\t\v";
    const char *known = n ? memchr(from, s[0], sizeof from - 1) : NULL;
    char digits[9] = "";
    size_t want = 0, k = 0;
    *used = 1;
    if (known) {
        *out = to[known - from];
        return known != from;
    }
    if (n && (s[0] == 'x' || s[0] == 'u' || s[0] == 'U'))
        want = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : 8;
    if (!want && n && s[0] >= '0' && s[0] <= '7') {
        for (; k < 3 && k < n && s[k] >= '0' && s[k] <= '7'; k++)
            digits[k] = s[k];
        *used = k;
        return (int)put_utf8(out, strtoul(digits, NULL, 8));
    }
    if (!want) {
        if (n && s[0] == 'N')
            return jv_fail(r, "the escape '\\N' is not supported");
        *out = '\\';
        *used = 0;
        return 1;
    }
    for (; k < want && k + 1 < n && strchr("0123456789abcdefABCDEF", s[k + 1]) && s[k + 1]; k++)
        digits[k] = s[k + 1];
    unsigned long c = strtoul(digits, NULL, 16);
    if (k < want || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return jv_fail(r, "the escape '\\%c%s' is no character", s[0], digits);
    *used = 1 + want;
    return (int)put_utf8(out, c);
}

static int add_string(struct lexer *x)
{
    char quote = x->s[x->at];
    size_t from = x->at + 1, to = from, n = 0;
    while (to < x->n && x->s[to] != quote)
        to += x->s[to] == '\\' ? 2 : 1;
    if (to >= x->n)
        return jv_fail(x->r, "this string does not end");
    struct word *w = add(x, WORD_STRING);
    char *s = w ? jv_alloc(x->r, to - from + 5, 1) : NULL;
    if (!s)
        return -1;
    for (size_t i = from; i < to;) {
        size_t used;
        if (x->s[i] != '\\') {
            s[n++] = x->s[i++];
            continue;
        }
        int k = unescape(x->r, x->s + i + 1, to - i - 1, s + n, &used);
        if (k < 0)
            return -1;
        n += (size_t)k;
        i += 1 + used;
    }
    w->str.s = s;
    w->str.n = n;
    pass(x, to + 1);
    return 0;
}

static bool digit(const struct lexer *x, size_t at)
{
    return at < x->n && x->s[at] >= '0' && x->s[at] <= '9';
}

static size_t digits_end(const struct lexer *x, size_t at)
{
    while (digit(x, at) || (at < x->n && x->s[at] == '_' && digit(x, at + 1)))
        at++;
    return at;
}

static int add_number(struct lexer *x)
{
    size_t end = digits_end(x, x->at), e, n = 0;
    bool real = false, dotted = x->at && x->s[x->at - 1] == '.';
    char text[64];
    if (!dotted && end < x->n && x->s[end] == '.' && digit(x, end + 1)) {
        end = digits_end(x, end + 1);
        real = true;
    }
    if (!dotted && end < x->n && (x->s[end] == 'e' || x->s[end] == 'E')) {
        e = end + 1 + (end + 1 < x->n && (x->s[end + 1] == '+' || x->s[end + 1] == '-'));
        if (digit(x, e)) {
            end = digits_end(x, e);
            real = true;
        }
    }
    if (!real && end < x->n && strchr("xXoObB", x->s[end]) && x->s[end] && end == x->at + 1 &&
        x->s[x->at] == '0')
        return jv_fail(x->r, "numbers to another base are not supported");
    for (size_t i = x->at; i < end; i++)
        if (x->s[i] != '_' && n < sizeof text - 1)
            text[n++] = x->s[i];
    text[n] = 0;
    struct word *w = add(x, real ? WORD_REAL : WORD_INT);
    if (!w)
        return -1;
    errno = 0;
    if (real)
        w->d = strtod(text, NULL);
    else
        w->i = strtoll(text, NULL, 10);
    if (n == sizeof text - 1 || (!real && errno))
        return jv_fail(x->r, "the number %s is too large", text);
    if (!real && text[0] == '0' && w->i)
        return jv_fail(x->r, "a number cannot start with 0");
    pass(x, end);
    return 0;
}

static bool in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c & 0x80;
}

static int add_name(struct lexer *x)
{
    size_t to = x->at;
    while (to < x->n && in_name(x->s[to]))
        to++;
    struct word *w = add(x, WORD_NAME);
    char *s = w ? jv_alloc(x->r, to - x->at + 1, 1) : NULL;
    if (!s)
        return -1;
    memcpy(s, x->s + x->at, to - x->at);
    w->str.s = s;
    w->str.n = to - x->at;
    pass(x, to);
    return 0;
}

static int add_operator(struct lexer *x)
{
    static const char *const ops[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    size_t i = 0, n = sizeof ops / sizeof *ops;
    while (i < n && !is(x, x->at, ops[i]))
        i++;
    if (i == n)
        return jv_fail(x->r, "unexpected character '%.*s'",
                       (int)jv_char(x->s + x->at, x->n - x->at), x->s + x->at);
    char c = ops[i][0];
    if (strchr("([{", c)) {
        if (x->n_open == (int)sizeof x->open)
            return jv_fail(x->r, "brackets are nested more than %zu deep", sizeof x->open);
        x->open[x->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (strchr(")]}", c) && (!x->n_open || x->open[--x->n_open] != c)) {
        return jv_fail(x->r, "unexpected '%c'", c);
    }
    struct word *w = add(x, WORD_OP);
    if (!w)
        return -1;
    snprintf(w->op, sizeof w->op, "%s", ops[i]);
    pass(x, x->at + strlen(ops[i]));
    return 0;
}

/* The tokens of a tag, up to its end. */
static int add_tag(struct lexer *x, bool print)
{
    x->n_open = 0;
    while (x->at < x->n) {
        char c = x->s[x->at];
        size_t end = x->n_open ? 0 : tag_end(x, x->at, print ? "}}" : "%}", !print, !print);
        if (end) {
            bool fine = add(x, print ? WORD_PRINTED : WORD_CLOSE) != NULL;
            pass(x, end);
            return fine ? 0 : -1;
        }
        size_t space = jv_space(x->s + x->at, x->n - x->at);
        if (space)
            pass(x, x->at + space);
        else if (c == '"' || c == '\'' ? add_string(x)
                 : digit(x, x->at)     ? add_number(x)
                 : in_name(c)          ? add_name(x)
                                       : add_operator(x))
            return -1;
    }
    return jv_fail(x->r, "this tag does not end");
}

/* One tag and the text in front of it; the rest of the template where there is none. */
static int add_next(struct lexer *x)
{
    size_t at = x->at, raw;
    char sign = 0;
    while (at < x->n && !is(x, at, "{{") && !is(x, at, "{%") && !is(x, at, "{#"))
        at++;
    if (at == x->n) {
        int rc = add_data(x, x->at, x->n);
        pass(x, x->n);
        return rc;
    }
    char kind = x->s[at + 1];
    raw = kind == '%' ? named_tag(x, at, "raw", &sign) : 0;
    if (raw && !(raw = tag_end(x, raw, "%}", false, false)))
        sign = 0;
    if (!raw)
        sign = at + 2 < x->n && (x->s[at + 2] == '-' || x->s[at + 2] == '+') ? x->s[at + 2] : 0;
    if (add_text(x, at, sign, kind != '{'))
        return -1;
    pass(x, raw ? raw : at + 2 + (sign != 0));
    if (raw)
        return add_raw(x);
    if (kind == '#')
        return skip_comment(x);
    if (!add(x, kind == '{' ? WORD_PRINT : WORD_OPEN))
        return -1;
    return add_tag(x, kind == '{');
}

/* A copy with \n for every kind of line end and without the last one. */
static char *take_lines(struct jv_run *r, const char *text, size_t len, size_t *n)
{
    char *s = jv_alloc(r, len + 1, 1);
    size_t k = 0;
    for (size_t i = 0; s && i < len; i++) {
        if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n')
            continue;
        s[k++] = text[i] == '\r' ? '\n' : text[i];
    }
    *n = k && s[k - 1] == '\n' ? k - 1 : k;
    return s;
}

int jinja_lex(struct jv_run *r, const char *text, size_t len, struct word **out, size_t *n)
{
    struct lexer x = {.r = r, .line_start = true};
    r->line = 1;
    if (len > MOST_TEXT)
        return jv_fail(r, "it is longer than %d MB", MOST_TEXT >> 20);
    if (!(x.s = take_lines(r, text, len, &x.n)))
        return -1;
    while (x.at < x.n)
        if (add_next(&x))
            return -1;
    if (!add(&x, WORD_END))
        return -1;
    *out = x.v;
    *n = x.n_words;
    return 0;
}
