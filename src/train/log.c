#include "train/log.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

static int cut(FILE *f, long steps)
{
    for (int c; steps > 0 && (c = getc(f)) != EOF;)
        steps -= c == '\n';
    return ftruncate(fileno(f), ftell(f)) || fseek(f, 0, SEEK_END);
}

FILE *train_log_open(const char *out, bool append, long steps, struct err *e)
{
    char *path = file_join(out, "train.jsonl", e);
    FILE *f = path ? fopen(path, append ? "a+" : "w") : NULL;
    if (path && (!f || (append && cut(f, steps)))) {
        err_sys(e, "cannot write '%s'", path);
        if (f)
            fclose(f);
        f = NULL;
    }
    free(path);
    return f;
}

/* {role.term: of(term)} of the method's terms; `all`: including those with a factor of 0. */
static json_t *by_term(const struct gradient *g, double (*of)(const struct gradient *, int),
                       bool all)
{
    const struct engine *en = g->engine;
    json_t *j = json_object();
    for (int i = 0; i < en->n_obj; i++) {
        char name[64];
        const struct objective *o = &en->obj[i];
        if (!(GOAL_BIT(o->goal) & GOALS_METHOD) || !(all || o->factor != 0))
            continue;
        snprintf(name, sizeof name, "%s.%s", role_name[o->role[0]], o->term->name);
        json_object_set_new(j, name, json_real(of(g, i)));
    }
    return j;
}

static double loss_of(const struct gradient *g, int i)
{
    return g->loss[i];
}

void train_log_terms(const struct gradient *g, char *text, size_t room)
{
    const struct engine *en = g->engine;
    double sum[ROLE_COUNT] = {0};
    unsigned roles = 0;
    size_t at = 0;
    for (int i = 0; i < en->n_obj; i++) {
        const struct objective *o = &en->obj[i];
        if (!(GOAL_BIT(o->goal) & GOALS_METHOD) || o->factor == 0)
            continue;
        sum[o->role[0]] += g->loss[i];
        roles |= ROLE_BIT(o->role[0]);
    }
    const bool one = !(roles & (roles - 1));
    snprintf(text, room, "loss %.3g", gradient_loss(g));
    for (int r = 0; r < ROLE_COUNT && !one; r++)
        if (roles & ROLE_BIT(r) && at < room)
            at += (size_t)snprintf(text + at, room - at, "%s%s %.3g", at ? "  " : "", role_name[r],
                                   sum[r]);
}

static double weight_of(const struct gradient *g, int i)
{
    return objective_weight(&g->engine->obj[i]);
}

int train_log_write(FILE *f, const char *out, const struct gradient *g, const struct entry *entry,
                    struct err *e)
{
    const struct engine *en = g->engine;
    json_t *micro = json_array();
    for (int k = 0; k < g->n; k++)
        json_array_append_new(micro, json_real(g->micro[k]));
    json_t *j =
        json_pack("{s:I, s:f, s:f, s:f, s:o, s:o, s:I, s:f}", "step", (json_int_t)entry->step + 1,
                  "lr", entry->lr, "loss", gradient_loss(g), "grad_norm", entry->grad_norm, "terms",
                  by_term(g, loss_of, false), "micro", micro, "tokens", (json_int_t)g->tokens,
                  "seconds", entry->seconds);
    if (en->model->table.mask && g->passes == 1)
        json_object_set_new(j, "grad_norm_full",
                            json_real(sqrt(entry->grad_norm * entry->grad_norm + g->masked)));
    if (entry->weights)
        json_object_set_new(j, "weights", by_term(g, weight_of, true));
    for (int i = 0; j && i < en->n_obj; i++)
        if (en->obj[i].dual)
            json_object_set_new(j, "dual", json_real(en->obj[i].weight));
    if (j && entry->validation)
        json_object_set_new(j, "eval", validation_json(entry->validation));
    if (j && entry->validation && *entry->validation->stop)
        json_object_set_new(j, "stopped", json_string(entry->validation->stop));
    int bad = !j || json_dumpf(j, f, JSON_COMPACT | JSON_REAL_PRECISION(10)) ||
              fputc('\n', f) == EOF || fflush(f);
    json_decref(j);
    return bad ? err_sys(e, "cannot write '%s/train.jsonl'", out) : 0;
}
