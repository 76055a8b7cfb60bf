/* Loops: lazy items, `loop`, and {% for %}. */
#include <string.h>

#include "text/jinja_ast.h"

struct jv_loop {
    struct jv_list items;
    size_t at;      /* index of the next item */
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
            if (!(r->scope = jv_scope_new(r, l->outer)) || jv_assign(r, l->node->a, v) ||
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

int jinja_run_for(struct jv_run *r, const struct node *n, enum flow *flow)
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
        if (jv_scope_set_text(r, scope, "loop", &self) || jv_assign(r, n->a, &l->current) ||
            jinja_run(r, n->items, n->n, flow))
            return -1;
        r->scope = outer;
        break_ = *flow == FLOW_BREAK;
        whole |= *flow == FLOW_ON;
        *flow = FLOW_ON;
    }
    return whole ? 0 : jinja_run_within(r, n->orelse, n->n_else, flow);
}
