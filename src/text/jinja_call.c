/* Attributes, calls and the global functions. */
#include <string.h>
#include <time.h>

#include "text/jinja_ast.h"

enum { MOST_RANGE = 100000 };

static void missing(struct jv *out, const struct jv *of, const struct jv_str *name)
{
    *out = (struct jv){
        .kind = JV_UNDEFINED, .of = (unsigned char)(1 + of->kind), .str = (struct jv_str *)name};
}

/* Methods of Python that templates cannot call: those that change a value, and the others. */
static const char *const list_mutators[] = {"append",  "extend", "insert", "pop", "remove",
                                            "reverse", "sort",   "clear",  NULL};
static const char *const dict_mutators[] = {"pop",    "clear",   "setdefault",
                                            "update", "popitem", NULL};
static const char *const text_methods[] = {
    "casefold",  "encode",      "expandtabs", "format_map", "isascii", "isdecimal", "isidentifier",
    "isnumeric", "isprintable", "istitle",    "maketrans",  "rindex",  "translate", NULL};

static bool is_among(const struct jv_str *name, const char *const *list)
{
    for (; *list; list++)
        if (jv_str_is(name, *list))
            return true;
    return false;
}

static const struct jv_function *method_of(const struct jv *v, const struct jv_str *name)
{
    const struct jv_function *table = v->kind == JV_STR    ? jinja_text_methods
                                      : v->kind == JV_DICT ? jinja_dict_methods
                                      : v->kind == JV_LIST || v->kind == JV_TUPLE
                                          ? jinja_list_methods
                                          : NULL;
    const struct jv_function *f = table ? jv_function_find(table, name) : NULL;
    if (!f && v->kind == JV_STR)
        f = jv_function_find(jinja_word_methods, name);
    if (!f && v->kind == JV_STR)
        f = jv_function_find(jinja_form_methods, name);
    return f;
}

/* A method of v, if it has one of this name: 1; 0: it has none. */
static int get_method(struct jv_run *r, const struct jv *v, const struct jv_str *name,
                      struct jv *out)
{
    bool loop = v->kind == JV_LOOP && (jv_str_is(name, "cycle") || jv_str_is(name, "changed"));
    if ((v->kind == JV_LIST && is_among(name, list_mutators)) ||
        (v->kind == JV_DICT && is_among(name, dict_mutators))) {
        missing(out, v, name);
        return 1;
    }
    if (v->kind == JV_STR && is_among(name, text_methods))
        return jv_fail(r, "the string method '%s' is not supported in a chat template", name->s);
    if (!loop && !method_of(v, name))
        return 0;
    struct jv_method *m = jv_alloc(r, 1, sizeof *m);
    if (!m)
        return -1;
    *m = (struct jv_method){*v, name->s};
    *out = (struct jv){.kind = JV_METHOD, .method = m};
    return 1;
}

/* As Python's getattr: 1; 0: no such attribute. */
static int get_own(struct jv_run *r, const struct jv *v, const struct jv_str *name, struct jv *out)
{
    bool found = false;
    if (v->kind == JV_SPACE) {
        const struct jv *x = jv_dict_get_text(v->dict, name->s);
        if (x)
            *out = *x;
        return x != NULL;
    }
    if (name->n > 1 && name->s[0] == '_' && name->s[1] == '_') {
        missing(out, v, name);
        return 1;
    }
    if (v->kind == JV_LOOP && jv_loop_attr(r, v->loop, name->s, out, &found))
        return -1;
    if (found)
        return 1;
    if (v->kind == JV_TUPLE && v->list->group && v->list->n == 2 &&
        (jv_str_is(name, "grouper") || jv_str_is(name, "list"))) {
        *out = v->list->v[jv_str_is(name, "list")];
        return 1;
    }
    return get_method(r, v, name, out);
}

int jv_get_attr(struct jv_run *r, const struct jv *v, const struct jv_str *name, struct jv *out)
{
    if (v->kind == JV_UNDEFINED)
        return jv_fail_undefined(r, v);
    int own = get_own(r, v, name, out);
    if (own)
        return own < 0 ? -1 : 0;
    const struct jv *x = NULL;
    if (v->kind == JV_DICT) {
        struct jv key = jv_of_str((struct jv_str *)name);
        x = jv_dict_get(v->dict, &key);
    }
    if (x)
        *out = *x;
    else
        missing(out, v, name);
    return jv_step(r, v->kind == JV_DICT ? v->dict->n / 8 : 0);
}

int jv_get_item(struct jv_run *r, const struct jv *v, const struct jv *item, struct jv *out)
{
    bool number = item->kind == JV_INT || item->kind == JV_BOOL;
    int64_t i = item->kind == JV_BOOL ? item->b : item->i, n;
    if (v->kind == JV_UNDEFINED)
        return jv_fail_undefined(r, v);
    missing(out, v, item->kind == JV_STR ? item->str : NULL);
    if (v->kind == JV_DICT) {
        const struct jv *x = jv_dict_get(v->dict, item);
        if (jv_step(r, v->dict->n / 8))
            return -1;
        if (x) {
            *out = *x;
            return 0;
        }
    }
    if (item->kind == JV_STR) {
        int own = get_own(r, v, item->str, out);
        return own < 0 ? -1 : 0;
    }
    if (!number || v->kind < JV_STR || v->kind > JV_RANGE)
        return 0;
    n = v->kind == JV_STR ? jv_str_chars(v->str) : (int64_t)v->list->n;
    i += i < 0 ? n : 0;
    if (i < 0 || i >= n)
        return 0;
    if (v->kind != JV_STR) {
        *out = v->list->v[i];
        return 0;
    }
    size_t at = jv_str_at(v->str, i);
    return jv_step(r, at / 64) ||
           jv_str_part(r, v->str, at, at + jv_char(v->str->s + at, v->str->n - at), out);
}

const struct jv_function *jv_function_find(const struct jv_function *table,
                                           const struct jv_str *name)
{
    for (; table->name; table++)
        if (jv_str_is(name, table->name))
            return table;
    return NULL;
}

/* The number of the parameter of this name in "a b? c?", or -1. */
static int find_parameter(const char *params, const struct jv_str *name)
{
    int i = 0;
    for (const char *s = params; *s; i++) {
        size_t n = strcspn(s, " ?");
        if (n == name->n && !memcmp(s, name->s, n))
            return i;
        s += strcspn(s, " ");
        s += strspn(s, " ");
    }
    return -1;
}

int jv_call_function(struct jv_run *r, const struct jv_function *f, const struct jv_args *a,
                     struct jv *out)
{
    struct jv arg[JV_PARAMS];
    size_t n = 0, i;
    bool more = strchr(f->params, '*');
    for (i = 0; i < JV_PARAMS; i++)
        arg[i] = i < a->n ? a->v[i] : (struct jv){.kind = JV_ABSENT};
    for (const char *s = f->params; *s; n++) {
        s += strcspn(s, " ");
        s += strspn(s, " ");
    }
    if (a->n > n && !more)
        return jv_fail(r, "'%s' takes at most %zu arguments", f->name, n);
    for (i = 0; i < a->n_named; i++) {
        int k = find_parameter(f->params, a->names[i]);
        if (k < 0 && more)
            continue;
        if (k < 0 || arg[k].kind != JV_ABSENT)
            return jv_fail(r, "'%s' does not take the argument '%.40s'", f->name, a->names[i]->s);
        arg[k] = a->named[i];
    }
    i = 0;
    for (const char *s = f->params; *s && *s != '*'; s += strspn(s, " "), i++) {
        size_t len = strcspn(s, " ");
        if (s[len - 1] != '?' && arg[i].kind == JV_ABSENT)
            return jv_fail(r, "'%s' needs the argument '%.*s'", f->name, (int)len, s);
        s += len;
    }
    return f->call(r, arg, a, out);
}

int jv_arg_int(struct jv_run *r, const struct jv *arg, int64_t other, int64_t *out)
{
    *out = other;
    if (arg->kind == JV_ABSENT)
        return 0;
    if (arg->kind != JV_INT && arg->kind != JV_BOOL)
        return arg->kind == JV_UNDEFINED ? jv_fail_undefined(r, arg)
                                         : jv_fail(r, "a %s is no integer", jv_type(arg));
    *out = arg->kind == JV_BOOL ? arg->b : arg->i;
    return 0;
}

int jv_arg_str(struct jv_run *r, const struct jv *arg, struct jv_str **out)
{
    if (arg->kind != JV_STR)
        return arg->kind == JV_UNDEFINED ? jv_fail_undefined(r, arg)
                                         : jv_fail(r, "a %s is no string", jv_type(arg));
    *out = arg->str;
    return 0;
}

bool jv_arg_bool(const struct jv *arg, bool other)
{
    return arg->kind == JV_ABSENT ? other : jv_truth(arg);
}

/* A method: the value in front of the arguments. */
static int call_method(struct jv_run *r, const struct jv_method *m, const struct jv_args *a,
                       struct jv *out)
{
    struct jv_str name = {.s = m->name, .n = strlen(m->name)};
    if (m->self.kind == JV_LOOP)
        return jv_loop_method(r, m->self.loop, m->name, a, out);
    struct jv_args all = *a;
    if (!(all.v = jv_alloc(r, a->n + 1, sizeof *all.v)))
        return -1;
    all.v[0] = m->self;
    if (a->n)
        memcpy(all.v + 1, a->v, a->n * sizeof *all.v);
    all.n++;
    return jv_call_function(r, method_of(&m->self, &name), &all, out);
}

int jv_call(struct jv_run *r, const struct jv *f, const struct jv_args *a, struct jv *out)
{
    switch (f->kind) {
    case JV_UNDEFINED:
        return jv_fail_undefined(r, f);
    case JV_FUNC:
        return jv_call_function(r, f->func, a, out);
    case JV_MACRO:
        return jv_call_macro(r, f->macro, a, NULL, out);
    case JV_METHOD:
        return call_method(r, f->method, a, out);
    default:
        return jv_fail(r, "a %s cannot be called", jv_type(f));
    }
}

static int call_range(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)
{
    int64_t from = 0, to, step;
    char text[96];
    (void)all;
    if (jv_arg_int(r, &arg[0], 0, &to) || jv_arg_int(r, &arg[2], 1, &step))
        return -1;
    if (arg[1].kind != JV_ABSENT) {
        from = to;
        if (jv_arg_int(r, &arg[1], 0, &to))
            return -1;
    }
    if (!step)
        return jv_fail(r, "the step of range() cannot be 0");
    uint64_t gap = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
    uint64_t by = step > 0 ? (uint64_t)step : -(uint64_t)step;
    uint64_t n = (step > 0 ? to > from : to < from) ? (gap - 1) / by + 1 : 0;
    if (n > MOST_RANGE)
        return jv_fail(r, "a range of more than %d numbers", MOST_RANGE);
    struct jv_list *l = jv_list_new(r, (size_t)n);
    for (uint64_t i = 0; l && i < n; i++) {
        struct jv v = jv_int((int64_t)((uint64_t)from + i * (uint64_t)step));
        if (jv_list_add(r, l, &v))
            return -1;
    }
    if (!l)
        return -1;
    snprintf(text, sizeof text, step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
             (long long)from, (long long)to, (long long)step);
    char *kept = jv_alloc(r, sizeof text, 1);
    if (!kept)
        return -1;
    l->view = strcpy(kept, text);
    *out = jv_of(JV_RANGE, l);
    return 0;
}

/* dict(a=1), namespace(a=1), with a dict or pairs in front. */
static int make_dict(struct jv_run *r, const struct jv_args *a, struct jv_dict **out)
{
    struct jv_dict *d = *out = jv_dict_new(r);
    struct jv_list *l, *pair;
    if (!d)
        return -1;
    if (a->n && a->v[0].kind == JV_DICT) {
        const struct jv_dict *from = a->v[0].dict;
        for (size_t i = 0; i < from->n; i++)
            if (jv_dict_set(r, d, &from->key[i], &from->value[i]))
                return -1;
    } else if (a->n) {
        if (jv_iterate(r, &a->v[0], &l))
            return -1;
        for (size_t i = 0; i < l->n; i++) {
            if (jv_iterate(r, &l->v[i], &pair))
                return -1;
            if (pair->n != 2)
                return jv_fail(r, "a dict needs pairs, not %zu values", pair->n);
            if (jv_dict_set(r, d, &pair->v[0], &pair->v[1]))
                return -1;
        }
    }
    for (size_t i = 0; i < a->n_named; i++) {
        struct jv key = jv_of_str((struct jv_str *)a->names[i]);
        if (jv_dict_set(r, d, &key, &a->named[i]))
            return -1;
    }
    return 0;
}

static int call_dict(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)
{
    (void)arg;
    *out = (struct jv){.kind = JV_DICT};
    return make_dict(r, all, &out->dict);
}

static int call_namespace(struct jv_run *r, struct jv *arg, const struct jv_args *all,
                          struct jv *out)
{
    (void)arg;
    *out = (struct jv){.kind = JV_SPACE};
    return make_dict(r, all, &out->dict);
}

static int call_raise(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)
{
    struct jv text;
    (void)all;
    (void)out;
    if (jv_to_str(r, &arg[0], &text))
        return -1;
    return err_set(r->e, "the chat template refuses the conversation: %.300s", text.str->s);
}

static int call_now(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)
{
    const char *date = r->in->date ? r->in->date : "26 Jul 2024", *end;
    struct jv_str *form = NULL;
    struct tm tm = {0};
    char text[256];
    (void)all;
    if (jv_arg_str(r, &arg[0], &form))
        return -1;
    if ((!(end = strptime(date, "%d %b %Y", &tm)) || *end) &&
        (!(end = strptime(date, "%Y-%m-%d", &tm)) || *end))
        return jv_fail(r,
                       "it asks for the date, and '%.64s' is none: write it as 26 Jul 2024 or "
                       "2024-07-26",
                       date);
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    timegm(&tm);
    if (form->n && (memchr(form->s, 0, form->n) || !strftime(text, sizeof text, form->s, &tm)))
        return jv_fail(r, "strftime_now cannot write '%.64s'", form->s);
    return jv_str_new(r, text, form->n ? strlen(text) : 0, false, out);
}

static int refuse(struct jv_run *r, struct jv *arg, const struct jv_args *all, struct jv *out)
{
    (void)arg;
    (void)all;
    (void)out;
    return jv_fail(r, "the functions cycler, joiner and lipsum are not supported in a chat "
                      "template");
}

const struct jv_function jinja_globals[] = {{"range", "start stop? step?", call_range},
                                            {"dict", "*", call_dict},
                                            {"namespace", "*", call_namespace},
                                            {"raise_exception", "message", call_raise},
                                            {"strftime_now", "format", call_now},
                                            {"cycler", "*", refuse},
                                            {"joiner", "*", refuse},
                                            {"lipsum", "*", refuse},
                                            {0}};
