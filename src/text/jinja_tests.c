/* Tests: what may follow "is". */
#include <string.h>

#include "text/jinja_ast.h"

static int by_kind(struct jv_run *r, const struct jv *v, const char *name, bool *out)
{
    static const struct {
        const char *name;
        unsigned long kinds; /* bits 1 << kind */
    } tests[] = {
#define K(kind) (1ul << JV_##kind)
        {"undefined", K(UNDEFINED)},
        {"none", K(NONE)},
        {"boolean", K(BOOL)},
        {"integer", K(INT)},
        {"float", K(REAL)},
        {"number", K(BOOL) | K(INT) | K(REAL)},
        {"string", K(STR)},
        {"mapping", K(DICT)},
        {"sequence", K(UNDEFINED) | K(STR) | K(LIST) | K(TUPLE) | K(RANGE) | K(DICT)},
        {"iterable", K(UNDEFINED) | K(STR) | K(LIST) | K(TUPLE) | K(RANGE) | K(VIEW) | K(ITER) |
                         K(DICT) | K(LOOP)},
        {"callable", K(FUNC) | K(METHOD) | K(MACRO) | K(LOOP) | K(UNDEFINED)},
#undef K
    };
    (void)r;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (!strcmp(name, tests[i].name)) {
            *out = tests[i].kinds >> v->kind & 1;
            return 1;
        }
    return 0;
}

/* v % by == rest. */
static int divides(struct jv_run *r, const struct jv *v, struct jv by, int64_t rest, bool *out)
{
    struct jv left, want = jv_int(rest);
    if (jv_binary(r, v, "%", &by, &left))
        return -1;
    *out = jv_equal(&left, &want);
    return 0;
}

static bool same(const struct jv *a, const struct jv *b)
{
    if (a->kind != b->kind)
        return false;
    return a->kind <= JV_REAL ? jv_equal(a, b) : a->list == b->list;
}

/* Tests without an argument that need more than the kind: 1, 0: not this one, -1: an error. */
static int by_value(struct jv_run *r, const struct jv *v, const char *name, bool *out)
{
    struct jv s;
    bool upper = !strcmp(name, "upper");
    *out = false;
    if (!strcmp(name, "defined"))
        *out = v->kind != JV_UNDEFINED;
    else if (!strcmp(name, "true") || !strcmp(name, "false"))
        *out = v->kind == JV_BOOL && v->b == (name[0] == 't');
    else if (!strcmp(name, "escaped"))
        *out = v->kind == JV_STR && v->str->safe;
    else if (!strcmp(name, "odd") || !strcmp(name, "even"))
        return divides(r, v, jv_int(2), name[0] == 'o', out) ? -1 : 1;
    else if (upper || !strcmp(name, "lower")) {
        if (jv_to_str(r, v, &s))
            return -1;
        *out = jv_is_case(s.str, upper);
    } else if (!strcmp(name, "filter"))
        *out = v->kind == JV_STR && (jv_function_find(jinja_list_filters, v->str) ||
                                     jv_function_find(jinja_sort_filters, v->str) ||
                                     jv_function_find(jinja_text_filters, v->str));
    else
        return 0;
    return 1;
}

static const char *comparison(const char *name)
{
    static const struct {
        const char *name, *op;
    } names[] = {{"eq", "=="}, {"equalto", "=="}, {"==", "=="},      {"ne", "!="},
                 {"!=", "!="}, {"lt", "<"},       {"lessthan", "<"}, {"<", "<"},
                 {"le", "<="}, {"<=", "<="},      {"gt", ">"},       {"greaterthan", ">"},
                 {">", ">"},   {"ge", ">="},      {">=", ">="},      {"in", "in"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i].name))
            return names[i].op;
    return NULL;
}

int jinja_test(struct jv_run *r, const struct jv_str *name, const struct jv_args *a, bool *out)
{
    char text[32];
    const char *op;
    snprintf(text, sizeof text, "%.*s", name->n < sizeof text ? (int)name->n : 0, name->s);
    op = comparison(text);
    bool other = op || !strcmp(text, "divisibleby") || !strcmp(text, "sameas");
    if (a->n_named || a->n != (other ? 2u : 1u)) {
        bool known = other || by_kind(r, &a->v[0], text, out) || by_value(r, &a->v[0], text, out);
        if (known)
            return jv_fail(r, "the test '%s' takes %d argument", text, (int)other);
    } else if (op) {
        return jv_compare(r, &a->v[0], op, &a->v[1], out);
    } else if (!strcmp(text, "divisibleby")) {
        return divides(r, &a->v[0], a->v[1], 0, out);
    } else if (!strcmp(text, "sameas")) {
        *out = same(&a->v[0], &a->v[1]);
        return 0;
    } else {
        int rc = by_kind(r, &a->v[0], text, out);
        if (!rc)
            rc = by_value(r, &a->v[0], text, out);
        if (rc)
            return rc < 0 ? -1 : 0;
    }
    return jv_fail(r, "the test '%.64s' is not supported in a chat template", name->s);
}
