/* The search for a value, as value.c and lens.c share it. Private to edit/. */
#ifndef EDIT_SEARCH_H
#define EDIT_SEARCH_H

#include "edit/edit.h"
#include "model/head.h"

enum { WHOLE, NLL, KL, DECAY, LOSSES };

enum objective { OBJECTIVE_TARGET, OBJECTIVE_ERASE, OBJECTIVE_ENTROPY, OBJECTIVE_MARGIN };

/* The residual after a layer, through the final norm and the head. */
struct value_lens {
    struct value_search *s; /* borrowed */
    int layer;
    device float *dx; /* [N,C] d loss / d residual, in the arena */
};

struct value_search {
    const struct editing *g;
    const struct value_options *o;
    const struct edit_request *r;
    enum objective objective;
    const int
        *text; /* borrowed [n_text]: the target, or the answer that is erased; none for a lens */
    int n_text;

    struct seq *seqs;   /* owned [n]: the prompts with the text, then KL's */
    int n, *pool;       /* owned: ids, then labels */
    int *from, *common; /* owned [n]: what each shares with one before (struct batch) */
    struct arena arena;
    struct batch batch;
    struct label_rows rows;
    struct tap *taps; /* owned [1 + n_lenses]; the pass borrows them until its backward */
    struct pass pass;
    struct head head;

    struct value_lens *lenses; /* owned [n_lenses], ascending; none but for entropy and margin */
    int n_lenses;

    double *delta, *v0, *grad, *m1, *m2; /* owned [C] */
    double *first; /* owned [V]: log p_0; its first number is NaN until it is known */
    bool seen;     /* v0 is known */
};

/* z [V] becomes log softmax(z), in f64. */
void search_log_softmax(double *to, const float *z, int vocab);

/* The layers that the lens is on: those of the options, which must not lie below `layer`, or all
 * from it on. Nothing where the objective has no lens. */
int lens_init(struct value_search *s, int layer, struct err *e);
/* s->taps[1..n_lenses], which bring the derivatives back. */
void lens_taps(struct value_search *s);
/* After the forward: *loss gets the mean over layers and prompts, at their last tokens; the
 * derivatives are kept for the backward, that of the last layer is added to dx [N,C]. */
int lens_loss(struct value_search *s, double *loss, device float *dx, struct err *e);

#endif
