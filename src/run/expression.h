/* Expressions over metrics: bounds of a request ("forget_Q_A_ROUGE <= 0.2 + retrained") and the
 * value by which runs are ranked ("model_utility - forget_Q_A_ROUGE").
 *
 *   bound    sum (<= | >= | < | >) sum
 *   sum      product ((+ | -) product)*
 *   product  factor ((* | /) factor)*
 *   factor   - factor | number | ( sum ) | function ( sum [, sum] ) | name
 *   name     [target. | retrained. | unlearned.] [PREFIX.] METRIC [.low | .high]
 *
 * Functions: abs, exp, log, sqrt, min, max. A name without a model is of the unlearned one; PREFIX
 * is a suite or an attack of the request, or what else the caller knows; low and high are the ends
 * of the 95 % interval. Parts of names are letters, digits and _, or stand in single quotes. In a
 * bound the words target and retrained alone are the value of its first metric for that model.
 */
#ifndef RUN_EXPRESSION_H
#define RUN_EXPRESSION_H

#include <stdbool.h>

#include "base/err.h"

enum whose { WHOSE_UNLEARNED, WHOSE_TARGET, WHOSE_RETRAINED, WHOSE_COUNT };
extern const char *const whose_name[WHOSE_COUNT];

enum figure_part { FIGURE_VALUE, FIGURE_LOW, FIGURE_HIGH, FIGURE_PARTS };

struct expression_name {
    enum whose whose;
    enum figure_part part;
    char *metric; /* owned: "forget_Q_A_ROUGE" or "tofu.forget_Q_A_ROUGE" */
};

enum comparison { COMPARE_NONE, COMPARE_LE, COMPARE_GE, COMPARE_LT, COMPARE_GT };

struct expression {
    char *text; /* owned, as it was read */
    struct expression_name *names;
    struct expression_step *steps; /* owned, in postfix order */
    int n_names, n_steps;
    int n_left; /* steps before the comparison */
    enum comparison compare;
};

enum expression_kind { EXPRESSION_VALUE, EXPRESSION_BOUND };

/* Errors tell the place. expression_fini is due in every case. */
int expression_read(struct expression *x, const char *text, enum expression_kind kind,
                    struct err *e);
void expression_fini(struct expression *x);

/* The value of a name; NaN: it was not measured. */
typedef double expression_lookup(void *ctx, const struct expression_name *name);
/* Of a value, or of the left side of a bound; NaN where a name has none. */
double expression_value(const struct expression *x, expression_lookup *lookup, void *ctx);

struct bound_state {
    double left, right;
    bool known; /* both sides are numbers */
    bool held;
    double excess; /* how far the bound is missed, relative to 1e-9 + |right|; 0: held */
};

struct bound_state expression_bound(const struct expression *x, expression_lookup *lookup,
                                    void *ctx);

#endif
