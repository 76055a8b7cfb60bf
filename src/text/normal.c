#include "text/normal.h"

#include <limits.h>
#include <utf8proc.h>

#include "base/mem.h"

static int is_ascii(const char *s, size_t n)
{
    unsigned char any = 0;
    for (size_t i = 0; i < n; i++)
        any |= (unsigned char)s[i];
    return any < 0x80;
}

int normal_nfc(const char *s, size_t n, struct buf *out, struct err *e)
{
    if (is_ascii(s, n))
        return buf_add(out, s, n, e);
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    /* NFC first decomposes: no character becomes more than four (UAX #15), so this is room enough.
     */
    utf8proc_ssize_t cap = (utf8proc_ssize_t)(4 * n + 4);
    utf8proc_int32_t *points = mem_alloc((size_t)cap, sizeof *points, e);
    if (!points)
        return -1;
    utf8proc_ssize_t k =
        utf8proc_decompose((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, points, cap, how);
    if (k >= 0 && k < cap)
        k = utf8proc_reencode(points, k, how); /* in place: UTF-8 is no longer than UTF-32 */
    int rc = k < 0 || k >= cap * 4 ? err_set(e, "cannot normalise text: %s", utf8proc_errmsg(k))
                                   : buf_add(out, points, (size_t)k, e);
    free(points);
    return rc;
}
