#include "train/ledger.h"

#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "model/store.h"

static const char file_name[] = "run.json";

static double number(const json_t *run, const char *key)
{
    return json_number_value(json_object_get(run, key));
}

void ledger_add(struct ledger *l, const json_t *run)
{
    const json_t *roles = json_object_get(run, "tokens_by_role");
    for (int r = 0; r < ROLE_COUNT; r++)
        l->tokens.trained[r] += number(roles, role_name[r]);
    l->tokens.forward += number(run, "forward_tokens");
    l->seconds += number(run, "seconds");
    l->flops += number(run, "flops");
    l->peak = fmax(l->peak, number(run, "peak_bytes"));
}

static double peak_bytes(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) ? 0 : (double)u.ru_maxrss * 1024;
}

static json_t *whole(double x)
{
    return json_integer((json_int_t)x);
}

static double touched(const struct weight_table *t)
{
    double n = 0;
    for (int i = 0; i < t->n; i++)
        n += t->v[i].trainable ? (double)t->v[i].count : 0;
    return n;
}

/* Of the reference and the helpers. A view of the trained model has no weights of its own. */
static double frozen_bytes(const struct engine *g)
{
    double sum = g->ref && !g->ref->of ? (double)store_copied(g->ref) : 0;
    for (int k = 0; k < HELPER_COUNT; k++) {
        const struct model *m = g->helper[k].model;
        sum += m && m != g->ref && !m->of ? (double)store_copied(m) : 0;
    }
    return sum;
}

static double cached_bytes(const struct engine *g)
{
    double labels = 0;
    for (int r = 0; r < ROLE_COUNT; r++)
        for (int i = 0; i < g->ref_logp[r].scores.n; i++)
            labels += g->ref_logp[r].scores.v[i].n;
    return labels * (sizeof(float) + 2 * sizeof(int));
}

static json_t *state(const struct ledger *l)
{
    double array = (double)l->engine->model->table.moving * sizeof(float);
    return json_pack("{s:o, s:o, s:o, s:o}", "frozen_models", whole(frozen_bytes(l->engine)),
                     "reference_logp", whole(cached_bytes(l->engine)), "optimiser",
                     whole(array * l->optim_states), "wrapper", whole(array * l->wrapper_copies));
}

/* Without roles that have no tokens. */
static json_t *roles(const struct ledger *l, double *all)
{
    json_t *out = json_object();
    *all = 0;
    for (int r = 0; r < ROLE_COUNT; r++) {
        double n = l->tokens.trained[r] + l->engine->tokens.trained[r];
        if (n > 0)
            json_object_set_new(out, role_name[r], whole(n));
        *all += n;
    }
    return out;
}

json_t *ledger_json(const struct ledger *l, bool finished)
{
    const struct engine *g = l->engine;
    double n = (double)model_n_params(g->model), met = model_n_active(g->model), all, own = 0;
    for (int r = 0; r < ROLE_COUNT; r++)
        own += g->tokens.trained[r];
    json_t *by_role = roles(l, &all);
    json_t *run = json_pack(
        "{s:b, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:o, s:o}", "finished", finished, "parameters",
        whole(n), "touched", whole(touched(&g->model->table)), "tokens", whole(all),
        "tokens_by_role", by_role, "forward_tokens", whole(l->tokens.forward + g->tokens.forward),
        "flops", l->flops + 6 * met * own + 2 * met * g->tokens.forward, "seconds",
        l->seconds + log_seconds() - l->start, "peak_bytes", whole(fmax(l->peak, peak_bytes())),
        "state_bytes", state(l));
    if (run && json_object_update_missing(run, l->about)) {
        json_decref(run);
        return NULL;
    }
    return run;
}

int ledger_write(const struct ledger *l, bool finished, struct err *e)
{
    char *path = file_join(l->out, file_name, e);
    json_t *run = path ? ledger_json(l, finished) : NULL;
    int rc = run    ? json_write_file(run, path, JSON_INDENT(2), e)
             : path ? err_no_memory(e, "ledger")
                    : -1;
    json_decref(run);
    free(path);
    return rc;
}

void ledger_fini(struct ledger *l)
{
    json_decref(l->about);
    *l = (struct ledger){0};
}

static int check(const json_t *run, struct err *e)
{
    static const char *const counted[] = {"seconds", "flops",      "tokens",    "forward_tokens",
                                          "touched", "parameters", "peak_bytes"};
    if (!json_is_object(run))
        return err_set(e, "it is not a JSON object");
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        const json_t *x = json_object_get(run, counted[i]);
        if (!json_is_number(x) || !(json_number_value(x) >= 0))
            return err_set(e, "'%s' is not a number of 0 or more", counted[i]);
    }
    return 0;
}

json_t *ledger_read(const char *dir)
{
    struct err e;
    char *path = file_join(dir, file_name, &e);
    json_t *run = NULL;
    if (path && file_exists(path)) {
        run = json_read_file(path, &e);
        if (!run || check(run, &e)) {
            log_warn("'%s' is not the ledger of a run and is ignored: %s", path, e.msg);
            json_decref(run);
            run = NULL;
        }
    }
    free(path);
    return run;
}
