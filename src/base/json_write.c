#include <float.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

/* Jansson's own writer prints 17 digits or rounds; this one prints reals as Python's repr. */

struct writer {
    struct buf *out;
    size_t indent; /* spaces per level; 0: one line */
    bool compact, sort, ascii, nan;
};

enum { DEPTH_MOST = 2048 }; /* as Jansson's parser; also stops at an object that holds itself */

static int write_value(struct writer *w, const json_t *j, size_t depth, struct err *e);

/* Exponent form below 1e-4 and from 1e16 on, as Python; one digit after the point at least. */
static void layout_real(char *text, bool minus, const char *digits, int n, int exp10)
{
    char *p = text;
    if (minus)
        *p++ = '-';
    if (exp10 < -4 || exp10 >= 16) {
        p += sprintf(p, "%c%s%.*s", digits[0], n > 1 ? "." : "", n - 1, digits + 1);
        sprintf(p, "e%c%02d", exp10 < 0 ? '-' : '+', abs(exp10));
    } else if (exp10 < 0) {
        sprintf(p, "0.%.*s%.*s", -exp10 - 1, "000", n, digits);
    } else if (n <= exp10 + 1) {
        sprintf(p, "%.*s%.*s.0", n, digits, exp10 + 1 - n, "0000000000000000");
    } else {
        sprintf(p, "%.*s.%.*s", exp10 + 1, digits, n - exp10 - 1, digits + exp10 + 1);
    }
}

void json_real_text(double value, char *text)
{
    /* 15 digits survive a round trip of any normal double, so no shorter text is missed by starting
     * there and dropping zeros; a subnormal has fewer good digits and starts at one. */
    char e[JSON_REAL_TEXT], digits[20];
    double a = fabs(value);
    int precision = a < DBL_MIN ? 0 : 14;
    do
        snprintf(e, sizeof e, "%.*e", precision++, a);
    while (precision <= 16 && strtod(e, NULL) != a);
    int n = 0;
    const char *p = e;
    for (; *p && *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    layout_real(text, signbit(value), digits, n, *p ? atoi(p + 1) : 0);
}

/* Decodes one code point of valid UTF-8 (Jansson checks it); returns its length in bytes. */
static size_t decode(const unsigned char *s, unsigned *code)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    *code = n == 1 ? s[0] : s[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        *code = *code << 6 | (s[i] & 0x3Fu);
    return n;
}

static int write_escape(struct writer *w, unsigned code, struct err *e)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = code && code < 0x80 ? strchr(from, (int)code) : NULL;
    if (at)
        return buf_printf(w->out, e, "\\%c", to[at - from]);
    if (code >= 0x10000)
        return buf_printf(w->out, e, "\\u%04x\\u%04x", 0xD800 + ((code - 0x10000) >> 10),
                          0xDC00 + ((code - 0x10000) & 0x3FF));
    return buf_printf(w->out, e, "\\u%04x", code);
}

static int write_string(struct writer *w, const char *s, size_t len, struct err *e)
{
    if (buf_str(w->out, "\"", e))
        return -1;
    size_t plain = 0; /* start of the bytes that need no escape */
    for (size_t i = 0, n; i < len; i += n) {
        unsigned code;
        n = decode((const unsigned char *)s + i, &code);
        if (code >= 0x20 && code != '"' && code != '\\' && (code < 0x7F || !w->ascii))
            continue;
        if (buf_add(w->out, s + plain, i - plain, e) || write_escape(w, code, e))
            return -1;
        plain = i + n;
    }
    return buf_add(w->out, s + plain, len - plain, e) || buf_str(w->out, "\"", e);
}

/* The separator before an item (first or later), or before the closing bracket. */
static int write_break(struct writer *w, bool comma, size_t depth, struct err *e)
{
    if (comma && buf_str(w->out, w->indent || w->compact ? "," : ", ", e))
        return -1;
    return w->indent ? buf_printf(w->out, e, "\n%*s", (int)(w->indent * depth), "") : 0;
}

static int write_array(struct writer *w, const json_t *j, size_t depth, struct err *e)
{
    size_t n = json_array_size(j);
    if (n == 0)
        return buf_str(w->out, "[]", e);
    if (buf_str(w->out, "[", e))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (write_break(w, i > 0, depth + 1, e) ||
            write_value(w, json_array_get(j, i), depth + 1, e))
            return -1;
    return write_break(w, false, depth, e) || buf_str(w->out, "]", e);
}

struct member {
    const char *key; /* borrowed */
    size_t len;
    const json_t *value;
};

/* By code point, which is the byte order of UTF-8. */
static int member_order(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int c = memcmp(x->key, y->key, x->len < y->len ? x->len : y->len);
    return c ? c : (x->len > y->len) - (x->len < y->len);
}

static int write_members(struct writer *w, const struct member *m, size_t n, size_t depth,
                         struct err *e)
{
    if (buf_str(w->out, "{", e))
        return -1;
    for (size_t i = 0; i < n; i++)
        if (write_break(w, i > 0, depth + 1, e) || write_string(w, m[i].key, m[i].len, e) ||
            buf_str(w->out, w->compact ? ":" : ": ", e) || write_value(w, m[i].value, depth + 1, e))
            return -1;
    return write_break(w, false, depth, e) || buf_str(w->out, "}", e) ? -1 : 0;
}

static int write_object(struct writer *w, const json_t *j, size_t depth, struct err *e)
{
    size_t n = 0;
    if (json_object_size(j) == 0)
        return buf_str(w->out, "{}", e);
    struct member *m = mem_alloc(json_object_size(j), sizeof *m, e);
    if (!m)
        return -1;
    json_t *obj = (json_t *)j; /* the iterator does not change it */
    for (void *it = json_object_iter(obj); it; it = json_object_iter_next(obj, it))
        m[n++] = (struct member){json_object_iter_key(it), json_object_iter_key_len(it),
                                 json_object_iter_value(it)};
    if (w->sort)
        qsort(m, n, sizeof *m, member_order);
    int rc = write_members(w, m, n, depth, e);
    free(m);
    return rc;
}

static int write_real(struct writer *w, double value, struct err *e)
{
    char text[JSON_REAL_TEXT];
    if (w->nan && fabs(value) == DBL_MAX)
        return buf_str(w->out, value < 0 ? "-Infinity" : "Infinity", e);
    json_real_text(value, text);
    return buf_str(w->out, text, e);
}

static int write_value(struct writer *w, const json_t *j, size_t depth, struct err *e)
{
    if (depth > DEPTH_MOST)
        return err_set(e, "json is nested too deeply");
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return write_object(w, j, depth, e);
    case JSON_ARRAY:
        return write_array(w, j, depth, e);
    case JSON_STRING:
        return write_string(w, json_string_value(j), json_string_length(j), e);
    case JSON_INTEGER:
        return buf_printf(w->out, e, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
    case JSON_REAL:
        return write_real(w, json_real_value(j), e);
    case JSON_TRUE:
        return buf_str(w->out, "true", e);
    case JSON_FALSE:
        return buf_str(w->out, "false", e);
    case JSON_NULL:
        return buf_str(w->out, w->nan ? "NaN" : "null", e);
    }
    return err_set(e, "unknown json type");
}

int json_write_buf(const json_t *j, struct buf *out, size_t flags, struct err *e)
{
    struct writer w = {out,
                       flags & JSON_MAX_INDENT,
                       flags & JSON_COMPACT,
                       flags & JSON_SORT_KEYS,
                       flags & JSON_ENSURE_ASCII,
                       flags & JSON_NULL_IS_NAN};
    return write_value(&w, j, 0, e);
}

int json_write_file(const json_t *j, const char *path, size_t flags, struct err *e)
{
    struct buf text = {0};
    int rc = json_write_buf(j, &text, flags, e);
    if (!rc)
        rc = file_write(path, text.data, text.len, e);
    buf_fini(&text);
    return rc;
}

const char *json_brief(const json_t *v, char *text)
{
    enum { SHOWN = 40 };
    char written[SHOWN + 1] = {0};
    if (json_is_real(v)) {
        if (isfinite(json_real_value(v)))
            json_real_text(json_real_value(v), text);
        else
            snprintf(text, JSON_BRIEF, "%f", json_real_value(v));
        return text;
    }
    const size_t flags = JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(6);
    const size_t n = v ? json_dumpb(v, written, SHOWN, flags) : 0;
    if (n && n <= SHOWN)
        memcpy(text, written, n + 1);
    else if (json_is_string(v))
        snprintf(text, JSON_BRIEF, "a string of %zu bytes", json_string_length(v));
    else if (json_is_array(v))
        snprintf(text, JSON_BRIEF, "a list of %zu", json_array_size(v));
    else
        snprintf(text, JSON_BRIEF, "an object of %zu keys", json_object_size(v));
    return text;
}

json_t *json_finite(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

void json_put_real(json_t *obj, const char *key, double value)
{
    json_object_set_new(obj, key, json_finite(value));
}
