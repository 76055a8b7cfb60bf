/* A rendering: the conversation as variables, and the output. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_ast.h"

enum { MOST_STEPS = 50 << 20 };

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
    return jv_scope_set_text(r, s, "messages", &list) || jv_scope_set_text(r, s, "tools", &none) ||
           jv_scope_set_text(r, s, "documents", &none) ||
           jv_scope_set_text(r, s, "add_generation_prompt", &open);
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
        if (jv_from_json(r, value, 0, &v) || jv_scope_set_text(r, s, key, &v))
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
        out->spans[out->n++] = (struct text_span){base + t->mark[i].from, base + t->mark[i].to};
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
