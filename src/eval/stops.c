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

bool stops_reached(void *stops, int prompt, const int *ids, int n)
{
    struct stops *s = stops;
    const struct answer_limit *limit = &s->limits[prompt];
    struct buf text = {0};
    if (s->failed || n >= limit->max_new_tokens)
        return true;
    if (!limit->stops)
        return false;
    s->failed = s->decode(s->ctx, ids, n, &text, s->e) != 0;
    bool end = s->failed || (text.len && stops_find(text.data, text.len, limit->stops) < text.len);
    buf_fini(&text);
    return end;
}

/* The character at *s, with a backslash the one that is meant; *s moves to its end. */
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
    return err_set(e, "no stop string is given: they stand between bars, as in 'END|\\n\\n'");
}

void stop_list_fini(struct stop_list *list)
{
    free(list->text);
    free(list->v);
    *list = (struct stop_list){0};
}
