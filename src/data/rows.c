#include "data/rows.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/csv.h"
#include "data/gz.h"

/* What is being read: the text of one file, and the rows it goes to. */
struct reader {
    struct rows *r;
    size_t cap_v, cap_at;
    const char *columns; /* names of a CSV file's fields; NULL: its first line */
    const char *at, *end;
    int line; /* of `at` */
};

static int fail_at(const struct reader *rd, int line, struct err *e, const char *what)
{
    return err_set(e, "'%s' line %d: %s", rd->r->files[rd->r->n_files - 1], line, what);
}

/* Takes over the reference to `row`, also on failure. */
static int add_row(struct reader *rd, json_t *row, int line, struct err *e)
{
    struct rows *r = rd->r;
    if (!json_is_object(row)) {
        json_decref(row);
        return fail_at(rd, line, e, "a row must be a JSON object, like {\"question\": \"...\"}");
    }
    size_t need = (size_t)r->n + 1;
    if (r->n == INT_MAX || mem_reserve(&r->v, &rd->cap_v, need, sizeof *r->v, e) ||
        mem_reserve(&r->at, &rd->cap_at, need, sizeof *r->at, e)) {
        json_decref(row);
        return r->n == INT_MAX ? fail_at(rd, line, e, "too many rows") : -1;
    }
    r->at[r->n] = (struct row_at){r->n_files - 1, line};
    r->v[r->n++] = row;
    return 0;
}

static void skip_space(struct reader *rd)
{
    for (; rd->at < rd->end && memchr(" \t\r\n", *rd->at, 4); rd->at++)
        rd->line += *rd->at == '\n';
}

/* One JSON value at rd->at, which moves behind it. */
static int read_value(struct reader *rd, size_t len, size_t flags, struct err *e)
{
    json_error_t je;
    int line = rd->line;
    json_t *v = json_loadb(rd->at, len, flags | JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
    if (!v) {
        char what[256];
        bool utf8 = json_error_code(&je) == json_error_invalid_utf8;
        snprintf(what, sizeof what, utf8 ? "not valid UTF-8" : "not JSON: %s", je.text);
        return fail_at(rd, line + (je.line > 0 ? je.line - 1 : 0), e, what);
    }
    for (const char *stop = rd->at + je.position; rd->at < stop; rd->at++)
        rd->line += *rd->at == '\n';
    return add_row(rd, v, line, e);
}

static int read_lines(struct reader *rd, struct err *e)
{
    for (skip_space(rd); rd->at < rd->end; skip_space(rd)) {
        const char *nl = memchr(rd->at, '\n', (size_t)(rd->end - rd->at));
        const char *stop = nl ? nl : rd->end;
        if (read_value(rd, (size_t)(stop - rd->at), 0, e))
            return -1;
        rd->at = stop;
    }
    return 0;
}

static int read_array(struct reader *rd, struct err *e)
{
    rd->at++;
    skip_space(rd);
    bool more = rd->at < rd->end && *rd->at != ']';
    while (more) {
        if (read_value(rd, (size_t)(rd->end - rd->at), JSON_DISABLE_EOF_CHECK, e))
            return -1;
        skip_space(rd);
        more = rd->at < rd->end && *rd->at == ',';
        rd->at += more;
        skip_space(rd);
    }
    if (rd->at == rd->end || *rd->at != ']')
        return fail_at(rd, rd->line, e, "',' or ']' expected in the array of rows");
    rd->at++;
    skip_space(rd);
    return rd->at == rd->end ? 0 : fail_at(rd, rd->line, e, "text after the end of the array");
}

static int read_csv(struct reader *rd, struct err *e)
{
    struct csv c = {.at = rd->at, .end = rd->end, .line = 1};
    int rc = rd->columns ? csv_names(&c, rd->columns, e) : csv_header(&c, e);
    while (!rc) {
        json_t *row;
        int line;
        rc = csv_row(&c, &row, &line, e);
        if (rc || !row)
            break;
        rc = add_row(rd, row, line, e);
    }
    if (rc)
        err_prefix(e, "'%s' ", rd->r->files[rd->r->n_files - 1]);
    csv_fini(&c);
    return rc;
}

/* All of it is one row {"text"}. */
static int read_plain(struct reader *rd, struct err *e)
{
    json_t *text = json_stringn(rd->at, (size_t)(rd->end - rd->at));
    if (!text)
        return fail_at(rd, 1, e, "not valid UTF-8");
    json_t *row = json_object();
    json_object_set_new(row, "text", text);
    return add_row(rd, row, 1, e);
}

/* Appends the rows of one file's text, which is called `name`. */
static int add_text(struct reader *rd, const char *name, const char *text, size_t len,
                    struct err *e)
{
    struct rows *r = rd->r;
    size_t n_name = strlen(name);
    int first = r->n, rc;
    r->files[r->n_files] = mem_strdup(name, e);
    if (!r->files[r->n_files])
        return -1;
    r->n_files++;
    if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        text += 3;
        len -= 3;
    }
    rd->at = text;
    rd->end = text + len;
    rd->line = 1;
    if (gz_is(name))
        n_name -= 3;
    if (n_name > 4 && !strncasecmp(name + n_name - 4, ".csv", 4)) {
        rc = read_csv(rd, e);
    } else if (n_name > 4 && !strncasecmp(name + n_name - 4, ".txt", 4)) {
        rc = read_plain(rd, e);
    } else {
        skip_space(rd);
        rc = rd->at < rd->end && *rd->at == '[' ? read_array(rd, e) : read_lines(rd, e);
    }
    return rc || r->n > first ? rc : err_set(e, "'%s' holds no rows", name);
}

/* "[a:b]" at the end of `part`: cuts it off. *b = -1: to the end. False: no range there. */
static bool take_range(char *part, long *a, long *b)
{
    char *open = strrchr(part, '['), *p;
    if (!open || open == part)
        return false;
    *a = strtol(open + 1, &p, 10);
    if (*p != ':' || strspn(open + 1, "0123456789") != (size_t)(p - open - 1))
        return false;
    char *second = p + 1;
    *b = strtol(second, &p, 10);
    if (strspn(second, "0123456789") != (size_t)(p - second) || strcmp(p, "]"))
        return false;
    if (p == second)
        *b = -1;
    *open = 0;
    return true;
}

/* Of the rows from `first` on, keeps a..b-1. */
static int keep_range(struct rows *r, int first, long a, long b, struct err *e)
{
    int n = r->n - first;
    if (b < 0)
        b = n;
    if (a >= b || b > n)
        return err_set(e, "range [%ld:%ld] of '%s' is empty or does not fit its %d rows", a, b,
                       r->files[r->n_files - 1], n);
    for (int i = first; i < r->n; i++)
        if (i < first + a || i >= first + b)
            json_decref(r->v[i]);
    memmove(r->v + first, r->v + first + a, (size_t)(b - a) * sizeof *r->v);
    memmove(r->at + first, r->at + first + a, (size_t)(b - a) * sizeof *r->at);
    r->n = first + (int)(b - a);
    return 0;
}

/* One FILE or FILE[a:b]; `part` is changed. */
static int read_part(struct reader *rd, char *part, struct err *e)
{
    long a = 0, b = -1;
    bool cut = !file_exists(part) && take_range(part, &a, &b);
    size_t len;
    int first = rd->r->n;
    char *text = gz_is(part) ? gz_read(part, &len, e) : file_read(part, &len, e);
    if (!text)
        return -1;
    int rc = add_text(rd, strcmp(part, "-") ? part : "standard input", text, len, e);
    if (!rc && cut)
        rc = keep_range(rd->r, first, a, b, e);
    free(text);
    return rc;
}

static int read_spec(struct rows *r, const char *spec, const char *columns, char *copy,
                     struct err *e)
{
    struct reader rd = {.r = r, .columns = columns};
    if (file_exists(spec))
        return read_part(&rd, copy, e);
    for (char *part = copy, *plus; part; part = plus) {
        plus = strchr(part, '+');
        if (plus)
            *plus++ = 0;
        if (read_part(&rd, part, e))
            return -1;
    }
    return 0;
}

static int rows_init(struct rows *r, const char *path, size_t n_files, struct err *e)
{
    *r = (struct rows){0};
    r->path = mem_strdup(path, e);
    r->files = r->path ? mem_alloc(n_files, sizeof *r->files, e) : NULL;
    return r->files ? 0 : -1;
}

int rows_open_columns(struct rows *r, const char *spec, const char *columns, struct err *e)
{
    size_t parts = 1;
    for (const char *p = spec; (p = strchr(p, '+')); p++)
        parts++;
    int rc = rows_init(r, spec, parts, e);
    char *copy = rc ? NULL : mem_strdup(spec, e);
    rc = copy ? read_spec(r, spec, columns, copy, e) : -1;
    free(copy);
    if (rc)
        rows_close(r);
    return rc;
}

int rows_open(struct rows *r, const char *spec, struct err *e)
{
    return rows_open_columns(r, spec, NULL, e);
}

static bool is_space(char c)
{
    return memchr(" \t\r\n", c, 4) != NULL;
}

static int read_plain_lines(struct reader *rd, const char *key, struct err *e)
{
    for (skip_space(rd); rd->at < rd->end; skip_space(rd)) {
        const char *nl = memchr(rd->at, '\n', (size_t)(rd->end - rd->at));
        const char *stop = nl ? nl : rd->end, *end = stop;
        while (is_space(end[-1]))
            end--;
        json_t *text = json_stringn(rd->at, (size_t)(end - rd->at));
        if (!text)
            return fail_at(rd, rd->line, e, "not valid UTF-8");
        json_t *row = json_object();
        json_object_set_new(row, key, text);
        if (add_row(rd, row, rd->line, e))
            return -1;
        rd->at = stop;
    }
    return rd->r->n ? 0 : err_set(e, "'%s' holds no rows", rd->r->path);
}

int rows_open_lines(struct rows *r, const char *path, const char *key, struct err *e)
{
    size_t len;
    char *text = file_read(path, &len, e);
    if (!text)
        return -1;
    struct reader rd = {.r = r, .at = text, .end = text + len, .line = 1};
    skip_space(&rd);
    bool plain = rd.at == rd.end || (*rd.at != '{' && *rd.at != '[');
    int rc = plain ? rows_init(r, path, 1, e) : rows_open(r, path, e);
    if (plain && !rc && (r->files[0] = mem_strdup(path, e))) {
        r->n_files = 1;
        rc = read_plain_lines(&rd, key, e);
    } else if (plain)
        rc = -1;
    if (plain && rc)
        rows_close(r);
    free(text);
    return rc;
}

int rows_read(struct rows *r, const char *name, const char *text, size_t len, struct err *e)
{
    struct reader rd = {.r = r};
    int rc = rows_init(r, name, 1, e);
    if (!rc)
        rc = add_text(&rd, name, text, len, e);
    if (rc)
        rows_close(r);
    return rc;
}

void rows_close(struct rows *r)
{
    for (int i = 0; i < r->n; i++)
        json_decref(r->v[i]);
    for (int i = 0; i < r->n_files; i++)
        free(r->files[i]);
    free(r->v);
    free(r->at);
    free(r->files);
    free(r->path);
    *r = (struct rows){0};
}

int rows_err(const struct rows *r, int i, struct err *e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return err_prefix(e, "'%s' line %d: ", r->files[r->at[i].file], r->at[i].line);
}

const char *rows_text(const struct rows *r, int i, const char *key, struct err *e)
{
    const json_t *v = json_object_get(r->v[i], key);
    const char *text = json_string_value(v);
    if (text && strlen(text) == json_string_length(v))
        return text;
    rows_err(r, i, e,
             text ? "the field '%s' holds U+0000"
             : v  ? "the field '%s' is no text"
                  : "the row has no field '%s'",
             key);
    return NULL;
}
