#include "data/readers.h"

#include <stdbool.h>
#include <string.h>

static int fail(const struct csv *c, struct err *e, const char *what)
{
    return err_set(e, "line %d: %s", c->line, what);
}

/* Bytes of the line break at c->at: LF, CRLF or, in a text whose first break it is, CR. */
static int break_length(const struct csv *c)
{
    const bool cr = *c->at == '\r', crlf = cr && c->end - c->at > 1 && c->at[1] == '\n';
    return crlf ? 2 : *c->at == '\n' || (cr && c->cr_ends);
}

static bool at_break(const struct csv *c)
{
    return c->at == c->end || break_length(c);
}

static void skip_break(struct csv *c)
{
    if (c->at < c->end) {
        c->at += break_length(c);
        c->line++;
    }
}

/* Whether lines end in CR alone, as old spreadsheets write them. */
static bool cr_ends(const char *at, const char *end)
{
    while (at < end && *at != '\n' && *at != '\r')
        at++;
    return at + 1 < end && *at == '\r' && at[1] != '\n';
}

/* The rest of a field after its opening quote. */
static int read_quoted(struct csv *c, struct err *e)
{
    int opened = c->line;
    for (; c->at < c->end; c->at++) {
        if (*c->at == '"' && (c->end - c->at < 2 || c->at[1] != '"'))
            break;
        c->at += *c->at == '"';
        c->line += *c->at == '\n' || (*c->at == '\r' && c->cr_ends);
        if (buf_add(&c->field, c->at, 1, e))
            return -1;
    }
    if (c->at == c->end) {
        c->line = opened;
        return fail(c, e, "the quoted field is not closed");
    }
    c->at++;
    if (at_break(c) || *c->at == c->separator)
        return 0;
    return err_set(e, "line %d: '%s' expected after a quoted field", c->line,
                   c->separator == '\t' ? "\\t" : (char[]){c->separator, 0});
}

static int read_field(struct csv *c, struct err *e)
{
    buf_clear(&c->field);
    if (buf_add(&c->field, "", 0, e))
        return -1;
    if (c->at < c->end && *c->at == '"') {
        c->at++;
        return read_quoted(c, e);
    }
    const char *from = c->at;
    while (!at_break(c) && *c->at != c->separator)
        c->at++;
    return buf_add(&c->field, from, (size_t)(c->at - from), e);
}

/* One record as a new array of strings, NULL on failure. */
static json_t *read_record(struct csv *c, struct err *e)
{
    json_t *fields = json_array();
    if (!fields) {
        fail(c, e, "out of memory");
        return NULL;
    }
    for (bool more = true; more;) {
        int line = c->line;
        if (read_field(c, e))
            break;
        json_t *text = json_string(c->field.data);
        if (!text || json_string_length(text) != c->field.len || json_array_append(fields, text)) {
            err_set(e, "line %d: not valid UTF-8 text", line);
            json_decref(text);
            break;
        }
        json_decref(text);
        more = c->at < c->end && *c->at == c->separator;
        if (!more) {
            skip_break(c);
            return fields;
        }
        c->at++;
    }
    json_decref(fields);
    return NULL;
}

int csv_header(struct csv *c, struct err *e)
{
    c->cr_ends = cr_ends(c->at, c->end);
    if (c->at == c->end)
        return fail(c, e, "a header that names the fields expected");
    c->names = read_record(c, e);
    return c->names ? 0 : -1;
}

int csv_names(struct csv *c, const char *header, struct err *e)
{
    struct csv own = {.at = header, .end = header + strlen(header), .line = 1, .separator = ','};
    c->cr_ends = cr_ends(c->at, c->end);
    int rc = csv_header(&own, e);
    c->names = own.names;
    buf_fini(&own.field);
    return rc ? err_prefix(e, "'%s': ", header) : 0;
}

int csv_row(struct csv *c, json_t **row, int *line, struct err *e)
{
    *row = NULL;
    while (c->at < c->end && at_break(c))
        skip_break(c);
    if (c->at == c->end)
        return 0;
    *line = c->line;
    json_t *fields = read_record(c, e);
    if (!fields)
        return -1;
    size_t n = json_array_size(fields), want = json_array_size(c->names);
    *row = n == want ? json_object() : NULL;
    int rc = 0;
    if (!*row)
        rc = err_set(e, "line %d: %zu fields where the header names %zu", *line, n, want);
    for (size_t i = 0; !rc && i < n; i++)
        if (json_object_set(*row, json_string_value(json_array_get(c->names, i)),
                            json_array_get(fields, i)))
            rc = err_set(e, "line %d: out of memory", *line);
    json_decref(fields);
    if (rc) {
        json_decref(*row);
        *row = NULL;
    }
    return rc;
}

void csv_fini(struct csv *c)
{
    json_decref(c->names);
    buf_fini(&c->field);
}
