#include "cli/runs.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "cli/command.h"
#include "report/table.h"

/* --- conditions: NAME OP NUMBER, joined by commas --- */

enum { NAME_MOST = 100 };

struct condition {
    char name[NAME_MOST], op[3];
    double bound;
};

/* The next one of *at, which moves to the rest. */
static int next_condition(const char **at, struct condition *c, struct err *e)
{
    const char *text = *at + strspn(*at, " ");
    const size_t name = strcspn(text, "<>=!, "), space = strspn(text + name, " ");
    const char *op = text + name + space;
    const size_t n = strspn(op, "<>=!");
    static const char *const known[] = {"<", "<=", ">", ">=", "=", "==", "!="};
    char *end = (char *)op;
    snprintf(c->name, sizeof c->name, "%.*s", (int)name, text);
    snprintf(c->op, sizeof c->op, "%.*s", n < 3 ? (int)n : 2, op);
    bool good = name && name < NAME_MOST && n < 3 && n;
    for (size_t i = 0; i < sizeof known / sizeof *known && good; i++)
        if (!strcmp(c->op, known[i])) {
            c->bound = strtod(op + n, &end);
            break;
        }
    good = good && end > op + n && (!*end || *end == ',');
    *at = end + (*end == ',');
    return good ? 0
                : err_code(e, ERR_ARGUMENT,
                           "where: cannot read '%s': conditions are NAME<NUMBER, with <, <=, >, "
                           ">=, = or !=, joined by commas",
                           text);
}

static bool holds(const struct condition *c, const json_t *values)
{
    const json_t *v = json_object_get(json_object_get(values, c->name), "value");
    const double x = json_number_value(v), y = c->bound;
    const bool equal = c->op[1] == '=' || *c->op == '=';
    if (!json_is_number(v))
        return false;
    return *c->op == '!'                    ? x != y
           : equal && x == y                ? true
           : *c->op == '<' || *c->op == '>' ? (*c->op == '<' ? x < y : x > y)
                                            : false;
}

static int keep_where(json_t *runs, const char *where, struct err *e)
{
    struct condition c;
    for (const char *at = where; at && *at;) {
        if (next_condition(&at, &c, e))
            return -1;
        for (size_t i = json_array_size(runs); i-- > 0;)
            if (!holds(&c, json_object_get(json_array_get(runs, i), "values")))
                json_array_remove(runs, i);
    }
    return 0;
}

/* --- the list --- */

static json_t *collect(struct ledger *l, const struct runs_options *o, struct err *e)
{
    json_t *runs = ledger_runs(l, &o->filter, e), *r;
    int rc = runs ? 0 : -1;
    size_t i;
    json_array_foreach(runs, i, r)
    {
        json_t *values =
            rc ? NULL : ledger_values(l, json_integer_value(json_object_get(r, "id")), e);
        rc = rc || !values || json_object_set_new(r, "values", values);
    }
    if (!rc && !keep_where(runs, o->where, e))
        return runs;
    json_decref(runs);
    return NULL;
}

static const char *text_of(const json_t *r, const char *key)
{
    const char *text = json_string_value(json_object_get(r, key));
    return text ? text : "";
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Names of `list` that some run has a value of; the rest of the list after each. */
static bool next_value(const char **list, const json_t *runs, char name[NAME_MOST])
{
    while (**list) {
        const size_t n = strcspn(*list, ",");
        const json_t *r;
        size_t i;
        snprintf(name, NAME_MOST, "%.*s", (int)n, *list);
        *list += n + ((*list)[n] == ',');
        json_array_foreach((json_t *)runs, i, r)
        {
            if (json_object_get(json_object_get(r, "values"), name))
                return true;
        }
    }
    return false;
}

static const char *const heads[] = {"run", "status", "command", "method", "began", "out"};

enum { HEADS = sizeof heads / sizeof *heads };

static int fill_run(struct table *t, int row, const json_t *r, struct err *e)
{
    char began[17];
    snprintf(began, sizeof began, "%s", text_of(r, "started"));
    if (began[10])
        began[10] = ' ';
    const char *const cells[] = {
        NULL,  text_of(r, "status"),        text_of(r, "command"), last_part(text_of(r, "method")),
        began, last_part(text_of(r, "out"))};
    int rc =
        table_set(t, row, 0, e, "%lld", (long long)json_integer_value(json_object_get(r, "id")));
    for (int c = 1; c < HEADS && !rc; c++)
        rc = table_set(t, row, c, e, "%s", *cells[c] ? cells[c] : "-");
    return rc;
}

static int fill_value(struct table *t, int col, const char *name, const json_t *runs, struct err *e)
{
    int rc = table_set(t, 0, col, e, "%s", name);
    const json_t *r;
    size_t i;
    json_array_foreach((json_t *)runs, i, r)
    {
        char digits[DIGITS_MOST];
        const json_t *v =
            json_object_get(json_object_get(json_object_get(r, "values"), name), "value");
        rc = rc || table_set(t, (int)i + 1, col, e, "%s",
                             json_is_number(v) ? digits_of(json_number_value(v), digits) : "-");
    }
    return rc;
}

static int print_list(const struct runs_options *o, const json_t *runs, struct err *e)
{
    struct table t;
    struct buf text = {0};
    char name[NAME_MOST];
    int columns = HEADS;
    const char *values =
        o->values ? o->values : "forget_nll,retain_nll,forget_quality,model_utility";
    for (const char *at = values; next_value(&at, runs, name);)
        columns++;
    if (table_init(&t, (int)json_array_size(runs) + 1, columns, e))
        return -1;
    t.width = command_width();
    int rc = 0, col = HEADS;
    for (int c = 0; c < HEADS && !rc; c++)
        rc = table_set(&t, 0, c, e, "%s", heads[c]);
    for (size_t i = 0; i < json_array_size(runs) && !rc; i++)
        rc = fill_run(&t, (int)i + 1, json_array_get(runs, i), e);
    for (const char *at = values; !rc && next_value(&at, runs, name);)
        rc = fill_value(&t, col++, name, runs, e);
    rc = rc || table_write(&t, TABLE_PLAIN, &text, e);
    if (!rc)
        printf("%s", text.data);
    buf_fini(&text);
    table_fini(&t);
    return rc;
}

/* Every value's name of any run, in a new object's order. */
static json_t *all_names(const json_t *runs)
{
    json_t *names = json_object(), *v;
    const json_t *r;
    const char *name;
    size_t i;
    json_array_foreach((json_t *)runs, i, r)
    {
        json_object_foreach(json_object_get(r, "values"), name, v)
        {
            json_object_set_new(names, name, json_null());
        }
    }
    return names;
}

/* A line of the columns, then of the values. */
static int write_csv_run(const json_t *r, const char *const *columns, json_t *names,
                         struct buf *out, struct err *e)
{
    const json_t *values = json_object_get(r, "values");
    const char *name;
    json_t *none;
    int rc = 0;
    for (int c = 0; columns[c] && !rc; c++)
        rc = (c && buf_str(out, ",", e)) || csv_value(out, json_object_get(r, columns[c]), e);
    json_object_foreach(names, name, none)
    {
        rc = rc || buf_str(out, ",", e) ||
             csv_value(out, json_object_get(json_object_get(values, name), "value"), e);
    }
    return rc || buf_str(out, "\n", e);
}

static int print_csv(const json_t *runs, struct err *e)
{
    static const char *const columns[] = {"id",    "command", "status",  "method",
                                          "model", "out",     "parent",  "started",
                                          "ended", "seconds", "message", NULL};
    json_t *names = all_names(runs), *none;
    struct buf text = {0};
    const char *name;
    int rc = names ? 0 : err_no_memory(e, "runs");
    for (int c = 0; columns[c] && !rc; c++)
        rc = buf_printf(&text, e, "%s%s", c ? "," : "", columns[c]);
    json_object_foreach(names, name, none)
    {
        rc = rc || buf_str(&text, ",", e) || csv_field(&text, name, e);
    }
    rc = rc || buf_str(&text, "\n", e);
    for (size_t i = 0; i < json_array_size(runs) && !rc; i++)
        rc = write_csv_run(json_array_get(runs, i), columns, names, &text, e);
    if (!rc)
        printf("%s", text.data);
    buf_fini(&text);
    json_decref(names);
    return rc;
}

int runs_list(struct ledger *l, const struct runs_options *o, struct err *e)
{
    json_t *runs = collect(l, o, e);
    int rc = runs ? 0 : -1;
    if (!rc && o->json)
        rc = command_print_json(runs, JSON_INDENT(1), e);
    else if (!rc && o->csv)
        rc = print_csv(runs, e);
    else if (!rc && !json_array_size(runs))
        printf("no run in '%s'%s\n", l->path,
               o->where || o->filter.command || o->filter.status || o->filter.method
                   ? " is as asked for"
                   : "");
    else if (!rc)
        rc = print_list(o, runs, e);
    json_decref(runs);
    return rc;
}
