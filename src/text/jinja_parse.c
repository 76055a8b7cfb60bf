/* Parser of statements; creation and release of templates. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_ast.h"

enum { MOST_DEPTH = 60 };

static int parse_body(struct parser *p, const char *const *ends, struct nodes *out);

static int need_close(struct parser *p)
{
    if (p->w->kind == WORD_CLOSE) {
        p->w++;
        return 0;
    }
    parser_unexpected(p, "'%}'");
    return -1;
}

/* "%} body {% END": up to and with the name that ends it, which is returned. */
static const struct jv_str *take_body(struct parser *p, const char *const *ends, struct nodes *out)
{
    parser_skip_op(p, ":");
    if (need_close(p) || parse_body(p, ends, out))
        return NULL;
    return &p->w++->str;
}

/* The same as the body of n. */
static const struct jv_str *take_items(struct parser *p, const char *const *ends, struct node *n)
{
    struct nodes l = {0};
    const struct jv_str *end = take_body(p, ends, &l);
    n->items = l.v;
    n->n = l.n;
    return end;
}

static struct node *parse_for(struct parser *p, struct node *n)
{
    static const char *const ends[] = {"endfor", "else", NULL}, *const last[] = {"endfor", NULL};
    struct nodes l = {0};
    n->kind = NODE_FOR;
    if (!(n->a = parse_target(p, false, "in")))
        return NULL;
    if (!parser_skip_name(p, "in"))
        return parser_unexpected(p, "'in'");
    if (!(n->b = parse_tuple(p, false, "recursive")) ||
        (parser_skip_name(p, "if") && !(n->c = parse_expr(p, true))))
        return NULL;
    if (word_is_name(p->w, "recursive")) {
        p->r->line = n->line;
        jv_fail(p->r, "a recursive loop is not supported");
        return NULL;
    }
    const struct jv_str *end = take_items(p, ends, n);
    if (!end || (jv_str_is(end, "else") && !take_body(p, last, &l)))
        return NULL;
    n->orelse = l.v;
    n->n_else = l.n;
    return n;
}

static struct node *parse_if(struct parser *p, struct node *first)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif",
                                                                                        NULL};
    struct node *n = first;
    for (;;) {
        struct nodes l = {0};
        n->kind = NODE_IF;
        if (!(n->a = parse_tuple(p, false, NULL)))
            return NULL;
        const struct jv_str *end = take_items(p, ends, n);
        if (!end || (jv_str_is(end, "else") && !take_body(p, last, &l)))
            return NULL;
        if (!jv_str_is(end, "elif")) {
            n->orelse = l.v;
            n->n_else = l.n;
            return first;
        }
        struct node *next = node_new(p, NODE_IF);
        if (nodes_add(p, &l, next))
            return NULL;
        n->orelse = l.v;
        n->n_else = 1;
        n = next;
    }
}

static struct node *parse_set(struct parser *p, struct node *n)
{
    static const char *const ends[] = {"endset", NULL};
    n->kind = NODE_SET;
    if (!(n->a = parse_target(p, true, NULL)))
        return NULL;
    if (parser_skip_op(p, "="))
        return (n->b = parse_tuple(p, true, NULL)) ? n : NULL;
    n->kind = NODE_CAPTURE;
    if (word_is_op(p->w, "|") && !(n->b = parse_filters(p, NULL, false)))
        return NULL;
    return take_items(p, ends, n) ? n : NULL;
}

/* (a, b=1): names in n->names, defaults of the last ones in n->named. */
static int parse_parameters(struct parser *p, struct node *n)
{
    struct nodes values = {0};
    size_t cap = 8;
    const struct jv_str **names = jv_alloc(p->r, cap, sizeof *names), **more;
    if (!names || parser_need_op(p, "("))
        return -1;
    while (!word_is_op(p->w, ")")) {
        if (n->n_names && parser_need_op(p, ","))
            return -1;
        if (n->n_names == cap) {
            if (!(more = jv_alloc(p->r, cap *= 2, sizeof *names)))
                return -1;
            memcpy(more, names, n->n_names * sizeof *names);
            names = more;
        }
        if (!(names[n->n_names++] = parser_need_name(p)))
            return -1;
        if (parser_skip_op(p, "=")) {
            if (nodes_add(p, &values, parse_expr(p, true)))
                return -1;
        } else if (values.n) {
            return jv_fail(p->r, "a parameter without a default follows one that has it");
        }
    }
    n->names = names;
    n->named = values.v;
    n->n_named = values.n;
    return parser_need_op(p, ")");
}

/* A macro's body; what it names tells which arguments it takes. */
static int take_macro(struct parser *p, struct node *n, const char *const *ends)
{
    struct node *outer = p->macro;
    p->macro = n;
    int rc = take_items(p, ends, n) ? 0 : -1;
    p->macro = outer;
    if (outer) {
        outer->var_args |= n->var_args;
        outer->var_named |= n->var_named;
        outer->caller |= n->caller;
    }
    return rc;
}

static struct node *parse_macro(struct parser *p, struct node *n)
{
    static const char *const ends[] = {"endmacro", NULL};
    n->kind = NODE_MACRO;
    if (!(n->name = parser_need_name(p)) || parse_parameters(p, n))
        return NULL;
    return take_macro(p, n, ends) ? NULL : n;
}

static struct node *parse_caller(struct parser *p, struct node *n)
{
    static const char *const ends[] = {"endcall", NULL};
    n->kind = NODE_CALLER;
    if (word_is_op(p->w, "(") && parse_parameters(p, n))
        return NULL;
    if (!(n->a = parse_expr(p, true)))
        return NULL;
    if (n->a->kind != NODE_CALL)
        return parser_unexpected(p, "a call");
    return take_macro(p, n, ends) ? NULL : n;
}

static struct node *parse_through(struct parser *p, struct node *n)
{
    static const char *const ends[] = {"endfilter", NULL};
    n->kind = NODE_THROUGH;
    if (!(n->b = parse_filters(p, NULL, true)))
        return NULL;
    return take_items(p, ends, n) ? n : NULL;
}

static struct node *parse_with(struct parser *p, struct node *n)
{
    static const char *const ends[] = {"endwith", NULL};
    struct nodes targets = {0}, values = {0}, pairs = {0};
    n->kind = NODE_SCOPE;
    while (p->w->kind != WORD_CLOSE) {
        if (targets.n && parser_need_op(p, ","))
            return NULL;
        if (nodes_add(p, &targets, parse_target(p, false, NULL)) || parser_need_op(p, "=") ||
            nodes_add(p, &values, parse_expr(p, true)))
            return NULL;
    }
    for (size_t i = 0; i < targets.n; i++)
        if (nodes_add(p, &pairs, targets.v[i]) || nodes_add(p, &pairs, values.v[i]))
            return NULL;
    n->named = pairs.v;
    n->n_named = pairs.n;
    return take_items(p, ends, n) ? n : NULL;
}

static struct node *parse_generation(struct parser *p, struct node *n)
{
    static const char *const ends[] = {"endgeneration", NULL};
    n->kind = NODE_SCOPE;
    return take_items(p, ends, n) ? n : NULL;
}

/* {% print a, b %}: one after the other. */
static struct node *parse_print(struct parser *p, struct node *n)
{
    n->kind = NODE_PRINT;
    if (!(n->a = parse_tuple(p, true, NULL)))
        return NULL;
    if (n->a->kind == NODE_TUPLE)
        n->a->kind = NODE_CONCAT;
    return n;
}

static struct node *parse_break(struct parser *p, struct node *n)
{
    (void)p;
    n->kind = NODE_BREAK;
    return n;
}

static struct node *parse_continue(struct parser *p, struct node *n)
{
    (void)p;
    n->kind = NODE_CONTINUE;
    return n;
}

static struct node *refuse(struct parser *p, struct node *n)
{
    p->r->line = n->line;
    jv_fail(p->r, "the statement '%s' is not supported in a chat template", p->w[-1].str.s);
    return NULL;
}

static const struct {
    const char *name;
    struct node *(*parse)(struct parser *p, struct node *n);
} statements[] = {
    {"for", parse_for},
    {"if", parse_if},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_caller},
    {"filter", parse_through},
    {"with", parse_with},
    {"print", parse_print},
    {"generation", parse_generation},
    {"break", parse_break},
    {"continue", parse_continue},
    {"extends", refuse},
    {"block", refuse},
    {"include", refuse},
    {"import", refuse},
    {"from", refuse},
    {"autoescape", refuse},
    {"trans", refuse},
    {"do", refuse},
    {"debug", refuse},
};

static struct node *parse_statement(struct parser *p)
{
    struct node *n = node_new(p, NODE_SCOPE);
    for (size_t i = 0; n && i < sizeof statements / sizeof *statements; i++)
        if (parser_skip_name(p, statements[i].name)) {
            n = statements[i].parse(p, n);
            return n && !need_close(p) ? n : NULL;
        }
    return n ? parser_unexpected(p, "a statement") : NULL;
}

/* Text or something printed. */
static struct node *parse_output(struct parser *p)
{
    bool text = p->w->kind == WORD_DATA;
    struct node *n = node_new(p, text ? NODE_TEXT : NODE_PRINT);
    if (!n)
        return NULL;
    if (text) {
        n->value = jv_of_str((struct jv_str *)&p->w++->str);
        return n;
    }
    p->w++;
    if (!(n->a = parse_tuple(p, true, NULL)))
        return NULL;
    if (p->w->kind != WORD_PRINTED)
        return parser_unexpected(p, "'}}'");
    p->w++;
    return n;
}

/* Statements up to a tag with one of these names (NULL: the end of the template), at its name. */
static int parse_body(struct parser *p, const char *const *ends, struct nodes *out)
{
    p->r->line = p->w->line;
    if (++p->depth > MOST_DEPTH)
        return jv_fail(p->r, "statements are nested more than %d deep", MOST_DEPTH);
    while (p->w->kind != WORD_END) {
        if (p->w->kind != WORD_OPEN) {
            if (nodes_add(p, out, parse_output(p)))
                return -1;
            continue;
        }
        p->w++;
        for (int i = 0; ends && ends[i]; i++)
            if (word_is_name(p->w, ends[i])) {
                p->depth--;
                return 0;
            }
        if (nodes_add(p, out, parse_statement(p)))
            return -1;
    }
    p->depth--;
    if (!ends)
        return 0;
    char wanted[32];
    snprintf(wanted, sizeof wanted, "'%s'", ends[0]);
    parser_unexpected(p, wanted);
    return -1;
}

int jinja_parse(struct jinja *j, const struct word *words)
{
    struct parser p = {.r = &j->r, .w = words};
    struct nodes l = {0};
    if (parse_body(&p, NULL, &l))
        return -1;
    j->body = l.v;
    j->n = l.n;
    return 0;
}

struct jinja *jinja_compile(const char *text, size_t n, struct err *e)
{
    struct jinja *j = mem_alloc(1, sizeof *j, e);
    struct word *words;
    size_t n_words, bad;
    if (!j)
        return NULL;
    if (!utf8_valid(text, n, &bad)) {
        err_set(e, "the chat template is not valid UTF-8 at byte %zu", bad);
        free(j);
        return NULL;
    }
    j->r = (struct jv_run){.e = e, .line = 1, .max_steps = INT32_MAX};
    if (jinja_lex(&j->r, text, n, &words, &n_words) || jinja_parse(j, words)) {
        jinja_free(j);
        return NULL;
    }
    j->r.e = NULL;
    return j;
}

void jinja_free(struct jinja *j)
{
    if (j)
        arena_fini(&j->r.arena);
    free(j);
}
