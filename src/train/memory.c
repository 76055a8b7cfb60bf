#include "train/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "model/lora.h"
#include "model/store.h"
#include "train/pass.h"

#define MIB (1.0 / (1 << 20))

enum { PROGRAM = 64 << 20, SCORED_TOKENS = 1024 };

/* --- a micro-batch --- */

/* Rows of logits that an objective uses. */
static int rows_of(const struct micro_pass *w, const struct objective *o)
{
    const struct part *p = &w->part[o->role[0]];
    return term_rows(o->term, o->params) == ROWS_SCORED ? p->n_rows : p->n_tokens;
}

/* The views of an objective on logits or hidden states, and the passes of frozen models. */
static void add_objective(const struct micro_pass *w, int i, bool kept, struct train_memory *p)
{
    const struct objective *o = &w->g->obj[i];
    const struct part *part = &w->part[o->role[0]];
    const bool logits = o->term->kind == VIEW_LOGITS;
    const double state = (double)part->n_tokens * w->g->model->cfg.width * sizeof(float);
    if (o->term->kind == VIEW_LOGP || !part->n_seqs)
        return;
    if (logits)
        p->logits += (double)head_bytes(&w->g->model->cfg, rows_of(w, o), true);
    else
        p->activations += (w->batch.path ? 3 : 2) * state;
    for (int k = 0; k <= TERM_MAX_HELPERS; k++) {
        int states;
        const struct model *m = frozen_model(w->g, i, k, &states);
        if (!m)
            continue;
        if (logits)
            p->logits += (double)head_bytes(&m->cfg, rows_of(w, o), false);
        else
            p->activations += states * state;
        if (!kept)
            p->activations += (double)forward_bytes(&m->cfg, part->n_tokens, false);
    }
}

static void add_micro(struct micro_pass *w, bool recompute, bool kept, struct train_memory *p)
{
    struct model_config c = w->g->model->cfg;
    const int n = w->batch.n_tokens;
    const double places = w->batch.path ? w->batch.place[w->batch.n_seqs] : 0;
    c.layers = w->plan.layers;
    p->tokens = n;
    p->activations = (double)backward_bytes(&c, n) + 4 * places * c.kv_heads * c.head_dim * 4 +
                     (double)(recompute ? recompute_bytes(&c, n) : forward_bytes(&c, n, true));
    p->logits = 0;
    for (int r = 0; r < ROLE_COUNT; r++)
        if (w->plan.logp & ROLE_BIT(r))
            p->logits += (double)head_bytes(&c, w->part[r].n_rows, true);
    for (int i = 0; i < w->g->n_obj; i++)
        if (engine_counts(w->g, &w->g->obj[i]))
            add_objective(w, i, kept, p);
}

/* The largest of the order, with at most `batch` examples a role. */
static int add_largest(struct engine *g, const struct order *o, const struct memory_choice *c,
                       struct train_memory *p, struct err *e)
{
    for (int k = 0; k < o->n; k++) {
        struct micro mb = o->micro[k];
        struct micro_pass w = {.g = g, .mb = &mb, .a = &g->arena, .e = e};
        struct train_memory one = *p;
        for (int r = 0; r < ROLE_COUNT; r++)
            mb.n[r] = c->batch && mb.n[r] > c->batch ? c->batch : mb.n[r];
        if (pass_pack(&w))
            return -1;
        add_micro(&w, c->recompute, p->states > 0, &one);
        if (one.activations + one.logits > p->activations + p->logits)
            *p = one;
    }
    arena_reset(&g->arena);
    return 0;
}

/* --- the whole --- */

static double files_of(const struct model *m)
{
    double n = 0;
    for (int i = 0; i < m->n_files; i++)
        n += (double)m->files[i].map.size;
    return n;
}

/* A model that is read: its copies and its files, which are one with those of another that has the
 * same. */
static double read_bytes(const struct model *m, const struct model *other)
{
    const bool same =
        other && m->path && other->path && !strcmp(m->path, other->path) && !other->own;
    return (double)store_copied(m, m->stored ? MODEL_STORED : MODEL_READ) +
           (same ? 0 : files_of(m));
}

static void add_models(const struct engine *g, int n_arrays, bool adapters, struct train_memory *p)
{
    const struct model *m = g->model;
    const double moving = adapters ? (double)lora_floats(m, MEMORY_RANK) : (double)m->table.moving,
                 all = adapters ? moving : (double)m->table.grads;
    if (adapters)
        p->weights = (double)store_copied(m, MODEL_STORED) + files_of(m) + moving * sizeof(float);
    else if (m->lora)
        p->weights = read_bytes(m, NULL) + (double)m->lora->floats * sizeof(float);
    else
        p->weights = (double)m->table.total * sizeof(float);
    p->gradients = all * sizeof(float);
    p->optimiser = moving * sizeof(float) * n_arrays;
    if (g->ref && !g->ref->of && !adapters)
        p->frozen = read_bytes(g->ref, m);
    for (int k = 0; k < ENGINE_MAX_HELPERS; k++) {
        const struct model *h = g->helper[k].model;
        if (h && h != g->ref && !h->of)
            p->frozen += read_bytes(h, g->ref);
    }
}

int train_memory_plan(struct engine *g, const struct order *o, int n_arrays,
                      const struct memory_choice *c, struct train_memory *p, struct err *e)
{
    const unsigned roles = engine_plan(g).roles;
    size_t states;
    *p = (struct train_memory){0};
    for (int r = 0; r < ROLE_COUNT; r++)
        if (roles & ROLE_BIT(r) && (!g->sets[r] || !g->sets[r]->seqs))
            return 1;
    add_models(g, n_arrays, c->adapters, p);
    if (frozen_plan(g, o, c->keep_bytes, &states, e))
        return -1;
    p->states = (double)states;
    if (add_largest(g, o, c, p, e))
        return -1;
    const double step = p->gradients + p->optimiser + p->activations + p->logits;
    const struct model_config *cfg = &g->model->cfg; /* scoring: before the steps, and after */
    const double scored = (double)forward_bytes(cfg, SCORED_TOKENS, false) +
                          (double)head_bytes(cfg, SCORED_TOKENS, false);
    p->total = PROGRAM + p->weights + p->frozen + p->states + fmax(step, scored);
    return 0;
}

/* --- what is there --- */

/* The number after `key` in a small file, times `unit`; INFINITY: there is none. */
static double read_number(const char *path, const char *key, double unit)
{
    char text[4096];
    FILE *f = fopen(path, "r");
    if (!f)
        return INFINITY;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    const char *at = strstr(text, key);
    double x;
    return at && sscanf(at + strlen(key), " %lf", &x) == 1 ? x * unit : INFINITY;
}

/* What this process may have in all, as far as the system tells: memory that is free or can be
 * freed, the limits of its control group and of ulimit; 0: unknown. */
static double memory_there(void)
{
    const double page = (double)sysconf(_SC_PAGESIZE);
    double size = 0, resident = 0, there = INFINITY;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%lf %lf", &size, &resident) != 2)
            size = resident = 0;
        fclose(f);
    }
    there = fmin(there, resident * page + read_number("/proc/meminfo", "MemAvailable:", 1024));
    const double used = read_number("/sys/fs/cgroup/memory.current", "", 1),
                 most = read_number("/sys/fs/cgroup/memory.max", "", 1);
    if (isfinite(used) && isfinite(most))
        there = fmin(there, resident * page + most - used);
    const int limits[] = {RLIMIT_AS, RLIMIT_DATA};
    for (int i = 0; i < 2; i++) {
        struct rlimit r;
        if (!getrlimit(limits[i], &r) && r.rlim_cur != RLIM_INFINITY)
            there = fmin(there, (double)r.rlim_cur - (i ? 0 : (size - resident) * page));
    }
    return isfinite(there) ? there : 0;
}

/* --- what would fit --- */

struct planner {
    struct engine *g;
    const struct order *o;
    int n_arrays;
    double most;
};

static int fits(const struct planner *p, const struct memory_choice *c, bool *does, struct err *e)
{
    struct train_memory m;
    const int rc = train_memory_plan(p->g, p->o, p->n_arrays, c, &m, e);
    *does = m.total <= p->most;
    return rc;
}

static int largest_batch(const struct order *o)
{
    int most = 0;
    for (int k = 0; k < o->n; k++)
        for (int r = 0; r < ROLE_COUNT; r++)
            most = o->micro[k].n[r] > most ? o->micro[k].n[r] : most;
    return most;
}

/* The subject of the error: the cheapest choice that fits; *batch where it is a smaller one. */
static int find_choice(const struct planner *p, const char **subject, int *batch, struct err *e)
{
    struct engine *g = p->g;
    const int whole = largest_batch(p->o);
    const bool full = !g->model->lora && !g->model->table.mask;
    const struct {
        const char *subject;
        struct memory_choice c;
        bool can;
    } others[] = {
        {"memory_states", {.recompute = g->recompute}, g->keep_bytes},
        {"memory_recompute", {.recompute = true, .keep_bytes = g->keep_bytes}, !g->recompute},
        {"memory_recompute_batch", {.recompute = true, .batch = 1}, true},
        {"memory_adapters", {.adapters = true}, full},
        {"memory_adapters_batch", {.adapters = true, .recompute = true, .batch = 1}, full},
    };
    bool does = false;
    for (*batch = whole / 2; *batch >= 1; *batch /= 2) {
        const struct memory_choice c = {
            .batch = *batch, .recompute = g->recompute, .keep_bytes = g->keep_bytes};
        if (fits(p, &c, &does, e))
            return -1;
        if (does) {
            *subject = "memory_batch";
            return 0;
        }
    }
    *subject = "memory_none";
    for (size_t i = 0; i < sizeof others / sizeof *others && !does; i++) {
        if (others[i].can && fits(p, &others[i].c, &does, e))
            return -1;
        *subject = does ? others[i].subject : *subject;
    }
    return 0;
}

int train_memory_check(struct engine *g, const struct order *o, int n_arrays, uint64_t most,
                       struct err *e)
{
    const struct memory_choice as_is = {.recompute = g->recompute, .keep_bytes = g->keep_bytes};
    const struct planner p = {g, o, n_arrays, most ? (double)most : memory_there()};
    struct train_memory m;
    const char *subject;
    int batch;
    const int rc = train_memory_plan(g, o, n_arrays, &as_is, &m, e);
    if (rc || p.most <= 0 || m.total <= p.most)
        return rc < 0 ? -1 : 0;
    if (find_choice(&p, &subject, &batch, e))
        return -1;
    err_about(e, subject,
              "training needs about %.0f MiB (weights %.0f, frozen models %.0f, gradients %.0f, "
              "optimiser %.0f, activations and logits %.0f for %d tokens), and there are %.0f",
              m.total * MIB, m.weights * MIB, (m.frozen + m.states) * MIB, m.gradients * MIB,
              m.optimiser * MIB, (m.activations + m.logits) * MIB, m.tokens, p.most * MIB);
    snprintf(e->range, sizeof e->range, "%d", batch);
    return -1;
}

int train_memory_note(struct engine *g, const struct order *o, int n_arrays, struct err *e)
{
    const struct memory_choice as_is = {.recompute = g->recompute, .keep_bytes = g->keep_bytes};
    struct train_memory m;
    const int rc = train_memory_plan(g, o, n_arrays, &as_is, &m, e);
    if (rc)
        return rc < 0 ? -1 : 0;
    log_note("memory: weights %.0f MiB, gradients %.0f, optimiser %.0f, frozen models %.0f,",
             m.weights * MIB, m.gradients * MIB, m.optimiser * MIB, (m.frozen + m.states) * MIB);
    log_note("        activations about %.0f (%d tokens), logits %.0f; %.0f in all",
             m.activations * MIB, m.tokens, m.logits * MIB, m.total * MIB);
    arena_reserve(&g->arena, (size_t)((m.activations + m.logits) * 1.02) + (1 << 16));
    return 0;
}
