#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "influence/updates.h"
#include "locate/locators.h"
#include "methods/method.h"
#include "objectives/terms.h"
#include "optim/optims.h"
#include "train/options.h"

static const char roles[] = "forget|retain|alternate|retain_alternate|generic";

const char *const place_name[PART_COUNT] = {"forget", "retain", "extra"};

const struct param method_params[] = {
    REAL_PARAM(struct method_params, gamma, 0, 1e6, 1, "weight of the forget term"),
    REAL_PARAM(struct method_params, alpha, 0, 1e6, 1, "weight of the retain term"),
    CHOICE_PARAM(struct method_params, retain_loss_type,
                 "NLL|KL|JSD|distil|EMBED_DIFF|EMBED_NORM|embed_prompt|constraint|none", "NLL",
                 "retain term"),
    STRING_PARAM(struct method_params, forget_term, NULL, "TERM",
                 "overrides the method's forget term"),
    STRING_PARAM(struct method_params, retain_term, NULL, "TERM",
                 "any term instead of retain_loss_type"),
    STRING_PARAM(struct method_params, extra_term, NULL, "TERM", "a third term"),
    CHOICE_PARAM(struct method_params, forget_role, roles, "forget",
                 "role of the forget term's data"),
    CHOICE_PARAM(struct method_params, retain_role, roles, "retain",
                 "role of the retain term's data"),
    CHOICE_PARAM(struct method_params, extra_role, roles, "alternate",
                 "role of the third term's data"),
    REAL_PARAM(struct method_params, extra_weight, 0, 1e6, 1, "weight of the third term"),
    REAL_PARAM(struct method_params, l1, 0, 1e6, 0,
               "weight of the L1 norm of the trainable weights"),
    CHOICE_PARAM(struct method_params, update,
                 "none|newton|influence|ssd|fisher_noise|curvature_edit", "none",
                 "one change of the weights, instead of training"),
    {0},
};

enum role recipe_role(const struct recipe *r, enum recipe_place place)
{
    const char *const names[] = {r->p.forget_role, r->p.retain_role, r->p.extra_role};
    return role_by_name(names[place]);
}

double recipe_weight(const struct recipe *r, enum recipe_place place)
{
    const double weights[] = {r->p.gamma, r->p.alpha, r->p.extra_weight};
    return r->part[place].row ? weights[place] : 0;
}

static int choose(struct choice *part, const char *name, const struct param_preset *presets,
                  struct err *e)
{
    const void *term = NULL;
    return (name && table_find_or_none(terms, "term", name, &term, e)) ||
           choice_init(part, term, presets, e);
}

static int choose_update(struct recipe *r, struct err *e)
{
    const void *row = NULL;
    const struct term *forget = recipe_term(r, PART_FORGET);
    if (strcasecmp(r->p.update, "none") && (!forget || strcmp(forget->name, "nll")))
        return err_about(e, "update", "update '%s' is of the NLL, and not of term '%s'",
                         r->p.update, forget ? forget->name : "none");
    return table_find_or_none(updates, "update", r->p.update, &row, e) ||
           choice_init(&r->update, row, r->method->presets, e);
}

int recipe_open(struct recipe *r, const char *method, struct err *e)
{
    *r = (struct recipe){.method = method_by_name(method, e)};
    if (!r->method)
        return -1;
    param_defaults(method_params, &r->p);
    return param_apply_presets(method_params, &r->p, r->method->presets, e) ||
           recipe_choose_terms(r, e);
}

int recipe_choose_terms(struct recipe *r, struct err *e)
{
    const struct method *m = r->method;
    const char *retain = r->p.retain_term ? r->p.retain_term
                         : m->retain      ? r->p.retain_loss_type
                                          : NULL;
    if (choose(&r->part[PART_FORGET], r->p.forget_term ? r->p.forget_term : m->forget, m->presets,
               e) ||
        choose(&r->part[PART_RETAIN], retain, m->presets, e) ||
        choose(&r->part[PART_EXTRA], r->p.extra_term, m->presets, e) || choose_update(r, e))
        return -1;
    for (int i = 0; i < PART_COUNT; i++)
        if (recipe_weight(r, (enum recipe_place)i) != 0)
            return 0;
    return err_set(e, "method '%s' has nothing to optimise: all its terms have weight 0", m->name);
}

/* The role with the other answers to the same prompts. */
static enum role partner_of(enum role role)
{
    return role == ROLE_RETAIN ? ROLE_RETAIN_ALTERNATE : ROLE_ALTERNATE;
}

bool recipe_uses(const struct recipe *r, enum role role)
{
    for (int i = 0; i < PART_COUNT; i++) {
        enum role own = recipe_role(r, (enum recipe_place)i);
        if (recipe_weight(r, (enum recipe_place)i) != 0 &&
            (own == role ||
             (recipe_term(r, (enum recipe_place)i)->n_views > 1 && partner_of(own) == role)))
            return true;
    }
    return false;
}

static int bind(const struct recipe *r, enum recipe_place place, struct engine *g, struct err *e)
{
    const struct term *term = recipe_term(r, place);
    enum role role = recipe_role(r, place);
    bool kept = role == ROLE_RETAIN || role == ROLE_GENERIC;
    struct objective o = {
        .term = term,
        .params = r->part[place].params,
        .role = {role, partner_of(role)},
        .weight = recipe_weight(r, place),
        .goal = place == PART_RETAIN || (place == PART_EXTRA && kept) ? GOAL_RETAIN : GOAL_FORGET};
    if (term->n_views > 1 && role != ROLE_FORGET && role != ROLE_RETAIN)
        return err_set(e,
                       "term '%s' compares answers with their alternates, which %s data do not "
                       "have: give it the role forget or retain",
                       term->name, role_name[role]);
    return engine_add(g, &o, e);
}

int recipe_bind(const struct recipe *r, struct engine *g, struct err *e)
{
    for (int i = 0; i < PART_COUNT; i++)
        if (r->part[i].row && bind(r, (enum recipe_place)i, g, e))
            return err_prefix(e, "method '%s': ", r->method->name);
    g->l1 = r->p.l1;
    return 0;
}

enum role recipe_anchor(const struct recipe *r)
{
    enum recipe_place place = PART_FORGET;
    while (recipe_weight(r, place) == 0)
        place++;
    return recipe_role(r, place);
}

int recipe_take(struct recipe *r, const char *method, const struct param_taker *t, struct err *e)
{
    static const char *const titles[PART_COUNT] = {"forget term", "retain term", "extra term"};
    *r = (struct recipe){0};
    if (!(r->method = method_by_name(method, e)) ||
        param_take(&(struct param_table){"terms", method_params, &r->p}, r->method->presets, t,
                   e) ||
        recipe_choose_terms(r, e))
        return -1;
    for (int i = 0; i < PART_COUNT; i++) {
        const struct param_table table = {titles[i], choice_params(&r->part[i]), r->part[i].params};
        if (table.params && param_take(&table, r->method->presets, t, e))
            return -1;
    }
    const struct param_table table = {"one step", choice_params(&r->update), r->update.params};
    return table.params ? param_take(&table, r->method->presets, t, e) : 0;
}

void recipe_fini(struct recipe *r)
{
    for (int i = 0; i < PART_COUNT; i++)
        choice_fini(&r->part[i]);
    choice_fini(&r->update);
    *r = (struct recipe){0};
}

void recipe_apply_compat(struct recipe *r, const char *text)
{
    for (int i = 0; i < PART_COUNT; i++)
        compat_apply(text, choice_params(&r->part[i]), r->part[i].params);
}

enum { METHOD_QUIRKS = 64 };

static int add_quirks(const struct param *table, const struct param **quirks, int n)
{
    for (const struct param *p = table; p && p->name; p++) {
        int i = 0;
        while (i < n && strcmp(quirks[i]->name, p->name))
            i++;
        BUG_ON(n == METHOD_QUIRKS);
        if (i == n && compat_sets(p->name, p))
            quirks[n++] = p;
    }
    return n;
}

/* All of them, each name once. */
static int find_quirks(const struct param *quirks[METHOD_QUIRKS])
{
    int n = 0;
    for (int i = 0; terms[i]; i++)
        n = add_quirks(terms[i]->params, quirks, n);
    for (int i = 0; optims[i]; i++)
        n = add_quirks(optims[i]->params, quirks, n);
    for (int i = 0; wrappers[i]; i++)
        n = add_quirks(wrappers[i]->params, quirks, n);
    for (int i = 0; locators[i]; i++)
        n = add_quirks(locators[i]->params, quirks, n);
    return add_quirks(train_params, quirks, n);
}

int method_compat(const char *text, unsigned *bits, struct err *e)
{
    const struct param *quirks[METHOD_QUIRKS];
    return compat_parse(text, quirks, find_quirks(quirks), bits, e);
}

void method_compat_help(FILE *out)
{
    const struct param *quirks[METHOD_QUIRKS];
    compat_help(out, quirks, find_quirks(quirks));
}

int wrapping_choose(struct wrapping *w, const char *name, struct err *e)
{
    const struct wrapper *row;
    *w = (struct wrapping){0};
    return wrapper_by_name(name, &row, e) || choice_init(&w->chosen, row, NULL, e);
}

int wrapping_bind(struct wrapping *w, struct engine *g, struct err *e)
{
    const struct wrapper *row = wrapping_row(w);
    for (int k = 0; row && k < WRAPPER_MAX_EXTRAS && row->extra[k].term; k++) {
        const struct term *t = term_by_name(row->extra[k].term, e);
        if (!t || !(w->extra[k] = mem_alloc(1, t->params_size, e)))
            return -1;
        if (t->params)
            param_defaults(t->params, w->extra[k]);
        struct objective o = {.term = t,
                              .params = w->extra[k],
                              .role = {row->extra[k].role, ROLE_ALTERNATE},
                              .weight = row->weight ? row->weight(w->chosen.params, k) : 1,
                              .goal = GOAL_WRAPPER + (unsigned)k};
        if (engine_add(g, &o, e))
            return err_prefix(e, "wrapper '%s': ", row->name);
    }
    return 0;
}

unsigned wrapping_goals(const struct wrapping *w)
{
    return GOALS_METHOD | (w->chosen.row ? wrapping_row(w)->moves : 0);
}

void wrapping_fini(struct wrapping *w)
{
    for (int k = 0; k < WRAPPER_MAX_EXTRAS; k++)
        free(w->extra[k]);
    choice_fini(&w->chosen);
    *w = (struct wrapping){0};
}
