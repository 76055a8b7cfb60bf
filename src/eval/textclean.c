#include "eval/textclean.h"

#include <stddef.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"

static const struct tidy {
    const char *from, *to; /* applied in this order */
} tidies[] = {{" .", "."},     {" ?", "?"},   {" !", "!"},   {" ,", ","},     {" ' ", "'"},
              {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

/* White space beyond ASCII. */
static const char *const wide_spaces[] = {
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
    "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
    "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
    "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80", NULL};

void text_replace(char *text, const char *from, const char *to)
{
    size_t n_from = strlen(from), n_to = strlen(to);
    char *out = text, *hit;
    if (!n_from)
        return;
    while ((hit = strstr(text, from))) {
        size_t before = (size_t)(hit - text);
        memmove(out, text, before);
        memcpy(out + before, to, n_to);
        out += before + n_to;
        text = hit + n_from;
    }
    memmove(out, text, strlen(text) + 1);
}

void text_tidy_spaces(char *text)
{
    for (size_t i = 0; i < sizeof tidies / sizeof *tidies; i++)
        text_replace(text, tidies[i].from, tidies[i].to);
}

void text_remove(char *text, const char *part)
{
    text_replace(text, part, "");
}

/* Bytes of the white space at the start of s, or with `end` before it; 0 if there is none. */
static size_t space_at(const char *s, size_t n, int at_end)
{
    char c = n ? s[at_end ? n - 1 : 0] : 'x';
    if (c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f))
        return 1;
    for (const char *const *w = wide_spaces; *w; w++) {
        size_t k = strlen(*w);
        if (n >= k && !memcmp(at_end ? s + n - k : s, *w, k))
            return k;
    }
    return 0;
}

size_t text_space(const char *s)
{
    return space_at(s, strnlen(s, 4), 0); /* no character is longer */
}

void text_strip(char *text)
{
    size_t n = strlen(text), k;
    const char *s = text;
    while ((k = space_at(s, n, 1)))
        n -= k;
    for (; (k = space_at(s, n, 0)); n -= k)
        s += k;
    memmove(text, s, n);
    text[n] = 0;
}

char *text_lower(const char *text, struct err *e)
{
    size_t left = strlen(text);
    utf8proc_uint8_t *out = mem_alloc(4 * left + 1, 1, e), *to = out;
    const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)text;
    while (out && left) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(s, (utf8proc_ssize_t)left, &c);
        if (n > 0)
            to += utf8proc_encode_char(utf8proc_tolower(c), to);
        else
            *to++ = *s; /* invalid UTF-8: unchanged */
        s += n > 0 ? n : 1;
        left -= n > 0 ? (size_t)n : 1;
    }
    return (char *)out;
}

void text_ground_truth(char *whole, const char *input)
{
    text_remove(whole, input);
    text_strip(whole);
}

void text_cut_generation(char *text, const char *const *stops)
{
    for (; stops && *stops; stops++) {
        char *hit = **stops ? strstr(text, *stops) : NULL;
        if (hit)
            *hit = 0;
    }
    text_strip(text);
}
