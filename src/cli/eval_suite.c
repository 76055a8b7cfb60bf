/* unlearn eval, for suites of metrics: runs the evaluation (suites/evaluation.h) and shows it. */
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/eval.h"
#include "cli/results.h"
#include "guard/guard.h"
#include "report/cost.h"

/* In terms of options. */
static int check_given(const struct eval *q, struct err *e)
{
    char flag[PARAM_NAME_MOST + 1];
    int given = 0;
    for (int i = 0; i < q->recipe.n_sets; i++) {
        const struct suite_set *set = &q->recipe.sets[i];
        if (!q->files[i] && set->required)
            return err_set(e, "the suite '%s' needs --%s FILE", q->o.suite,
                           param_flag(set->name, flag));
        given += q->files[i] != NULL;
    }
    return given ? 0
                 : err_set(e,
                           "no data given: use --%s FILE or another of the suite's sets, see "
                           "'unlearn eval --suite %s --help'",
                           param_flag(q->recipe.sets[0].name, flag), q->o.suite);
}

/* The retrained model's files, in the folder `retrained` of --out, as of an evaluation of it. */
static int write_retrained(void *asked, const struct evaluation *v, const struct suite *s,
                           double seconds, struct err *e)
{
    const char *name = s->recipe->log;
    char *dir = file_join(((const struct eval *)asked)->to.out, "retrained", e);
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

/* How often guards fire on each data set: on what is to be kept, false refusals. */
static int count_guards(const struct evaluation *v, int set, json_t *sets, struct err *e)
{
    const struct suite_set *of = &v->recipe->sets[set];
    struct dataset d = {0};
    struct guard_count c;
    int rc =
        dataset_build(&d, of->role, v->sets[set], v->o->question_key, "answer", &v->s.encoder, e) ||
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
    for (int i = 0; i < v->recipe->n_sets && !rc; i++)
        rc = v->sets[i] ? count_guards(v, i, sets, e) : 0;
    if (rc) {
        json_decref(report);
        json_decref(sets);
        return -1;
    }
    json_object_set_new(report, "sets", sets);
    return json_object_set_new(cost, "guards", report) ? err_no_memory(e, "guards") : 0;
}

static int show(const struct eval *q, const struct evaluation *v, struct err *e)
{
    const struct model_effort all = evaluation_effort(v);
    char *made_by = setup_made_by(&q->setup, e);
    if (!made_by)
        return -1;
    json_t *cost = cost_collect(made_by, v->retrained.path, log_seconds() - v->start, &all, e);
    free(made_by);
    const struct results_options how = {q->to.out, q->to.json, &q->limits, v->before};
    int rc = cost ? eval_tell(q, cost, v->backend.first_row, e) || tell_guards(v, cost, e) : -1;
    if (!rc)
        rc = results_show(&v->suite, cost, &how, e);
    json_decref(cost);
    return rc;
}

int eval_suite(struct eval *q, struct err *e)
{
    struct evaluation v = {.o = &q->o,
                           .setup = &q->setup,
                           .recipe = &q->recipe,
                           .files = q->files,
                           .kept = &q->kept,
                           .retrained_done = q->to.out ? write_retrained : NULL,
                           .ctx = q};
    const int rc = check_given(q, e) || evaluation_run(&v, e) || show(q, &v, e);
    evaluation_fini(&v);
    return rc;
}
