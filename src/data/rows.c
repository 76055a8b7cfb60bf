#include "data/rows.h"

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/readers.h"

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

/* Drops the rows from `first` on except a..b-1. */
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

/* One FILE or FILE[a:b] of a specification, whose range is cut off; b = -1: to the end. */
struct file_part {
    const char *file;
    bool cut;
    long a, b;
};

typedef int part_fn(void *ctx, const struct file_part *p, struct err *e);

static int do_part(char *text, part_fn *fn, void *ctx, struct err *e)
{
    struct file_part p = {.file = text, .b = -1};
    p.cut = !file_exists(text) && take_range(text, &p.a, &p.b);
    return fn(ctx, &p, e);
}

static int each_part(const char *spec, part_fn *fn, void *ctx, struct err *e)
{
    char *copy = mem_strdup(spec, e);
    int rc = copy ? 0 : -1;
    const bool one = copy && file_exists(spec);
    for (char *part = copy, *plus; part && !rc; part = plus) {
        plus = one ? NULL : strchr(part, '+');
        if (plus)
            *plus++ = 0;
        rc = do_part(part, fn, ctx, e);
    }
    free(copy);
    return rc;
}

static int read_part(void *ctx, const struct file_part *p, struct err *e)
{
    struct rows_reader *rd = ctx;
    size_t len;
    int first = rd->r->n;
    char *text = file_read(p->file, &len, e);
    if (!text)
        return -1;
    int rc = rows_reader_text(rd, strcmp(p->file, "-") ? p->file : "standard input", text, len, e);
    if (!rc && p->cut)
        rc = keep_range(rd->r, first, p->a, p->b, e);
    free(text);
    return rc;
}

struct each_file {
    int (*fn)(void *ctx, const char *file, struct err *e);
    void *ctx;
};

static int file_of_part(void *ctx, const struct file_part *p, struct err *e)
{
    const struct each_file *f = ctx;
    return f->fn(f->ctx, p->file, e);
}

int rows_each_file(const char *spec, int (*fn)(void *ctx, const char *file, struct err *e),
                   void *ctx, struct err *e)
{
    struct each_file f = {fn, ctx};
    return each_part(spec, file_of_part, &f, e);
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
    struct rows_reader rd = {.r = r, .columns = columns};
    int rc = rows_init(r, spec, parts, e) || each_part(spec, read_part, &rd, e);
    if (rc) {
        rows_close(r);
        err_class(e, ERR_BAD_FILE);
    }
    return rc;
}

int rows_open(struct rows *r, const char *spec, struct err *e)
{
    return rows_open_columns(r, spec, NULL, e);
}

int rows_open_lines(struct rows *r, const char *path, const char *key, struct err *e)
{
    size_t len;
    struct rows_reader rd = {.r = r, .line_key = key};
    char *text = file_read(path, &len, e);
    int rc = text ? rows_init(r, path, 1, e) : -1;
    if (!rc)
        rc = rows_reader_text(&rd, path, text, len, e);
    if (text && rc)
        rows_close(r);
    free(text);
    return rc;
}

int rows_read(struct rows *r, const char *name, const char *text, size_t len, struct err *e)
{
    struct rows_reader rd = {.r = r};
    int rc = rows_init(r, name, 1, e);
    if (!rc)
        rc = rows_reader_text(&rd, name, text, len, e);
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
    err_vset(e, ERR_BAD_FILE, fmt, ap);
    va_end(ap);
    const struct row_at *at = &r->at[i];
    return at->number ? err_prefix(e, "'%s' line %d, row %d of the table: ", r->files[at->file],
                                   at->line, at->number)
                      : err_prefix(e, "'%s' line %d: ", r->files[at->file], at->line);
}

void rows_keys(const struct rows *r, int i, char *text, size_t room)
{
    enum { NAMED = 6 };
    const char *key;
    json_t *value;
    size_t n = 0, at = 0;
    snprintf(text, room, "none");
    json_object_foreach(r->v[i], key, value)
    {
        if (n++ < NAMED && at < room)
            at += (size_t)snprintf(text + at, room - at, "%s'%.40s'", n > 1 ? ", " : "", key);
    }
    if (n > NAMED && at < room)
        snprintf(text + at, room - at, " and %zu more", n - NAMED);
}

void rows_limit(struct rows *r, int64_t n)
{
    while (n > 0 && r->n > n)
        json_decref(r->v[--r->n]);
}

static const char *member(const json_t *message, const char *key)
{
    return json_string_value(json_object_get(message, key));
}

static int split(const struct rows *r, int row, const char *question_key, const char *answer_key,
                 struct err *e)
{
    const json_t *messages = json_object_get(r->v[row], "messages"), *m;
    size_t i, n = json_array_size(messages);
    if (!n)
        return rows_err(r, row, e, "'messages' is empty, or no list");
    json_array_foreach(
        messages, i,
        m) if (!member(m, "role") ||
               !member(m, "content")) return rows_err(r, row, e,
                                                      "message %zu has no text 'role' or 'content'",
                                                      i);
    const json_t *last = json_array_get(messages, n - 1);
    const bool answered = !strcmp(member(last, "role"), "assistant");
    if (answered && !--n)
        return rows_err(r, row, e, "'messages' has an answer, but nothing before it");
    const json_t *first = json_array_get(messages, 0);
    json_t *prompt = n == 1 && !strcmp(member(first, "role"), "user")
                         ? json_incref(json_object_get(first, "content"))
                         : json_copy((json_t *)messages);
    if (json_is_array(prompt) && answered)
        json_array_remove(prompt, n);
    return json_object_set_new(r->v[row], question_key, prompt) ||
                   (answered &&
                    json_object_set(r->v[row], answer_key, json_object_get(last, "content")))
               ? err_no_memory(e, "messages")
               : 0;
}

int rows_split_messages(struct rows *r, const char *question_key, const char *answer_key,
                        struct err *e)
{
    for (int i = 0; i < r->n; i++)
        if (json_object_get(r->v[i], "messages") && !json_object_get(r->v[i], question_key) &&
            split(r, i, question_key, answer_key, e))
            return -1;
    return 0;
}

/* The words for what is no text. */
static const char *kind_of(const json_t *v)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
    return names[json_typeof(v)];
}

const char *rows_text(const struct rows *r, int i, const char *key, struct err *e)
{
    const json_t *v = json_object_get(r->v[i], key);
    const char *text = json_string_value(v);
    char keys[300];
    if (text && strlen(text) == json_string_length(v))
        return text;
    if (text)
        rows_err(r, i, e, "the field '%s' holds U+0000", key);
    else if (v)
        rows_err(r, i, e, "the field '%s' is no text but %s", key, kind_of(v));
    else {
        rows_keys(r, i, keys, sizeof keys);
        rows_err(r, i, e, "the row has no field '%s'; it has %s", key, keys);
    }
    return NULL;
}
