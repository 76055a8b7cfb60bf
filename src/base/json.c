#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

/* Length of a string literal that starts at s[0] == '"', quotes included. */
static size_t string_length(const char *s, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (s[i] == '\\')
            i++;
        else if (s[i] == '"')
            return i + 1;
    }
    return n;
}

static size_t word_length(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (isalnum((unsigned char)s[i]) || strchr("+-.", s[i])) && s[i])
        i++;
    return i;
}

static bool fits_int64(const char *word, size_t n)
{
    char text[24];
    if (n >= sizeof text)
        return false;
    memcpy(text, word, n);
    text[n] = 0;
    errno = 0;
    strtoll(text, NULL, 10);
    return !errno;
}

/* A word that is an integer or a real of JSON; *integer: it has only digits. */
static bool is_number(const char *word, size_t n, bool *integer)
{
    size_t i = *word == '-';
    bool digits = i < n;
    *integer = i < n;
    for (; i < n; i++) {
        *integer = *integer && isdigit((unsigned char)word[i]);
        digits = digits && (isdigit((unsigned char)word[i]) || strchr("+-.eE", word[i]));
    }
    return digits;
}

/* Whether a number's text, of any length, is beyond the greatest double. */
static bool overflows(const char *word, size_t n)
{
    /* few texts come here: strtod needs one that ends */
    char text[512], *copy = text;
    struct err ignored;
    if (n >= sizeof text && !(copy = mem_strndup(word, n, &ignored)))
        return false;
    memcpy(copy, word, n);
    copy[n] = 0;
    bool is = fabs(strtod(copy, NULL)) > DBL_MAX;
    if (copy != text)
        free(copy);
    return is;
}

/* Whether a word may be a number beyond the greatest double: 309 digits, or an exponent. */
static bool is_large(const char *word, size_t n)
{
    return n > DBL_MAX_10_EXP || memchr(word, 'e', n) || memchr(word, 'E', n);
}

/* Jansson's text for a word that only Python's parser takes: "null" or `infinity`, or ".0" to put
 * after an integer; NULL for all other words. */
static const char *replacement(const char *word, size_t n, enum json_infinity infinity)
{
    static const char *const max[] = {"1.7976931348623157e308", "-1.7976931348623157e308"};
    const bool minus = *word == '-';
    const char *infinite = infinity == JSON_INFINITY_IS_NULL ? "null" : max[minus];
    bool integer;
    if (n == 3 && !memcmp(word, "NaN", n))
        return "null";
    if (n == (size_t)8 + minus && !memcmp(word + minus, "Infinity", 8))
        return infinite;
    if (!is_number(word, n, &integer))
        return NULL;
    if (is_large(word, n) && overflows(word, n))
        return infinite;
    return integer && !fits_int64(word, n) ? ".0" : NULL;
}

int json_plain(const char *text, size_t len, enum json_infinity infinity, struct buf *out,
               struct err *e)
{
    size_t kept = 0;
    for (size_t i = 0, n; i < len; i += n) {
        n = text[i] == '"' ? string_length(text + i, len - i) : word_length(text + i, len - i);
        const char *with = n && text[i] != '"' ? replacement(text + i, n, infinity) : NULL;
        if (with) {
            size_t upto = *with == '.' ? i + n : i;
            if (buf_add(out, text + kept, upto - kept, e) || buf_str(out, with, e))
                return -1;
            kept = i + n;
        }
        n = n ? n : 1;
    }
    return kept ? buf_add(out, text + kept, len - kept, e) : 0;
}

static json_t *read_text(const char *text, size_t len, enum json_infinity infinity,
                         const char *what, struct err *e)
{
    if (len >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) {
        text += 3;
        len -= 3;
    }
    struct buf fixed = {0};
    json_t *j = NULL;
    if (!json_plain(text, len, infinity, &fixed, e)) {
        json_error_t je;
        j = json_loadb(fixed.data ? fixed.data : text, fixed.data ? fixed.len : len,
                       JSON_ALLOW_NUL | JSON_DECODE_ANY, &je);
        if (!j)
            err_code(e, ERR_BAD_FILE, "%s: line %d: not valid json: %s", what, je.line, je.text);
    }
    buf_fini(&fixed);
    return j;
}

json_t *json_read_text(const char *text, size_t len, const char *what, struct err *e)
{
    return read_text(text, len, JSON_INFINITY_IS_NULL, what, e);
}

static json_t *read_file(const char *path, enum json_infinity infinity, struct err *e)
{
    size_t len;
    char *text = file_read(path, &len, e);
    if (!text)
        return NULL;
    struct buf what = {0};
    json_t *j = NULL;
    if (!buf_printf(&what, e, "'%s'", path))
        j = read_text(text, len, infinity, what.data, e);
    buf_fini(&what);
    free(text);
    return j;
}

json_t *json_read_file(const char *path, struct err *e)
{
    return read_file(path, JSON_INFINITY_IS_NULL, e);
}

json_t *json_read_log(const char *path, struct err *e)
{
    return read_file(path, JSON_INFINITY_IS_MAX, e);
}

/* The value of a key, or NULL if it is missing or null; *rc is set if that is an error. */
static json_t *get(const json_t *obj, const char *key, bool need, int *rc, struct err *e)
{
    json_t *v = json_object_get(obj, key);
    *rc = 0;
    if (v && !json_is_null(v))
        return v;
    if (need)
        *rc = err_set(e, "'%s' is missing", key);
    return NULL;
}

static int get_int(const json_t *obj, const char *key, bool need, int64_t lo, int64_t hi,
                   int64_t *out, struct err *e)
{
    int rc;
    json_t *v = get(obj, key, need, &rc, e);
    if (!v)
        return rc;
    if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi)
        return err_set(e, "'%s' must be an integer from %lld to %lld, not %s", key, (long long)lo,
                       (long long)hi, json_brief(v, (char[JSON_BRIEF]){0}));
    *out = json_integer_value(v);
    return 0;
}

static int get_real(const json_t *obj, const char *key, bool need, double *out, struct err *e)
{
    int rc;
    json_t *v = get(obj, key, need, &rc, e);
    if (!v)
        return rc;
    if (!json_is_number(v))
        return err_set(e, "'%s' must be a number, not %s", key,
                       json_brief(v, (char[JSON_BRIEF]){0}));
    *out = json_number_value(v);
    return 0;
}

static int get_str(const json_t *obj, const char *key, bool need, const char **out, struct err *e)
{
    int rc;
    json_t *v = get(obj, key, need, &rc, e);
    if (!v)
        return rc;
    if (!json_is_string(v))
        return err_set(e, "'%s' must be a string, not %s", key,
                       json_brief(v, (char[JSON_BRIEF]){0}));
    *out = json_string_value(v);
    return 0;
}

int json_need_int(const json_t *obj, const char *key, int64_t lo, int64_t hi, int64_t *out,
                  struct err *e)
{
    return get_int(obj, key, true, lo, hi, out, e);
}

int json_opt_int(const json_t *obj, const char *key, int64_t lo, int64_t hi, int64_t *out,
                 struct err *e)
{
    return get_int(obj, key, false, lo, hi, out, e);
}

int json_need_real(const json_t *obj, const char *key, double *out, struct err *e)
{
    return get_real(obj, key, true, out, e);
}

int json_opt_real(const json_t *obj, const char *key, double *out, struct err *e)
{
    return get_real(obj, key, false, out, e);
}

int json_opt_bool(const json_t *obj, const char *key, bool *out, struct err *e)
{
    int rc;
    json_t *v = get(obj, key, false, &rc, e);
    if (!v)
        return rc;
    if (!json_is_boolean(v))
        return err_set(e, "'%s' must be true or false, not %s", key,
                       json_brief(v, (char[JSON_BRIEF]){0}));
    *out = json_is_true(v);
    return 0;
}

int json_need_str(const json_t *obj, const char *key, const char **out, struct err *e)
{
    return get_str(obj, key, true, out, e);
}

int json_opt_str(const json_t *obj, const char *key, const char **out, struct err *e)
{
    return get_str(obj, key, false, out, e);
}

int json_need_ids(const json_t *obj, const char *key, int **ids, int *n, struct err *e)
{
    int rc;
    json_t *v = get(obj, key, true, &rc, e);
    if (!v)
        return rc;
    size_t count = json_array_size(v);
    if (!json_is_array(v) || count > INT_MAX)
        return err_set(e, "'%s' must be an array of token ids", key);
    int *got = mem_alloc(count, sizeof *got, e);
    if (!got)
        return -1;
    for (size_t i = 0; i < count; i++) {
        json_t *id = json_array_get(v, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT_MAX) {
            free(got);
            return err_set(e, "'%s': item %zu is not a token id", key, i);
        }
        got[i] = (int)json_integer_value(id);
    }
    *ids = got;
    *n = (int)count;
    return 0;
}
