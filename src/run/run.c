#include "run/run.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/version.h"
#include "influence/updates.h"
#include "locate/locators.h"
#include "model/lora.h"
#include "model/store.h"
#include "run/state.h"
#include "train/accountant.h"
#include "train/checkpoint.h"
#include "tensor/ops.h"

void run_drop_free(json_t *all)
{
    /* These change nothing in what a run computes. */
    static const char *const free_ones[] = {
        "resume", "save_every", "write_order",  "json",    "threads",       "out",
        "dtype",  "overwrite",  "save_adapter", "dry_run", "hardly_forgot", "retain_damage"};
    for (size_t i = 0; i < sizeof free_ones / sizeof free_ones[0]; i++)
        json_object_del(all, free_ones[i]);
    exact_drop_option(all);
}

/* --- the record --- */

void run_date(char text[RUN_DATE])
{
    const time_t now = time(NULL);
    struct tm utc;
    if (!gmtime_r(&now, &utc) || !strftime(text, RUN_DATE, "%Y-%m-%dT%H:%M:%SZ", &utc))
        text[0] = 0;
}

/* When and where it began. */
static void describe_place(json_t *about)
{
    char date[RUN_DATE], host[256] = "";
    run_date(date);
    gethostname(host, sizeof host - 1);
    json_object_set_new(about, "date", json_string(date));
    json_object_set_new(about, "host", json_string(host));
}

static json_t *describe(const struct run *r)
{
    json_t *about = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I}", "command", r->c.command, "access",
                              "white box", "version", UNLEARN_VERSION, "isa", ops_cpu()->name,
                              "threads", ops_threads(), "seed", (json_int_t)r->c.train.seed);
    if (about)
        describe_place(about);
    if (about && r->options)
        json_object_set(about, "options", r->options);
    if (about && r->step)
        json_object_set_new(about, "stage", json_string(r->step->name));
    if (about && r->files)
        json_object_set(about, "files", r->files);
    return about;
}

int run_record_begin(const struct run *r, bool finished, struct err *e)
{
    char *path = file_join(r->c.run.out, "run.json", e);
    json_t *begun = path ? describe(r) : NULL;
    int rc = path ? 0 : -1;
    if (path && (!begun || json_object_set_new(begun, "finished", json_boolean(finished))))
        rc = err_no_memory(e, "record");
    if (!rc)
        rc = json_write_file(begun, path, JSON_INDENT(2), e);
    json_decref(begun);
    free(path);
    return rc;
}

/* With the costs of the stages; a run that is resumed adds those of its checkpoint. */
static int record_open(struct train_cost *l, const struct run *r, const struct engine *g,
                       struct err *e)
{
    const struct wrapper *w = r->c.wrapper.row;
    const struct optim *o = r->c.optim.row;
    *l = (struct train_cost){.out = r->c.run.out,
                             .engine = g,
                             .optim_states = o->n_states,
                             .wrapper_copies = w ? w->n_copies : 0,
                             .about = describe(r),
                             .start = log_seconds()};
    if (!l->about)
        return err_no_memory(e, "record");
    for (int k = 0; k < PROCEDURE_STEPS && !r->c.train.resume && !r->step; k++) {
        json_t *of_stage = r->step_dir[k] ? train_cost_read(r->step_dir[k]) : NULL;
        train_cost_add(l, of_stage);
        json_decref(of_stage);
    }
    return 0;
}

/* --- the saved model --- */

enum dtype run_dtype(const char *name)
{
    static const enum dtype dtypes[] = {DT_F32, DT_BF16, DT_F16};
    return dtypes[param_choice("f32|bf16|f16", name)];
}

/* Of the result on disk; adapters are small. */
static double model_bytes(const struct training *t, const struct run_options *o)
{
    size_t bytes = 0;
    return o->save_adapter || dtype_bytes(run_dtype(o->dtype), model_n_params(&t->s.model), &bytes)
               ? 0
               : (double)bytes;
}

static int write_files(struct training *t, const struct run_options *o, const char *dir,
                       struct err *e)
{
    if (o->save_adapter)
        return lora_save(&t->s.model, dir, e);
    const struct save_options so = {.dtype = run_dtype(o->dtype), .shard_bytes = SAVE_SHARD_BYTES};
    if (model_save(&t->s.model, dir, &so, e))
        return -1;
    return t->s.tokenizer ? tokenizer_save(t->s.tokenizer, dir, e) : 0;
}

static int save_model(struct training *t, const struct run *r, struct err *e)
{
    int rc = outdir_stage(r->dir, e) || write_files(t, &r->c.run, r->dir->stage, e) ||
             outdir_commit(r->dir, e);
    outdir_drop_stage(r->dir);
    return rc;
}

/* --- the training --- */

/* In run.json: {"forget_nll": [before, after], "retain_nll": [...]}, null where not measured. */
static int note_nll(json_t *about, const struct nll_change *nll, struct err *e)
{
    static const char *const names[] = {"forget_nll", "retain_nll"};
    const double *const values[] = {nll->forget, nll->retain};
    for (int i = 0; i < 2; i++) {
        json_t *both = json_array();
        for (int k = 0; k < 2; k++)
            json_array_append_new(both,
                                  isfinite(values[i][k]) ? json_real(values[i][k]) : json_null());
        if (json_object_set_new(about, names[i], both))
            return err_no_memory(e, "record");
    }
    return 0;
}

/* NLLs before are of the weights that the whole run starts from: of the step that changes them, if
 * there is one. */
static bool is_beginning(const struct run *r)
{
    for (int k = 0; k < r->c.procedure.n; k++) {
        const struct step *s = r->c.procedure.step[k].row;
        if (s->first && r->step_dir[k])
            return r->step == s && isnan(r->result->nll.forget[0]);
    }
    return !r->step;
}

/* The one step of a method that does not train; what it measured goes into the record of the run.
 */
static int update_once(struct training *t, const struct trainer *how, const struct run *r,
                       struct train_report *report, struct err *e)
{
    const struct choice *of = &r->c.recipe.update;
    const struct update *u = of->row;
    struct update_job j = {.engine = &t->engine,
                           .seed = (unsigned)r->c.train.seed,
                           .stop = how->stop,
                           .report = json_pack("{s:s}", "name", u->name)};
    const double start = log_seconds();
    *report = (struct train_report){.steps = 1};
    t->engine.measuring = true; /* no dropout */
    int rc = !j.report ? err_no_memory(e, "ledger") : u->apply(of->params, &j, e);
    report->seconds = log_seconds() - start;
    for (int k = 0; k < ROLE_COUNT; k++)
        report->tokens += (long)t->engine.tokens.trained[k];
    report->loss = NAN;
    if (!rc && json_object_set(how->cost->about, "update", j.report))
        rc = err_no_memory(e, "ledger");
    json_decref(j.report);
    return rc ? err_prefix(e, "method '%s': ", r->c.recipe.method->name) : 0;
}

/* {q, sigma, clip, steps, delta, epsilon, order} */
static int note_privacy(const struct trainer *how, const struct run *r, int examples, struct err *e)
{
    const struct private_options *o = &r->c.privacy;
    const double q = fmin(1, how->dp->expected / examples);
    const long steps = how->order->n / train_accumulate(how->o, how->order);
    const struct privacy p = privacy_of(q, o->sigma, steps, o->delta);
    log_note("differential privacy of each row: epsilon %.4g at delta %g (q %.4g, sigma %g, %ld "
             "steps, order %g)",
             p.epsilon, o->delta, q, o->sigma, steps, p.order);
    if (p.edge)
        log_warn("the best order %g is at the end of the list: epsilon may be smaller", p.order);
    json_t *j = json_pack("{s:f, s:f, s:f, s:I, s:f, s:o, s:f}", "q", q, "sigma", o->sigma, "clip",
                          how->dp->clip, "steps", (json_int_t)steps, "delta", o->delta, "epsilon",
                          json_finite(p.epsilon), "order", p.order);
    return j && !json_object_set_new(how->cost->about, "privacy", j) ? 0
                                                                     : err_no_memory(e, "record");
}

/* Rows enter by chance; the expected number of a step is what its sum is divided by. */
static int make_private(struct trainer *how, struct training *t, struct private_rule *rule,
                        struct err *e)
{
    const struct train_options *o = how->o;
    const int examples = t->data.sets[ROLE_RETAIN].n;
    const double most = (double)o->batch * train_accumulate(o, &t->data.order);
    rule->clip = o->clip;
    rule->expected = fmin(most, examples);
    how->dp = rule;
    return private_check(&t->s.model, e) ||
           run_order_by_chance(&t->data.order, ROLE_RETAIN, examples, o, e);
}

static int train(struct training *t, struct trainer *how, struct run *r, struct err *e)
{
    struct train_report *report = &r->result->report;
    const struct run_hooks *h = r->hooks;
    how->stop = h && h->interrupt ? h->interrupt(h->ctx) : NULL;
    how->model_bytes = model_bytes(t, &r->c.run);
    struct nll_change *nll = &r->result->nll;
    const bool there = !how->dry_run && t->engine.sets[ROLE_FORGET], measured = !r->step && there;
    const bool once = r->c.recipe.update.row;
    if ((there && is_beginning(r) &&
         run_measure_nll(&t->engine, &nll->forget[0], &nll->retain[0], e)) ||
        (once && !how->dry_run ? update_once(t, how, r, report, e) : train_run(how, report, e)))
        return -1;
    if (how->dry_run)
        return 0;
    if ((r->result->interrupted = report->interrupted))
        return err_code(e, ERR_INTERRUPTED, "interrupted");
    nll->steps = report->steps;
    nll->clipped = report->clipped;
    if (once) {
        const struct update *u = r->c.recipe.update.row;
        nll->further = u->further;
        nll->shorter = u->shorter;
    }
    if (procedure_end(t, r, e) ||
        (measured && run_measure_nll(&t->engine, &nll->forget[1], &nll->retain[1], e)) ||
        (measured && note_nll(how->cost->about, nll, e)) ||
        (how->dp && note_privacy(how, r, t->data.sets[ROLE_RETAIN].n, e)))
        return -1;
    if (save_model(t, r, e) || train_cost_write(how->cost, true, e))
        return -1;
    checkpoint_drop(r->c.run.out);
    if (r->step)
        log_note("stage '%s': %ld steps, %ld tokens, last loss %.4g -> %s", r->step->name,
                 report->steps, report->tokens, report->loss, r->c.run.out);
    return 0;
}

int run_training(struct run *r, struct err *e)
{
    const struct run_config *c = &r->c;
    r->c.setup.model = run_model(r, "model")->path;
    r->c.setup.adapter = run_model(r, "model")->adapter;
    struct training t = {.first_row = NULL};
    struct train_cost record;
    struct private_rule rule = {.sigma = c->privacy.sigma};
    struct trainer how = {.engine = &t.engine,
                          .optim = c->optim,
                          .wrapper = c->wrapper,
                          .weighting = weighting_of(&c->weighting),
                          .validation = &t.validation.validation,
                          .options = r->shared,
                          .files = r->files,
                          .o = &c->train,
                          .order = &t.data.order,
                          .cost = &record,
                          .out = c->run.out,
                          .dry_run = c->dry_run,
                          .what = r->step ? r->step->name : c->command};
    int rc = record_open(&record, r, &t.engine, e) || training_open(&t, r, e) ||
             (r->exact && exact_prepare(r, &t, &how, e)) ||
             (c->privacy.dp && make_private(&how, &t, &rule, e));
    if (!rc && t.first_row && json_object_set(record.about, "first_row", t.first_row))
        rc = err_no_memory(e, "record");
    rc = rc || train(&t, &how, r, e);
    train_cost_fini(&record);
    training_close(&t);
    return rc;
}

/* The run in its directory, and its steps. */
static int run_in(struct outdir *dir, struct run *r, struct err *e)
{
    bool finished;
    if (run_output_open(dir, r, &finished, e))
        return -1;
    r->dir = dir;
    r->result->finished = finished;
    int rc = 0;
    if (exact_is(&r->c))
        rc = exact_run(r, e);
    else if (finished)
        log_note("the run in '%s' is finished: nothing is left to do", r->c.run.out);
    else
        rc = procedure_run(r, e) || run_training(r, e);
    run_output_close(dir, rc);
    return rc;
}

/* Without its directory. */
static int run_dry(struct run *r, struct err *e)
{
    r->c.train.write_order = NULL;
    return run_output_check(r, e) || procedure_plan(r, e) ||
           (exact_is(&r->c) ? exact_run(r, e) : run_training(r, e));
}

int run_exact(const struct run_config *c, const struct exact_request *q, const struct run_hooks *h,
              struct run_result *out, struct err *e)
{
    struct outdir dir = {0};
    struct run r = {.c = *c, .hooks = h, .result = out, .request = q};
    *out = (struct run_result){.nll = {{NAN, NAN}, {NAN, NAN}, 0, 0}};
    const struct log before = log_swap(h ? h->log : NULL);
    run_models_given(&r);
    r.options = run_config_values(c);
    r.shared = json_copy(r.options);
    run_drop_free(r.shared);
    int rc = !r.shared ? err_no_memory(e, "options") : run_config_check(c, e);
    if (!rc)
        rc = c->dry_run ? run_dry(&r, e) : run_in(&dir, &r, e);
    json_decref(r.options);
    json_decref(r.shared);
    json_decref(r.files);
    for (int k = 0; k < PROCEDURE_STEPS; k++)
        free(r.step_dir[k]);
    log_swap(&before);
    return rc;
}

int run_train(const struct run_config *c, const struct run_hooks *h, struct run_result *out,
              struct err *e)
{
    return run_exact(c, NULL, h, out, e);
}
