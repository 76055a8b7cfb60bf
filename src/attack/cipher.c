#include "attack/cipher.h"

#include <ctype.h>
#include <string.h>

#include "base/utf8.h"

static int put(struct buf *out, const char *s, size_t n, struct err *e)
{
    return buf_add(out, s, n, e);
}

/* Bytes of the character at s, which may be ill-formed. */
static size_t char_at(const char *s)
{
    const size_t n = utf8_char(s, strlen(s));
    return n ? n : 1;
}

static int leet(const char *text, int n, struct buf *out, struct err *e)
{
    static const char from[] = "aeiostAEIOST", to[] = "431057431057";
    (void)n;
    for (; *text; text++) {
        const char *at = strchr(from, *text);
        if (put(out, at ? &to[at - from] : text, 1, e))
            return -1;
    }
    return 0;
}

static int caesar(const char *text, int n, struct buf *out, struct err *e)
{
    for (; *text; text++) {
        const int base = *text >= 'a' && *text <= 'z'   ? 'a'
                         : *text >= 'A' && *text <= 'Z' ? 'A'
                                                        : 0;
        const char c = base ? (char)(base + (*text - base + n) % 26) : *text;
        if (put(out, &c, 1, e))
            return -1;
    }
    return 0;
}

static int base64(const char *text, int n, struct buf *out, struct err *e)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *s = (const unsigned char *)text;
    size_t len = strlen(text);
    (void)n;
    for (; len; len -= len < 3 ? len : 3, s += 3) {
        const unsigned b = len > 1 ? s[1] : 0, c = len > 2 ? s[2] : 0;
        const char four[4] = {digits[s[0] >> 2], digits[(s[0] & 3) << 4 | b >> 4],
                              len > 1 ? digits[(b & 15) << 2 | c >> 6] : '=',
                              len > 2 ? digits[c & 63] : '='};
        if (put(out, four, 4, e))
            return -1;
    }
    return 0;
}

/* Appends the characters of word[0..n) from the last to the first. */
static int put_back(const char *word, size_t n, struct buf *out, struct err *e)
{
    while (n) {
        size_t start = n - 1;
        while (start && ((unsigned char)word[start] & 0xc0) == 0x80)
            start--;
        if (put(out, word + start, n - start, e))
            return -1;
        n = start;
    }
    return 0;
}

static int reversed(const char *text, int n, struct buf *out, struct err *e)
{
    (void)n;
    for (;;) {
        const size_t len = strcspn(text, " ");
        if (put_back(text, len, out, e))
            return -1;
        if (!text[len])
            return 0;
        if (put(out, " ", 1, e))
            return -1;
        text += len + 1;
    }
}

static int spaced(const char *text, int n, struct buf *out, struct err *e)
{
    (void)n;
    for (const char *at = text; *at;) {
        const size_t len = char_at(at);
        const bool word = *at != ' ' && at > text && at[-1] != ' ';
        if ((word && put(out, " ", 1, e)) ||
            (*at == ' ' ? put(out, "   ", 3, e) : put(out, at, len, e)))
            return -1;
        at += len;
    }
    return 0;
}

static int noise(const char *text, int n, struct buf *out, struct err *e)
{
    int chars = 0, marks = 0;
    while (*text) {
        const size_t len = char_at(text);
        if (put(out, text, len, e) || (++chars % n == 0 && put(out, &"~_."[marks++ % 3], 1, e)))
            return -1;
        text += len;
    }
    return 0;
}

static const struct cipher {
    const char *name, *rule;
    int (*apply)(const char *text, int n, struct buf *out, struct err *e);
    int n;
} ciphers[] = {
    {"leet", "digits stand for letters: 4 a, 3 e, 1 i, 0 o, 5 s, 7 t", leet, 0},
    {"caesar3", "every letter is moved by three in the alphabet", caesar, 3},
    {"base64", "it is base64", base64, 0},
    {"reversed", "the letters of every word are in reverse order", reversed, 0},
    {"spaced", "there are spaces between all letters", spaced, 0},
    {"noise_1", "marks stand between the letters", noise, 1},
    {"noise_3", "marks stand between the letters", noise, 3},
    {"noise_7", "marks stand between the letters", noise, 7},
};

static const struct cipher *find(const char *name)
{
    for (size_t i = 0; i < sizeof ciphers / sizeof *ciphers; i++)
        if (!strcmp(ciphers[i].name, name))
            return &ciphers[i];
    return NULL;
}

const char *cipher_rule(const char *name)
{
    const struct cipher *c = find(name);
    return c ? c->rule : NULL;
}

int cipher_apply(const char *name, const char *text, struct buf *out, struct err *e)
{
    const struct cipher *c = find(name);
    if (!c)
        return err_code(e, ERR_ARGUMENT,
                        "unknown cipher '%s'; there are: leet, caesar3, base64, reversed, spaced, "
                        "noise_1, noise_3, noise_7",
                        name);
    return c->apply(text, c->n, out, e);
}
