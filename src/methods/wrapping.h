/* A wrapper with its parameters and its extra terms. */
#ifndef METHODS_WRAPPING_H
#define METHODS_WRAPPING_H

#include "train/wrapper.h"

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
