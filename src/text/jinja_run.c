/* Runs statements: scopes, loops, macros, and a whole rendering. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_ast.h"

enum { MOST_STEPS = 50 << 20, MOST_OUTPUT = 64 << 20, MOST_DEPTH = 1000 };

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

static int set_text(struct jv_run *r, struct jv_scope *s, const char *name, const struct jv *v)
{
    struct jv k;
    return jv_str_lit(r, name, &k) || jv_scope_set(r, s, k.str, v) ? -1 : 0;
}

static int assign(struct jv_run *r, const struct node *to, const struct jv *v)
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
        if (assign(r, to->items[i], &l->v[i]))
            return -1;
    return 0;
}

/* Statements in a scope of their own. */
static int run_within(struct jv_run *r, struct node *const *body, size_t n, enum flow *flow)
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
    return rc || jv_text_done(r, &t, out) ? -1 : 0;
}

/* Loops. */
struct jv_loop {
    struct jv_list items;
    size_t at;      /* of items: the next to look at */
    int64_t index0; /* of the current one */
    bool ahead;     /* `next` was taken from items early */
    struct jv next, current, before;
    struct jv changed; /* of loop.changed(): JV_ABSENT at first */
    const struct node *node;
    struct jv_scope *outer;
};

/* The next item that the loop's condition lets through. */
static int fetch(struct jv_run *r, struct jv_loop *l, struct jv *v, bool *got)
{
    struct jv_scope *scope = r->scope;
    struct jv is = jv_bool(true);
    for (*got = false; l->at < l->items.n && !*got;) {
        *v = l->items.v[l->at++];
        if (l->node->c) {
            if (!(r->scope = jv_scope_new(r, l->outer)) || assign(r, l->node->a, v) ||
                jinja_eval(r, l->node->c, &is))
                return -1;
            r->scope = scope;
        }
        *got = jv_truth(&is);
    }
    return 0;
}

static int step_loop(struct jv_run *r, struct jv_loop *l, bool *got)
{
    struct jv v = l->next;
    *got = l->ahead;
    if (!l->ahead && fetch(r, l, &v, got))
        return -1;
    l->ahead = false;
    l->before = l->current;
    l->current = v;
    l->index0++;
    return 0;
}

static int look_ahead(struct jv_run *r, struct jv_loop *l, bool *got)
{
    if (!l->ahead && fetch(r, l, &l->next, &l->ahead))
        return -1;
    *got = l->ahead;
    return 0;
}

/* The number of items; a condition is then tested for all that are left. */
static int count(struct jv_run *r, struct jv_loop *l, int64_t *n)
{
    struct jv_list *rest = jv_list_new(r, 0);
    struct jv v;
    bool got;
    if (!rest)
        return -1;
    if (!l->node->c) {
        *n = (int64_t)l->items.n;
        return 0;
    }
    for (;;) {
        if (fetch(r, l, &v, &got) || (got && jv_list_add(r, rest, &v)))
            return -1;
        if (!got)
            break;
    }
    /* Counted once: the items that are left now pass without a test. */
    struct node *plain = jv_alloc(r, 1, sizeof *plain);
    size_t done = (size_t)l->index0 + 1 + l->ahead;
    struct jv *all = jv_alloc(r, done + rest->n, sizeof *all);
    if (!plain || !all)
        return -1;
    *plain = *l->node;
    plain->c = NULL;
    l->node = plain;
    if (rest->n)
        memcpy(all + done, rest->v, rest->n * sizeof *all);
    l->items = (struct jv_list){.v = all, .n = done + rest->n};
    l->at = done;
    *n = (int64_t)l->items.n;
    return 0;
}

int jv_loop_attr(struct jv_run *r, struct jv_loop *l, const char *name, struct jv *out, bool *found)
{
    static const char *const names[] = {"index0", "index",    "first",    "depth",
                                        "depth0", "length",   "revindex", "revindex0",
                                        "last",   "previtem", "nextitem", NULL};
    int64_t n = 0;
    bool more = false;
    int i = 0;
    while (names[i] && strcmp(names[i], name))
        i++;
    *found = names[i] != NULL;
    if ((i >= 5 && i <= 7 && count(r, l, &n)) || ((i == 8 || i == 10) && look_ahead(r, l, &more)))
        return -1;
    const struct jv values[] = {jv_int(l->index0),
                                jv_int(l->index0 + 1),
                                jv_bool(l->index0 == 0),
                                jv_int(1),
                                jv_int(0),
                                jv_int(n),
                                jv_int(n - l->index0),
                                jv_int(n - l->index0 - 1),
                                jv_bool(!more),
                                l->index0 ? l->before : (struct jv){.kind = JV_UNDEFINED},
                                more ? l->next : (struct jv){.kind = JV_UNDEFINED}};
    if (*found)
        *out = values[i];
    return 0;
}

int jv_loop_method(struct jv_run *r, struct jv_loop *l, const char *name, const struct jv_args *a,
                   struct jv *out)
{
    if (!strcmp(name, "cycle")) {
        if (!a->n)
            return jv_fail(r, "loop.cycle() needs arguments");
        *out = a->v[l->index0 % (int64_t)a->n];
        return 0;
    }
    struct jv_list *now = jv_list_new(r, a->n);
    for (size_t i = 0; now && i < a->n; i++)
        if (jv_list_add(r, now, &a->v[i]))
            return -1;
    if (!now)
        return -1;
    struct jv v = jv_of(JV_TUPLE, now);
    *out = jv_bool(!jv_equal(&l->changed, &v));
    l->changed = v;
    return 0;
}

static int run_for(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv over, self;
    struct jv_list *items;
    struct jv_scope *outer = r->scope, *scope = NULL;
    struct jv_loop *l = jv_alloc(r, 1, sizeof *l);
    bool got, break_ = false, whole = false; /* some body ran to its end: no else, as in jinja2 */
    if (!l || jinja_eval(r, n->b, &over) || jv_iterate(r, &over, &items))
        return -1;
    *l = (struct jv_loop){.items = *items, .index0 = -1, .node = n, .outer = outer};
    l->changed.kind = JV_ABSENT;
    self = (struct jv){.kind = JV_LOOP, .loop = l};
    while (!break_) {
        if (step_loop(r, l, &got))
            return -1;
        if (!got)
            break;
        if (!scope || scope->kept)
            scope = jv_scope_new(r, outer);
        if (!(r->scope = scope))
            return -1;
        scope->n = 0;
        if (set_text(r, scope, "loop", &self) || assign(r, n->a, &l->current) ||
            jinja_run(r, n->items, n->n, flow))
            return -1;
        r->scope = outer;
        break_ = *flow == FLOW_BREAK;
        whole |= *flow == FLOW_ON;
        *flow = FLOW_ON;
    }
    return whole ? 0 : run_within(r, n->orelse, n->n_else, flow);
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
    return jinja_eval(r, n->b, &v) || assign(r, n->a, &v) ? -1 : 0;
}

static int run_capture(struct jv_run *r, const struct node *n, enum flow *flow)
{
    struct jv v, through;
    (void)flow;
    return capture(r, n, jv_scope_new(r, r->scope), &v) ||
                   jinja_eval_filters(r, n->b, &v, &through) || assign(r, n->a, &through)
               ? -1
               : 0;
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
    return make_macro(r, n, &v) || jv_scope_set(r, r->scope, n->name, &v) ? -1 : 0;
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
                   jv_text_add(r, r->out, &v)
               ? -1
               : 0;
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
    return (n->var_args && set_text(r, r->scope, "varargs", &list)) ||
                   (n->var_named && set_text(r, r->scope, "kwargs", &dict))
               ? -1
               : 0;
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
        set_text(r, r->scope, "caller", caller ? caller : &none))
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
    return rc || capture(r, m->node, scope, out) ? -1 : 0;
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
        if (assign(r, n->named[i], &v))
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
    [NODE_TEXT] = run_text,   [NODE_PRINT] = run_print,   [NODE_FOR] = run_for,
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
        rc = jv_step(r, 1) || runs[body[i]->kind](r, body[i], flow) ? -1 : 0;
    }
    r->depth--;
    return rc;
}

/* A word may be part of a special token of the template ("<|" + role + "|>"); another role is as
 * little trusted as a content. */
static bool is_word(const char *role)
{
    while ((*role >= 'a' && *role <= 'z') || (*role >= 'A' && *role <= 'Z') ||
           (*role >= '0' && *role <= '9') || *role == '_' || *role == '-')
        role++;
    return !*role;
}

static int add_messages(struct jv_run *r, struct jv_scope *s)
{
    struct jv_list *l = jv_list_new(r, (size_t)r->in->n_messages);
    for (int i = 0; l && i < r->in->n_messages; i++) {
        const struct message *m = &r->in->messages[i];
        struct jv_dict *d = jv_dict_new(r);
        struct jv role, content, k1, k2;
        if (!utf8_valid(m->role, strlen(m->role), NULL) ||
            !utf8_valid(m->content, strlen(m->content), NULL))
            return err_set(r->e, "message %d is not valid UTF-8", i + 1);
        if (!d || jv_str_lit(r, "role", &k1) || jv_str_lit(r, "content", &k2) ||
            jv_str_new(r, m->role, strlen(m->role), !is_word(m->role), &role) ||
            jv_str_new(r, m->content, strlen(m->content), true, &content) ||
            jv_dict_set(r, d, &k1, &role) || jv_dict_set(r, d, &k2, &content) ||
            jv_list_add(r, l, &(struct jv){.kind = JV_DICT, .dict = d}))
            return -1;
    }
    if (!l)
        return -1;
    struct jv list = jv_of(JV_LIST, l), none = jv_none(), open = jv_bool(r->in->generation_prompt);
    return set_text(r, s, "messages", &list) || set_text(r, s, "tools", &none) ||
                   set_text(r, s, "documents", &none) ||
                   set_text(r, s, "add_generation_prompt", &open)
               ? -1
               : 0;
}

/* The variables of a rendering. */
static int add_input(struct jv_run *r, struct jv_scope *s)
{
    const char *key;
    json_t *value;
    if (r->in->messages && add_messages(r, s))
        return -1;
    json_object_foreach((json_t *)r->in->vars, key, value)
    {
        struct jv v;
        if (jv_from_json(r, value, 0, &v) || set_text(r, s, key, &v))
            return -1;
    }
    return 0;
}

static int put_out(const struct jv_text *t, struct chat_text *out, struct err *e)
{
    size_t base = out->text.len;
    if (buf_add(&out->text, t->s ? t->s : "", t->n, e) ||
        mem_reserve(&out->spans, &out->cap, out->n + t->n_marks, sizeof *out->spans, e))
        return -1;
    for (size_t i = 0; i < t->n_marks; i++)
        out->spans[out->n++] = (struct span){base + t->mark[i].from, base + t->mark[i].to};
    return 0;
}

int jinja_render(const struct jinja *j, const struct jinja_input *in, struct chat_text *out,
                 struct err *e)
{
    struct jv_text t = {0};
    struct jv_run r = {.e = e,
                       .max_steps = in->max_steps ? in->max_steps : MOST_STEPS,
                       .line = 1,
                       .in = in,
                       .out = &t};
    struct jv_scope *globals = jv_scope_new(&r, NULL);
    enum flow flow = FLOW_ON;
    int rc = globals ? add_input(&r, globals) : -1;
    if (!rc && !(r.scope = jv_scope_new(&r, globals)))
        rc = -1;
    if (!rc)
        rc = jinja_run(&r, j->body, j->n, &flow);
    if (!rc && flow != FLOW_ON)
        rc = jv_fail(&r, "'break' and 'continue' need a loop around them");
    if (!rc)
        rc = put_out(&t, out, e);
    arena_fini(&r.arena);
    return rc;
}
