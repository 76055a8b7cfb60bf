#include "train/cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "model/forward.h"
#include "model/lora.h"
#include "model/store.h"
#include "train/mask.h"

#define MIB (1.0 / (1 << 20))

static const char file_name[] = "run.json";

static double number(const json_t *run, const char *key)
{
    return json_number_value(json_object_get(run, key));
}

void train_cost_add(struct train_cost *c, const json_t *run)
{
    const json_t *roles = json_object_get(run, "tokens_by_role");
    for (int r = 0; r < ROLE_COUNT; r++)
        c->tokens.trained[r] += number(roles, role_name[r]);
    c->tokens.forward += number(run, "forward_tokens");
    c->seconds += number(run, "seconds");
    c->flops += number(run, "flops");
    c->peak = fmax(c->peak, number(run, "peak_bytes"));
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
    for (int i = 0; i < t->n && !t->mask; i++)
        n += t->v[i].trainable ? (double)t->v[i].count : 0;
    return t->mask ? (double)mask_count(t) : n;
}

static double frozen(const struct model *m)
{
    return (double)store_copied(m, m->stored ? MODEL_STORED : MODEL_READ);
}

/* Of the reference and the helpers. A view of the trained model has no weights of its own. */
static double frozen_bytes(const struct engine *g)
{
    double sum = g->ref && !g->ref->of ? frozen(g->ref) : 0;
    for (int k = 0; k < ENGINE_MAX_HELPERS; k++) {
        const struct model *m = g->helper[k].model;
        sum += m && m != g->ref && !m->of ? frozen(m) : 0;
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

static json_t *state(const struct train_cost *c)
{
    double array = (double)c->engine->model->table.moving * sizeof(float);
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "frozen_models", whole(frozen_bytes(c->engine)),
                     "frozen_states", whole((double)frozen_bytes_kept(c->engine)), "reference_logp",
                     whole(cached_bytes(c->engine)), "optimiser", whole(array * c->optim_states),
                     "wrapper", whole(array * c->wrapper_copies));
}

/* Without roles that have no tokens. */
static json_t *roles(const struct train_cost *c, double *all)
{
    json_t *out = json_object();
    *all = 0;
    for (int r = 0; r < ROLE_COUNT; r++) {
        double n = c->tokens.trained[r] + c->engine->tokens.trained[r];
        if (n > 0)
            json_object_set_new(out, role_name[r], whole(n));
        *all += n;
    }
    return out;
}

json_t *train_cost_json(const struct train_cost *c, bool finished)
{
    const struct engine *g = c->engine;
    double n = (double)model_n_params(g->model), met = model_n_active(g->model), all, own = 0;
    for (int r = 0; r < ROLE_COUNT; r++)
        own += g->tokens.trained[r];
    json_t *by_role = roles(c, &all);
    json_t *run = json_pack(
        "{s:b, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:o, s:o}", "finished", finished, "parameters",
        whole(n), "touched", whole(touched(&g->model->table)), "tokens", whole(all),
        "tokens_by_role", by_role, "forward_tokens", whole(c->tokens.forward + g->tokens.forward),
        "flops", c->flops + 6 * met * own + 2 * met * g->tokens.forward, "seconds",
        c->seconds + log_seconds() - c->start, "peak_bytes", whole(fmax(c->peak, peak_bytes())),
        "state_bytes", state(c));
    if (run && g->model->table.mask)
        json_object_set_new(run, "kept_share", json_real(touched(&g->model->table) / n));
    if (run && json_object_update_missing(run, c->about)) {
        json_decref(run);
        return NULL;
    }
    return run;
}

int train_cost_write(const struct train_cost *c, bool finished, struct err *e)
{
    char *path = file_join(c->out, file_name, e);
    json_t *run = path ? train_cost_json(c, finished) : NULL;
    int rc = run    ? json_write_file(run, path, JSON_INDENT(2), e)
             : path ? err_no_memory(e, "record")
                    : -1;
    json_decref(run);
    free(path);
    return rc;
}

void train_cost_fini(struct train_cost *c)
{
    json_decref(c->about);
    *c = (struct train_cost){0};
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

json_t *train_cost_read(const char *dir)
{
    struct err e;
    char *path = file_join(dir, file_name, &e);
    json_t *run = NULL;
    if (path && file_exists(path)) {
        run = json_read_file(path, &e);
        if (!run || check(run, &e)) {
            log_warn("'%s' is no record of a run and is ignored: %s", path, e.msg);
            json_decref(run);
            run = NULL;
        }
    }
    free(path);
    return run;
}

/* Bytes of a checkpoint without its header. */
static double checkpoint_bytes(const struct model *m, int n_states)
{
    double n = 0;
    for (int i = 0; i < m->table.n; i++)
        n += m->table.v[i].trainable ? (double)m->table.v[i].count : 0;
    return n * sizeof(float) * (1 + n_states);
}

/* Of a directory that may not exist yet: its first parent that does. */
static int disk_of(const char *path, struct statvfs *fs)
{
    char at[4096];
    snprintf(at, sizeof at, "%s", path);
    while (statvfs(at, fs)) {
        char *slash = strrchr(at, '/');
        if (!slash)
            return statvfs(".", fs);
        slash[slash == at] = 0;
        if (slash == at)
            return statvfs("/", fs);
    }
    return 0;
}

int train_cost_check_disk(const struct model *m, const struct disk_needs *d, struct err *e)
{
    struct statvfs fs;
    if (disk_of(d->out, &fs) || !fs.f_blocks)
        return 0; /* the file system does not report its size */
    const double free = (double)fs.f_bavail * (double)fs.f_frsize;
    const double c = checkpoint_bytes(m, d->n_states);
    /* A checkpoint is kept until the next one is complete, the last until the model is. */
    const double one = fmax(c, d->model_bytes);
    const double planned = d->checkpoints ? one + (d->resumed ? 0 : c) : d->model_bytes;
    if (planned > free)
        return err_set(e, "the model%s about %.0f MiB on the disk of '%s', which has %.0f MiB free",
                       d->checkpoints ? " and the checkpoints need" : " needs", planned * MIB,
                       d->out, free * MIB);
    if (one > free)
        log_warn(
            "a checkpoint needs about %.0f MiB on the disk of '%s', which has %.0f MiB free: an "
            "interrupted run could not be saved",
            c * MIB, d->out, free * MIB);
    return 0;
}
