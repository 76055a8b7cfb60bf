#include "report/html.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "report/table.h"

static void add(struct html *h, const void *bytes, size_t n)
{
    h->failed = h->failed || buf_add(h->out, bytes, n, h->e);
}

static void add_str(struct html *h, const char *s)
{
    add(h, s, strlen(s));
}

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

/* Bytes at s of a character that HTML has not: C0 but tab and newline, DEL, C1, noncharacters. */
static bool is_refused(const unsigned char *s, size_t n)
{
    if (n == 1)
        return (*s < 0x20 && *s != '\t' && *s != '\n') || *s == 0x7F;
    if (n == 2)
        return *s == 0xC2 && s[1] < 0xA0;
    const unsigned char *end = s + n - 2; /* U+xxFFFE, U+xxFFFF; U+FDD0 to U+FDEF */
    return (end[0] == 0xBF && end[1] >= 0xBE && (s[n - 3] & 0x0F) == 0x0F) ||
           (n == 3 && s[0] == 0xEF && s[1] == 0xB7 && s[2] >= 0x90 && s[2] <= 0xAF);
}

static void add_text(struct html *h, const char *s, size_t n, const char *breaks)
{
    struct buf clean = {0};
    h->failed = h->failed || utf8_clean(&clean, s, n, h->e);
    for (size_t i = 0, k; i < clean.len && !h->failed; i += k) {
        const char *c = clean.data + i, *named = entity(*c);
        k = utf8_char(c, clean.len - i);
        if (named)
            add_str(h, named);
        else if (is_refused((const unsigned char *)c, k))
            add_str(h, "\xEF\xBF\xBD");
        else
            add(h, c, k);
        if (*c && strchr(breaks, *c))
            add_str(h, "<wbr>");
    }
    buf_fini(&clean);
}

static void add_json(struct html *h, const json_t *j)
{
    if (json_is_string(j)) {
        add_text(h, json_string_value(j), json_string_length(j), "");
    } else if (!j || json_is_null(j)) {
        add_str(h, "-");
    } else if (json_is_real(j) && fabs(json_real_value(j)) < 1e15 &&
               trunc(json_real_value(j)) == json_real_value(j)) {
        h->failed = h->failed || buf_printf(h->out, h->e, "%.0f", json_real_value(j));
    } else {
        struct buf text = {0};
        h->failed = h->failed || json_write_buf(j, &text, JSON_COMPACT | JSON_ENCODE_ANY, h->e);
        if (!h->failed)
            add_text(h, text.data, text.len, "");
        buf_fini(&text);
    }
}

static void add_tenths(struct html *h, double x)
{
    const double tenths = round(10 * x);
    h->failed = h->failed || buf_printf(h->out, h->e, fmod(tenths, 10) != 0 ? "%.1f" : "%.0f",
                                        tenths / 10 + 0.0);
}

static void add_real(struct html *h, double x, bool exact)
{
    char shown[DIGITS_MOST], all[JSON_REAL_TEXT];
    if (exact && isfinite(x))
        json_real_text(x, all);
    add_str(h, exact && isfinite(x) ? all : digits_of(x, shown));
}

static void add_verb(struct html *h, char verb, va_list *ap)
{
    const char *text = strchr("stw", verb) ? va_arg(*ap, const char *) : NULL;
    if (verb == 's')
        add_str(h, text);
    else if (verb == 't' || verb == 'w')
        add_text(h, text ? text : "-", text ? strlen(text) : 1, verb == 'w' ? "_/-.,:" : "");
    else if (verb == 'j')
        add_json(h, va_arg(*ap, const json_t *));
    else if (verb == 'd')
        h->failed = h->failed || buf_printf(h->out, h->e, "%d", va_arg(*ap, int));
    else if (verb == 'p')
        add_tenths(h, va_arg(*ap, double));
    else if (verb == 'v' || verb == 'x')
        add_real(h, va_arg(*ap, double), verb == 'x');
    else
        BUG_ON(verb != '%' || (add_str(h, "%"), false));
}

void html_put(struct html *h, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    while (*fmt) {
        const size_t n = strcspn(fmt, "%");
        add(h, fmt, n);
        fmt += n;
        if (*fmt) {
            add_verb(h, fmt[1], &ap);
            fmt += 2;
        }
    }
    va_end(ap);
}

void html_number(struct html *h, double x)
{
    if (isnan(x))
        html_put(h, "<span class=none>-</span>");
    else
        html_put(h, "<span data-value=\"%x\">%v</span>", x, x);
}
