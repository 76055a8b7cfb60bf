#include "base/buf.h"

#include <stdarg.h>
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
