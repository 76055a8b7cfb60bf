#include "run/stages.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "locate/locators.h"
#include "train/checkpoint.h"
#include "train/loop.h"

static const char mark[] = "stage.json";

static bool is_needed(const struct run *r, int k)
{
    return stage_is_needed(&stages[k], &r->c.recipe, r->c.first) &&
           (stages[k].helper < HELPER_COUNT || r->c.stages[k].steps > 0);
}

static bool is_given(const struct run *r, int k)
{
    return stages[k].helper < HELPER_COUNT && r->c.run.models[stages[k].helper];
}

/* All data are there, before anything is trained. Those of the new model are looked at even where
 * it is given: for the gap. */
static int check_data(const struct run *r, struct err *e)
{
    for (int k = 0; k < STAGE_COUNT; k++) {
        const struct stage *s = &stages[k];
        if (is_needed(r, k) && s->learns < ROLE_COUNT && !r->c.run.files[s->learns] &&
            (!is_given(r, k) || s->helper == HELPER_NEW))
            return err_set(e, "stage '%s' needs %s data: give --%s FILE, or %s", s->name,
                           role_name[s->learns], role_name[s->learns], s->instead);
    }
    return 0;
}

/* Whether OUT/NAME holds what this run's stage leaves there. */
static int find_finished(const struct run *r, const char *dir, bool *finished, struct err *e)
{
    char *path = file_join(dir, mark, e);
    if (!path)
        return -1;
    int rc = 0;
    *finished = r->c.train.resume && file_exists(path);
    if (*finished) {
        json_t *then = json_read_file(path, e);
        if (!then || checkpoint_compare(then, r->shared, e))
            rc = err_prefix(e, "cannot resume: ");
        json_decref(then);
    } else {
        remove(path);
    }
    free(path);
    return rc;
}

static int mark_finished(const struct run *r, const char *dir, struct err *e)
{
    char *path = file_join(dir, mark, e);
    int rc = path ? json_write_file(r->shared, path, JSON_INDENT(1), e) : -1;
    free(path);
    return rc;
}

/* The run of stage k: as the whole run, but for what the stage has otherwise. */
static int stage_begin(struct run *sub, const struct run *r, int k, const char *dir, struct err *e)
{
    const struct stage *s = &stages[k];
    struct run_config *c = &sub->c;
    *sub = *r;
    sub->stage = s;
    c->wrapper = (struct choice){0};
    param_defaults(weighting_params, &c->weighting);
    param_defaults(validation_params, &c->validation);
    c->run.out = dir;
    c->run.dtype = "f32";
    c->run.save_adapter = false;
    c->train.lr = r->c.stages[k].lr;
    c->train.epochs = r->c.stages[k].epochs;
    c->train.max_steps = r->c.stages[k].steps;
    c->train.order = c->train.write_order = NULL;
    for (int role = 0; role < ROLE_COUNT && s->learns < ROLE_COUNT; role++)
        c->run.files[role] = role == ROLE_RETAIN ? r->c.run.files[s->learns] : NULL;
    c->run.refused = c->run.alternate_pool = NULL;
    if (s->learns < ROLE_COUNT) { /* a helper: another model, and without the data of a score */
        c->run.mask = NULL;
        if (run_makes_mask(c))
            c->locator = (struct choice){.row = &locator_all};
    }
    return recipe_open(&c->recipe, s->method, e);
}

static int train(const struct run *r, int k, const char *dir, struct err *e)
{
    struct run sub;
    struct outdir own = {0};
    const enum outdir_use use = r->c.train.resume ? OUTDIR_CONTINUE : OUTDIR_REPLACE;
    int rc = stage_begin(&sub, r, k, dir, e) || outdir_open(&own, dir, use, e);
    sub.dir = &own;
    if (!rc && !r->c.train.resume)
        train_drop_checkpoint(dir);
    if (!rc && run_training(&sub, e))
        rc = err_prefix(e, "stage '%s': ", stages[k].name);
    outdir_close(&own, rc);
    recipe_fini(&sub.c.recipe);
    return rc || mark_finished(r, dir, e);
}

/* The run goes on as if the stage's model had been given. */
static void use(struct run *r, int k, const char *dir)
{
    if (stages[k].helper < HELPER_COUNT) {
        r->c.run.models[stages[k].helper] = dir;
        return;
    }
    if (!r->c.run.ref) {
        r->c.run.ref = r->c.setup.model;
        r->c.run.ref_adapter = r->c.setup.adapter;
    }
    r->c.setup.model = dir;
    r->c.setup.adapter = NULL;
}

static int run_stage(struct run *r, int k, struct err *e)
{
    bool finished;
    int rc = 0;
    char *dir = r->stage_dir[k] = file_join(r->c.run.out, stages[k].name, e);
    if (!dir || find_finished(r, dir, &finished, e))
        return -1;
    if (finished) {
        log_note("stage '%s' is finished: %s", stages[k].name, dir);
    } else {
        r->c.train.resume = r->c.train.resume && train_is_interrupted(dir);
        rc = train(r, k, dir, e);
        r->c.train.resume = false;
    }
    use(r, k, dir);
    return rc;
}

void stages_clear(const char *out)
{
    struct err ignored;
    for (int k = 0; k < STAGE_COUNT; k++) {
        char *dir = file_join(out, stages[k].name, &ignored);
        char *path = dir ? file_join(dir, mark, &ignored) : NULL;
        if (path)
            remove(path);
        free(path);
        free(dir);
    }
}

int stages_run(struct run *r, struct err *e)
{
    if (check_data(r, e))
        return -1;
    for (int k = 0; k < STAGE_COUNT; k++)
        if (is_needed(r, k) && !is_given(r, k) && run_stage(r, k, e))
            return -1;
    r->c.train.resume = r->c.train.resume && train_is_interrupted(r->c.run.out);
    return 0;
}

int stages_plan(struct run *r, struct err *e)
{
    if (check_data(r, e))
        return -1;
    for (int k = 0; k < STAGE_COUNT; k++) {
        if (!is_needed(r, k) || is_given(r, k))
            continue;
        log_note("stage '%s' would be trained first", stages[k].name);
        if (stages[k].helper < HELPER_COUNT)
            r->c.run.models[stages[k].helper] = r->c.setup.model;
    }
    return 0;
}
