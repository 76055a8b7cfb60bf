#include "base/err.h"

#include <errno.h>
#include <string.h>

static int fill(struct err *e, enum err_code code, const char *subject, const char *fmt, va_list ap)
{
    e->code = code;
    e->subject = subject;
    e->range[0] = 0;
    return vsnprintf(e->msg, sizeof e->msg, fmt, ap);
}

int err_set(struct err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(e, ERR_FAILED, NULL, fmt, ap);
    va_end(ap);
    return -1;
}

int err_code(struct err *e, enum err_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(e, code, NULL, fmt, ap);
    va_end(ap);
    return -1;
}

int err_about(struct err *e, const char *subject, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(e, ERR_ARGUMENT, subject, fmt, ap);
    va_end(ap);
    return -1;
}

int err_vset(struct err *e, enum err_code code, const char *fmt, va_list ap)
{
    fill(e, code, NULL, fmt, ap);
    return -1;
}

int err_subject(struct err *e, const char *subject)
{
    e->subject = subject;
    return -1;
}

int err_range(struct err *e, long first, long last)
{
    snprintf(e->range, sizeof e->range, "%ld to %ld", first, last);
    return -1;
}

int err_no_memory(struct err *e, const char *what)
{
    return what ? err_code(e, ERR_NO_MEMORY, "out of memory (%s)", what)
                : err_code(e, ERR_NO_MEMORY, "out of memory");
}

int err_class(struct err *e, enum err_code code)
{
    if (e->code == ERR_FAILED)
        e->code = code;
    return -1;
}

static enum err_code code_of(int number)
{
    static const struct {
        int number;
        enum err_code code;
    } codes[] = {{ENOMEM, ERR_NO_MEMORY}, {ENOENT, ERR_NO_FILE},  {ENOTDIR, ERR_NO_FILE},
                 {EACCES, ERR_ACCESS},    {EPERM, ERR_ACCESS},    {EROFS, ERR_ACCESS},
                 {ENOSPC, ERR_NO_SPACE},  {EDQUOT, ERR_NO_SPACE}, {EFBIG, ERR_NO_SPACE},
                 {EAGAIN, ERR_BUSY},      {EBUSY, ERR_BUSY}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].number == number)
            return codes[i].code;
    return ERR_FAILED;
}

int err_sys(struct err *e, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    int n = fill(e, code_of(saved), NULL, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->msg) {
        char *why = strerror(saved);
        snprintf(e->msg + n, sizeof e->msg - (size_t)n, ": %c%s", why[0] | 0x20, why + 1);
    }
    return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char old[sizeof e->msg];
    memcpy(old, e->msg, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof e->msg)
        snprintf(e->msg + n, sizeof e->msg - (size_t)n, "%s", old);
    return -1;
}
