#include "run/procedure.h"

#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "locate/locators.h"
#include "model/lora.h"
#include "run/merge.h"
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
    int rc = recipe_open(&c->recipe, o->method ? o->method : r->step->method, e);
    if (!rc) {
        recipe_apply_compat(&c->recipe, c->setup.compat);
        rc = run_training(r, e);
    }
    recipe_fini(&c->recipe);
    return rc;
}

/* The model "reference", shrunk towards noise (UNDO, arXiv 2506.06278). */
static int step_noise(struct run *r, const struct step_options *o, struct err *e)
{
    const struct run_model *from = run_model(r, "reference");
    const struct merge_options how = {.base = from->path,
                                      .lambda = 1,
                                      .data = {.dtype = "f32"},
                                      .dtype = "f32",
                                      .seed = r->c.train.seed};
    struct choice rule;
    struct merge_result done = {.n_tries = 0};
    char alpha[JSON_REAL_TEXT], beta[JSON_REAL_TEXT];
    json_real_text(o->alpha, alpha);
    json_real_text(o->beta, beta);
    const struct param_preset given[] = {{"alpha", alpha}, {"beta", beta}, {0}};
    int rc = choice_init(&rule, table_find(merge_rules, "method", "undo", e), given, e) ||
             run_merge(&done, &how, &rule, NULL, 0, r->dir, NULL, e);
    merge_result_fini(&done);
    choice_fini(&rule);
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

/* The noise of the authors' code; which method unlearns, and how far, is not the paper's. */
static const struct param unlearned_params[] = {
    {"undo_method", PARAM_STRING, offsetof(struct step_options, method), 0, 0, NULL, "NPO", "NAME",
     "the method that unlearns, before the result is distilled"},
    ROW("undo_lr", lr, PARAM_REAL, 0, 10, "1e-5", "its peak learning rate"),
    ROW("undo_epochs", epochs, PARAM_REAL, 0.001, 100000, "5", "its epochs"),
    {0},
};

static const struct param noised_params[] = {
    ROW("undo_alpha", alpha, PARAM_REAL, 0, 1, "0.3",
        "weights of the student: (1 - alpha) w + alpha beta N of the unlearned model's"),
    ROW("undo_beta", beta, PARAM_REAL, 0, 100, "0.1", "scale of the noise N; 0: they shrink only"),
    {0},
};

const struct param negate_params[] = {
    REAL_PARAM(struct procedure, scale, 0, 1000, 1,
               "how far the model goes against what it has learnt"),
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
     .first = "mapping",
     .instead = "first none",
     .params = mapping_params},
    {.name = "unlearned",
     .help = "unlearning by another method: the teacher of UNDO's distillation",
     .what = step_train,
     .method = "NPO",
     .makes = "reference",
     .first = "undo",
     .instead = "ref MODEL",
     .params = unlearned_params},
    {.name = "noised",
     .help = "its weights shrunk, with noise: the student",
     .what = step_noise,
     .makes = "model",
     .first = "undo",
     .instead = "first none",
     .params = noised_params},
};

enum { N_TABLE = sizeof table / sizeof *table };

/* It changes the weights that the run's own training starts from. */
static bool is_start(const struct step *s)
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
        const bool named = table[k].first && !strcasecmp(table[k].first, first);
        found |= named;
        if (!named && (table[k].first || !makes_helper(&table[k], r)))
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
    if (is_start(s) && !run_model(r, "reference")) {
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

/* A training that changes the weights and has no steps is left out. */
static bool is_due(const struct run *r, int k)
{
    const struct step *s = r->c.procedure.step[k].row;
    return is_start(s) ? !s->method || r->c.procedure.step[k].o.steps > 0 : !run_model(r, s->makes);
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
        if (!is_start(s))
            set_model(r, s->makes, r->c.setup.model, NULL);
    }
    return 0;
}

/* --- the end --- */

/* w [count] = b - scale (w - b). */
static void turn(float *w, const float *b, size_t count, double scale)
{
    for (size_t j = 0; j < count; j++)
        w[j] = (float)((double)b[j] - scale * ((double)w[j] - (double)b[j]));
}

static void turn_adapters(struct model *m, double scale)
{
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *a = m->lora->of[i] < 0 ? NULL : &m->table.v[m->lora->of[i]];
        if (!a)
            continue;
        float *w = m->ops->map(m->own + a->offset, a->count);
        for (size_t j = 0; j < a->count; j++)
            w[j] = (float)(-scale * (double)w[j]);
        m->ops->unmap(m->own + a->offset);
    }
}

int procedure_end(struct training *t, const struct run *r, struct err *e)
{
    const struct procedure *p = &r->c.procedure;
    struct model *m = &t->s.model, base;
    if (!p->negates || r->step)
        return 0;
    if (m->lora) {
        turn_adapters(m, p->scale);
        return 0;
    }
    const struct run_model *from = run_model(r, "model");
    if (setup_open_frozen(&base, "the base", from->path, from->adapter, MODEL_READ, m, e))
        return -1;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        turn(m->ops->map(m->own + w->offset, w->count), m->ops->map_read(base.w[i], w->count),
             w->count, p->scale);
        m->ops->unmap(base.w[i]);
        m->ops->unmap(m->own + w->offset);
    }
    model_close(&base);
    return 0;
}
