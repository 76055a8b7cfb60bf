#include "cli/job.h"

#include "base/log.h"
#include "base/mem.h"
#include "cli/command.h"
#include "run/generic.h"
#include "cli/interrupt.h"
#include "cli/job_claim.h"
#include "run/data.h"
#include "cli/job_ledger.h"
#include "run/validation.h"
#include "cli/stages.h"
#include "locate/locators.h"
#include "model/lora.h"
#include "model/save.h"
#include "train/direction.h"
#include "train/gap.h"
#include "train/loop.h"

struct job {
    struct setup s;
    struct run_validation watch;
    struct model ref, helper[HELPER_COUNT];
    struct engine engine;
    struct run_data data;
    float *direction; /* owned [C] */
};

/* frozen_base: the trained model without its adapters will serve, see locate. */
static int open_reference(struct job *j, const struct setup_options *so,
                          const struct run_options *o, bool frozen_base, struct err *e)
{
    bool logits = engine_plan(&j->engine).ref_model, own = !o->ref && !frozen_base;
    if (!o->ref && (!logits || frozen_base))
        return 0;
    if (setup_open_frozen(&j->ref, "reference", own ? so->model : o->ref,
                          own ? so->adapter : o->ref_adapter, &j->s.model, e))
        return -1;
    j->engine.ref = &j->ref;
    return 0;
}

static int open_helpers(struct job *j, const struct run_options *o, struct err *e)
{
    const unsigned helpers = engine_plan(&j->engine).helpers;
    for (int k = 0; k < HELPER_COUNT; k++) {
        char what[32];
        if (!o->models[k] || !(helpers & HELPER_BIT(k)))
            continue;
        snprintf(what, sizeof what, "%s model", helper_name[k]);
        if (setup_open_frozen(&j->helper[k], what, o->models[k], NULL, &j->s.model, e))
            return -1;
        j->engine.helper[k].model = &j->helper[k];
    }
    for (int k = HELPER_EXPERT; k <= HELPER_NOVICE; k++) {
        if ((!o->prompts[k] && !o->concept) || !(helpers & HELPER_BIT(k)))
            continue;
        if (run_data_prompted(&j->data, (enum helper)k, &j->s, o, e))
            return -1;
        j->engine.helper[k].set = &j->data.prompted[k];
    }
    return engine_check_helpers(&j->engine, e);
}

/* For the ledger; prompts: of what stands before the labels only. */
static double tokens_of(const struct dataset *d, bool prompts)
{
    double n = 0;
    for (int i = 0; i < d->n; i++)
        n += prompts ? seq_prompt(&d->seqs[i]) : d->seqs[i].n;
    return n;
}

/* Which weights move, once the objectives are in place, and where hidden states are steered to. */
static int locate(struct job *j, const struct request *q, struct err *e)
{
    struct model *m = &j->s.model;
    j->engine.goals = wrapping_goals(&q->wrapping);
    if (locate_weights(q->locator.row, q->locator.params, j->s.compat, m, (unsigned)q->train.seed,
                       e) ||
        engine_hold_unreached(&j->engine, e) ||
        !(j->direction = mem_alloc((size_t)m->cfg.width, sizeof *j->direction, e)))
        return -1;
    const struct engine_plan plan = engine_plan(&j->engine);
    if (m->lora && !j->engine.ref && plan.ref_model) {
        lora_base(m, &j->ref);
        j->engine.ref = &j->ref;
    }
    for (int k = 0; k < HELPER_COUNT; k++)
        if (j->engine.helper[k].set)
            j->engine.helper[k].model = j->engine.ref;
    j->engine.direction = j->direction;
    const struct objective *o = plan.redirected;
    if (!o) {
        direction_draw(j->direction, m->cfg.width, (unsigned)q->train.seed, &j->data.order,
                       j->s.compat);
        return 0;
    }
    if (!j->data.refused.n)
        return err_set(e, "term '%s' needs prompts that the model refuses: give --refused FILE",
                       o->term->name);
    j->engine.tokens.forward +=
        tokens_of(&j->data.refused, true) + tokens_of(j->engine.sets[o->role[0]], true);
    return direction_to_refusal(j->direction, &j->ref, &j->data.refused, j->engine.sets[o->role[0]],
                                o->term->layer(o->params), e);
}

/* How far the model that learnt new data went, for terms that compare with it. */
static int measure_gap(struct job *j, struct err *e)
{
    struct model *fresh = &j->helper[HELPER_NEW];
    if (!(engine_plan(&j->engine).helpers & HELPER_BIT(HELPER_NEW)))
        return 0;
    if (gap_measure(&j->engine.gap, j->ref.w ? &j->ref : &j->s.model, fresh,
                    &j->data.sets[ROLE_HOLDOUT], e))
        return -1;
    j->engine.tokens.forward += 2 * tokens_of(&j->data.sets[ROLE_HOLDOUT], false);
    log_note("gap: %.9g nats a token, over %d labels of new data", j->engine.gap,
             j->data.sets[ROLE_HOLDOUT].n_labels);
    model_close(fresh); /* it has had its day */
    j->engine.helper[HELPER_NEW].model = NULL;
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

static int prepare(struct job *j, struct request *q, struct err *e)
{
    const struct run_options *o = &q->job;
    if ((o->scratch ? setup_open_scratch(&j->s, &q->setup, (unsigned)q->train.seed, e)
                    : setup_open(&j->s, &q->setup, !request_keeps_base(q), e)) ||
        tell_dropout(&j->s.model, e))
        return -1;
    engine_init(&j->engine, &j->s.model);
    j->engine.compat = j->s.compat;
    if (run_data_read(&j->data, &j->s, o, &q->alternates, &q->recipe, &j->engine, e))
        return -1;
    generic_promise(&q->fluency, &q->recipe, &j->data, &j->engine);
    j->engine.pad_id = j->s.encoder.pad_id >= 0 ? j->s.encoder.pad_id : 0;
    if (recipe_bind(&q->recipe, &j->engine, e) || wrapping_bind(&q->wrapping, &j->engine, e) ||
        open_reference(j, &q->setup, o, request_keeps_base(q), e) || open_helpers(j, o, e) ||
        run_data_order(&j->data, &j->engine, &q->train, &q->alternates,
                       weighting_turns(&q->weighting), e) ||
        locate(j, q, e) || measure_gap(j, e) ||
        run_validation_init(&j->watch, &q->watch, &j->engine, e))
        return -1;
    struct model *ref = j->ref.w ? &j->ref : &j->s.model;
    return generic_make(&q->fluency, &j->data, &j->s, o, &q->train, ref, &j->engine, e) ||
                   engine_cache_reference(&j->engine, ref, &j->data.order, 0, j->data.order.n, e)
               ? -1
               : 0;
}

static enum dtype dtype_of(const struct run_options *o)
{
    static const enum dtype dtypes[] = {DT_F32, DT_BF16, DT_F16};
    return dtypes[param_choice("f32|bf16|f16", o->dtype)];
}

/* Of the result on disk; adapters are small. */
static double model_bytes(const struct job *j, const struct run_options *o)
{
    size_t bytes = 0;
    return o->save_adapter || dtype_bytes(dtype_of(o), model_n_params(&j->s.model), &bytes)
               ? 0
               : (double)bytes;
}

static int write_files(struct job *j, const struct run_options *o, const char *dir, struct err *e)
{
    if (o->save_adapter)
        return lora_save(&j->s.model, dir, e);
    const struct save_options so = {.dtype = dtype_of(o), .shard_bytes = SAVE_SHARD_BYTES};
    if (model_save(&j->s.model, dir, &so, e))
        return -1;
    return j->s.tokenizer ? tokenizer_save(j->s.tokenizer, dir, e) : 0;
}

static int save_model(struct job *j, const struct request *q, struct err *e)
{
    int rc = outdir_stage(q->dir, e) || write_files(j, &q->job, q->dir->stage, e) ||
                     outdir_commit(q->dir, e)
                 ? -1
                 : 0;
    outdir_drop_stage(q->dir);
    return rc;
}

static void print_report(const struct train_report *r, const struct request *q)
{
    const struct run_options *o = &q->job;
    double rate = r->seconds > 0 ? (double)r->tokens / r->seconds : 0;
    if (q->stage) {
        log_note("stage '%s': %ld steps, %ld tokens, last loss %.4g -> %s", q->stage->name,
                 r->steps, r->tokens, r->loss, o->out);
        return;
    }
    if (!o->json) {
        printf("%ld steps, %ld tokens in %.1f s (%.0f tokens/s), last loss %.4g -> %s%s%s\n",
               r->steps, r->tokens, r->seconds, rate, r->loss, o->out,
               *r->look.stop ? "; stopped: " : "", r->look.stop);
        return;
    }
    json_t *j = json_pack(
        "{s:I, s:I, s:f, s:f, s:f, s:f, s:s, s:s?}", "steps", (json_int_t)r->steps, "tokens",
        (json_int_t)r->tokens, "seconds", r->seconds, "tokens_per_second", rate, "loss", r->loss,
        "grad_norm", r->grad_norm, "out", o->out, "stopped", *r->look.stop ? r->look.stop : NULL);
    json_dumpf(j, stdout, JSON_REAL_PRECISION(10));
    putchar('\n');
    json_decref(j);
}

static int run(struct job *j, struct trainer *t, const struct request *q, struct train_report *rep,
               struct err *e)
{
    t->stop = interrupt_catch();
    t->model_bytes = model_bytes(j, &q->job);
    if (train_run(t, rep, e))
        return -1;
    if (rep->interrupted)
        return err_set(e, "interrupted; repeat the command with --resume to go on");
    if (save_model(j, q, e) || ledger_write(t->ledger, true, e))
        return -1;
    train_drop_checkpoint(q->job.out);
    print_report(rep, q);
    return 0;
}

static int run_job(struct request *q)
{
    struct err e = {.msg = ""};
    struct job j = {0};
    struct train_report rep;
    struct ledger ledger;
    struct trainer t = {.engine = &j.engine,
                        .optim = q->optim,
                        .wrapper = q->wrapping.chosen,
                        .weighting = weighting_of(&q->weighting),
                        .watch = &j.watch.watch,
                        .options = q->options,
                        .files = q->files,
                        .o = &q->train,
                        .order = &j.data.order,
                        .ledger = &ledger,
                        .out = q->job.out,
                        .what = q->stage ? q->stage->name : q->args.command};
    int rc = job_ledger_open(&ledger, q, &j.engine, &e) || prepare(&j, q, &e) ? -1 : 0;
    if (!rc)
        rc = run(&j, &t, q, &rep, &e);
    ledger_fini(&ledger);
    run_data_fini(&j.data);
    free(j.direction);
    engine_fini(&j.engine);
    model_close(&j.ref);
    for (int k = 0; k < HELPER_COUNT; k++)
        model_close(&j.helper[k]);
    setup_close(&j.s);
    if (rc && q->stage)
        err_prefix(&e, "stage '%s': ", q->stage->name);
    return rc ? args_fail(&q->args, &e) : STATUS_DONE;
}

/* The run in its claimed directory, and its stages. */
static int run_claimed(struct request *q)
{
    struct err e = {.msg = ""};
    struct outdir dir = {0};
    bool finished;
    if (job_claim(&dir, q, &finished, &e))
        return args_fail(&q->args, &e);
    q->dir = &dir;
    int status = finished ? STATUS_DONE : ARGS_GO;
    if (finished)
        log_note("the run in '%s' is finished: nothing is left to do", q->job.out);
    else
        status = stages_run(q, run_job);
    if (status == ARGS_GO)
        status = run_job(q);
    job_unclaim(&dir, status != STATUS_DONE);
    return status;
}

int job_main(const struct job_command *c, int argc, char **argv)
{
    struct request q = {0};
    int status = request_parse(&q, c, argc, argv);
    if (status == ARGS_GO)
        status = run_claimed(&q);
    request_fini(&q);
    return status;
}
