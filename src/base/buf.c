#include "base/buf.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

int buf_add(struct buf *b, const void *bytes, size_t n, struct err *e)
{
    size_t need;
    if (size_add(b->len, n, &need) || size_add(need, 1, &need))
        return err_no_memory(e, "text too long");
    if (mem_reserve(&b->data, &b->cap, need, 1, e))
        return -1;
    if (n)
        memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = 0;
    return 0;
}

int buf_str(struct buf *b, const char *s, struct err *e)
{
    return buf_add(b, s, strlen(s), e);
}

int buf_printf(struct buf *b, struct err *e, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    int rc = n < 0 ? err_set(e, "cannot format text")
                   : mem_reserve(&b->data, &b->cap, b->len + (size_t)n + 1, 1, e);
    if (!rc) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

int buf_columns(const char *s, size_t n)
{
    int columns = 0;
    for (size_t i = 0; i < n; i++)
        columns += ((unsigned char)s[i] & 0xC0) != 0x80;
    return columns;
}

/* Columns of the line that the buffer ends with. */
static int last_column(const struct buf *b)
{
    const char *line = b->len ? memrchr(b->data, '\n', b->len) : NULL;
    const size_t from = line ? (size_t)(line + 1 - b->data) : 0;
    return b->len ? buf_columns(b->data + from, b->len - from) : 0;
}

/* Bytes of the first word that fit in `most` columns: all, or up to the last bar or equals sign
 * that does. */
static size_t word_part(const char *text, int most)
{
    const size_t n = strcspn(text, " \n");
    size_t part = n;
    if (buf_columns(text, n) > most)
        for (size_t i = 0; i < n && (int)i < most; i++)
            part = text[i] == '|' || text[i] == '=' ? i + 1 : part;
    return part;
}

int buf_wrap(struct buf *b, const char *text, int indent, int width, struct err *e)
{
    int at = last_column(b), rc = 0;
    bool first = true, cut = false; /* of its line; in the middle of a word */
    while (!rc && *text) {
        const size_t n = word_part(text, width - indent - 2);
        const int word = buf_columns(text, n);
        if (cut || (!first && at + 1 + word > width)) {
            rc = buf_printf(b, e, "\n%*s", indent, "");
            at = indent;
        } else if (!first && n) {
            rc = buf_add(b, " ", 1, e);
            at++;
        }
        rc = rc || buf_add(b, text, n, e);
        at += word;
        text += n;
        cut = *text && !strchr(" \n", *text);
        first = *text == '\n';
        if (first) {
            rc = rc || buf_printf(b, e, "\n%*s", indent, "");
            at = indent;
        }
        text += *text != 0 && !cut;
    }
    return rc ? -1 : 0;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = 0;
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}
