/* Parser of primary expressions: names, constants, lists, attributes, calls, filters and
 * tests; and what all parsers share. */
#include <string.h>

#include "text/jinja_ast.h"

int nodes_add(struct parser *p, struct nodes *l, struct node *n)
{
    if (!n)
        return -1;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        struct node **v = jv_alloc(p->r, cap, sizeof *v);
        if (!v)
            return -1;
        if (l->n)
            memcpy(v, l->v, l->n * sizeof *v);
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = n;
    return 0;
}

struct node *node_new(struct parser *p, enum node_kind kind)
{
    struct node *n = jv_alloc(p->r, 1, sizeof *n);
    if (n) {
        n->kind = kind;
        n->line = p->w->line;
    }
    return n;
}

bool word_is_op(const struct word *w, const char *op)
{
    return w->kind == WORD_OP && !strcmp(w->op, op);
}

bool word_is_name(const struct word *w, const char *name)
{
    return w->kind == WORD_NAME && jv_str_is(&w->str, name);
}

bool parser_skip_op(struct parser *p, const char *op)
{
    bool is = word_is_op(p->w, op);
    p->w += is;
    return is;
}

bool parser_skip_name(struct parser *p, const char *name)
{
    bool is = word_is_name(p->w, name);
    p->w += is;
    return is;
}

struct node *parser_unexpected(struct parser *p, const char *wanted)
{
    const struct word *w = p->w;
    static const char *const kinds[] = {"the end of the template",
                                        "text",
                                        "{%",
                                        "%}",
                                        "{{",
                                        "}}",
                                        "",
                                        "a string",
                                        "a number",
                                        "a number",
                                        ""};
    const char *got = w->kind == WORD_NAME ? w->str.s : w->kind == WORD_OP ? w->op : kinds[w->kind];
    p->r->line = w->line;
    jv_fail(p->r, "expected %s, not '%.40s'", wanted, got);
    return NULL;
}

int parser_need_op(struct parser *p, const char *op)
{
    char wanted[8];
    snprintf(wanted, sizeof wanted, "'%s'", op);
    return parser_skip_op(p, op) || parser_unexpected(p, wanted) ? 0 : -1;
}

const struct jv_str *parser_need_name(struct parser *p)
{
    if (p->w->kind == WORD_NAME && !(p->w->str.s[0] >= '0' && p->w->str.s[0] <= '9'))
        return &p->w++->str;
    parser_unexpected(p, "a name");
    return NULL;
}

static struct node *new_constant(struct parser *p, struct jv v)
{
    struct node *n = node_new(p, NODE_CONST);
    if (n)
        n->value = v;
    p->w++;
    return n;
}

static struct node *parse_name(struct parser *p)
{
    static const struct {
        const char *name;
        struct jv value;
    } constants[] = {{"true", {.kind = JV_BOOL, .b = true}},
                     {"True", {.kind = JV_BOOL, .b = true}},
                     {"false", {.kind = JV_BOOL, .b = false}},
                     {"False", {.kind = JV_BOOL, .b = false}},
                     {"none", {.kind = JV_NONE}},
                     {"None", {.kind = JV_NONE}}};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (word_is_name(p->w, constants[i].name))
            return new_constant(p, constants[i].value);
    struct node *n = node_new(p, NODE_NAME);
    if (!n)
        return NULL;
    n->name = &p->w++->str;
    if (p->macro) {
        p->macro->var_args |= jv_str_is(n->name, "varargs");
        p->macro->var_named |= jv_str_is(n->name, "kwargs");
        p->macro->caller |= jv_str_is(n->name, "caller");
    }
    return n;
}

/* Strings that follow one another are one. */
static struct node *parse_string(struct parser *p)
{
    struct node *n = node_new(p, NODE_CONST);
    struct jv_text t = {0};
    for (; p->w->kind == WORD_STRING; p->w++)
        if (!n || jv_text_put(p->r, &t, p->w->str.s, p->w->str.n))
            return NULL;
    if (jv_text_done(p->r, &t, &n->value))
        return NULL;
    jv_str_chars(n->value.str); /* threads only read it */
    return n;
}

/* Items up to `close`, which a comma may precede. */
static struct node *parse_items(struct parser *p, enum node_kind kind, const char *close)
{
    struct node *n = node_new(p, kind);
    struct nodes l = {0};
    p->w++;
    while (n && !word_is_op(p->w, close)) {
        if (l.n && parser_need_op(p, ","))
            return NULL;
        if (word_is_op(p->w, close))
            break;
        if (nodes_add(p, &l, parse_expr(p, true)))
            return NULL;
        if (kind == NODE_DICT && (parser_need_op(p, ":") || nodes_add(p, &l, parse_expr(p, true))))
            return NULL;
    }
    if (!n || parser_need_op(p, close))
        return NULL;
    n->items = l.v;
    n->n = l.n;
    return n;
}

struct node *parse_primary(struct parser *p)
{
    const struct word *w = p->w;
    if (w->kind == WORD_NAME)
        return parse_name(p);
    if (w->kind == WORD_STRING)
        return parse_string(p);
    if (w->kind == WORD_INT)
        return new_constant(p, jv_int(w->i));
    if (w->kind == WORD_REAL)
        return new_constant(p, jv_real(w->d));
    if (word_is_op(w, "["))
        return parse_items(p, NODE_LIST, "]");
    if (word_is_op(w, "{"))
        return parse_items(p, NODE_DICT, "}");
    if (!word_is_op(w, "("))
        return parser_unexpected(p, "an expression");
    p->w++;
    struct node *n = word_is_op(p->w, ")") ? node_new(p, NODE_TUPLE) : parse_tuple(p, true, NULL);
    return n && !parser_need_op(p, ")") ? n : NULL;
}

/* A subscript in [ ]: an expression, or from:to:step. */
static struct node *parse_subscript(struct parser *p)
{
    struct node *part[3] = {NULL}, *slice = node_new(p, NODE_SLICE);
    int i = 0;
    for (; slice && i < 3; i++) {
        if (!word_is_op(p->w, ":") && !word_is_op(p->w, "]") && !(part[i] = parse_expr(p, true)))
            return NULL;
        if (!parser_skip_op(p, ":"))
            break;
    }
    if (!slice || parser_need_op(p, "]"))
        return NULL;
    if (i == 0)
        return part[0] ? part[0] : parser_unexpected(p, "an index");
    struct nodes l = {0};
    for (i = 0; i < 3; i++) {
        struct node *one = part[i] ? part[i] : node_new(p, NODE_CONST);
        if (one && !part[i])
            one->value = jv_none();
        if (nodes_add(p, &l, one))
            return NULL;
    }
    slice->items = l.v;
    slice->n = l.n;
    return slice;
}

static int add_keyword(struct parser *p, struct nodes *values, struct node *call)
{
    const struct jv_str **names = jv_alloc(p->r, values->n + 1, sizeof *names);
    if (!names)
        return -1;
    if (values->n)
        memcpy(names, call->names, values->n * sizeof *names);
    names[values->n] = &p->w->str;
    p->w += 2;
    call->names = names;
    call->n_names = values->n + 1;
    return nodes_add(p, values, parse_expr(p, true));
}

int parse_arguments(struct parser *p, struct node *call)
{
    struct nodes items = {0}, values = {0};
    p->w++;
    while (!word_is_op(p->w, ")")) {
        p->r->line = p->w->line;
        if ((items.n || values.n) && parser_need_op(p, ","))
            return -1;
        if (word_is_op(p->w, ")"))
            break;
        if (word_is_op(p->w, "*") || word_is_op(p->w, "**"))
            return jv_fail(p->r, "'%s' in front of an argument is not supported", p->w->op);
        bool keyword = p->w->kind == WORD_NAME && word_is_op(p->w + 1, "=");
        if (!keyword && values.n)
            return jv_fail(p->r, "an argument by position follows one by name");
        if (keyword ? add_keyword(p, &values, call) : nodes_add(p, &items, parse_expr(p, true)))
            return -1;
    }
    call->items = items.v;
    call->n = items.n;
    call->named = values.v;
    call->n_named = values.n;
    return parser_need_op(p, ")");
}

struct node *parse_call(struct parser *p, struct node *on)
{
    struct node *n = node_new(p, NODE_CALL);
    if (!n || parse_arguments(p, n))
        return NULL;
    n->a = on;
    return n;
}

static struct node *parse_attribute(struct parser *p, struct node *on)
{
    bool dot = parser_skip_op(p, ".");
    struct node *n = node_new(p, dot && p->w->kind == WORD_NAME ? NODE_ATTR : NODE_ITEM);
    if (!n)
        return NULL;
    n->a = on;
    if (n->kind == NODE_ATTR)
        n->name = &p->w++->str;
    else if (dot)
        n->b = p->w->kind == WORD_INT ? new_constant(p, jv_int(p->w->i))
                                      : parser_unexpected(p, "a name or number");
    else {
        p->w++;
        n->b = parse_subscript(p);
    }
    return n->name || n->b ? n : NULL;
}

struct node *parse_postfix(struct parser *p, struct node *n)
{
    while (n) {
        if (word_is_op(p->w, ".") || word_is_op(p->w, "["))
            n = parse_attribute(p, n);
        else if (word_is_op(p->w, "("))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

struct node *parse_filters(struct parser *p, struct node *on, bool first)
{
    while (first || parser_skip_op(p, "|")) {
        struct node *n = node_new(p, NODE_FILTER);
        if (!n || !(n->name = parser_need_name(p)) ||
            (word_is_op(p->w, "(") && parse_arguments(p, n)))
            return NULL;
        n->a = on;
        on = n;
        first = false;
    }
    return on;
}

/* Whether a word starts the argument of a test that has no parentheses. */
static bool starts_argument(const struct word *w)
{
    if (w->kind == WORD_NAME)
        return !word_is_name(w, "else") && !word_is_name(w, "or") && !word_is_name(w, "and");
    return w->kind == WORD_STRING || w->kind == WORD_INT || w->kind == WORD_REAL ||
           word_is_op(w, "[") || word_is_op(w, "{");
}

struct node *parse_test(struct parser *p, struct node *on)
{
    struct node *n = node_new(p, NODE_TEST), *no = NULL;
    struct nodes l = {0};
    p->w++;
    if (n && parser_skip_name(p, "not") && !(no = node_new(p, NODE_NOT)))
        return NULL;
    if (!n || !(n->name = parser_need_name(p)))
        return NULL;
    n->a = on;
    if (word_is_op(p->w, "(")) {
        if (parse_arguments(p, n))
            return NULL;
    } else if (starts_argument(p->w)) {
        if (word_is_name(p->w, "is"))
            return parser_unexpected(p, "one test");
        if (nodes_add(p, &l, parse_postfix(p, parse_primary(p))))
            return NULL;
        n->items = l.v;
        n->n = l.n;
    }
    if (!no)
        return n;
    no->a = n;
    return no;
}
