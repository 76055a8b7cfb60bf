/* What the metrics of a suite are about: whose rows, and which value an unlearned model should
 * have. */
#include <string.h>

#include "suites/metrics.h"
#include "suites/recipe.h"

const char *const direction_name[] = {"-", "low", "high", "as retrained"};
const char *const aspect_name[ASPECT_COUNT] = {NULL, "text", "probability", "tokens",
                                               "truth ratio"};

enum { DIRECTIONS = sizeof direction_name / sizeof *direction_name };

static const struct metric *metric_by_name(const struct suite_recipe *r, const char *name)
{
    const struct metric *m = r->metrics;
    while (m->name && strcmp(m->name, name))
        m++;
    return m->name ? m : NULL;
}

/* The metric whose rows it is computed from: its first input, and so on. */
static const struct metric *root_of(const struct suite_recipe *r, const struct metric *m)
{
    while (m && !m->kind->needs && m->inputs[0])
        m = metric_by_name(r, m->inputs[0]);
    return m;
}

/* Whether it is computed for other metrics only, row by row, such as the probability of wrong
 * answers. */
static bool is_part(const struct suite_recipe *r, const struct metric *m)
{
    for (const struct metric *of = r->metrics; of->name && !m->in_summary; of++)
        for (int i = 0; of->kind->join && i < SUITE_INPUTS && of->inputs[i]; i++)
            if (!strcmp(of->inputs[i], m->name))
                return true;
    return false;
}

struct sense metric_sense(const struct suite_recipe *r, const struct metric *m)
{
    const struct metric *root = root_of(r, m);
    struct sense x = {ROLE_COUNT, m->kind->aspect, m->kind->direction};
    if (m->kind->inputs_most > 2) /* of several data sets */
        return x;
    if (root && root->set < r->n_sets)
        x.role = r->sets[root->set].role;
    if (is_part(r, m))
        return (struct sense){x.role, ASPECT_NONE, DIRECTION_NONE};
    const bool kept = x.role == ROLE_RETAIN || x.role == ROLE_NEIGHBOUR || x.role == ROLE_GENERIC;
    const bool truth = m->kind->join && m->kind->direction == DIRECTION_RETRAINED;
    if (kept && (x.direction == DIRECTION_LOW || (truth && m->truth != TRUTH_CLOSER_TO_1)))
        x.direction = DIRECTION_HIGH;
    else if (!kept && x.role != ROLE_FORGET && x.direction == DIRECTION_LOW)
        x.direction = DIRECTION_NONE;
    return x;
}

int sense_to_json(const struct sense *x, json_t *line, struct err *e)
{
    int rc = 0;
    if (x->role < ROLE_COUNT)
        rc |= json_object_set_new(line, "role", json_string(role_name[x->role]));
    if (x->aspect)
        rc |= json_object_set_new(line, "aspect", json_string(aspect_name[x->aspect]));
    if (x->direction)
        rc |= json_object_set_new(line, "direction", json_string(direction_name[x->direction]));
    return rc ? suite_no_memory(e) : 0;
}

/* The index of the text in names[n], from 1 on; 0: none. */
static int index_of(const json_t *text, const char *const *names, int n)
{
    const char *s = json_string_value(text);
    for (int i = 1; s && i < n; i++)
        if (!strcmp(s, names[i]))
            return i;
    return 0;
}

struct sense sense_of_json(const json_t *line)
{
    const char *role = json_string_value(json_object_get(line, "role"));
    return (struct sense){
        role ? role_by_name(role) : ROLE_COUNT,
        (enum aspect)index_of(json_object_get(line, "aspect"), aspect_name, ASPECT_COUNT),
        (enum direction)index_of(json_object_get(line, "direction"), direction_name, DIRECTIONS)};
}

struct sense task_sense_of(enum role role)
{
    return (struct sense){role, ASPECT_NONE,
                          role == ROLE_FORGET    ? DIRECTION_LOW
                          : role == ROLE_GENERIC ? DIRECTION_HIGH
                                                 : DIRECTION_NONE};
}

static bool has_task(const struct suite_recipe *r, const char *task)
{
    for (int i = 0; i < r->n_tasks; i++) {
        if (!strcmp(r->tasks[i].name, task))
            return true;
        for (int g = 0; r->tasks[i].groups[g]; g++)
            if (!strcmp(r->tasks[i].groups[g], task))
                return true;
    }
    return false;
}

struct sense task_sense(const char *task, struct err *e)
{
    enum role role = ROLE_COUNT;
    for (const struct suite_text *t = suite_texts; t->name && role == ROLE_COUNT; t++) {
        struct suite_recipe r;
        if (suite_recipe_open(&r, t->name, e))
            break;
        if (has_task(&r, task))
            role = r.role;
        suite_recipe_close(&r);
    }
    return task_sense_of(role);
}

json_t *suite_senses(const struct suite_recipe *r, struct err *e)
{
    json_t *all = json_object();
    int rc = all ? 0 : suite_no_memory(e);
    for (const struct metric *m = r->metrics; m && m->name && !rc; m++) {
        const struct sense x = metric_sense(r, m);
        json_t *line = json_object();
        rc = json_object_set_new(all, m->name, line) ? suite_no_memory(e)
                                                     : sense_to_json(&x, line, e);
    }
    if (!rc)
        return all;
    json_decref(all);
    return NULL;
}
