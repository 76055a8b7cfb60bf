#include "suites/evaluation.h"

#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/check.h"
#include "suites/metrics.h"

const struct param evaluation_params[] = {
    STRING_PARAM(struct evaluation_options, suite, "tofu", "NAME|FILE",
                 "suite: a built-in name or a JSON file (doc/suites.md)"),
    STRING_PARAM(struct evaluation_options, reference, NULL, "PATH",
                 "another model, for mia_reference and the perplexity of answers"),
    STRING_PARAM(struct evaluation_options, retrained, NULL, "PATH",
                 "the retrained model: also evaluated, and compared on every data set"),
    STRING_PARAM(struct evaluation_options, retain_logs, NULL, "FILE",
                 "the retrained model's log of the same suite, for forget quality and privacy "
                 "leak, instead of evaluating it"),
    STRING_PARAM(struct evaluation_options, before, NULL, "LOG",
                 "log of the same suite of the model before unlearning, a file or its directory: "
                 "the measure of what is kept"),
    STRING_PARAM(struct evaluation_options, question_key, "question", "KEY", "field of the prompt"),
    STRING_PARAM(struct evaluation_options, answer_key, "answer", "KEY",
                 "field of the answer; the suite names the fields of other answers"),
    CHOICE_PARAM(struct evaluation_options, truth_ratio, "geometric|arithmetic", "geometric",
                 "mean over the wrong answers"),
    INT_PARAM(struct evaluation_options, max_new_tokens, 1, 100000, 200,
              "maximum length of an answer"),
    INT_PARAM(struct evaluation_options, batch, 0, 4096, 0, "batch size in prompts; 0: automatic"),
    {0},
};

/* Suites of tasks have one of questions. */
const struct param evaluation_limit_params[] = {
    INT_PARAM(struct evaluation_options, limit, 0, INT32_MAX, 0, "rows of each data set; 0: all"),
    {0}};

void evaluation_set_params(const struct suite_recipe *r, struct param *params)
{
    for (int i = 0; i < r->n_sets; i++)
        params[i] = (struct param){.name = r->sets[i].name,
                                   .type = PARAM_STRING,
                                   .offset = (size_t)i * sizeof(const char *),
                                   .meta = "FILE",
                                   .help = r->sets[i].help};
}

bool evaluation_is_robust(const struct suite_recipe *r)
{
    for (const struct metric *m = r->metrics; m && m->name; m++)
        if (!strcmp(m->kind->name, "attacked"))
            return true;
    return false;
}

int evaluation_presets(const struct suite_recipe *r, struct param_preset *presets, int most,
                       struct err *e)
{
    const char *name;
    json_t *value;
    int n = 0;
    json_object_foreach(json_object_get(r->json, "options"), name, value)
    {
        if (!json_is_string(value) || n == most)
            return err_set(e, "'options' of the suite must be up to %d texts", most);
        presets[n++] = (struct param_preset){name, json_string_value(value)};
    }
    return 0;
}

/* The log of the model before, or of that directory. */
static int read_before(struct evaluation *v, struct err *e)
{
    const char *given = v->o->before;
    struct buf name = {0};
    char *path = NULL;
    if (!given)
        return 0;
    int rc = !file_is_dir(given) ? !(path = mem_strdup(given, e))
                                 : buf_printf(&name, e, "%s_EVAL.json", v->recipe->log) ||
                                       !(path = file_join(given, name.data, e));
    rc = rc || !(v->before = json_read_log(path, e)) ||
         suite_recipe_check_log(v->recipe, v->before, path, e);
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
                        const struct evaluation_options *o, struct err *e)
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
    const struct suite_recipe *r = v->recipe;
    const struct evaluation_options *o = v->o;
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
                    check_names(v->files[of], v->files[i], role_by_name(kept[k]));
            }
    row_keys_fini(&forget);
    return rc;
}

/* Those that a suite must have are given, and any at all. */
static int check_given(const struct evaluation *v, struct err *e)
{
    int given = 0;
    for (int i = 0; i < v->recipe->n_sets; i++) {
        if (!v->files[i] && v->recipe->sets[i].required)
            return err_about(e, NULL, "the suite '%s' needs the data set '%s'", v->o->suite,
                             v->recipe->sets[i].name);
        given += v->files[i] != NULL;
    }
    return given ? 0
                 : err_about(e, NULL, "the suite '%s' needs data: '%s' or another of its sets",
                             v->o->suite, v->recipe->sets[0].name);
}

static int open_data(struct evaluation *v, struct err *e)
{
    const struct evaluation_options *o = v->o;
    const struct suite_recipe *recipe = v->recipe;
    if (check_given(v, e))
        return -1;
    for (int i = 0; i < recipe->n_sets; i++) {
        if (!v->files[i])
            continue;
        if (rows_open(&v->rows[i], v->files[i], e))
            return -1;
        rows_limit(&v->rows[i], o->limit);
        if (rows_split_messages(&v->rows[i], o->question_key, "answer", e) ||
            name_answers(&v->rows[i], o->answer_key, e))
            return -1;
        v->sets[i] = &v->rows[i];
    }
    if (warn_of_data(v, e) || suite_recipe_prompts(recipe, v->sets, o->question_key, e))
        return -1;
    if (read_before(v, e))
        return -1;
    for (int i = 0; i < recipe->n_sets; i++)
        if (v->sets[i] && check_fields(recipe, i, v->sets[i], o, e))
            return -1;
    if (!o->retain_logs)
        return 0;
    return !(v->retain_log = json_read_log(o->retain_logs, e)) ||
           suite_recipe_check_log(recipe, v->retain_log, o->retain_logs, e);
}

/* It is asked as the model is, of the same tokens. */
static int open_retrained(struct evaluation *v, struct err *e)
{
    const char *path = v->o->retrained;
    const struct model_backend *like = &v->backend;
    if (!path)
        return 0;
    if (setup_open_frozen(&v->retrained, "retrained model", path, NULL, MODEL_STORED, like->model,
                          e) ||
        model_backend_init(&v->retrained_backend, &v->retrained, like->tok, like->compat, e))
        return -1;
    v->retrained_backend.batch = like->batch;
    return evaluation_kept_add(v->kept, &v->retrained_backend, e);
}

static int open_reference(struct evaluation *v, struct err *e)
{
    const char *path = v->o->reference;
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
           evaluation_kept_add(v->kept, &v->reference, e);
}

static int open_models(struct evaluation *v, struct err *e)
{
    struct setup *s = &v->s;
    if (setup_open_ensemble(s, v->setup, e) || setup_text(s, e) ||
        model_backend_init(&v->backend, &s->model, s->tokenizer, s->compat, e) ||
        evaluation_kept_open(v->kept, &v->backend, e))
        return -1;
    v->backend.batch = (int)v->o->batch;
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
    if (!rc && v->retrained_done)
        rc = v->retrained_done(v->ctx, v, &own, log_seconds() - start, e);
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
    const struct evaluation_options *o = v->o;
    v->s.encoder.positions = fewest_positions(v, v->s.model.cfg.positions);
    v->s.encoder.unscored = true; /* such rows are named under the table */
    v->suite = (struct suite){.recipe = v->recipe,
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

int evaluation_run(struct evaluation *v, struct err *e)
{
    v->start = log_seconds();
    return open_data(v, e) || open_models(v, e) || run_suite(v, e);
}

struct model_effort evaluation_effort(const struct evaluation *v)
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
    return all;
}

void evaluation_fini(struct evaluation *v)
{
    suite_fini(&v->suite);
    model_backend_fini(&v->retrained_backend);
    model_close(&v->retrained);
    model_backend_fini(&v->reference);
    model_backend_fini(&v->backend);
    model_close(&v->other);
    json_decref(v->retain_log);
    json_decref(v->before);
    for (int i = 0; i < EVAL_SETS; i++)
        rows_close(&v->rows[i]);
    setup_close(&v->s);
}

/* --- outputs of the models --- */

int evaluation_kept_add(struct evaluation_kept *k, struct model_backend *s, struct err *e)
{
    s->interrupt = k->interrupt;
    return k->out ? model_backend_set_cache(s, &k->file, e) : 0;
}

int evaluation_kept_open(struct evaluation_kept *k, struct model_backend *s, struct err *e)
{
    struct buf name = {0};
    char *path = NULL;
    int rc = evaluation_kept_add(k, s, e);
    if (rc || !k->out)
        return rc;
    rc = file_make_dir(k->out, e) || buf_printf(&name, e, "%s_EVIDENCE.bin", k->suite) ||
         !(path = file_join(k->out, name.data, e)) ||
         cache_file_open(&k->file, path, s->cache.model, s->model->path, k->overwrite, e);
    if (!rc && k->file.n)
        log_note("resuming from '%s'", path);
    free(path);
    buf_fini(&name);
    return rc;
}
