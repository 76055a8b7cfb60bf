/* The work on a request (run/request.h), shared by the files that check, do and describe it. */
#ifndef RUN_REQUEST_WORK_H
#define RUN_REQUEST_WORK_H

#include "run/request.h"

enum { REQUEST_NAME = 128 }; /* of a step */

struct request_work {
    struct request *q;             /* borrowed */
    const struct request_hooks *h; /* borrowed */
    json_t **suites;               /* owned [q->suites.n]: what each has */
    bool generic;                  /* generic text takes the place of retain data */
    const char *out;               /* borrowed; absolute */
    json_t *record;                /* owned: OUT/run.json */
    char *generic_file;            /* owned; NULL: none was made */
    struct request_values values;  /* of target and retrained, and of a try */
};

/* Checks the request. request_work_close is due in every case. */
int request_work_open(struct request_work *w, struct request *q, const struct request_hooks *h,
                      struct err *e);
void request_work_close(struct request_work *w);
/* Evaluates the retrained model, if there is one, and the target by all suites. */
int request_before(struct request_work *w, struct err *e);

/* Refuses a name of the expression that nothing of the request measures. */
int request_check_name(struct request_work *w, const struct expression *x,
                       const struct expression_name *n, struct err *e);
/* The bound has figures of attacks, which are made at the end. */
bool request_is_late(const struct request_work *w, const struct expression *x);
/* The bound has costs, which the target has none of. */
bool request_is_costly(const struct expression *x);
/* The suite is one of attacks. */
static inline bool request_is_attacks(const struct request_work *w, int i)
{
    return json_is_true(json_object_get(w->suites[i], "attacks"));
}

/* Without methods there is one: NPO, NULL. */
static inline int request_methods(const struct request *q)
{
    return q->methods.n ? q->methods.n : 1;
}

static inline const struct request_part *request_method(const struct request *q, int i)
{
    return q->methods.n ? &q->methods.v[i] : NULL;
}

/* OUT/NAME, owned by the caller. */
char *request_path(const struct request_work *w, const char *name, struct err *e);
/* A step, unless the record tells that it is done with the same options, which it takes. */
int request_do(struct request_work *w, const char *name, const char *command, const char *word,
               json_t *options, struct err *e);
int request_write_record(struct request_work *w, struct err *e);
/* Evaluates `model` by suite i into OUT/NAME and adds its figures to `whose`. More options may be
 * in `more`, which is taken. */
int request_evaluate(struct request_work *w, int i, enum whose whose, const char *name,
                     const char *model, json_t *more, struct err *e);
/* What an evaluation by suite i is compared with: options with the retrained model's log, and
 * `before`: with the target's; a new reference. */
json_t *request_logs(struct request_work *w, int i, bool before, struct err *e);

/* Elements of the target's weights. */
int request_parameters(const struct request_work *w, double *n, struct err *e);

/* The tries that are left. Each is an object of record["tries"]: {"n", "method", "options",
 * "seconds", "values", "bounds", "held": how many, "excess"}; record["stopped"] tells why a search
 * ended. */
int request_try(struct request_work *w, struct err *e);
/* The try with the most bounds held, of these that with the least excess; borrowed. */
json_t *request_best(const struct request_work *w);

/* Questions on nothing in particular, whose answers by the model are the generic text. */
int request_write_prompts(const struct request *q, const char *path, struct err *e);
/* The options of the command that answers them; a new reference. */
json_t *request_generate_options(const struct request *q, const char *prompts);

/* What OUT/card.json holds, from the record and the values; a new reference. */
json_t *request_card(struct request_work *w, struct err *e);

#endif
