/* One-step methods: the weights are changed once, by a formula, instead of trained. A method names
 * the row (methods/method.h); its terms give the losses whose gradients are taken, L_F and L_R.
 *
 * n_F, n_R: scored tokens of the forget and retain rows; N_F, N_R: rows. B is of the retain rows. A
 * change is of the weights that may move; what a mask holds keeps its bits.
 */
#ifndef INFLUENCE_UPDATES_H
#define INFLUENCE_UPDATES_H

#include <jansson.h>
#include <signal.h>

#include "base/table.h"
#include "train/derivatives.h"

struct update_job {
    struct engine *engine; /* borrowed: sets and objectives in place, goals forget and retain */
    unsigned seed;
    const volatile sig_atomic_t *stop; /* NULL: never */
    json_t *report; /* borrowed object, filled in: gradient norms, residuals, counts ... */
};

struct update {
    ROW_FIELDS;
    const char *help, *formula;
    const char *further, *shorter; /* advice: "raise lambda or lower step_scale" */
    int (*apply)(const void *params, struct update_job *j, struct err *e);
};

extern const struct update *const updates[]; /* ends with NULL */

/* The rows, and what they share. */
extern const struct update update_newton, update_influence, update_ssd, update_fisher_noise,
    update_curvature_edit;

/* All rows of a role, owned by the caller (rows.row); an error if there are none. */
int update_rows(const struct update_job *j, int role, int batch, struct data_rows *rows,
                struct err *e);
/* w += a x over the trainable weights, but for masked elements; notes the length of the step. */
int update_add(struct update_job *j, double a, const device float *x, struct err *e);
void update_note(struct update_job *j, const char *name, double value);
/* F = the mean over a role's rows of the squared gradient of the row's token mean; owned by the
 * caller. */
device float *update_fisher(struct update_job *j, int role, struct err *e);

#endif
