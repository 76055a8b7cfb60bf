#include "run/locate.h"

#include "base/mem.h"
#include "objectives/terms.h"
#include "train/mask.h"

static const char scopes[] = "global|tensor|row|own";

const struct param mask_params[] = {
    {"ratio", PARAM_REAL, offsetof(struct mask_options, ratio), 0, 1, NULL, NULL, NULL,
     "share that is kept, of the elements, rows or neurons that the locator scores; without it "
     "that of the locator, or its own threshold"},
    CHOICE_PARAM(struct mask_options, scope, scopes, "own",
                 "where the share is taken: of all, of each tensor, of each row; own: as the "
                 "locator does"),
    INT_PARAM(struct mask_options, score_batch, 1, 1 << 20, 1,
              "rows whose mean is one gradient; scores add up over such batches"),
    {0},
};

static struct selection selection_of(const struct locator *l, const struct mask_options *o)
{
    const int scope = param_choice(scopes, o->scope);
    return (struct selection){.scope = scope == SCOPE_COUNT ? l->scope : (enum scope)scope,
                              .ratio = o->ratio > 0 ? o->ratio : l->ratio};
}

static int check_roles(const struct locator *l, const struct dataset *const *sets, struct err *e)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (l->roles & ROLE_BIT(r) && !sets[r])
            return err_about(e, role_name[r], "locator '%s' needs %s data", l->name, role_name[r]);
    return 0;
}

static int open_engine(struct engine *g, struct model *m, const struct dataset *const *sets,
                       struct err *e)
{
    static const struct {
        enum role role;
        enum goal goal;
    } of[] = {{ROLE_FORGET, GOAL_FORGET}, {ROLE_RETAIN, GOAL_RETAIN}};
    engine_init(g, m);
    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        const struct objective o = {
            .term = &term_nll, .role = {of[k].role}, .weight = 1, .goal = of[k].goal};
        g->sets[of[k].role] = sets[of[k].role];
        if (sets[of[k].role] && engine_add(g, &o, e))
            return -1;
    }
    g->measuring = true;
    return 0;
}

static int check_kept(const struct located *to, struct err *e)
{
    const struct selected *r = &to->result;
    if (r->kept || to->scores.rest_free)
        return 0;
    return r->asked || to->how.ratio <= 0
               ? err_set(e, "nothing is kept: no score reaches its threshold, %g", to->scores.least)
               : err_set(e, "a share of %g of %zu keeps nothing", to->how.ratio, r->units);
}

int run_locate(struct located *to, struct model *m, const struct choice *locator,
               const struct mask_options *o, const struct dataset *const *sets, const int *pair,
               unsigned seed, const volatile sig_atomic_t *stop, struct err *e)
{
    const struct locator *l = locator->row;
    *to = (struct located){.how = selection_of(l, o)};
    const double start = log_seconds();
    BUG_ON(!l->score);
    if (check_roles(l, sets, e) || open_engine(&to->engine, m, sets, e) ||
        scoring_init(&to->scores, &to->engine, l, e))
        return -1;
    to->scores.batch = (int)o->score_batch;
    to->scores.seed = seed;
    to->scores.pair = pair;
    to->scores.stop = stop;
    if (l->score(locator->params, &to->scores, e) ||
        !(to->bits = mem_alloc(mask_words(&m->table), sizeof *to->bits, e)) ||
        scores_select(&to->scores, l, &to->how, to->bits, &to->result, e) || check_kept(to, e))
        return err_prefix(e, "locator '%s': ", l->name);
    to->seconds = log_seconds() - start;
    return 0;
}

void located_fini(struct located *l)
{
    scoring_fini(&l->scores);
    engine_fini(&l->engine);
    free(l->bits);
    *l = (struct located){.bits = NULL};
}
