#include "run/state.h"

#include "base/log.h"
#include "base/mem.h"
#include "locate/locators.h"
#include "locate/mask_file.h"
#include "model/lora.h"
#include "text/rendered.h"
#include "train/helpers.h"
#include "train/mask.h"
#include "train/memory.h"

/* frozen_base: the trained model without its adapters will serve, see locate. */
static int open_reference(struct training *t, const struct run *r, bool frozen_base, struct err *e)
{
    const struct run_model *m = run_model(r, "reference");
    if (!m && (!engine_plan(&t->engine).ref_model || frozen_base))
        return 0;
    m = m ? m : run_model(r, "model");
    if (setup_open_frozen(&t->ref, "reference", m->path, m->adapter, MODEL_STORED, &t->s.model, e))
        return -1;
    t->engine.ref = &t->ref;
    return 0;
}

static int open_helpers(struct training *t, const struct run *r, struct err *e)
{
    const struct run_options *o = &r->c.run;
    for (int k = 0; k < r->n_models; k++) {
        const struct run_model *m = &r->models[k];
        char what[32];
        if (!engine_uses_helper(&t->engine, m->name))
            continue;
        snprintf(what, sizeof what, "%s model", m->name);
        if (setup_open_frozen(&t->helper[k], what, m->path, m->adapter, MODEL_STORED, &t->s.model,
                              e))
            return -1;
        engine_helper(&t->engine, m->name)->model = &t->helper[k];
    }
    for (int k = 0; k < PROMPT_COUNT; k++) {
        if ((!o->prompts[k] && !o->concept) || !engine_uses_helper(&t->engine, prompt_name[k]))
            continue;
        if (run_data_prompted(&t->data, (enum prompt)k, &t->s, o, e))
            return -1;
        engine_helper(&t->engine, prompt_name[k])->set = &t->data.prompted[k];
    }
    return engine_check_helpers(&t->engine, e);
}

/* For the record; prompts: of what stands before the labels only. */
static double tokens_of(const struct dataset *d, bool prompts)
{
    double n = 0;
    for (int i = 0; i < d->n; i++)
        n += prompts ? seq_prompt(&d->seqs[i]) : d->seqs[i].n;
    return n;
}

/* By the locator's scores, at the weights that the run starts from. */
static int select_mask(struct training *t, const struct run_config *c, struct err *e)
{
    struct located found;
    int rc = run_locate(&found, &t->s.model, &c->locator, &c->mask, t->engine.sets, NULL,
                        (unsigned)c->train.seed, NULL, e);
    if (!rc) {
        const struct engine_tokens *n = &found.engine.tokens;
        for (int r = 0; r < ROLE_COUNT; r++)
            t->engine.tokens.trained[r] += n->trained[r];
        t->engine.tokens.forward += n->forward;
        log_note("locator '%s': kept %zu of %zu, threshold %g", choice_name(&c->locator),
                 found.result.kept, found.result.units, found.result.threshold);
        t->mask = found.bits;
        found.bits = NULL;
    }
    located_fini(&found);
    return rc;
}

/* The elements that may change, as a file or the locator has them. */
static int mask(struct training *t, const struct run_config *c, struct err *e)
{
    struct model *m = &t->s.model;
    int rc = c->run.mask                        ? mask_load(m, &t->mask, c->run.mask, e)
             : run_makes_mask(c) && !c->dry_run ? select_mask(t, c, e)
                                                : 0;
    if (rc || !t->mask)
        return rc;
    if (mask_apply(m, t->mask, e))
        return -1;
    mask_hold_unused(&m->table, c->train.rmu_clip_all);
    return 0;
}

/* Which weights move, once the objectives are in place, and where hidden states are steered to. */
static int locate(struct training *t, const struct run_config *c, struct err *e)
{
    struct model *m = &t->s.model;
    t->engine.goals = wrapping_goals(&t->wrapping);
    if (locate_weights(c->locator.row, c->locator.params, c->train.rmu_clip_all, m,
                       (unsigned)c->train.seed, e) ||
        engine_hold_unreached(&t->engine, e) || mask(t, c, e) ||
        !(t->direction = mem_alloc((size_t)m->cfg.width, sizeof *t->direction, e)))
        return -1;
    const struct engine_plan plan = engine_plan(&t->engine);
    if (m->lora && !t->engine.ref && plan.ref_model) {
        lora_base(m, &t->ref);
        t->engine.ref = &t->ref;
    }
    for (int k = 0; k < ENGINE_MAX_HELPERS; k++)
        if (t->engine.helper[k].set)
            t->engine.helper[k].model = t->engine.ref;
    t->engine.direction = t->direction;
    if (plan.direction != STEER_REFUSAL) {
        direction_draw(t->direction, m->cfg.width, (unsigned)c->train.seed,
                       plan.direction == STEER_AFTER_DRAWS ? &t->data.order : NULL);
        return 0;
    }
    const struct objective *o = plan.directed;
    if (!t->data.refused.n)
        return err_about(e, "refused", "term '%s' needs prompts that the model refuses",
                         o->term->name);
    if (c->dry_run)
        return 0;
    t->engine.tokens.forward +=
        tokens_of(&t->data.refused, true) + tokens_of(t->engine.sets[o->role[0]], true);
    return direction_to_refusal(t->direction, &t->ref, &t->data.refused, t->engine.sets[o->role[0]],
                                o->term->hidden.layer(o->params), e);
}

/* How far the model that learnt new data went, for terms that compare with it. */
static int measure_gap(struct training *t, struct err *e)
{
    if (!engine_uses_helper(&t->engine, "new"))
        return 0;
    struct helper_model *fresh = engine_helper(&t->engine, "new");
    if (gap_measure(&t->engine.gap, t->ref.w ? &t->ref : &t->s.model, fresh->model,
                    &t->data.sets[ROLE_HOLDOUT], e))
        return -1;
    t->engine.tokens.forward += 2 * tokens_of(&t->data.sets[ROLE_HOLDOUT], false);
    log_note("gap: %.9g nats a token, over %d labels of new data", t->engine.gap,
             t->data.sets[ROLE_HOLDOUT].n_labels);
    model_close(fresh->model); /* no longer needed */
    fresh->model = NULL;
    return 0;
}

static int tell_dropout(const struct model *m, struct err *e)
{
    struct buf names = {0};
    int rc = config_dropout(m->config, &names, e);
    if (!rc && names.len)
        log_warn("model '%s': dropout of config.json is not applied in training here: %s", m->path,
                 names.data);
    buf_fini(&names);
    return rc;
}

/* The first row of the first role that has data. */
static int show_first_row(struct training *t, const struct run_options *o, struct err *e)
{
    int role = 0;
    while (role < ROLE_COUNT && !(o->files[role] && t->data.sets[role].n))
        role++;
    if (!t->s.tokenizer || role == ROLE_COUNT)
        return 0;
    if (!(t->first_row = rendered_row(t->s.tokenizer, &t->data.sets[role].seqs[0], e)))
        return -1;
    json_object_set_new(t->first_row, "role", json_string(role_name[role]));
    return rendered_note(t->first_row, o->files[role], e);
}

/* Refuses what does not fit, before anything is computed. */
static int fit(struct training *t, const struct run_config *c, struct err *e)
{
    const struct optim *optim = c->optim.row;
    const struct wrapper *wrapper = c->wrapper.row;
    uint64_t most = 0;
    if (c->train.memory_limit && param_size(c->train.memory_limit, &most, e))
        return err_prefix(e, "memory_limit: ");
    return train_memory_check(&t->engine, &t->data.order,
                              optim->n_states + (wrapper ? wrapper->n_copies : 0), most, e);
}

int training_open(struct training *t, const struct run *r, struct err *e)
{
    const struct run_config *c = &r->c;
    const struct run_options *o = &c->run;
    const bool frozen_base = run_keeps_base(c);
    t->wrapping.chosen = c->wrapper;
    if ((o->scratch ? setup_open_scratch(&t->s, &c->setup, (unsigned)c->train.seed, e)
                    : setup_open(&t->s, &c->setup, frozen_base ? MODEL_STORED : MODEL_WRITE, e)) ||
        tell_dropout(&t->s.model, e))
        return -1;
    engine_init(&t->engine, &t->s.model);
    t->engine.compat = t->s.compat;
    t->engine.recompute = c->train.recompute;
    t->engine.alone = !c->train.share_prefixes;
    t->engine.keep_bytes = (size_t)c->train.keep_states << 20;
    if (run_data_read(&t->data, &t->s, o, &c->alternates, &c->recipe, &t->engine, e) ||
        (!r->step && !r->exact && show_first_row(t, o, e)))
        return -1;
    generic_promise(&c->generic, &c->recipe, &t->data, &t->engine);
    t->engine.pad_id = t->s.encoder.pad_id >= 0 ? t->s.encoder.pad_id : 0;
    if (recipe_bind(&c->recipe, &t->engine, e) || wrapping_bind(&t->wrapping, &t->engine, e) ||
        open_reference(t, r, frozen_base, e) || open_helpers(t, r, e) ||
        run_data_order(&t->data, &t->engine, &c->train, &c->alternates,
                       weighting_turns(&c->weighting), e) ||
        locate(t, c, e) || fit(t, c, e) || (!c->dry_run && measure_gap(t, e)) ||
        run_validation_init(&t->validation, &c->validation, &t->engine, e))
        return -1;
    if (c->dry_run) /* what follows computes */
        return 0;
    struct model *ref = t->ref.w ? &t->ref : &t->s.model;
    return generic_make(&c->generic, &t->data, &t->s, o, &c->train, ref, &t->engine, e) ||
           engine_cache_reference(&t->engine, ref, &t->data.order, 0, t->data.order.n, e);
}

void training_close(struct training *t)
{
    t->wrapping.chosen = (struct choice){0}; /* the config's */
    wrapping_fini(&t->wrapping);
    run_data_fini(&t->data);
    free(t->direction);
    free(t->mask);
    json_decref(t->first_row);
    engine_fini(&t->engine);
    model_close(&t->ref);
    for (int k = 0; k < RUN_MODELS; k++)
        model_close(&t->helper[k]);
    setup_close(&t->s);
}
