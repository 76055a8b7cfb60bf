#include <strings.h>

#include "base/mem.h"
#include "methods/method.h"
#include "objectives/terms.h"

static const char roles[] = "forget|retain|alternate|generic";

#define FIELD(f) offsetof(struct method_params, f)
const struct param method_params[] = {
    {"gamma", PARAM_REAL, FIELD(gamma), 0, 1e6, NULL, "1", NULL, "weight of the forget term"},
    {"alpha", PARAM_REAL, FIELD(alpha), 0, 1e6, NULL, "1", NULL, "weight of the retain term"},
    {"retain_loss_type", PARAM_CHOICE, FIELD(retain_loss_type), 0, 0,
     "NLL|KL|JSD|distil|EMBED_DIFF|EMBED_NORM|embed_prompt|constraint|none", "NLL", NULL,
     "retain term"},
    {"forget_term", PARAM_STRING, FIELD(forget_term), 0, 0, NULL, NULL, "TERM",
     "another forget term than the method's"},
    {"forget_role", PARAM_CHOICE, FIELD(forget_role), 0, 0, roles, "forget", NULL,
     "data of the forget term"},
    {"retain_role", PARAM_CHOICE, FIELD(retain_role), 0, 0, roles, "retain", NULL,
     "data of the retain term"},
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

static int bind(const struct term *t, const void *params, const char *role, double weight,
                enum goal goal, struct engine *g, struct err *e)
{
    struct objective o = {.term = t,
                          .params = params,
                          .role = {role_by_name(role), ROLE_ALTERNATE},
                          .weight = weight,
                          .goal = goal};
    if (t->n_views > 1 && o.role[0] == o.role[1])
        return err_set(e, "term '%s' compares %s data with alternates: give it another role",
                       t->name, role);
    return engine_add(g, &o, e);
}

int recipe_bind(const struct recipe *r, struct engine *g, struct err *e)
{
    const struct method_params *p = &r->p;
    if ((r->forget &&
         bind(r->forget, r->forget_params, p->forget_role, p->gamma, GOAL_FORGET, g, e)) ||
        (r->retain &&
         bind(r->retain, r->retain_params, p->retain_role, p->alpha, GOAL_RETAIN, g, e)))
        return err_prefix(e, "method '%s': ", r->method->name);
    return 0;
}

enum role recipe_anchor(const struct recipe *r)
{
    return role_by_name(r->forget && r->p.gamma != 0 ? r->p.forget_role : r->p.retain_role);
}

void recipe_fini(struct recipe *r)
{
    free(r->forget_params);
    free(r->retain_params);
    *r = (struct recipe){0};
}
