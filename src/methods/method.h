/* Methods: named rows that pick a forget term, a retain term and the paper's defaults. Every cell
 * can be overridden, so combinations nobody published cost no code.
 *
 *     loss = gamma * forget term + alpha * retain term + extra_weight * extra term + l1 * sum |w|
 *
 * Most methods have no extra term and no penalty.
 */
#ifndef METHODS_METHOD_H
#define METHODS_METHOD_H

#include "base/err.h"
#include "base/param.h"
#include "data/dataset.h"
#include "train/engine.h"

struct method {
    const char *name;   /* as the peer's class, where it has one: "GradDiff" */
    const char *family; /* "ascent", "preference" ... */
    const char *paper;
    const char *help;                   /* one line */
    const char *forget;                 /* term; NULL: retain only */
    bool retain;                        /* has a retain term */
    const struct param_preset *presets; /* what differs from the tables' defaults */
    const char *verified;               /* what its loss and gradients were compared with */
};

extern const struct method methods[]; /* ends with a NULL name */

/* Matched without regard to case; the error suggests the nearest. */
const struct method *method_by_name(const char *name, struct err *e);

/* The loss on forget data is meant to rise. Where the retain data alone are learnt, it is left
 * open.
 */
bool method_forgets(const struct method *m);

/* What every method has. */
struct method_params {
    double gamma, alpha;
    const char *retain_loss_type;                       /* a term, or "none" */
    const char *forget_term;                            /* overrides the row's; NULL: the row's */
    const char *retain_term;                            /* overrides retain_loss_type; NULL: that */
    const char *extra_term;                             /* NULL: none */
    const char *forget_role, *retain_role, *extra_role; /* whose data the terms look at */
    double extra_weight;
    double l1; /* weight of the sum of absolute weights */
};

extern const struct param method_params[];

/* The terms of a method, in the order they are added to the engine. */
enum recipe_place { PART_FORGET, PART_RETAIN, PART_EXTRA, PART_COUNT };

/* A method made ready: terms chosen, their parameters at hand. */
struct recipe {
    const struct method *method;
    struct method_params p;
    struct choice part[PART_COUNT]; /* terms */
};

extern const char *const place_name[PART_COUNT]; /* "forget", "retain", "extra" */

/* NULL: the recipe has no term in that place. */
static inline const struct term *recipe_term(const struct recipe *r, enum recipe_place place)
{
    return r->part[place].row;
}

/* The row at its defaults. recipe_fini is due in every case. */
int recipe_open(struct recipe *r, const char *method, struct err *e);
/* Chooses the terms that r->method and r->p ask for and allocates their parameters, at their
 * defaults and presets. */
int recipe_choose_terms(struct recipe *r, struct err *e);
/* Adds the terms, weighted, to the engine whose sets are in place. */
int recipe_bind(const struct recipe *r, struct engine *g, struct err *e);
void recipe_fini(struct recipe *r);
/* Whose data the place's term looks at, and what it is multiplied by. */
enum role recipe_role(const struct recipe *r, enum recipe_place place);
/* Some term with a weight looks at data of this role. */
bool recipe_uses(const struct recipe *r, enum role role);
double recipe_weight(const struct recipe *r, enum recipe_place place);
/* The role that sets the length of an epoch: the forget term's if it counts, else the retain's. */
enum role recipe_anchor(const struct recipe *r);

#endif
