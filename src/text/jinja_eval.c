/* Evaluates expressions. */
#include <string.h>

#include "text/jinja_ast.h"

enum { MOST_DEPTH = 1000 };

static int eval_items(struct jv_run *r, const struct node *n, struct jv_list **out)
{
    struct jv_list *l = *out = jv_list_new(r, n->n);
    struct jv v;
    if (!l)
        return -1;
    for (size_t i = 0; i < n->n; i++)
        if (jinja_eval(r, n->items[i], &v) || jv_list_add(r, l, &v))
            return -1;
    return 0;
}

static int eval_list(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv_list *l;
    if (eval_items(r, n, &l))
        return -1;
    *out = jv_of(n->kind == NODE_LIST ? JV_LIST : JV_TUPLE, l);
    return 0;
}

static int eval_dict(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv_dict *d = jv_dict_new(r);
    struct jv k, v;
    if (!d)
        return -1;
    for (size_t i = 0; i + 1 < n->n; i += 2)
        if (jinja_eval(r, n->items[i], &k) || jinja_eval(r, n->items[i + 1], &v) ||
            jv_dict_set(r, d, &k, &v))
            return -1;
    *out = (struct jv){.kind = JV_DICT, .dict = d};
    return 0;
}

static int eval_name(struct jv_run *r, const struct node *n, struct jv *out)
{
    const struct jv *v = jv_scope_get(r->scope, n->name);
    const struct jv_function *f = v ? NULL : jv_function_find(jinja_globals, n->name);
    if (v)
        *out = *v;
    else if (f)
        *out = (struct jv){.kind = JV_FUNC, .func = f};
    else
        *out = (struct jv){.kind = JV_UNDEFINED, .str = (struct jv_str *)n->name};
    return 0;
}

/* One bound of a slice; *given false: None. */
static int bound(struct jv_run *r, const struct node *n, int64_t *at, bool *given)
{
    struct jv v;
    if (jinja_eval(r, n, &v))
        return -1;
    *given = v.kind != JV_NONE;
    if (*given && v.kind != JV_INT && v.kind != JV_BOOL)
        return v.kind == JV_UNDEFINED
                   ? jv_fail_undefined(r, &v)
                   : jv_fail(r, "a slice cannot have a %s as bound", jv_type(&v));
    *at = *given ? v.kind == JV_BOOL ? v.b : v.i : 0;
    return 0;
}

/* A bound as an index, as Python cuts it to lo..hi. */
static int64_t clip(int64_t at, int64_t n, int64_t lo, int64_t hi)
{
    if (at < 0)
        at = at < -n ? lo : at + n;
    return at < lo ? lo : at > hi ? hi : at;
}

/* Item i of a string or list at the end of t or l. */
static int take(struct jv_run *r, const struct jv *v, int64_t i, struct jv_text *t,
                struct jv_list *l)
{
    if (v->kind != JV_STR)
        return jv_list_add(r, l, &v->list->v[i]);
    size_t at = jv_str_at(v->str, i);
    return jv_step(r, at / 64) ||
           jv_text_part(r, t, v->str, at, at + jv_char(v->str->s + at, v->str->n - at));
}

static int eval_slice(struct jv_run *r, const struct jv *v, const struct node *n, struct jv *out)
{
    int64_t at[3], size;
    bool given[3];
    for (int i = 0; i < 3; i++)
        if (bound(r, n->items[i], &at[i], &given[i]))
            return -1;
    if (v->kind == JV_UNDEFINED)
        return jv_fail_undefined(r, v);
    if (v->kind != JV_STR && v->kind != JV_LIST && v->kind != JV_TUPLE && v->kind != JV_RANGE) {
        *out = (struct jv){.kind = JV_UNDEFINED, .of = (unsigned char)(1 + v->kind)};
        return 0;
    }
    size = v->kind == JV_STR ? jv_str_chars(v->str) : (int64_t)v->list->n;
    int64_t step = given[2] ? at[2] : 1, lo = step < 0 ? -1 : 0, hi = step < 0 ? size - 1 : size;
    if (!step)
        return jv_fail(r, "the step of a slice cannot be 0");
    int64_t from = given[0] ? clip(at[0], size, lo, hi) : step < 0 ? hi : lo;
    int64_t to = given[1] ? clip(at[1], size, lo, hi) : step < 0 ? lo : hi;
    if (v->kind == JV_STR && step == 1) {
        size_t a = jv_str_at(v->str, from), b = from < to ? jv_str_at(v->str, to) : a;
        return jv_step(r, v->str->n / 64) || jv_str_part(r, v->str, a, b, out);
    }
    struct jv_text t = {0};
    struct jv_list *l = jv_list_new(r, 0);
    for (int64_t i = from; l && (step < 0 ? i > to : i < to); i += step) {
        if (take(r, v, i, &t, l))
            return -1;
        if (step > size || step < -size)
            break;
    }
    if (!l)
        return -1;
    *out = jv_of(v->kind, l);
    return v->kind == JV_STR ? jv_text_done(r, &t, out) : 0;
}

static int eval_item(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv v, item;
    if (jinja_eval(r, n->a, &v))
        return -1;
    if (n->b->kind == NODE_SLICE)
        return eval_slice(r, &v, n->b, out);
    return jinja_eval(r, n->b, &item) || jv_get_item(r, &v, &item, out);
}

static int eval_attr(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv v;
    return jinja_eval(r, n->a, &v) || jv_get_attr(r, &v, n->name, out);
}

/* Arguments of a call; `first`, if there is one, is prepended. */
static int eval_args(struct jv_run *r, const struct node *n, const struct jv *first,
                     struct jv_args *a)
{
    a->v = jv_alloc(r, n->n + 1, sizeof *a->v);
    a->named = n->n_named ? jv_alloc(r, n->n_named, sizeof *a->named) : NULL;
    if (!a->v || (n->n_named && !a->named))
        return -1;
    a->n = n->n + (first != NULL);
    a->n_named = n->n_named;
    a->names = n->names;
    if (first)
        a->v[0] = *first;
    for (size_t i = 0; i < n->n; i++)
        if (jinja_eval(r, n->items[i], &a->v[i + (first != NULL)]))
            return -1;
    for (size_t i = 0; i < n->n_named; i++)
        if (jinja_eval(r, n->named[i], &a->named[i]))
            return -1;
    return 0;
}

static int eval_call(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv f;
    struct jv_args a;
    if (jinja_eval(r, n->a, &f) || eval_args(r, n, NULL, &a))
        return -1;
    r->line = n->line;
    return jv_call(r, &f, &a, out);
}

int jinja_eval_filters(struct jv_run *r, const struct node *n, const struct jv *on, struct jv *out)
{
    struct jv v;
    struct jv_args a;
    if (!n) {
        *out = *on;
        return 0;
    }
    if ((on ? jinja_eval_filters(r, n->a, on, &v) : jinja_eval(r, n->a, &v)) ||
        eval_args(r, n, &v, &a))
        return -1;
    r->line = n->line;
    return jinja_filter(r, n->name, &a, out);
}

static int eval_filter(struct jv_run *r, const struct node *n, struct jv *out)
{
    return jinja_eval_filters(r, n, NULL, out);
}

static int eval_test(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv v;
    struct jv_args a;
    bool is;
    if (jinja_eval(r, n->a, &v) || eval_args(r, n, &v, &a))
        return -1;
    r->line = n->line;
    if (jinja_test(r, n->name, &a, &is))
        return -1;
    *out = jv_bool(is);
    return 0;
}

static int eval_sign(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv v, zero = jv_int(0);
    if (jinja_eval(r, n->a, &v))
        return -1;
    if (v.kind == JV_REAL) {
        *out = jv_real(n->kind == NODE_MINUS ? -v.d : v.d);
        return 0;
    }
    if (v.kind != JV_INT && v.kind != JV_BOOL)
        return v.kind == JV_UNDEFINED ? jv_fail_undefined(r, &v)
                                      : jv_fail(r, "a %s has no sign", jv_type(&v));
    return jv_binary(r, &zero, n->kind == NODE_MINUS ? "-" : "+", &v, out);
}

static int eval_not(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv v;
    if (jinja_eval(r, n->a, &v))
        return -1;
    *out = jv_bool(!jv_truth(&v));
    return 0;
}

static int eval_logic(struct jv_run *r, const struct node *n, struct jv *out)
{
    if (jinja_eval(r, n->a, out))
        return -1;
    return jv_truth(out) == (n->kind == NODE_AND) ? jinja_eval(r, n->b, out) : 0;
}

static int eval_binary(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv a, b;
    if (jinja_eval(r, n->a, &a) || jinja_eval(r, n->b, &b))
        return -1;
    r->line = n->line;
    return jv_binary(r, &a, n->op, &b, out);
}

static int eval_concat(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv_text t = {0};
    struct jv v;
    for (size_t i = 0; i < n->n; i++)
        if (jinja_eval(r, n->items[i], &v) || jv_text_add(r, &t, &v))
            return -1;
    return jv_text_done(r, &t, out);
}

static int eval_compare(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv left, right;
    bool is = true;
    if (jinja_eval(r, n->a, &left))
        return -1;
    for (size_t i = 0; i < n->n && is; i++) {
        if (jinja_eval(r, n->items[i], &right) || jv_compare(r, &left, n->ops[i], &right, &is))
            return -1;
        left = right;
    }
    *out = jv_bool(is);
    return 0;
}

static int eval_choice(struct jv_run *r, const struct node *n, struct jv *out)
{
    struct jv v;
    if (jinja_eval(r, n->b, &v))
        return -1;
    if (jv_truth(&v))
        return jinja_eval(r, n->a, out);
    if (n->c)
        return jinja_eval(r, n->c, out);
    *out = (struct jv){.kind = JV_UNDEFINED};
    return 0;
}

static int eval_const(struct jv_run *r, const struct node *n, struct jv *out)
{
    (void)r;
    *out = n->value;
    return 0;
}

static int (*const evals[])(struct jv_run *r, const struct node *n, struct jv *out) = {
    [NODE_CONST] = eval_const,   [NODE_NAME] = eval_name,     [NODE_LIST] = eval_list,
    [NODE_TUPLE] = eval_list,    [NODE_DICT] = eval_dict,     [NODE_ATTR] = eval_attr,
    [NODE_ITEM] = eval_item,     [NODE_CALL] = eval_call,     [NODE_FILTER] = eval_filter,
    [NODE_TEST] = eval_test,     [NODE_NOT] = eval_not,       [NODE_MINUS] = eval_sign,
    [NODE_PLUS] = eval_sign,     [NODE_AND] = eval_logic,     [NODE_OR] = eval_logic,
    [NODE_BINARY] = eval_binary, [NODE_CONCAT] = eval_concat, [NODE_COMPARE] = eval_compare,
    [NODE_CHOICE] = eval_choice,
};

int jinja_eval(struct jv_run *r, const struct node *n, struct jv *out)
{
    r->line = n->line;
    if (jv_step(r, 1))
        return -1;
    if (r->depth >= MOST_DEPTH)
        return jv_fail(r, "it goes more than %d levels deep", MOST_DEPTH);
    r->depth++;
    int rc = evals[n->kind](r, n, out);
    r->depth--;
    return rc;
}
