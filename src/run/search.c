#include "run/search.h"

#include <math.h>

static const double step = 3, close_enough = 1.3;

double search_start(double parameters)
{
    return 4e-5 * cbrt(135e6 / fmax(parameters, 1));
}

/* The tries of this number of epochs: the highest rate that is too low and the lowest that is too
 * high; 0 and infinity: none. */
static void bracket(const struct search_point *done, int n, double epochs, double *low,
                    double *high, bool *any)
{
    *low = 0;
    *high = INFINITY;
    *any = false;
    for (int i = 0; i < n; i++) {
        const struct search_point *p = &done[i];
        if (p->epochs != epochs)
            continue;
        *any = true;
        if (!p->kept)
            *high = fmin(*high, p->lr);
        else if (!p->reached)
            *low = fmax(*low, p->lr);
    }
}

static double within(const struct search_space *s, double lr)
{
    return fmin(fmax(lr, s->lr_least), s->lr_most);
}

bool search_next(const struct search_space *s, const struct search_point *done, int n,
                 struct search_point *next, const char **why)
{
    double start = within(s, s->lr_start), low, high;
    bool any;
    for (int i = 0; i < n; i++)
        if (done[i].reached && done[i].kept) {
            *why = "all bounds hold";
            return false;
        }
    for (double epochs = s->epochs_least;; epochs = fmin(2 * epochs, s->epochs_most)) {
        bracket(done, n, epochs, &low, &high, &any);
        *next = (struct search_point){.epochs = epochs};
        next->lr = !any          ? start
                   : !low        ? within(s, high / step)
                   : isinf(high) ? within(s, low * step)
                                 : sqrt(low * high);
        if (!any || (low && !isinf(high) && high / low > close_enough) ||
            (!low && high > s->lr_least) || (isinf(high) && low < s->lr_most))
            return true;
        if (!low) {
            *why = "the least learning rate already breaks what is to be kept";
            return false;
        }
        if (epochs >= s->epochs_most) {
            *why = isinf(high) ? "the highest learning rate and all epochs do not reach them"
                               : "no learning rate and number of epochs holds all of them";
            return false;
        }
        const double more = fmin(2 * epochs, s->epochs_most) / epochs;
        start = within(s, (isinf(high) ? low : sqrt(low * high)) / sqrt(more));
    }
}
