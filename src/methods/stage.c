#include "methods/stage.h"

#include <stddef.h>
#include <strings.h>

#define FIELD(f) offsetof(struct stage_options, f)

/* The learning rate and epochs of Who's Harry Potter (arXiv 2310.02238) for all of them. */
static const struct param reinforced_params[] = {
    {"reinforced_lr", PARAM_REAL, FIELD(lr), 0, 10, NULL, "3e-6", NULL,
     "highest learning rate of the model that learns the forget data by heart"},
    {"reinforced_epochs", PARAM_REAL, FIELD(epochs), 0.001, 100000, NULL, "3", NULL,
     "its passes over them"},
    {0},
};

static const struct param new_model_params[] = {
    {"new_model_lr", PARAM_REAL, FIELD(lr), 0, 10, NULL, "3e-6", NULL,
     "highest learning rate of the model that learns the holdout data"},
    {"new_model_epochs", PARAM_REAL, FIELD(epochs), 0.001, 100000, NULL, "3", NULL,
     "its passes over them"},
    {0},
};

/* The learning rate of TAR's second stage (arXiv 2408.00761); the number of steps is ours. */
static const struct param mapping_params[] = {
    {"mapping_steps", PARAM_INT, FIELD(steps), 0, 1e9, NULL, "200", NULL,
     "steps of random mapping before the method's own; 0: none"},
    {"mapping_lr", PARAM_REAL, FIELD(lr), 0, 10, NULL, "2e-5", NULL, "their highest learning rate"},
    {0},
};

const struct stage stages[STAGE_COUNT] = {
    {"reinforced", "a copy of the model learns the forget data by heart", HELPER_REINFORCED, "FT",
     ROLE_FORGET, "--reinforced MODEL", reinforced_params},
    {"new_model",
     "a copy of the model learns new data, those of the holdout role, or is --new-model MODEL",
     HELPER_NEW, "FT", ROLE_HOLDOUT, "--gap NATS", new_model_params},
    {"mapping", "the weights go through random mapping before the method's own steps", HELPER_COUNT,
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
    return err_about(e, "first", "no stage '%s' can go first", name);
}

bool stage_is_needed(const struct stage *s, const struct recipe *r, const struct stage *first)
{
    for (int i = 0; i < PART_COUNT && s->helper < HELPER_COUNT; i++)
        if (recipe_weight(r, (enum recipe_place)i) != 0 &&
            term_looks_at(r->part[i].row, r->part[i].params, s->helper))
            return true;
    return s == first;
}
