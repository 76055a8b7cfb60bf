#include "text/space.h"

#include <utf8proc.h>

static utf8proc_int32_t char_at(const char *s, size_t n, size_t *len)
{
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &c);
    *len = k > 0 ? (size_t)k : 1;
    return k > 0 ? c : -1;
}

/* The start of the character that ends before `at` > 0. */
static size_t char_before(const char *s, size_t at)
{
    while (--at > 0 && ((unsigned char)s[at] & 0xc0) == 0x80)
        ;
    return at;
}

static bool is_space(utf8proc_int32_t c)
{
    if ((c >= '\t' && c <= '\r') || c == 0x85)
        return true;
    utf8proc_category_t k = c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static bool is_word(utf8proc_int32_t c)
{
    switch (c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return false;
    }
}

size_t space_leading(const char *s, size_t n)
{
    size_t k = 0;
    for (size_t len; k < n && is_space(char_at(s + k, n - k, &len)); k += len)
        ;
    return k;
}

size_t space_trailing(const char *s, size_t n)
{
    size_t end = n, len;
    while (end > 0 && is_space(char_at(s + char_before(s, end), end - char_before(s, end), &len)))
        end = char_before(s, end);
    return n - end;
}

bool word_before(const char *s, size_t at)
{
    size_t len, from = at ? char_before(s, at) : 0;
    return at && is_word(char_at(s + from, at - from, &len));
}

bool word_at(const char *s, size_t n, size_t at)
{
    size_t len;
    return at < n && is_word(char_at(s + at, n - at, &len));
}
