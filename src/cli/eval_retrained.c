#include "cli/eval_retrained.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/results.h"
#include "report/cost.h"
#include "suites/suite.h"
#include "suites/recipe.h"

int eval_retrained_open(struct eval_retrained *r, const char *path,
                        const struct model_backend *like, struct err *e)
{
    if (!path)
        return 0;
    if (setup_open_frozen(&r->model, "retrained model", path, NULL, like->model, e) ||
        model_backend_init(&r->backend, &r->model, like->tok, like->compat, e))
        return -1;
    r->backend.batch = like->batch;
    return 0;
}

/* As if it had been evaluated by itself. */
static int write_log(const struct eval_retrained *r, const struct suite *s, double seconds,
                     const char *out, struct err *e)
{
    const char *name = s->recipe->log;
    char *dir = file_join(out, "retrained", e);
    json_t *cost = dir ? cost_collect(r->model.path, NULL, seconds, &r->backend.effort, e) : NULL;
    int rc = !cost || results_write(&s->log, s->table, dir, name, e) ||
                     peer_write(cost, dir, name, "COST", 0, e)
                 ? -1
                 : 0;
    json_decref(cost);
    free(dir);
    return rc;
}

int eval_retrained_run(struct eval_retrained *r, const struct suite *s, const char *out,
                       json_t **log, struct err *e)
{
    if (!r->backend.model || *log)
        return 0;
    struct suite own = *s;
    double start = log_seconds();
    own.model = &r->backend.backend;
    log_note("the retrained model, '%s':", r->model.path);
    int rc = suite_run(&own, e);
    if (!rc && out)
        rc = write_log(r, &own, log_seconds() - start, out, e);
    if (!rc)
        *log = json_incref(own.log.eval);
    suite_fini(&own);
    return rc ? err_prefix(e, "retrained model: ") : 0;
}

int eval_retrained_beside(struct eval_retrained *r, struct suite *s, const struct model_backend *m,
                          struct err *e)
{
    struct model_pair pair = {.model = m, .retrained = &r->backend};
    struct comparer c = model_comparer(&pair);
    if (!r->backend.model)
        return 0;
    int rc = suite_compare_retrained(s, &c, e);
    r->effort = pair.effort;
    return rc;
}

void eval_retrained_close(struct eval_retrained *r)
{
    model_backend_fini(&r->backend);
    model_close(&r->model);
}
