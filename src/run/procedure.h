/* Procedures: the steps of a run before its own training, in order. A step makes one model, which
 * later steps and the run's own training use by its name, as if the user had made it beforehand and
 * given it as an option:
 *
 *   "model"       that a training starts from: the target model at first. A step that makes another
 *                 one leaves the target model as the reference
 *   "reference"   the frozen model that terms compare with, if it is not the model before training
 *   "reinforced"  and other helper models: the names by which terms use them (train/term.h)
 *
 * Each step has a directory OUT/NAME. When its model is there, OUT/NAME/stage.json gets the options
 * of the run: a resumed run keeps finished steps, resumes the interrupted one, and starts what
 * follows over. In messages and files a step is a stage (a step there is the optimiser's).
 *
 * To add a step: a row of the table in procedure.c, and what it does if that is not a training.
 */
#ifndef RUN_PROCEDURE_H
#define RUN_PROCEDURE_H

#include "base/param.h"
#include "methods/method.h"

enum { PROCEDURE_STEPS = 8 };

struct run;

struct step_options {
    double lr, epochs;
    int64_t steps;      /* of a training that is not measured in epochs; 0: it is left out */
    const char *method; /* of step_train, instead of the row's; NULL: that */
    double alpha, beta; /* of noise */
};

struct step {
    const char *name; /* its directory in the output; prefix of its options */
    const char *help; /* one line */
    /* Writes the model to r->dir, which is open and of this step. `r` is a copy for the step: the
     * run's config but for the directory, and the models made so far (run/state.h). */
    int (*what)(struct run *r, const struct step_options *o, struct err *e);
    const char
        *first; /* the value of `first` that brings it; NULL: a term that uses what it makes */
    const char *method;  /* of step_train: the method that it trains by */
    const char *needs;   /* the role on whose data it trains; NULL: on the data of the run */
    const char *makes;   /* the model's name */
    const char *lacks;   /* subject of the error that its data are missing (base/err.h) */
    const char *instead; /* the option that replaces it, with its value: "reinforced MODEL" */
    bool measured;       /* its data are needed also where its model is given */
    const struct param *params; /* rows on struct step_options */
};

struct procedure {
    struct {
        const struct step *row;
        struct step_options o;
    } step[PROCEDURE_STEPS];
    int n;
    bool negates; /* at its end the run's own training is turned to its opposite, theta - scale tau
                   */
    double scale;
};

extern const struct param negate_params[]; /* on struct procedure, where it negates */

/* The steps that a method needs: they make the helper models of its terms, and what `first` names
 * ("none": nothing), such as other weights to start from. Their options are at the defaults.
 */
int procedure_of(struct procedure *p, const struct recipe *r, const char *first, struct err *e);

#endif
