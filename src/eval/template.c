#include "eval/template.h"

#include <stdbool.h>
#include <string.h>
#include <utf8proc.h>

static const json_t *at_path(const json_t *j, const char *path, size_t n)
{
    for (const char *end = path + n; j && path < end;) {
        const char *dot = memchr(path, '.', (size_t)(end - path));
        size_t len = (size_t)((dot ? dot : end) - path);
        char key[64];
        if (len >= sizeof key)
            return NULL;
        memcpy(key, path, len);
        key[len] = 0;
        j = json_object_get(j, key);
        path += len + (dot != NULL);
    }
    return j;
}

const json_t *template_field(const json_t *row, const char *path)
{
    return at_path(row, path, strlen(path));
}

/* Filters of templates: text[0..n) to `out`. */
static int plain(struct buf *out, const char *s, size_t n, struct err *e)
{
    return buf_add(out, s, n, e);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

int template_strip(struct buf *out, const char *s, size_t n, struct err *e)
{
    while (n && is_space(*s)) {
        s++;
        n--;
    }
    while (n && is_space(s[n - 1]))
        n--;
    return buf_add(out, s, n, e);
}

/* First letter upper-case, others lower-case. */
static int capitalize(struct buf *out, const char *s, size_t n, struct err *e)
{
    for (size_t i = 0; i < n;) {
        utf8proc_int32_t c;
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t len =
            utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &c);
        if (len <= 0)
            return err_set(e, "not valid UTF-8");
        c = i ? utf8proc_tolower(c) : utf8proc_totitle(c);
        if (buf_add(out, bytes, (size_t)utf8proc_encode_char(c, bytes), e))
            return -1;
        i += (size_t)len;
    }
    return 0;
}

static int before_gap(struct buf *out, const char *s, size_t n, struct err *e)
{
    const char *gap = memchr(s, '_', n);
    return gap ? buf_add(out, s, (size_t)(gap - s), e) : err_set(e, "the sentence has no gap '_'");
}

static int after_gap(struct buf *out, const char *s, size_t n, struct err *e)
{
    const char *gap = memchr(s, '_', n);
    return gap ? template_strip(out, gap + 1, n - (size_t)(gap + 1 - s), e)
               : err_set(e, "the sentence has no gap '_'");
}

static const struct filter {
    const char *name;
    int (*apply)(struct buf *out, const char *s, size_t n, struct err *e);
} filters[] = {{"", plain},
               {"strip", template_strip},
               {"capitalize", capitalize},
               {"before_gap", before_gap},
               {"after_gap", after_gap}};

static const struct filter *filter_by_name(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (strlen(filters[i].name) == n && !memcmp(filters[i].name, name, n))
            return &filters[i];
    return NULL;
}

/* "{path|filter}" without its braces: the filter, NULL if it is unknown; *n becomes the
 * length of the path. */
static const struct filter *filter_of(const char *place, size_t *n)
{
    const char *bar = memchr(place, '|', *n);
    size_t whole = *n;
    *n = bar ? (size_t)(bar - place) : whole;
    return filter_by_name(bar ? bar + 1 : "", bar ? whole - *n - 1 : 0);
}

int template_check(const char *form, struct err *e)
{
    for (const char *s = form; s && (s = strpbrk(s, "{}"));) {
        size_t whole = *s == '{' ? strcspn(s + 1, "{} \n") : 0, n = whole;
        if (!whole || s[1 + whole] != '}' || !filter_of(s + 1, &n) || !n)
            return err_set(e,
                           "the template '%.80s' is wrong at '%.20s': write fields as {name}, "
                           "filtered as {name|strip}",
                           form, s);
        s += whole + 2;
    }
    return 0;
}

/* Appends the value of "{path|filter}", given without its braces. */
static int fill_place(struct buf *out, const char *place, size_t n, const struct template_source *s,
                      struct err *e)
{
    size_t len = n;
    const struct filter *f = filter_of(place, &len);
    BUG_ON(!f);
    if (s->subject && len == 7 && !memcmp(place, "subject", len))
        return f->apply(out, s->subject, strlen(s->subject), e);
    const json_t *v = at_path(s->row, place, len);
    if (!json_is_string(v))
        return err_set(e, v ? "the field '%.*s' is no text" : "the row has no field '%.*s'",
                       (int)len, place);
    return f->apply(out, json_string_value(v), json_string_length(v), e);
}

int template_fill(struct buf *out, const char *form, const struct template_source *s, struct err *e)
{
    for (const char *open; (open = strchr(form, '{'));) {
        const char *close = strchr(open, '}');
        if (buf_add(out, form, (size_t)(open - form), e) ||
            fill_place(out, open + 1, (size_t)(close - open - 1), s, e))
            return -1;
        form = close + 1;
    }
    return buf_str(out, form, e);
}

/* What WikiHow left in HellaSwag: " [title]" ends a sentence, other brackets are removed, and
 * double spaces become one. */
int template_tidy_wikihow(struct buf *text, struct err *e)
{
    struct buf out = {0};
    const char *s = text->data, *end = s + text->len;
    int rc = buf_str(&out, "", e);
    while (!rc && s < end) {
        const char *close = *s == '[' ? memchr(s, ']', (size_t)(end - s)) : NULL;
        if ((size_t)(end - s) >= 8 && !memcmp(s, " [title]", 8)) {
            rc = buf_str(&out, ". ", e);
            s += 8;
        } else if (close && !memchr(s, '\n', (size_t)(close - s))) {
            s = close + 1;
        } else {
            rc = buf_add(&out, s++, 1, e);
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < out.len; i++) {
        out.data[kept++] = out.data[i];
        i += i + 1 < out.len && out.data[i] == ' ' && out.data[i + 1] == ' ';
    }
    buf_clear(text);
    if (!rc)
        rc = buf_add(text, out.data, kept, e);
    buf_fini(&out);
    return rc;
}
