#include "methods/stage.h"

#include <stddef.h>
#include <strings.h>

#define FIELD(f) offsetof(struct stage_options, f)

/* The learning rate and epochs of Who's Harry Potter (arXiv 2310.02238) for all of them. */
static const struct param reinforced_params[] = {
    {"reinforced_lr", PARAM_REAL, FIELD(lr), 0, 10, NULL, "3e-6", NULL,
     "peak learning rate of the reinforced model, fine-tuned on the forget data"},
    {"reinforced_epochs", PARAM_REAL, FIELD(epochs), 0.001, 100000, NULL, "3", NULL,
     "its epochs on the forget data"},
    {0},
};

static const struct param new_model_params[] = {
    {"new_model_lr", PARAM_REAL, FIELD(lr), 0, 10, NULL, "3e-6", NULL,
     "peak learning rate of the new model, fine-tuned on the holdout data"},
    {"new_model_epochs", PARAM_REAL, FIELD(epochs), 0.001, 100000, NULL, "3", NULL,
     "its epochs on the holdout data"},
    {0},
};

/* The learning rate of TAR's second stage (arXiv 2408.00761); the number of steps is not the
 * paper's. */
static const struct param mapping_params[] = {
    {"mapping_steps", PARAM_INT, FIELD(steps), 0, 1e9, NULL, "200", NULL,
     "steps of random mapping before the method's own steps; 0: none"},
    {"mapping_lr", PARAM_REAL, FIELD(lr), 0, 10, NULL, "2e-5", NULL,
     "peak learning rate of random mapping"},
    {0},
};

const struct stage stages[STAGE_COUNT] = {
    {"reinforced",
     "fine-tuning of a copy on the forget data until it overfits (the reinforced model)",
     HELPER_REINFORCED, "FT", ROLE_FORGET, "--reinforced MODEL", reinforced_params},
    {"new_model",
     "fine-tuning of a copy on new data, those of the holdout role, or --new-model MODEL",
     HELPER_NEW, "FT", ROLE_HOLDOUT, "--gap NATS", new_model_params},
    {"mapping", "random mapping of the weights before the method's own steps", HELPER_COUNT,
     "RandomMapping", ROLE_COUNT, "--first none", mapping_params},
};

int stage_by_name(const char *name, const struct stage **s, struct err *e)
{
    *s = NULL;
    if (!strcasecmp(name, "none"))
        return 0;
    for (int k = 0; k < STAGE_COUNT; k++)
        if (stages[k].helper == HELPER_COUNT && !strcasecmp(stages[k].name, name)) {
            *s = &stages[k];
            return 0;
        }
    return err_about(e, "first", "there is no first phase '%s'", name);
}

bool stage_is_needed(const struct stage *s, const struct recipe *r, const struct stage *first)
{
    for (int i = 0; i < PART_COUNT && s->helper < HELPER_COUNT; i++)
        if (recipe_weight(r, (enum recipe_place)i) != 0 &&
            term_looks_at(r->part[i].row, r->part[i].params, s->helper))
            return true;
    return s == first;
}
