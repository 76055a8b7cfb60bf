/* Parser of expressions, in the order of their operators: a if b else c, or, and, not, comparisons,
 * + -, ~, * / // %, **, signs, then attributes, calls, filters and tests. */
#include <string.h>

#include "text/jinja_ast.h"

enum { MOST_DEPTH = 100 };

int parser_deeper(struct parser *p)
{
    p->r->line = p->w->line;
    return ++p->depth > MOST_DEPTH
               ? jv_fail(p->r, "expressions and statements are nested more than %d deep",
                         MOST_DEPTH)
               : 0;
}

static struct node *parse_unary(struct parser *p, bool filters)
{
    bool minus = word_is_op(p->w, "-"), plus = word_is_op(p->w, "+");
    struct node *n;
    if (parser_deeper(p))
        return NULL;
    if (minus || plus) {
        if ((n = node_new(p, minus ? NODE_MINUS : NODE_PLUS))) {
            p->w++;
            n->a = parse_unary(p, false);
            n = n->a ? n : NULL;
        }
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    while (n && filters) {
        if (word_is_op(p->w, "|"))
            n = parse_filters(p, n, false);
        else if (word_is_name(p->w, "is"))
            n = parse_test(p, n);
        else if (word_is_op(p->w, "("))
            n = parse_call(p, n);
        else
            break;
    }
    p->depth--;
    return n;
}

/* Operators that group to the left, tighter ones at higher levels. */
static const char *const levels[][5] = {{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}};
enum { LEVELS = sizeof levels / sizeof *levels, LEVEL_CONCAT = 1 };

static struct node *parse_level(struct parser *p, int level)
{
    if (level == LEVELS)
        return parse_unary(p, true);
    struct node *left = parse_level(p, level + 1), *n = NULL;
    struct nodes l = {0};
    while (left) {
        int i = 0;
        while (levels[level][i] && !word_is_op(p->w, levels[level][i]))
            i++;
        if (!levels[level][i])
            break;
        if (level == LEVEL_CONCAT && l.n) {
            p->w++;
        } else {
            if (!(n = node_new(p, level == LEVEL_CONCAT ? NODE_CONCAT : NODE_BINARY)))
                return NULL;
            memcpy(n->op, p->w++->op, sizeof n->op);
            n->a = left;
        }
        struct node *right = parse_level(p, level + 1);
        if (level == LEVEL_CONCAT) {
            if ((!l.n && nodes_add(p, &l, left)) || nodes_add(p, &l, right))
                return NULL;
        } else if (!(n->b = right)) {
            return NULL;
        }
        left = n;
    }
    if (left && l.n) {
        left->items = l.v;
        left->n = l.n;
    }
    return left;
}

/* The comparison at p->w, passed over; NULL: there is none. */
static const char *take_comparison(struct parser *p)
{
    static const char *const ops[] = {"==", "!=", "<", "<=", ">", ">="};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (parser_skip_op(p, ops[i]))
            return ops[i];
    if (parser_skip_name(p, "in"))
        return "in";
    if (word_is_name(p->w, "not") && word_is_name(p->w + 1, "in")) {
        p->w += 2;
        return "ni";
    }
    return NULL;
}

static struct node *parse_compare(struct parser *p)
{
    struct node *left = parse_level(p, 0), *n = NULL;
    struct nodes l = {0};
    char(*ops)[3] = NULL;
    size_t cap = 0;
    for (const char *op; left && (op = take_comparison(p));) {
        if (!n && !(n = node_new(p, NODE_COMPARE)))
            return NULL;
        if (l.n == cap) {
            char(*more)[3] = jv_alloc(p->r, cap = 2 * cap + 2, sizeof *ops);
            if (!more)
                return NULL;
            if (l.n)
                memcpy(more, ops, l.n * sizeof *ops);
            ops = more;
        }
        snprintf(ops[l.n], sizeof *ops, "%s", op);
        if (nodes_add(p, &l, parse_level(p, 0)))
            return NULL;
    }
    if (!n || !left)
        return left;
    n->a = left;
    n->items = l.v;
    n->n = l.n;
    n->ops = (const char(*)[3])ops;
    return n;
}

static struct node *parse_not(struct parser *p)
{
    if (!word_is_name(p->w, "not") || word_is_name(p->w + 1, "in"))
        return parse_compare(p);
    struct node *n = parser_deeper(p) ? NULL : node_new(p, NODE_NOT);
    if (!n)
        return NULL;
    p->w++;
    n->a = parse_not(p);
    p->depth--;
    return n->a ? n : NULL;
}

static struct node *parse_logic(struct parser *p, bool is_or)
{
    struct node *left = is_or ? parse_logic(p, false) : parse_not(p);
    while (left && parser_skip_name(p, is_or ? "or" : "and")) {
        struct node *n = node_new(p, is_or ? NODE_OR : NODE_AND);
        if (!n)
            return NULL;
        n->a = left;
        n->b = is_or ? parse_logic(p, false) : parse_not(p);
        left = n->b ? n : NULL;
    }
    return left;
}

struct node *parse_expr(struct parser *p, bool choice)
{
    if (parser_deeper(p))
        return NULL;
    struct node *n = parse_logic(p, true);
    while (n && choice && parser_skip_name(p, "if")) {
        struct node *c = node_new(p, NODE_CHOICE);
        if (!c || !(c->b = parse_logic(p, true)))
            return NULL;
        c->a = n;
        if (parser_skip_name(p, "else") && !(c->c = parse_expr(p, true)))
            return NULL;
        n = c;
    }
    p->depth--;
    return n;
}

static bool tuple_ends(const struct word *w, const char *end)
{
    return w->kind == WORD_PRINTED || w->kind == WORD_CLOSE || word_is_op(w, ")") ||
           (end && word_is_name(w, end));
}

/* Expressions or targets with commas between them. */
static struct node *parse_several(struct parser *p, const char *end,
                                  struct node *(*one)(struct parser *p, bool how), bool how)
{
    struct node *first = one(p, how), *n;
    struct nodes l = {0};
    if (!first || !word_is_op(p->w, ","))
        return first;
    if (!(n = node_new(p, NODE_TUPLE)) || nodes_add(p, &l, first))
        return NULL;
    while (parser_skip_op(p, ",") && !tuple_ends(p->w, end))
        if (nodes_add(p, &l, one(p, how)))
            return NULL;
    n->items = l.v;
    n->n = l.n;
    return n;
}

struct node *parse_tuple(struct parser *p, bool choice, const char *end)
{
    return parse_several(p, end, parse_expr, choice);
}

/* A name, name.attribute or several in parentheses. */
static struct node *parse_target_one(struct parser *p, bool attributes)
{
    if (parser_skip_op(p, "(")) {
        struct node *n = parser_deeper(p) ? NULL : parse_target(p, attributes, NULL);
        p->depth--;
        return n && !parser_need_op(p, ")") ? n : NULL;
    }
    struct node *n = node_new(p, NODE_NAME), *of;
    if (!n || !(n->name = parser_need_name(p)))
        return NULL;
    if (!attributes || !parser_skip_op(p, "."))
        return n;
    if (!(of = node_new(p, NODE_ATTR)) || !(of->name = parser_need_name(p)))
        return NULL;
    of->a = n;
    return of;
}

struct node *parse_target(struct parser *p, bool attributes, const char *end)
{
    return parse_several(p, end, parse_target_one, attributes);
}
