#include "text/bytelevel.h"

/* The bytes without a printable character of their own: 00..20, 7f..a0, ad. */
enum {
    LOW = 0x21,
    HIGH_FROM = 0x7f,
    HIGH = 0xa1 - 0x7f,
    SOFT_HYPHEN = 0xad,
    N_MOVED = LOW + HIGH + 1
};

static unsigned symbol_of(uint8_t b)
{
    if (b < LOW)
        return 0x100u + b;
    if (b >= HIGH_FROM && b < HIGH_FROM + HIGH)
        return 0x100u + LOW + (b - HIGH_FROM);
    return b == SOFT_HYPHEN ? 0x100u + LOW + HIGH : b;
}

static int byte_of(unsigned symbol)
{
    if (symbol >= 0x100 + N_MOVED)
        return -1;
    if (symbol < 0x100)
        return symbol_of((uint8_t)symbol) == symbol ? (int)symbol : -1;
    unsigned k = symbol - 0x100;
    if (k < LOW)
        return (int)k;
    return k < LOW + HIGH ? (int)(HIGH_FROM + k - LOW) : SOFT_HYPHEN;
}

size_t bytelevel_symbol(uint8_t byte, char out[2])
{
    unsigned c = symbol_of(byte);
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

int bytelevel_byte(const char *s, size_t n, size_t *len)
{
    uint8_t a = n > 0 ? (uint8_t)s[0] : 0, b = n > 1 ? (uint8_t)s[1] : 0;
    *len = a < 0x80 ? 1 : 2;
    if (a < 0x80)
        return byte_of(a);
    if ((a & 0xe0) != 0xc0 || (b & 0xc0) != 0x80)
        return -1;
    return byte_of((a & 0x1fu) << 6 | (b & 0x3fu));
}
