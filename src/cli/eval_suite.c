/* unlearn eval, for suites of metrics (suites/suite.h): opens the data and the models, runs the
 * suite, with --retrained on that model too, and shows the results.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/eval.h"
#include "cli/results.h"
#include "data/check.h"
#include "guard/guard.h"
#include "report/cost.h"
#include "suites/metrics.h"
#include "suites/suite.h"

struct evaluation {
    struct eval *asked;
    struct setup s;
    struct model other, retrained; /* for attacks that compare two models; --retrained */
    struct model_backend backend, reference, retrained_backend;
    struct model_effort both; /* of the model and the retrained one, compared */
    struct rows rows[EVAL_SETS];
    struct rows *sets[EVAL_SETS]; /* NULL: not given */
    json_t *retain_log, *before;
    struct suite suite;
    double start; /* log_seconds() */
};

/* The log of --before, or of that directory. */
static int read_before(struct evaluation *v, struct err *e)
{
    const char *given = v->asked->o.before;
    struct buf name = {0};
    char *path = NULL;
    if (!given)
        return 0;
    int rc = !file_is_dir(given) ? !(path = mem_strdup(given, e))
                                 : buf_printf(&name, e, "%s_EVAL.json", v->asked->recipe.log) ||
                                       !(path = file_join(given, name.data, e));
    rc = rc || !(v->before = json_read_log(path, e)) ||
         suite_recipe_check_log(&v->asked->recipe, v->before, path, e);
    free(path);
    buf_fini(&name);
    return rc;
}

/* Rows whose answers are called otherwise have them in the field of suites, too. */
static int name_answers(struct rows *r, const char *key, struct err *e)
{
    for (int i = 0; i < r->n && strcmp(key, "answer"); i++) {
        json_t *answer = json_object_get(r->v[i], key);
        if (answer && json_object_set(r->v[i], "answer", answer))
            return err_no_memory(e, "answers");
    }
    return 0;
}

/* A set of which no metric finds its answers would be left out without a word. */
static int check_fields(const struct suite_recipe *r, int set, const struct rows *rows,
                        const struct eval_options *o, struct err *e)
{
    const char *first = NULL;
    char fields[200];
    for (const struct metric *m = r->metrics; m->name; m++) {
        if (!m->answer || (m->set != set && !(m->kind->flags & METRIC_ATTACK && m->against == set)))
            continue;
        first = first ? first : m->answer;
        for (int i = 0; i < rows->n; i++)
            if (json_object_get(rows->v[i], m->answer))
                return 0;
    }
    if (!first)
        return 0;
    const bool own = !strcmp(first, "answer");
    rows_keys(rows, 0, fields, sizeof fields);
    return rows_err(rows, 0, e, "the row has no field '%s'; it has %s", own ? o->answer_key : first,
                    fields),
           err_subject(e, own ? "answer_key" : NULL);
}

/* What may be wrong in rows of the model's members and of others. */
static int warn_of_data(const struct evaluation *v, struct err *e)
{
    static const char *const kept[] = {"retain", "holdout", "neighbour", "unseen"};
    const struct suite_recipe *r = &v->asked->recipe;
    const struct eval_options *o = &v->asked->o;
    struct row_keys forget = {0};
    int rc = 0, of = -1;
    for (int i = 0; i < r->n_sets && !rc; i++) {
        const char *name = r->sets[i].name;
        if (!v->sets[i])
            continue;
        check_answers(v->sets[i], "answer");
        if (of < 0 && (!strcmp(name, "forget") || !strcmp(name, "in_scope")))
            rc = row_keys_make(&forget, v->sets[of = i], o->question_key, "answer", e);
    }
    for (int i = 0; i < r->n_sets && of >= 0 && !rc; i++)
        for (size_t k = 0; k < sizeof kept / sizeof *kept && v->sets[i] && !rc; k++)
            if (!strcmp(r->sets[i].name, kept[k])) {
                rc = check_overlap(&forget, v->sets[i], kept[k], o->question_key, "answer", e);
                if (k < 2)
                    check_names(v->asked->files[of], v->asked->files[i], role_by_name(kept[k]));
            }
    row_keys_fini(&forget);
    return rc;
}

static int open_data(struct evaluation *v, struct err *e)
{
    const struct eval *q = v->asked;
    char flag[PARAM_NAME_MOST + 1];
    int given = 0;
    for (int i = 0; i < q->recipe.n_sets; i++) {
        const struct suite_set *set = &q->recipe.sets[i];
        if (!q->files[i] && set->required)
            return err_set(e, "the suite '%s' needs --%s FILE", q->o.suite,
                           param_flag(set->name, flag));
        if (!q->files[i])
            continue;
        if (rows_open(&v->rows[i], q->files[i], e))
            return -1;
        rows_limit(&v->rows[i], q->o.limit);
        if (rows_split_messages(&v->rows[i], q->o.question_key, "answer", e) ||
            name_answers(&v->rows[i], q->o.answer_key, e))
            return -1;
        v->sets[i] = &v->rows[i];
        given++;
    }
    if (!given)
        return err_set(e,
                       "no data given: use --%s FILE or another of the suite's sets, see "
                       "'unlearn eval --suite %s --help'",
                       param_flag(q->recipe.sets[0].name, flag), q->o.suite);
    if (warn_of_data(v, e) || suite_recipe_prompts(&q->recipe, v->sets, q->o.question_key, e))
        return -1;
    if (read_before(v, e))
        return -1;
    for (int i = 0; i < q->recipe.n_sets; i++)
        if (v->sets[i] && check_fields(&q->recipe, i, v->sets[i], &q->o, e))
            return -1;
    if (!q->o.retain_logs)
        return 0;
    return !(v->retain_log = json_read_log(q->o.retain_logs, e)) ||
           suite_recipe_check_log(&q->recipe, v->retain_log, q->o.retain_logs, e);
}

/* It is asked as the model is, of the same tokens. */
static int open_retrained(struct evaluation *v, struct err *e)
{
    const char *path = v->asked->o.retrained;
    const struct model_backend *like = &v->backend;
    if (!path)
        return 0;
    if (setup_open_frozen(&v->retrained, "retrained model", path, NULL, MODEL_STORED, like->model,
                          e) ||
        model_backend_init(&v->retrained_backend, &v->retrained, like->tok, like->compat, e))
        return -1;
    v->retrained_backend.batch = like->batch;
    return eval_kept_add(&v->asked->kept, &v->retrained_backend, e);
}

static int open_reference(struct evaluation *v, struct err *e)
{
    const char *path = v->asked->o.reference;
    const int vocab = v->s.model.cfg.vocab;
    if (!path)
        return 0;
    if (setup_open_model(&v->other, path, NULL, MODEL_STORED, e))
        return -1;
    if (v->other.cfg.vocab != vocab)
        return err_set(e,
                       "the reference model has %d tokens, the model %d: they must share one "
                       "tokenizer",
                       v->other.cfg.vocab, vocab);
    return model_backend_init(&v->reference, &v->other, v->s.tokenizer, v->s.compat, e) ||
           eval_kept_add(&v->asked->kept, &v->reference, e);
}

static int open_models(struct evaluation *v, struct err *e)
{
    struct eval *q = v->asked;
    struct setup *s = &v->s;
    if (setup_open_ensemble(s, &q->setup, e) || setup_text(s, e) ||
        model_backend_init(&v->backend, &s->model, s->tokenizer, s->compat, e) ||
        eval_kept_open(&q->kept, &v->backend, e))
        return -1;
    v->backend.batch = (int)q->o.batch;
    v->backend.shows = true;
    return open_retrained(v, e) || open_reference(v, e);
}

/* Every model that scores the sequences has positions for them. */
static int fewest_positions(const struct evaluation *v, int n)
{
    const struct model *others[] = {&v->other, &v->retrained};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i]->w && others[i]->cfg.positions < n)
            n = others[i]->cfg.positions;
    return n;
}

/* The retrained model's files, in the folder `retrained` of --out, as of an evaluation of it. */
static int write_retrained(const struct evaluation *v, const struct suite *s, double seconds,
                           struct err *e)
{
    const char *name = s->recipe->log;
    char *dir = file_join(v->asked->o.out, "retrained", e);
    json_t *cost =
        dir ? cost_collect(v->retrained.path, NULL, seconds, &v->retrained_backend.effort, e)
            : NULL;
    int rc = !cost || results_write(&s->log, s->table, dir, name, e) ||
             (s->tokens && peer_write(s->tokens, dir, name, "TOKENS", 0, e)) ||
             peer_write(cost, dir, name, "COST", 0, e);
    json_decref(cost);
    free(dir);
    return rc;
}

/* The suite on the retrained model, whose log becomes the one to compare with; unless there is one
 * already, from a file. */
static int run_retrained(struct evaluation *v, struct err *e)
{
    if (!v->retrained_backend.model || v->retain_log)
        return 0;
    struct suite own = v->suite;
    double start = log_seconds();
    own.model = &v->retrained_backend.backend;
    log_note("the retrained model, '%s':", v->retrained.path);
    int rc = suite_run(&own, e);
    if (!rc && v->asked->o.out)
        rc = write_retrained(v, &own, log_seconds() - start, e);
    if (!rc)
        v->retain_log = json_incref(own.log.eval);
    suite_fini(&own);
    return rc ? err_prefix(e, "retrained model: ") : 0;
}

/* The two models on every data set of the suite, which has run: suite.comparison. */
static int compare_retrained(struct evaluation *v, struct err *e)
{
    struct model_pair pair = {.model = &v->backend, .retrained = &v->retrained_backend};
    struct comparer c = model_comparer(&pair);
    if (!v->retrained_backend.model)
        return 0;
    int rc = suite_compare_retrained(&v->suite, &c, e);
    v->both = pair.effort;
    return rc;
}

static int run_suite(struct evaluation *v, struct err *e)
{
    const struct eval_options *o = &v->asked->o;
    v->s.encoder.positions = fewest_positions(v, v->s.model.cfg.positions);
    v->s.encoder.unscored = true; /* such rows are named under the table */
    v->suite = (struct suite){.recipe = &v->asked->recipe,
                              .sets = (const struct rows *const *)v->sets,
                              .encoder = &v->s.encoder,
                              .model = &v->backend.backend,
                              .reference = o->reference ? &v->reference.backend : NULL,
                              .question = o->question_key,
                              .max_new_tokens = (int)o->max_new_tokens,
                              .truth_mean = strcmp(o->truth_ratio, "arithmetic") ? TRUTH_GEOMETRIC
                                                                                 : TRUTH_ARITHMETIC,
                              .compat = v->s.compat};
    if ((v->retain_log && suite_align(&v->suite, v->retain_log, e)) || run_retrained(v, e))
        return -1;
    v->suite.retain_log = v->retain_log;
    return suite_run(&v->suite, e) || compare_retrained(v, e);
}

/* How often guards fire on each data set: on what is to be kept, false refusals. */
static int count_guards(const struct evaluation *v, int set, json_t *sets, struct err *e)
{
    const struct suite_set *of = &v->asked->recipe.sets[set];
    struct dataset d = {0};
    struct guard_count c;
    int rc = dataset_build(&d, of->role, v->sets[set], v->asked->o.question_key, "answer",
                           &v->s.encoder, e) ||
             guards_count(v->s.guards, d.seqs, d.n, &c, e);
    dataset_fini(&d);
    if (rc)
        return -1;
    json_object_set_new(sets, of->name,
                        json_pack("{s:i, s:i, s:i}", "prompts", c.prompts, "fired", c.fired,
                                  "withheld", c.withheld));
    log_note("guards: %s: fired on %d of %d prompts, would withhold %d of the true answers",
             of->name, c.fired, c.prompts, c.withheld);
    return 0;
}

/* Into the cost, and as notes. */
static int tell_guards(const struct evaluation *v, json_t *cost, struct err *e)
{
    if (!v->s.guards)
        return 0;
    json_t *report = guards_report(v->s.guards, e), *sets = json_object();
    int rc = report && sets ? 0 : -1;
    for (int i = 0; i < v->asked->recipe.n_sets && !rc; i++)
        rc = v->sets[i] ? count_guards(v, i, sets, e) : 0;
    if (rc) {
        json_decref(report);
        json_decref(sets);
        return -1;
    }
    json_object_set_new(report, "sets", sets);
    return json_object_set_new(cost, "guards", report) ? err_no_memory(e, "guards") : 0;
}

static int show(struct evaluation *v, struct err *e)
{
    const struct model_effort *of[] = {&v->backend.effort, &v->reference.effort,
                                       &v->retrained_backend.effort, &v->both};
    struct model_effort all = {0};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        all.sequences += of[i]->sequences;
        all.tokens += of[i]->tokens;
        all.answers += of[i]->answers;
        all.new_tokens += of[i]->new_tokens;
    }
    char *made_by = setup_made_by(&v->asked->setup, e);
    if (!made_by)
        return -1;
    json_t *cost = cost_collect(made_by, v->retrained.path, log_seconds() - v->start, &all, e);
    free(made_by);
    const struct eval_options *o = &v->asked->o;
    const struct results_options how = {o->out, o->json, &v->asked->limits, v->before};
    int rc =
        cost ? eval_tell(v->asked, cost, v->backend.first_row, e) || tell_guards(v, cost, e) : -1;
    if (!rc)
        rc = results_show(&v->suite, cost, &how, e);
    json_decref(cost);
    return rc;
}

int eval_suite(struct eval *asked, struct err *e)
{
    struct evaluation v = {.asked = asked, .start = log_seconds()};
    int rc = open_data(&v, e) || open_models(&v, e) || run_suite(&v, e) || show(&v, e);
    suite_fini(&v.suite);
    model_backend_fini(&v.retrained_backend);
    model_close(&v.retrained);
    model_backend_fini(&v.reference);
    model_backend_fini(&v.backend);
    model_close(&v.other);
    json_decref(v.retain_log);
    json_decref(v.before);
    for (int i = 0; i < asked->recipe.n_sets; i++)
        rows_close(&v.rows[i]);
    setup_close(&v.s);
    return rc;
}
