#include <strings.h>

#include "base/mem.h"
#include "methods/method.h"
#include "objectives/terms.h"

#define FIELD(f) offsetof(struct method_params, f)
const struct param method_params[] = {
    {"gamma", PARAM_REAL, FIELD(gamma), 0, 1e6, NULL, "1", NULL, "weight of the forget term"},
    {"alpha", PARAM_REAL, FIELD(alpha), 0, 1e6, NULL, "1", NULL, "weight of the retain term"},
    {"retain_loss_type", PARAM_CHOICE, FIELD(retain_loss_type), 0, 0,
     "NLL|KL|EMBED_DIFF|EMBED_NORM|constraint|none", "NLL", NULL, "retain term"},
    {"forget_term", PARAM_STRING, FIELD(forget_term), 0, 0, NULL, NULL, "TERM",
     "another forget term than the method's"},
    {0},
};

static void *new_params(const struct term *t, const struct param_preset *presets, struct err *e)
{
    void *p = mem_alloc(1, t->params_size, e);
    if (!p || !t->params)
        return p;
    param_defaults(t->params, p);
    if (!param_apply_presets(t->params, p, presets, e))
        return p;
    free(p);
    return NULL;
}

int recipe_choose_terms(struct recipe *r, struct err *e)
{
    const char *forget = r->p.forget_term ? r->p.forget_term : r->method->forget;
    bool retain = r->method->retain && strcasecmp(r->p.retain_loss_type, "none");
    if (forget && (!(r->forget = term_by_name(forget, e)) ||
                   !(r->forget_params = new_params(r->forget, r->method->presets, e))))
        return -1;
    if (retain && (!(r->retain = term_by_name(r->p.retain_loss_type, e)) ||
                   !(r->retain_params = new_params(r->retain, r->method->presets, e))))
        return -1;
    if ((!r->forget || r->p.gamma == 0) && (!r->retain || r->p.alpha == 0))
        return err_set(e, "method '%s' has nothing to optimise: no term with a weight is left",
                       r->method->name);
    return 0;
}

int recipe_bind(const struct recipe *r, struct engine *g, struct err *e)
{
    struct objective forget = {.term = r->forget,
                               .params = r->forget_params,
                               .role = {ROLE_FORGET, ROLE_ALTERNATE},
                               .weight = r->p.gamma};
    struct objective retain = {.term = r->retain,
                               .params = r->retain_params,
                               .role = {ROLE_RETAIN, ROLE_GENERIC},
                               .weight = r->p.alpha};
    if ((r->forget && engine_add(g, &forget, e)) || (r->retain && engine_add(g, &retain, e)))
        return err_prefix(e, "method '%s': ", r->method->name);
    return 0;
}

enum role recipe_anchor(const struct recipe *r)
{
    return r->forget && r->p.gamma != 0 ? ROLE_FORGET : ROLE_RETAIN;
}

void recipe_fini(struct recipe *r)
{
    free(r->forget_params);
    free(r->retain_params);
    *r = (struct recipe){0};
}
