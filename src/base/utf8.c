#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Lead bytes with their length and the range of the second byte, which alone rules out overlong
 * forms, surrogates and code points past U+10FFFF; the bytes after it are 80..BF. */
static const struct lead {
    uint8_t first, last, len, lo, hi;
} leads[] = {
    {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf}, {0xe1, 0xec, 3, 0x80, 0xbf},
    {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
    {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f},
};

/* How many bytes from s belong together: a whole character (*whole), or the longest start of one.
 */
static size_t utf8_part(const char *s, size_t n, bool *whole)
{
    uint8_t c = (uint8_t)s[0];
    *whole = c < 0x80;
    for (size_t k = 0; k < sizeof leads / sizeof *leads; k++) {
        const struct lead *l = &leads[k];
        if (c < l->first || c > l->last)
            continue;
        size_t i = 1;
        for (uint8_t lo = l->lo, hi = l->hi; i < l->len && i < n; i++, lo = 0x80, hi = 0xbf)
            if ((uint8_t)s[i] < lo || (uint8_t)s[i] > hi)
                break;
        *whole = i == l->len;
        return i;
    }
    return 1;
}

size_t utf8_char(const char *s, size_t n)
{
    bool whole;
    size_t len = utf8_part(s, n, &whole);
    return whole ? len : 0;
}

/* Offset of the first byte from `i` that starts no well-formed character; n if all is well. */
static size_t utf8_run(const char *s, size_t n, size_t i)
{
    while (i < n) {
        uint64_t eight;
        if (n - i >= sizeof eight) { /* most text is ASCII */
            memcpy(&eight, s + i, sizeof eight);
            if (!(eight & 0x8080808080808080u)) {
                i += sizeof eight;
                continue;
            }
        }
        size_t len = utf8_char(s + i, n - i);
        if (!len)
            break;
        i += len;
    }
    return i;
}

bool utf8_valid(const char *s, size_t n, size_t *bad)
{
    size_t i = utf8_run(s, n, 0);
    if (i < n && bad)
        *bad = i;
    return i == n;
}

int utf8_clean(struct buf *out, const char *s, size_t n, struct err *e)
{
    for (size_t i = 0;;) {
        size_t end = utf8_run(s, n, i);
        if (buf_add(out, s + i, end - i, e))
            return -1;
        if (end == n)
            return 0;
        bool whole;
        i = end + utf8_part(s + end, n - end, &whole);
        if (buf_str(out, "\xef\xbf\xbd", e))
            return -1;
    }
}
