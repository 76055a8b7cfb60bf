#include "eval/answers.h"

#include <stddef.h>
#include <stdlib.h>
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

size_t stops_find(const char *text, size_t n, const char *const *stops)
{
    size_t first = n;
    for (; stops && *stops; stops++) {
        const char *hit = **stops ? memmem(text, n, *stops, strlen(*stops)) : NULL;
        if (hit && (size_t)(hit - text) < first)
            first = (size_t)(hit - text);
    }
    return first;
}

/* Bytes before the last token's text that a stop string may include, plus what tidying of spaces
 * removes or a text that starts within a word decodes differently. */
static size_t reach_of(const char *const *stops)
{
    size_t most = 0;
    for (; *stops; stops++)
        most = strlen(*stops) > most ? strlen(*stops) : most;
    return most + 16;
}

/* Whether the text of n tokens has a stop string, if that of n - 1 has none. Decodes only its tail,
 * which must not start within a character (that turns a run of byte tokens into U+FFFD), and the
 * whole text if the tail seems to have one. */
static bool has_stop(struct stops *s, const char *const *stops, const int *ids, int n)
{
    struct buf text = {0};
    bool hit = false;
    s->failed = s->decode(s->ctx, ids + n - 1, 1, &text, s->e) != 0;
    const size_t reach = reach_of(stops), enough = reach + text.len;
    for (int last = (int)(reach / 3), from = n; from > 0 && !s->failed; last = hit ? n : 2 * last) {
        from = last < n ? n - last : 0;
        buf_clear(&text);
        s->failed = s->decode(s->ctx, ids + from, n - from, &text, s->e) != 0;
        if (from && (text.len < enough || !memcmp(text.data, "\xEF\xBF\xBD", 3)))
            continue;
        hit = text.len && stops_find(text.data, text.len, stops) < text.len;
        if (!hit)
            break;
    }
    buf_fini(&text);
    return hit;
}

bool stops_reached(void *stops, int answer, const int *ids, int n)
{
    struct stops *s = stops;
    const struct answer_limit *limit = &s->limits[s->samples > 1 ? answer / s->samples : answer];
    if (s->failed || n >= limit->max_new_tokens)
        return true;
    return limit->stops && (has_stop(s, limit->stops, ids, n) || s->failed);
}

/* The character at *s, unescaped; *s moves to its end. */
static char unescape(const char **s)
{
    if (**s != '\\' || !(*s)[1])
        return **s;
    char c = *++*s;
    return c == 'n' ? '\n' : c == 't' ? '\t' : c;
}

int stop_list_parse(struct stop_list *list, const char *text, struct err *e)
{
    size_t n = strlen(text), count = 0;
    *list = (struct stop_list){.text = mem_alloc(n + 1, 1, e)};
    if (list->text)
        list->v = mem_alloc(n + 1, sizeof *list->v, e); /* each takes a character */
    if (!list->v) {
        stop_list_fini(list);
        return -1;
    }
    char *to = list->text, *from = to;
    for (const char *end = text + n; text <= end; text++) {
        if (text < end && *text != '|') {
            *to++ = unescape(&text);
            continue;
        }
        if (to > from)
            list->v[count++] = from;
        *to++ = 0;
        from = to;
    }
    if (count)
        return 0;
    stop_list_fini(list);
    return err_set(e, "no stop string is given: separate them by bars, as in 'END|\\n\\n'");
}

void stop_list_fini(struct stop_list *list)
{
    free(list->text);
    free(list->v);
    *list = (struct stop_list){0};
}
