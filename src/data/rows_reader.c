#include "data/readers.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/mem.h"

static int fail_at(const struct rows_reader *rd, int line, struct err *e, const char *what)
{
    return err_set(e, "'%s' line %d: %s", rd->r->files[rd->r->n_files - 1], line, what);
}

/* A text alone is a row {"text"}. Takes the reference. */
static json_t *as_row(json_t *v)
{
    json_t *row = json_is_string(v) ? json_pack("{s:O}", "text", v) : json_incref(v);
    json_decref(v);
    return row;
}

/* Takes over the reference to `v`, also on failure. number: of the row in its table, from 1; 0: it
 * starts a line. */
static int add_row(struct rows_reader *rd, json_t *v, int line, int number, struct err *e)
{
    struct rows *r = rd->r;
    json_t *row = as_row(v);
    if (!json_is_object(row)) {
        json_decref(row);
        return fail_at(rd, line, e,
                       "a row must be a JSON object, like {\"question\": \"...\"}, or a text");
    }
    size_t need = (size_t)r->n + 1;
    if (r->n == INT_MAX || mem_reserve(&r->v, &rd->cap_v, need, sizeof *r->v, e) ||
        mem_reserve(&r->at, &rd->cap_at, need, sizeof *r->at, e)) {
        json_decref(row);
        return r->n == INT_MAX ? fail_at(rd, line, e, "too many rows") : -1;
    }
    r->at[r->n] = (struct row_at){r->n_files - 1, line, number};
    r->v[r->n++] = row;
    return 0;
}

static void skip_space(struct rows_reader *rd)
{
    for (; rd->at < rd->end && memchr(" \t\r\n", *rd->at, 4); rd->at++)
        rd->line += *rd->at == '\n';
}

/* The JSON value at rd->at, whose text ends before `len` bytes or, with JSON_DISABLE_EOF_CHECK,
 * anywhere; NULL: *je tells why not. */
static json_t *parse(const struct rows_reader *rd, size_t len, size_t flags, json_error_t *je)
{
    return json_loadb(rd->at, len, flags | JSON_DECODE_ANY | JSON_ALLOW_NUL, je);
}

static int not_json(const struct rows_reader *rd, const json_error_t *je, struct err *e)
{
    char what[256];
    bool utf8 = json_error_code(je) == json_error_invalid_utf8;
    snprintf(what, sizeof what, utf8 ? "not valid UTF-8" : "not JSON: %s", je->text);
    return fail_at(rd, rd->line + (je->line > 0 ? je->line - 1 : 0), e, what);
}

/* Takes the value that was parsed at rd->at, which moves after it. */
static int take_value(struct rows_reader *rd, json_t *v, int length, struct err *e)
{
    int line = rd->line;
    for (const char *stop = rd->at + length; rd->at < stop; rd->at++)
        rd->line += *rd->at == '\n';
    return add_row(rd, v, line, 0, e);
}

/* A row a line; a line that ends within a value may be the first of a value of several lines. */
static int read_lines(struct rows_reader *rd, struct err *e)
{
    for (; rd->at < rd->end; skip_space(rd)) {
        const char *nl = memchr(rd->at, '\n', (size_t)(rd->end - rd->at));
        const char *stop = nl ? nl : rd->end;
        json_error_t line, all;
        json_t *v = parse(rd, (size_t)(stop - rd->at), 0, &line);
        bool several = !v && json_error_code(&line) == json_error_premature_end_of_input;
        if (several)
            v = parse(rd, (size_t)(rd->end - rd->at), JSON_DISABLE_EOF_CHECK, &all);
        if (!v)
            return not_json(rd, &line, e);
        if (take_value(rd, v, several ? all.position : (int)(stop - rd->at), e))
            return -1;
    }
    return 0;
}

static int read_array(struct rows_reader *rd, struct err *e)
{
    rd->at++;
    skip_space(rd);
    bool more = rd->at < rd->end && *rd->at != ']';
    while (more) {
        json_error_t je;
        json_t *v = parse(rd, (size_t)(rd->end - rd->at), JSON_DISABLE_EOF_CHECK, &je);
        if (!v)
            return not_json(rd, &je, e);
        if (take_value(rd, v, je.position, e))
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

/* The file's one object may be a table: its rows take its place. */
static int unfold_table(struct rows_reader *rd, int first, struct err *e)
{
    struct rows *r = rd->r;
    json_t *table = r->v[first], *list, *row;
    int line = r->at[first].line, rc = 0;
    size_t i;
    if (tabular_rows(table, &list, e))
        return -1;
    if (!list)
        return 0;
    r->n = first;
    json_array_foreach(list, i, row)
    {
        if (!rc)
            rc = add_row(rd, json_incref(row), line, i < INT_MAX ? (int)i + 1 : INT_MAX, e);
    }
    json_decref(list);
    json_decref(table);
    return rc;
}

static int read_json(struct rows_reader *rd, struct err *e)
{
    struct buf plain = {0};
    int first = rd->r->n;
    int rc = json_plain(rd->at, (size_t)(rd->end - rd->at), JSON_INFINITY_IS_NULL, &plain, e);
    if (!rc && plain.data) {
        rd->at = plain.data;
        rd->end = plain.data + plain.len;
    }
    if (!rc && rd->at < rd->end)
        rc = *rd->at == '[' ? read_array(rd, e) : read_lines(rd, e);
    if (!rc && rd->r->n == first + 1)
        rc = unfold_table(rd, first, e);
    buf_fini(&plain);
    return rc;
}

/* CSV, or the same with another separator than the comma. */
static int read_csv(struct rows_reader *rd, char separator, struct err *e)
{
    struct csv c = {.at = rd->at, .end = rd->end, .line = 1, .separator = separator};
    int rc = rd->columns ? csv_names(&c, rd->columns, e) : csv_header(&c, e);
    while (!rc) {
        json_t *row;
        int line;
        rc = csv_row(&c, &row, &line, e);
        if (rc || !row)
            break;
        rc = add_row(rd, row, line, 0, e);
    }
    if (rc)
        err_prefix(e, "'%s' ", rd->r->files[rd->r->n_files - 1]);
    csv_fini(&c);
    return rc;
}

/* All of it is one row {"text"}. */
static int read_plain(struct rows_reader *rd, struct err *e)
{
    json_t *text = json_stringn(rd->at, (size_t)(rd->end - rd->at));
    return text ? add_row(rd, text, 1, 0, e) : fail_at(rd, 1, e, "not valid UTF-8");
}

static bool is_space(char c)
{
    return memchr(" \t\r\n", c, 4) != NULL;
}

/* A row {rd->line_key: line} for each line that is not blank, without the spaces around it. */
static int read_plain_lines(struct rows_reader *rd, struct err *e)
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
        json_object_set_new(row, rd->line_key, text);
        if (add_row(rd, row, rd->line, 0, e))
            return -1;
        rd->at = stop;
    }
    return 0;
}

static bool ends_in(const char *name, size_t n, const char *ending)
{
    size_t k = strlen(ending);
    return n > k && !strncasecmp(name + n - k, ending, k);
}

/* By the name's ending; a text that is no JSON and has a tab in its first line is a table, too. */
static int read_format(struct rows_reader *rd, const char *name, struct err *e)
{
    size_t n = strlen(name) - (gz_is(name) ? 3 : 0), len = (size_t)(rd->end - rd->at);
    char found = sniff_separator(rd->at, len);
    if (rd->line_key)
        n = 0; /* the name is not considered */
    if (ends_in(name, n, ".txt"))
        return read_plain(rd, e);
    if (ends_in(name, n, ".tsv") || ends_in(name, n, ".tab"))
        return read_csv(rd, '\t', e);
    if (ends_in(name, n, ".csv"))
        return read_csv(rd, found && !rd->columns ? found : ',', e);
    const char *text = rd->at;
    skip_space(rd);
    if (rd->line_key && (rd->at == rd->end || !strchr("[{", *rd->at)))
        return read_plain_lines(rd, e);
    if (rd->at < rd->end && !strchr("[{\"", *rd->at) && found == '\t') {
        rd->at = text;
        return read_csv(rd, '\t', e);
    }
    return read_json(rd, e);
}

static int read_unpacked(struct rows_reader *rd, const char *name, const char *text, size_t len,
                         struct err *e)
{
    int first = rd->r->n;
    if (sniff_refuse(name, text, len, e))
        return -1;
    if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
        text += 3;
        len -= 3;
    }
    rd->at = text;
    rd->end = text + len;
    rd->line = 1;
    int rc = read_format(rd, name, e);
    return rc || rd->r->n > first ? rc : err_set(e, "'%s' holds no rows", name);
}

int rows_reader_text(struct rows_reader *rd, const char *name, const char *text, size_t len,
                     struct err *e)
{
    struct rows *r = rd->r;
    char *unpacked = NULL;
    r->files[r->n_files] = mem_strdup(name, e);
    if (!r->files[r->n_files])
        return -1;
    r->n_files++;
    if (gz_begins(text, len)) {
        if (!(unpacked = gz_unpack(name, text, len, &len, e)))
            return -1;
    } else if (gz_is(name))
        return err_set(e, "'%s' is not packed by gzip: drop the .gz from its name", name);
    int rc = read_unpacked(rd, name, unpacked ? unpacked : text, len, e);
    free(unpacked);
    return rc;
}
