#include "run/procedure.h"

#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "locate/locators.h"
#include "run/state.h"
#include "train/checkpoint.h"
#include "train/loop.h"

/* --- the table --- */

/* A training with the run's options (trainable weights, optimiser, batches, seed) but for data,
 * method and length; without a wrapper, and with constant term weights. A helper model is trained
 * without the run's mask. */
static int step_train(struct run *r, const struct step_options *o, struct err *e)
{
    struct run_config *c = &r->c;
    c->wrapper = (struct choice){0};
    param_defaults(weighting_params, &c->weighting);
    param_defaults(validation_params, &c->validation);
    c->run.dtype = "f32";
    c->run.save_adapter = false;
    c->train.lr = o->lr;
    c->train.epochs = o->epochs;
    c->train.max_steps = o->steps;
    c->train.order = c->train.write_order = NULL;
    const char *learnt = r->step->needs ? c->run.files[role_by_name(r->step->needs)] : NULL;
    for (int role = 0; role < ROLE_COUNT && learnt; role++)
        c->run.files[role] = role == ROLE_RETAIN ? learnt : NULL;
    c->run.refused = c->run.alternate_pool = NULL;
    if (learnt) { /* a helper: another model, and without the data of a score */
        c->run.mask = NULL;
        if (run_makes_mask(c))
            c->locator = (struct choice){.row = &locator_all};
    }
    int rc = recipe_open(&c->recipe, r->step->method, e);
    if (!rc) {
        recipe_apply_compat(&c->recipe, c->setup.compat);
        rc = run_training(r, e);
    }
    recipe_fini(&c->recipe);
    return rc;
}

#define ROW(name, field, type, lo, hi, value, help)                                                \
    {                                                                                              \
        name, type, offsetof(struct step_options, field), lo, hi, NULL, value, NULL, help          \
    }

/* The learning rate and epochs of Who's Harry Potter (arXiv 2310.02238) for all of them. */
static const struct param reinforced_params[] = {
    ROW("reinforced_lr", lr, PARAM_REAL, 0, 10, "3e-6",
        "peak learning rate of the reinforced model, fine-tuned on the forget data"),
    ROW("reinforced_epochs", epochs, PARAM_REAL, 0.001, 100000, "3",
        "its epochs on the forget data"),
    {0},
};

static const struct param new_model_params[] = {
    ROW("new_model_lr", lr, PARAM_REAL, 0, 10, "3e-6",
        "peak learning rate of the new model, fine-tuned on the holdout data"),
    ROW("new_model_epochs", epochs, PARAM_REAL, 0.001, 100000, "3",
        "its epochs on the holdout data"),
    {0},
};

/* The learning rate of TAR's second stage (arXiv 2408.00761); the number of steps is not the
 * paper's. */
static const struct param mapping_params[] = {
    ROW("mapping_steps", steps, PARAM_INT, 0, 1e9, "200",
        "steps of random mapping before the method's own steps; 0: none"),
    ROW("mapping_lr", lr, PARAM_REAL, 0, 10, "2e-5", "peak learning rate of random mapping"),
    {0},
};

static const struct step table[] = {
    {.name = "reinforced",
     .help = "fine-tuning of a copy on the forget data until it overfits (the reinforced model)",
     .what = step_train,
     .method = "FT",
     .needs = "forget",
     .makes = "reinforced",
     .lacks = "reinforced_data",
     .instead = "reinforced MODEL",
     .params = reinforced_params},
    {.name = "new_model",
     .help = "fine-tuning of a copy on new data, those of the holdout role, or a given new_model",
     .what = step_train,
     .method = "FT",
     .needs = "holdout",
     .makes = "new",
     .lacks = "new_model_data",
     .instead = "gap NATS",
     .measured = true,
     .params = new_model_params},
    {.name = "mapping",
     .help = "random mapping of the weights before the method's own steps",
     .what = step_train,
     .method = "RandomMapping",
     .makes = "model",
     .instead = "first none",
     .params = mapping_params},
};

enum { N_TABLE = sizeof table / sizeof *table };

static bool is_first(const struct step *s)
{
    return !strcmp(s->makes, "model");
}

static bool makes_helper(const struct step *s, const struct recipe *r)
{
    for (int i = 0; i < PART_COUNT; i++)
        if (recipe_weight(r, (enum recipe_place)i) != 0 &&
            term_uses_helper(r->part[i].row, r->part[i].params, s->makes))
            return true;
    return false;
}

int procedure_of(struct procedure *p, const struct recipe *r, const char *first, struct err *e)
{
    bool found = !strcasecmp(first, "none");
    p->n = 0;
    for (int k = 0; k < N_TABLE; k++) {
        const bool named = is_first(&table[k]) && !strcasecmp(table[k].name, first);
        found |= named;
        if (!named && !makes_helper(&table[k], r))
            continue;
        p->step[p->n].row = &table[k];
        param_defaults(table[k].params, &p->step[p->n++].o);
    }
    return found ? 0 : err_about(e, "first", "there is no first phase '%s'", first);
}

/* --- the models of a run --- */

const struct run_model *run_model(const struct run *r, const char *name)
{
    for (int i = 0; i < r->n_models; i++)
        if (!strcmp(r->models[i].name, name))
            return &r->models[i];
    return NULL;
}

static void set_model(struct run *r, const char *name, const char *path, const char *adapter)
{
    int i = 0;
    while (i < r->n_models && strcmp(r->models[i].name, name))
        i++;
    BUG_ON(i == RUN_MODELS);
    r->models[i] = (struct run_model){name, path, adapter};
    r->n_models += i == r->n_models;
}

void run_models_given(struct run *r)
{
    const struct run_options *o = &r->c.run;
    set_model(r, "model", r->c.setup.model, r->c.setup.adapter);
    if (o->ref)
        set_model(r, "reference", o->ref, NULL);
    if (o->reinforced)
        set_model(r, "reinforced", o->reinforced, NULL);
    if (o->new_model)
        set_model(r, "new", o->new_model, NULL);
}

/* --- the steps of a run --- */

static const char mark[] = "stage.json";

/* All data are there, before anything is trained. */
static int check_data(const struct run *r, struct err *e)
{
    for (int k = 0; k < r->c.procedure.n; k++) {
        const struct step *s = r->c.procedure.step[k].row;
        if (s->needs && !r->c.run.files[role_by_name(s->needs)] &&
            (s->measured || !run_model(r, s->makes)))
            return err_about(e, s->lacks, "stage '%s' needs %s data", s->name, s->needs);
    }
    return 0;
}

/* Whether OUT/NAME holds what this run's step leaves there. */
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

static int make(const struct run *r, const struct step *s, const struct step_options *o,
                const char *dir, struct err *e)
{
    struct outdir own = {0};
    struct run sub = *r;
    sub.step = s;
    sub.dir = &own;
    sub.c.run.out = dir;
    const enum outdir_use use = r->c.train.resume ? OUTDIR_CONTINUE : OUTDIR_REPLACE;
    int rc = outdir_open(&own, dir, use, e);
    if (!rc && !r->c.train.resume)
        checkpoint_drop(dir);
    if (!rc && s->what(&sub, o, e))
        rc = err_prefix(e, "stage '%s': ", s->name);
    outdir_close(&own, rc);
    return rc || mark_finished(r, dir, e);
}

/* The run continues as if its model had been given. */
static void use(struct run *r, const struct step *s, const char *dir)
{
    if (is_first(s) && !run_model(r, "reference")) {
        const struct run_model *target = run_model(r, "model");
        set_model(r, "reference", target->path, target->adapter);
    }
    set_model(r, s->makes, dir, NULL);
}

static int run_step(struct run *r, int k, struct err *e)
{
    const struct step *s = r->c.procedure.step[k].row;
    bool finished;
    int rc = 0;
    char *dir = r->step_dir[k] = file_join(r->c.run.out, s->name, e);
    if (!dir || find_finished(r, dir, &finished, e))
        return -1;
    if (finished) {
        log_note("stage '%s' is finished: %s", s->name, dir);
    } else {
        r->c.train.resume = r->c.train.resume && checkpoint_exists(dir);
        rc = make(r, s, &r->c.procedure.step[k].o, dir, e);
        r->c.train.resume = false;
    }
    use(r, s, dir);
    return rc;
}

void procedure_clear(const char *out)
{
    struct err ignored;
    for (int k = 0; k < N_TABLE; k++) {
        char *dir = file_join(out, table[k].name, &ignored);
        char *path = dir ? file_join(dir, mark, &ignored) : NULL;
        if (path)
            remove(path);
        free(path);
        free(dir);
    }
}

/* A step that changes the weights and has no steps to train is left out. */
static bool is_due(const struct run *r, int k)
{
    const struct step *s = r->c.procedure.step[k].row;
    return is_first(s) ? r->c.procedure.step[k].o.steps > 0 : !run_model(r, s->makes);
}

int procedure_run(struct run *r, struct err *e)
{
    if (check_data(r, e))
        return -1;
    for (int k = 0; k < r->c.procedure.n; k++)
        if (is_due(r, k) && run_step(r, k, e))
            return -1;
    r->c.train.resume = r->c.train.resume && checkpoint_exists(r->c.run.out);
    return 0;
}

int procedure_plan(struct run *r, struct err *e)
{
    if (check_data(r, e))
        return -1;
    for (int k = 0; k < r->c.procedure.n; k++) {
        const struct step *s = r->c.procedure.step[k].row;
        if (!is_due(r, k))
            continue;
        log_note("stage '%s' would be trained first", s->name);
        if (!is_first(s))
            set_model(r, s->makes, r->c.setup.model, NULL);
    }
    return 0;
}
