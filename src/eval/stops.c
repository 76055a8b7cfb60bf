#include "eval/stops.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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
