#include "cli/stages.h"

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "train/checkpoint.h"
#include "train/loop.h"

static const char mark[] = "stage.json";

static bool is_needed(const struct request *q, int k)
{
    return stage_is_needed(&stages[k], &q->recipe, q->first) &&
           (stages[k].helper < HELPER_COUNT || q->stages[k].steps > 0);
}

static bool is_given(const struct request *q, int k)
{
    return stages[k].helper < HELPER_COUNT && q->job.models[stages[k].helper];
}

/* All data are there, before anything is trained. Those of the new model are looked at even where
 * it is given: for the gap. */
static int check_data(const struct request *q, struct err *e)
{
    for (int k = 0; k < STAGE_COUNT; k++) {
        const struct stage *s = &stages[k];
        if (is_needed(q, k) && s->learns < ROLE_COUNT && !q->job.files[s->learns] &&
            (!is_given(q, k) || s->helper == HELPER_NEW))
            return err_set(e, "stage '%s' needs %s data: give --%s FILE, or %s", s->name,
                           role_name[s->learns], role_name[s->learns], s->instead);
    }
    return 0;
}

/* Whether OUT/NAME holds what this run's stage leaves there. */
static int look_for_finished(const struct request *q, const char *dir, bool *finished,
                             struct err *e)
{
    char *path = file_join(dir, mark, e);
    if (!path)
        return -1;
    int rc = 0;
    *finished = q->train.resume && file_exists(path);
    if (*finished) {
        json_t *then = json_read_file(path, e);
        if (!then || checkpoint_compare(then, q->options, e))
            rc = err_prefix(e, "cannot resume: ");
        json_decref(then);
    } else {
        remove(path);
    }
    free(path);
    return rc;
}

static int mark_finished(const struct request *q, const char *dir, struct err *e)
{
    char *path = file_join(dir, mark, e);
    int rc = path ? json_write_file(q->options, path, JSON_INDENT(1), e) : -1;
    free(path);
    return rc;
}

/* The request of stage k: the run's, but for what the stage has otherwise. */
static int stage_request(struct request *sub, const struct request *q, int k, const char *dir,
                         struct err *e)
{
    const struct stage *s = &stages[k];
    *sub = *q;
    sub->stage = s;
    sub->wrapping = (struct wrapping){0};
    param_defaults(weighting_params, &sub->weighting);
    param_defaults(watch_params, &sub->watch);
    sub->job.out = dir;
    sub->job.dtype = "f32";
    sub->job.save_adapter = false;
    sub->train.lr = q->stages[k].lr;
    sub->train.epochs = q->stages[k].epochs;
    sub->train.max_steps = q->stages[k].steps;
    sub->train.order = sub->train.write_order = NULL;
    for (int r = 0; r < ROLE_COUNT && s->learns < ROLE_COUNT; r++)
        sub->job.files[r] = r == ROLE_RETAIN ? q->job.files[s->learns] : NULL;
    sub->job.refused = sub->job.alternate_pool = NULL;
    return recipe_open(&sub->recipe, s->method, e);
}

static int train(const struct request *q, int k, const char *dir, stage_job *job)
{
    struct err e = {.msg = ""};
    struct request sub;
    struct outdir own = {0};
    const enum outdir_use use = q->train.resume ? OUTDIR_CONTINUE : OUTDIR_REPLACE;
    int status = stage_request(&sub, q, k, dir, &e) || outdir_open(&own, dir, use, &e)
                     ? args_fail(&q->args, &e)
                     : ARGS_GO;
    sub.dir = &own;
    if (status == ARGS_GO && !q->train.resume)
        train_drop_checkpoint(dir);
    if (status == ARGS_GO)
        status = job(&sub);
    outdir_close(&own, status != STATUS_DONE);
    recipe_fini(&sub.recipe);
    if (status != STATUS_DONE)
        return status;
    return mark_finished(q, dir, &e) ? args_fail(&q->args, &e) : ARGS_GO;
}

/* The run goes on as if the stage's model had been given. */
static void use(struct request *q, int k, const char *dir)
{
    if (stages[k].helper < HELPER_COUNT) {
        q->job.models[stages[k].helper] = dir;
        return;
    }
    if (!q->job.ref) {
        q->job.ref = q->setup.model;
        q->job.ref_adapter = q->setup.adapter;
    }
    q->setup.model = dir;
    q->setup.adapter = NULL;
}

static int run_stage(struct request *q, int k, stage_job *job)
{
    struct err e = {.msg = ""};
    bool finished;
    char *dir = q->stage_dir[k] = file_join(q->job.out, stages[k].name, &e);
    if (!dir || look_for_finished(q, dir, &finished, &e))
        return args_fail(&q->args, &e);
    int status = ARGS_GO;
    if (finished) {
        log_note("stage '%s' is finished: %s", stages[k].name, dir);
    } else {
        q->train.resume = q->train.resume && train_is_interrupted(dir);
        status = train(q, k, dir, job);
        q->train.resume = false;
    }
    use(q, k, dir);
    return status;
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

int stages_run(struct request *q, stage_job *job)
{
    struct err e = {.msg = ""};
    if (check_data(q, &e))
        return args_fail(&q->args, &e);
    for (int k = 0; k < STAGE_COUNT; k++)
        if (is_needed(q, k) && !is_given(q, k)) {
            int status = run_stage(q, k, job);
            if (status != ARGS_GO)
                return status;
        }
    q->train.resume = q->train.resume && train_is_interrupted(q->job.out);
    return ARGS_GO;
}
