#include "run/run.h"

#include <stddef.h>
#include <string.h>

#include "base/compat.h"
#include "base/json.h"
#include "locate/locators.h"
#include "optim/optims.h"
#include "run/state.h"

/* --- tables of options --- */

#define FILE_OF(role)     offsetof(struct run_options, files[role])
#define PROMPT_OF(prompt) offsetof(struct run_options, prompts[prompt])
static const struct param forget_data[] = {
    {"forget", PARAM_STRING, FILE_OF(ROLE_FORGET), 0, 0, NULL, NULL, "FILE", "forget set"},
    {"retain", PARAM_STRING, FILE_OF(ROLE_RETAIN), 0, 0, NULL, NULL, "FILE", "retain set"},
    {"alternate", PARAM_STRING, FILE_OF(ROLE_ALTERNATE), 0, 0, NULL, NULL, "FILE",
     "desired answers to the forget prompts, row by row"},
    {"retain_alternate", PARAM_STRING, FILE_OF(ROLE_RETAIN_ALTERNATE), 0, 0, NULL, NULL, "FILE",
     "answers to the retain prompts that should not be given, row by row"},
    STRING_PARAM(
        struct run_options, alternate_pool, NULL, "FILE",
        "pool of answers, one drawn for a prompt in every micro-batch: lines of text, or rows"),
    STRING_PARAM(struct run_options, alternate_key, "alternate", "KEY",
                 "field of the forget rows that holds their alternates"),
    {"holdout", PARAM_STRING, FILE_OF(ROLE_HOLDOUT), 0, 0, NULL, NULL, "FILE",
     "new data that the model has never seen, for KGA"},
    {"generic", PARAM_STRING, FILE_OF(ROLE_GENERIC), 0, 0, NULL, NULL, "FILE", "generic text"},
    STRING_PARAM(struct run_options, refused, NULL, "FILE",
                 "prompts that the model refuses, for LUNAR"),
    STRING_PARAM(struct run_options, ref, NULL, "PATH",
                 "reference model (default: the model before training)"),
    STRING_PARAM(struct run_options, concept, NULL, "TEXT",
                 "what to forget, in a few words: fills in the two prompts below"),
    {"expert_prompt", PARAM_STRING, PROMPT_OF(PROMPT_EXPERT), 0, 0, NULL, NULL, "TEXT",
     "system message that makes the reference an expert on what to forget, for ELM"},
    {"novice_prompt", PARAM_STRING, PROMPT_OF(PROMPT_NOVICE), 0, 0, NULL, NULL, "TEXT",
     "system message that makes it ignorant"},
    {"reinforced", PARAM_STRING, offsetof(struct run_options, reinforced), 0, 0, NULL, NULL, "PATH",
     "the reinforced model: overfitted on the forget set (default: trained first, if needed)"},
    {"new_model", PARAM_STRING, offsetof(struct run_options, new_model), 0, 0, NULL, NULL, "PATH",
     "model fine-tuned on the holdout data (default: likewise)"},
    {0},
};

static const struct param train_data[] = {
    {"data", PARAM_STRING, offsetof(struct run_options, files[ROLE_RETAIN]), 0, 0, NULL, NULL,
     "FILE", "training data"},
    {0},
};

const struct run_kind run_kind_train = {"train", train_data, "FT"};
const struct run_kind run_kind_forget = {"forget", forget_data, NULL};

#define OPT(f) offsetof(struct run_config, f)
static const struct param job_params[] = {
    {"question_key", PARAM_STRING, OPT(run.question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt"},
    {"answer_key", PARAM_STRING, OPT(run.answer_key), 0, 0, NULL, "answer", "KEY",
     "field of the answer"},
    {"chunk", PARAM_INT, OPT(run.chunk), 0, 1 << 20, NULL, "0", NULL,
     "join plain texts and cut them into chunks of that many tokens; 0: each row is one"},
    {"out", PARAM_STRING, OPT(run.out), 0, 0, NULL, NULL, "DIR", "output directory"},
    {"overwrite", PARAM_BOOL, OPT(run.overwrite), 0, 0, NULL, NULL, NULL,
     "replace what the output directory holds; without it one that is not empty is refused"},
    {"dtype", PARAM_CHOICE, OPT(run.dtype), 0, 0, "f32|bf16|f16", "f32", NULL,
     "storage type of the result"},
    {"optimiser", PARAM_STRING, OPT(names.optimiser), 0, 0, NULL, "adamw", "NAME",
     "adamw, sophia, sophia_soul, lion, sgd"},
    {"dry_run", PARAM_BOOL, OPT(dry_run), 0, 0, NULL, NULL, NULL,
     "check everything, show the first row, memory and steps; train and write nothing"},
    {"mask", PARAM_STRING, OPT(run.mask), 0, 0, NULL, NULL, "FILE",
     "elements that may change, as 'unlearn locate' writes them; all others keep their bits"},
    {"save_adapter", PARAM_BOOL, OPT(run.save_adapter), 0, 0, NULL, NULL, NULL,
     "with locate lora: write the adapter, in PEFT's files, instead of the merged model"},
    {"scratch", PARAM_BOOL, OPT(run.scratch), 0, 0, NULL, NULL, NULL,
     "start from random weights: the model directory needs config.json and a tokenizer"},
    {0},
};

const struct param method_name_params[] = {
    STRING_PARAM(struct run_names, method, "NPO", "NAME",
                 "what to run; 'unlearn methods' lists all"),
    {0},
};

static const struct param exact_params[] = {
    INT_PARAM(struct exact_options, shards, 1, 1 << 16, 1,
              "models, each trained on its share of the rows (SISA); more than one is an ensemble"),
    INT_PARAM(struct exact_options, slices, 1, 1 << 16, 1,
              "parts in which a shard's rows are added, with a checkpoint before each"),
    INT_PARAM(struct exact_options, keep_every, 0, 1e9, 0,
              "keep a checkpoint every N steps, from which a run without deleted rows is repeated"),
    {0},
};

static const struct param private_params[] = {
    BOOL_PARAM(struct private_options, dp, false,
               "DP-SGD: each row's gradient is clipped to the norm clip, noise is added, and rows "
               "enter a step by chance, batch x accumulate of them on average"),
    REAL_PARAM(struct private_options, sigma, 0, 1e6, 1,
               "with dp: standard deviation of the noise, as a multiple of clip"),
    REAL_PARAM(struct private_options, delta, 1e-300, 0.999, 1e-5,
               "with dp: the delta for which epsilon is told"),
    {0},
};

static const struct param chosen_params[] = {
    LOCATE_PARAM(offsetof(struct run_names, locate)),
    STRING_PARAM(struct run_names, wrapper, "none", "NAME",
                 "gradient wrapper: none, sam, rs, gnr, cr, wa, lat, tar, project"),
    {0},
};

static const struct param first_params[] = {
    STRING_PARAM(struct run_names, first, "none", "NAME",
                 "stages before the method's own training: none, mapping, undo"),
    CHOICE_PARAM(struct run_names, last, "none|negate", "none",
                 "after it: negate goes as far the other way, theta - scale (trained - theta)"),
    {0},
};

/* --- the walk over them --- */

static void add_table(struct run_config *c, const char *title, const struct param *params,
                      void *obj)
{
    BUG_ON(c->n_tables == RUN_TABLES);
    c->tables[c->n_tables++] = (struct param_table){title, params, obj};
}

void run_config_init(struct run_config *c, const struct run_kind *kind)
{
    *c = (struct run_config){.command = kind->command, .kind = kind};
    add_table(c, "data", kind->data, &c->run);
    add_table(c, "model and text", setup_params, &c->setup);
    add_table(c, "conversations", chat_params, &c->setup.chat);
    add_table(c, "job", job_params, c);
    add_table(c, "training", train_params, &c->train);
    if (!kind->method) {
        add_table(c, "method", method_name_params, &c->names);
    } else {
        add_table(c, "exact removal: rows that can be deleted later", exact_params, &c->exact);
        add_table(c, "differential privacy", private_params, &c->privacy);
    }
    for (int k = 0; k < c->n_tables; k++)
        param_defaults(c->tables[k].params, c->tables[k].obj);
    param_defaults(weighting_params, &c->weighting);
    param_defaults(validation_params, &c->validation);
    param_defaults(exact_params, &c->exact);
    param_defaults(private_params, &c->privacy);
}

/* A config that is being opened, and who changes its tables. */
struct opening {
    struct run_config *c;
    const struct param_taker *taker; /* NULL: nobody */
};

static int add_and_take(void *ctx, const struct param_table *t, const struct param_preset *presets,
                        struct err *e)
{
    const struct opening *o = ctx;
    add_table(o->c, t->title, t->params, t->obj);
    int rc = param_take(t, presets, o->taker, e);
    if (!rc && !o->taker)
        compat_apply(o->c->setup.compat, t->params, t->obj);
    return rc;
}

/* Without params: nothing. */
static int take(struct run_config *c, const char *title, const struct param *params, void *obj,
                const struct param_taker *t, struct err *e)
{
    const struct param_preset *presets = c->kind->method ? NULL : c->recipe.method->presets;
    return params ? param_take(&(struct param_table){title, params, obj}, presets, t, e) : 0;
}

/* A table of names, of which those that are set already stay. */
static int take_names(struct run_config *c, const char *title, const struct param *params,
                      const struct param_taker *t, struct err *e)
{
    const struct run_names given = c->names;
    if (take(c, title, params, &c->names, t, e))
        return -1;
    c->names.locate = given.locate ? given.locate : c->names.locate;
    c->names.wrapper = given.wrapper ? given.wrapper : c->names.wrapper;
    c->names.first = given.first ? given.first : c->names.first;
    c->names.last = given.last ? given.last : c->names.last;
    return 0;
}

static int take_choice(struct run_config *c, const struct choice *of, const struct param_taker *t,
                       struct err *e)
{
    return take(c, choice_name(of), choice_params(of), of->params, t, e);
}

/* What makes data that have no file; which weights move, and how. */
static int choose_weights(struct run_config *c, const struct param_taker *t, struct err *e)
{
    const struct wrapper *wrapper;
    const struct locator *locator;
    return take(c, "alternate answers", alternate_params, &c->alternates, t, e) ||
           take(c, "normal text", generic_params, &c->generic, t, e) ||
           take_names(c, "which weights move, and how", chosen_params, t, e) ||
           wrapper_by_name(c->names.wrapper, &wrapper, e) ||
           choice_init(&c->wrapper, wrapper, NULL, e) ||
           !(locator = locator_by_name(c->names.locate, e)) ||
           choice_init(&c->locator, locator, NULL, e) || take_choice(c, &c->locator, t, e) ||
           (run_makes_mask(c) && take(c, "what is kept", mask_params, &c->mask, t, e)) ||
           take_choice(c, &c->wrapper, t, e);
}

/* Options of unlearning only: term weights, early stopping, steps. */
static int choose_course(struct run_config *c, const struct param_taker *t, struct err *e)
{
    struct procedure *p = &c->procedure;
    if (c->kind->method)
        return 0;
    int rc = take(c, "term weights", weighting_params, &c->weighting, t, e) ||
             take(c, "validation and early stopping", validation_params, &c->validation, t, e) ||
             take_names(c, "stages", first_params, t, e) ||
             procedure_of(p, &c->recipe, c->names.first, e);
    for (int k = 0; !rc && k < p->n; k++)
        rc = take(c, p->step[k].row->help, p->step[k].row->params, &p->step[k].o, t, e);
    p->negates = !rc && !strcmp(c->names.last, "negate");
    return rc || (p->negates && take(c, "what was learnt is subtracted", negate_params, p, t, e));
}

int run_config_choose(struct run_config *c, const struct param_taker *taker, struct err *e)
{
    const struct optim *o;
    struct opening opening = {c, taker};
    const struct param_taker t = {add_and_take, &opening};
    if (!taker)
        compat_apply(c->setup.compat, train_params, &c->train);
    int rc = c->kind->method ? recipe_open(&c->recipe, c->kind->method, e)
                             : recipe_take(&c->recipe, c->names.method, &t, e);
    if (!rc && c->kind->method)
        recipe_apply_compat(&c->recipe, c->setup.compat);
    return rc || choose_weights(c, &t, e) || choose_course(c, &t, e) ||
           !(o = optim_by_name(c->names.optimiser, e)) || choice_init(&c->optim, o, NULL, e) ||
           take_choice(c, &c->optim, &t, e);
}

/* Values by name, of a config that is being opened. */
struct reading {
    struct run_config *c;
    const json_t *values;
};

static int read_table(void *ctx, const struct param_table *t, const struct param_preset *presets,
                      struct err *e)
{
    const struct reading *r = ctx;
    if (param_take(t, presets, NULL, e))
        return -1;
    compat_apply(r->c->setup.compat, t->params, t->obj);
    for (const struct param *p = t->params; p->name; p++) {
        const json_t *v = json_object_get(r->values, p->name);
        if (v && !json_is_null(v) && param_set_json(p, t->obj, v, e))
            return -1;
    }
    return 0;
}

int run_config_read(struct run_config *c, const json_t *values, struct err *e)
{
    struct reading r = {c, values};
    for (int k = 0; k < c->n_tables; k++)
        if (read_table(&r, &c->tables[k], NULL, e))
            return -1;
    return run_config_choose(c, &(struct param_taker){read_table, &r}, e);
}

static int check_private(const struct run_config *c, struct err *e)
{
    if (!c->privacy.dp)
        return 0;
    if (c->wrapper.row)
        return err_about(e, "wrapper", "wrapper '%s' makes gradients that are not private",
                         choice_name(&c->wrapper));
    if (run_makes_mask(c) || c->run.mask)
        return err_about(e, "locate", "a mask of elements does not go with differential privacy");
    if (c->train.order || c->train.write_order)
        return err_about(e, "order", "rows enter a private step by chance");
    if (c->train.clip <= 0)
        return err_about(e, "clip", "without a clipping norm there is no privacy");
    return exact_is(c) ? err_about(e, "shards", "rows of a private run are not deleted one by one")
                       : 0;
}

int run_config_check(const struct run_config *c, struct err *e)
{
    const char *locator = choice_name(&c->locator);
    const bool keeps_base = run_keeps_base(c);
    if (c->kind->method && !c->run.files[ROLE_RETAIN])
        return err_about(e, "data", "nothing to learn given");
    if (keeps_base && c->run.scratch)
        return err_about(e, "scratch", "locator '%s' needs a model to start from", locator);
    if (c->run.save_adapter && !keeps_base)
        return err_about(e, "save_adapter", "no adapter to save");
    if (c->run.mask && run_makes_mask(c))
        return err_about(e, "mask", "a mask is given, and locator '%s' makes one", locator);
    if (!c->run.out || !*c->run.out)
        return err_about(e, "no_out", "no output given");
    if (c->train.resume && c->run.overwrite)
        return err_about(e, "resume_overwrite",
                         "a run either continues what is in its directory, or replaces it");
    if (c->train.resume && c->dry_run)
        return err_about(e, "resume_dry", "a dry run is of a run from its beginning");
    return check_private(c, e) || exact_check(c, e);
}

json_t *run_config_values(const struct run_config *c)
{
    json_t *all = json_object();
    for (int k = 0; k < c->n_tables; k++)
        for (const struct param *p = c->tables[k].params; p->name; p++)
            json_object_set_new(all, p->name, param_get_json(p, c->tables[k].obj));
    return all;
}

bool run_keeps_base(const struct run_config *c)
{
    return ((const struct locator *)c->locator.row)->keeps_base;
}

bool run_makes_mask(const struct run_config *c)
{
    return ((const struct locator *)c->locator.row)->score;
}

void run_config_fini(struct run_config *c)
{
    choice_fini(&c->optim);
    choice_fini(&c->locator);
    choice_fini(&c->wrapper);
    recipe_fini(&c->recipe);
    *c = (struct run_config){0};
}
