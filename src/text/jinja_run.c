/* Runs statements: scopes and macros. */
#include <string.h>

#include "text/jinja_ast.h"

enum { MOST_OUTPUT = 64 << 20, MOST_DEPTH = 1000 };

struct jv_scope *jv_scope_new(struct jv_run *r, struct jv_scope *outer)
{
    struct jv_scope *s = jv_alloc(r, 1, sizeof *s);
    if (s)
        s->outer = outer;
    return s;
}

static bool same_name(const struct jv_str *a, const struct jv_str *b)
{
    return a == b || (a->n == b->n && !memcmp(a->s, b->s, a->n));
}

int jv_scope_set(struct jv_run *r, struct jv_scope *s, const struct jv_str *name,
                 const struct jv *v)
{
    for (size_t i = 0; i < s->n; i++)
        if (same_name(s->names[i], name)) {
            s->values[i] = *v;
            return 0;
        }
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 4;
        const struct jv_str **names = jv_alloc(r, cap, sizeof *names);
        struct jv *values = names ? jv_alloc(r, cap, sizeof *values) : NULL;
        if (!values)
            return -1;
        if (s->n) {
            memcpy(names, s->names, s->n * sizeof *names);
            memcpy(values, s->values, s->n * sizeof *values);
        }
        s->names = names;
        s->values = values;
        s->cap = cap;
    }
    s->names[s->n] = name;
    s->values[s->n++] = *v;
    return jv_step(r, s->n / 8);
}

const struct jv *jv_scope_get(const struct jv_scope *s, const struct jv_str *name)
{
    for (; s; s = s->outer)
        for (size_t i = s->n; i-- > 0;)
            if (same_name(s->names[i], name))
                return &s->values[i];
    return NULL;
}

int jv_scope_set_text(struct jv_run *r, struct jv_scope *s, const char *name, const struct jv *v)
{
    struct jv k;
    return jv_str_lit(r, name, &k) || jv_scope_set(r, s, k.str, v);
}

int jv_assign(struct jv_run *r, const struct node *to, const struct jv *v)
{
    struct jv_list *l;
    struct jv key;
    if (to->kind == NODE_NAME)
        return jv_scope_set(r, r->scope, to->name, v);
    if (to->kind == NODE_ATTR) {
        const struct jv *space = jv_scope_get(r->scope, to->a->name);
        if (!space || space->kind != JV_SPACE)
            return jv_fail(r, "'%.64s' is no namespace, so '%.64s' cannot be set in it",
                           to->a->name->s, to->name->s);
        key = jv_of_str((struct jv_str *)to->name);
        return jv_dict_set(r, space->dict, &key, v);
    }
    if (jv_iterate(r, v, &l))
        return -1;
    if (l->n != to->n)
        return jv_fail(r, "%zu values for %zu names", l->n, to->n);
    for (size_t i = 0; i < l->n; i++)
        if (jv_assign(r, to->items[i], &l->v[i]))
            return -1;
    return 0;
}

/* Statements in a new scope. */
int jinja_run_within(struct jv_run *r, struct node *const *body, size_t n, enum flow *flow)
{
    struct jv_scope *outer = r->scope;
    if (!(r->scope = jv_scope_new(r, outer)))
        return -1;
    int rc = jinja_run(r, body, n, flow);
    r->scope = outer;
    return rc;
}

/* What statements print, as a string; `scope` is theirs. */
static int capture(struct jv_run *r, const struct node *n, struct jv_scope *scope, struct jv *out)
{
    struct jv_scope *outer = r->scope;
    struct jv_text t = {0}, *to = r->out;
    enum flow flow = FLOW_ON;
    if (!scope)
        return -1;
    r->scope = scope;
    r->out = &t;
    int rc = jinja_run(r, n->items, n->n, &flow);
    r->scope = outer;
    r->out = to;
    if (!rc && flow != FLOW_ON)
        return jv_fail(r, "'break' and 'continue' need a loop around them");
    return rc || jv_text_done(r, &t, out);
}

static int run_if(struct jv_run *r, const struct node *n, enum flow *flow)
{
    for (;;) {
        struct jv v;
        if (jinja_eval(r, n->a, &v))
            return -1;
        if (jv_truth(&v))
            return jinja_run(r, n->items, n->n, flow);
        if (n->n_else != 1 || n->orelse[0]->kind != NODE_IF)
            return jinja_run(r, n->orelse, n->n_else, flow);
        n = n->orelse[0];
    }
}

static int run_text(struct jv_run *r, const struct node *n, enum flow *flow)
{
    (void)flow;
    return jv_text_add(r, r->out, &n->value);
}

static int run_print(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv v;
    (void)flow;
    if (jinja_eval(r, n->a, &v) || jv_text_add(r, r->out, &v))
        return -1;
    return r->out->n > MOST_OUTPUT ? jv_fail(r, "it writes more than %d MB", MOST_OUTPUT >> 20) : 0;
}

static int run_set(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv v;
    (void)flow;
    return jinja_eval(r, n->b, &v) || jv_assign(r, n->a, &v);
}

static int run_capture(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv v, through;
    (void)flow;
    return capture(r, n, jv_scope_new(r, r->scope), &v) ||
           jinja_eval_filters(r, n->b, &v, &through) || jv_assign(r, n->a, &through);
}

static int run_through(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv v, through;
    (void)flow;
    if (capture(r, n, jv_scope_new(r, r->scope), &v) || jinja_eval_filters(r, n->b, &v, &through))
        return -1;
    if (through.kind != JV_STR)
        return jv_fail(r, "a filter block needs a filter that makes a string");
    return jv_text_add(r, r->out, &through);
}

static int make_macro(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv_macro *m = jv_alloc(r, 1, sizeof *m);
    if (!m)
        return -1;
    *m = (struct jv_macro){n, r->scope};
    for (struct jv_scope *s = r->scope; s; s = s->outer)
        s->kept = true;
    *out = (struct jv){.kind = JV_MACRO, .macro = m};
    return 0;
}

static int run_macro(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv v;
    (void)flow;
    return make_macro(r, n, &v) || jv_scope_set(r, r->scope, n->name, &v);
}

/* {% call f(x) %}: f(x, caller=...), where only a macro can take a caller. */
static int run_caller(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv f, caller, v;
    struct jv_args a = {.n = n->a->n, .n_named = n->a->n_named, .names = n->a->names};
    (void)flow;
    a.v = jv_alloc(r, a.n + 1, sizeof *a.v);
    a.named = jv_alloc(r, a.n_named + 1, sizeof *a.named);
    if (!a.v || !a.named || jinja_eval(r, n->a->a, &f))
        return -1;
    for (size_t i = 0; i < a.n; i++)
        if (jinja_eval(r, n->a->items[i], &a.v[i]))
            return -1;
    for (size_t i = 0; i < a.n_named; i++)
        if (jinja_eval(r, n->a->named[i], &a.named[i]))
            return -1;
    if (f.kind != JV_MACRO)
        return f.kind == JV_UNDEFINED ? jv_fail_undefined(r, &f)
                                      : jv_fail(r, "a call block needs a macro");
    return make_macro(r, n, &caller) || jv_call_macro(r, f.macro, &a, &caller, &v) ||
           jv_text_add(r, r->out, &v);
}

/* Sets the macro's parameter number i: from arguments, else its default, else undefined. */
static int set_parameter(struct jv_run *r, const struct node *n, size_t i, const struct jv_args *a,
                         size_t *used)
{
    struct jv v = {.kind = JV_UNDEFINED, .str = (struct jv_str *)n->names[i]};
    size_t plain = n->n_names - n->n_named;
    const struct jv *given = i < a->n ? &a->v[i] : NULL;
    for (size_t k = 0; !given && k < a->n_named; k++)
        if (same_name(a->names[k], n->names[i])) {
            given = &a->named[k];
            ++*used;
        }
    if (given)
        v = *given;
    else if (i >= plain && jinja_eval(r, n->named[i - plain], &v))
        return -1;
    return jv_scope_set(r, r->scope, n->names[i], &v);
}

/* `varargs` and `kwargs`: what no parameter took. */
static int set_rest(struct jv_run *r, const struct node *n, const struct jv_args *a)
{
    struct jv_list *l = jv_list_new(r, 0);
    struct jv_dict *d = jv_dict_new(r);
    if (!l || !d)
        return -1;
    for (size_t i = n->n_names; i < a->n; i++)
        if (jv_list_add(r, l, &a->v[i]))
            return -1;
    for (size_t k = 0; k < a->n_named; k++) {
        size_t i = a->n < n->n_names ? a->n : n->n_names;
        while (i < n->n_names && !same_name(a->names[k], n->names[i]))
            i++;
        struct jv key = jv_of_str((struct jv_str *)a->names[k]);
        if (i == n->n_names && jv_dict_set(r, d, &key, &a->named[k]))
            return -1;
    }
    struct jv list = jv_of(JV_TUPLE, l), dict = {.kind = JV_DICT, .dict = d};
    return (n->var_args && jv_scope_set_text(r, r->scope, "varargs", &list)) ||
           (n->var_named && jv_scope_set_text(r, r->scope, "kwargs", &dict));
}

static int set_parameters(struct jv_run *r, const struct node *n, const struct jv_args *a,
                          const struct jv *caller)
{
    size_t used = 0;
    struct jv none = {.kind = JV_UNDEFINED};
    for (size_t i = 0; i < n->n_names; i++)
        if (set_parameter(r, n, i, a, &used))
            return -1;
    if (a->n > n->n_names && !n->var_args)
        return jv_fail(r, "a macro takes %zu arguments, not %zu", n->n_names, a->n);
    if (a->n_named > used && !n->var_named)
        return jv_fail(r, "a macro does not take the argument '%.64s'",
                       a->names[a->n_named - 1]->s);
    if (caller && !n->caller)
        return jv_fail(r, "the macro of a call block does not use 'caller'");
    if (n->caller && n->kind == NODE_MACRO &&
        jv_scope_set_text(r, r->scope, "caller", caller ? caller : &none))
        return -1;
    return n->var_args || n->var_named ? set_rest(r, n, a) : 0;
}

int jv_call_macro(struct jv_run *r, const struct jv_macro *m, const struct jv_args *a,
                  const struct jv *caller, struct jv *out)
{
    struct jv_scope *outer = r->scope, *scope = jv_scope_new(r, m->scope);
    if (!scope)
        return -1;
    r->scope = scope;
    int rc = set_parameters(r, m->node, a, caller);
    r->scope = outer;
    return rc || capture(r, m->node, scope, out);
}

/* {% generation %}, {% with a = 1 %}: values are those outside. */
static int run_scope(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv_scope *outer = r->scope, *inner = jv_scope_new(r, outer);
    struct jv v;
    if (!inner)
        return -1;
    for (size_t i = 0; i + 1 < n->n_named; i += 2) {
        r->scope = outer;
        if (jinja_eval(r, n->named[i + 1], &v))
            return -1;
        r->scope = inner;
        if (jv_assign(r, n->named[i], &v))
            return -1;
    }
    r->scope = inner;
    int rc = jinja_run(r, n->items, n->n, flow);
    r->scope = outer;
    return rc;
}

static int run_break(struct jv_run *r, const struct node *n, enum flow *flow)
{
    (void)r;
    *flow = n->kind == NODE_BREAK ? FLOW_BREAK : FLOW_CONTINUE;
    return 0;
}

static int (*const runs[])(struct jv_run *r, const struct node *n, enum flow *flow) = {
    [NODE_TEXT] = run_text,   [NODE_PRINT] = run_print,   [NODE_FOR] = jinja_run_for,
    [NODE_IF] = run_if,       [NODE_SET] = run_set,       [NODE_CAPTURE] = run_capture,
    [NODE_MACRO] = run_macro, [NODE_CALLER] = run_caller, [NODE_THROUGH] = run_through,
    [NODE_SCOPE] = run_scope, [NODE_BREAK] = run_break,   [NODE_CONTINUE] = run_break,
};

int jinja_run(struct jv_run *r, struct node *const *body, size_t n, enum flow *flow)
{
    int rc = 0;
    if (r->depth >= MOST_DEPTH)
        return jv_fail(r, "it goes more than %d levels deep", MOST_DEPTH);
    r->depth++;
    for (size_t i = 0; i < n && !rc && *flow == FLOW_ON; i++) {
        r->line = body[i]->line;
        rc = jv_step(r, 1) || runs[body[i]->kind](r, body[i], flow);
    }
    r->depth--;
    return rc;
}
