/* Methods: named rows that choose a forget term, a retain term and the paper's defaults. Every
 * choice can be overridden, so that unpublished combinations need no code.
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
#include "train/wrapper.h"

struct method {
    const char *name;   /* as OpenUnlearning's class, if there is one: "GradDiff" */
    const char *family; /* "ascent", "preference" ... */
    const char *paper;
    const char *help;                   /* one line */
    const char *forget;                 /* term; NULL: retain only */
    bool retain;                        /* has a retain term */
    const struct param_preset *presets; /* values that differ from the tables' defaults */
    const char *verified; /* the source that its loss and gradients were compared with */
};

extern const struct method methods[]; /* ends with a NULL name */

/* Case-insensitive; the error suggests the nearest name. */
const struct method *method_by_name(const char *name, struct err *e);

/* The method unlearns: false if it only trains on retain data. */
bool method_forgets(const struct method *m);

/* Parameters of every method. */
struct method_params {
    double gamma, alpha;
    const char *retain_loss_type;                       /* a term, or "none" */
    const char *forget_term;                            /* overrides the row's; NULL: the row's */
    const char *retain_term;                            /* overrides retain_loss_type; NULL: that */
    const char *extra_term;                             /* NULL: none */
    const char *forget_role, *retain_role, *extra_role; /* roles of the terms' data */
    double extra_weight;
    double l1;          /* weight of the sum of absolute weights */
    const char *update; /* changes the weights once instead of training; "none": it trains */
};

extern const struct param method_params[];

/* The terms of a method, in the order they are added to the engine. */
enum recipe_place { PART_FORGET, PART_RETAIN, PART_EXTRA, PART_COUNT };

/* A method with its chosen terms and their parameters. */
struct recipe {
    const struct method *method;
    struct method_params p;
    struct choice part[PART_COUNT]; /* terms */
    struct choice update;           /* of influence/updates.h; none: the method trains */
};

extern const char *const place_name[PART_COUNT]; /* "forget", "retain", "extra" */

/* The term of that place, or NULL. */
static inline const struct term *recipe_term(const struct recipe *r, enum recipe_place place)
{
    return r->part[place].row;
}

/* The method of that name with its defaults. Call recipe_fini in every case. */
int recipe_open(struct recipe *r, const char *method, struct err *e);
/* Chooses the terms of r->method and r->p and allocates their parameters, with defaults and
 * presets. */
int recipe_choose_terms(struct recipe *r, struct err *e);
/* The method of that name: hands the tables of its terms to the taker in turn, each before what
 * depends on it is chosen. Call recipe_fini in every case. */
int recipe_take(struct recipe *r, const char *method, const struct param_taker *t, struct err *e);
/* Adds the weighted terms to an engine whose data sets are in place. */
int recipe_bind(const struct recipe *r, struct engine *g, struct err *e);
void recipe_fini(struct recipe *r);
/* Role and weight of the term of that place. */
enum role recipe_role(const struct recipe *r, enum recipe_place place);
/* Some term whose weight is not 0 uses data of this role. */
bool recipe_uses(const struct recipe *r, enum role role);
double recipe_weight(const struct recipe *r, enum recipe_place place);
/* The role that sets the length of an epoch: the forget term's, or the retain's without one. */
enum role recipe_anchor(const struct recipe *r);

/* Sets the terms' parameters that `--compat TEXT` names (base/compat.h); NULL: none. */
void recipe_apply_compat(struct recipe *r, const char *text);

/* compat_parse and compat_help with the parameters of terms, optimisers, wrappers, locators and
 * training that --compat may name. */
int method_compat(const char *text, unsigned *bits, struct err *e);
void method_compat_help(FILE *out);

/* A wrapper with its parameters and its extra terms. */
struct wrapping {
    struct choice chosen;            /* a wrapper; none: no wrapper */
    void *extra[WRAPPER_MAX_EXTRAS]; /* owned parameters of the extra terms, at their defaults */
};

static inline const struct wrapper *wrapping_row(const struct wrapping *w)
{
    return w->chosen.row;
}

/* By name, or "none"; allocates the parameters, at their defaults. */
int wrapping_choose(struct wrapping *w, const char *name, struct err *e);
/* Adds the extra terms to an engine with data sets and the method's terms. */
int wrapping_bind(struct wrapping *w, struct engine *g, struct err *e);
/* The goals whose gradients update weights. */
unsigned wrapping_goals(const struct wrapping *w);
void wrapping_fini(struct wrapping *w);

#endif
