#include "run/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "methods/method.h"
#include "model/session.h"
#include "optim/optims.h"
#include "run/setup.h"
#include "train/gradient.h"

const struct param bench_params[] = {
    STRING_PARAM(struct bench_options, model, "default", "PATH",
                 "HF directory, GGUF or llama2.c file; 'default': the cached SmolLM2"),
    STRING_PARAM(
        struct bench_options, only, NULL, "NAMES",
        "measure only these, joined by commas: score, prefill, decode-1, decode-16, train, "
        "forget-logp, forget-logits, forget-hidden"),
    INT_PARAM(struct bench_options, rows, 1, 1024, 4, "rows of each role in a step, and to score"),
    INT_PARAM(struct bench_options, tokens, 2, 1 << 16, 128, "tokens of a row, and of a prompt"),
    INT_PARAM(struct bench_options, decoded, 1, 1 << 16, 32, "tokens to continue a prompt by"),
    INT_PARAM(struct bench_options, repeat, 1, 1000, 5, "runs of each work; the median is shown"),
    INT_PARAM(struct bench_options, threads, 0, 4096, 0, "0: all processors"),
    {0},
};

/* What a work needs while it is measured. */
struct state {
    const struct bench_options *o;
    struct model m, ref;
    struct dataset sets[ROLE_COUNT];
    struct session s;
    struct engine g;
    struct recipe r;
    struct order order;
    struct gradient grad;
    struct choice optim;
    struct rng rng;
    device float *moment[OPTIM_STATES]; /* owned */
    float *direction;                   /* owned [C] */
    int *slot, *ids;                    /* owned [slots] */
    double loss;                        /* [1] of the micro-batch */
    long steps;
};

struct work {
    const char *name, *what;
    const char *method; /* of a step; NULL: none */
    int slots;          /* sequences that are continued; 0: none */
    enum model_access access;
    bool ref; /* a frozen reference is opened */
    int (*prepare)(struct state *s, const struct work *w, struct err *e);
    /* One run. *tokens: how many it computed. */
    int (*run)(struct state *s, const struct work *w, double *tokens, struct err *e);
};

/* --- rows --- */

/* Random ids, all but the first of each row scored. */
static int make_rows(struct state *s, enum role role, int rows, struct err *e)
{
    const int t = (int)s->o->tokens;
    const size_t n = (size_t)rows * (size_t)t;
    int *ids = mem_alloc(n, sizeof *ids, e), rc = -1;
    for (size_t k = 0; ids && k < n; k++)
        ids[k] = (int)rng_below(&s->rng, (uint32_t)s->m.cfg.vocab);
    if (ids)
        rc = dataset_from_matrix(&s->sets[role], role, ids, ids, NULL, rows, t, 0, e);
    free(ids);
    return rc;
}

/* --- inference --- */

static int prepare_score(struct state *s, const struct work *w, struct err *e)
{
    (void)w;
    return make_rows(s, ROLE_GENERIC, (int)s->o->rows, e);
}

static int run_score(struct state *s, const struct work *w, double *tokens, struct err *e)
{
    struct scores scores = {0};
    const struct dataset *d = &s->sets[ROLE_GENERIC];
    (void)w;
    const int rc = model_score(&scores, &s->m, d->seqs, d->n, NULL, NULL, e);
    scores_fini(&scores);
    *tokens = (double)d->n * (double)s->o->tokens;
    return rc;
}

static int prepare_session(struct state *s, const struct work *w, struct err *e)
{
    if (make_rows(s, ROLE_GENERIC, w->slots, e) ||
        session_init(&s->s, &s->m, w->slots, (int)(s->o->tokens + s->o->decoded), e) ||
        !(s->slot = mem_alloc((size_t)w->slots, sizeof(int), e)) ||
        !(s->ids = mem_alloc((size_t)w->slots, sizeof(int), e)))
        return -1;
    for (int i = 0; i < w->slots; i++)
        s->slot[i] = i;
    return 0;
}

static int prepare_decode(struct state *s, const struct work *w, struct err *e)
{
    return prepare_session(s, w, e) ||
                   session_feed(&s->s, s->slot, s->sets[ROLE_GENERIC].seqs, w->slots, e)
               ? -1
               : 0;
}

static int run_prefill(struct state *s, const struct work *w, double *tokens, struct err *e)
{
    memset(s->s.len, 0, (size_t)w->slots * sizeof(int));
    *tokens = (double)w->slots * (double)s->o->tokens;
    if (session_feed(&s->s, s->slot, s->sets[ROLE_GENERIC].seqs, w->slots, e))
        return -1;
    return session_logits(&s->s, 0) ? 0 : -1;
}

static int run_decode(struct state *s, const struct work *w, double *tokens, struct err *e)
{
    for (int i = 0; i < w->slots; i++)
        s->s.len[i] = (int)s->o->tokens;
    for (int64_t t = 0; t < s->o->decoded; t++) {
        for (int i = 0; i < w->slots; i++)
            s->ids[i] = (int)rng_below(&s->rng, (uint32_t)s->m.cfg.vocab);
        if (session_step(&s->s, s->slot, s->ids, w->slots, e))
            return -1;
        for (int i = 0; i < w->slots; i++)
            session_logits(&s->s, i);
    }
    *tokens = (double)w->slots * (double)s->o->decoded;
    return 0;
}

/* --- steps --- */

/* One micro-batch of all rows. */
static int make_order(struct state *s, struct err *e)
{
    if (!(s->order.micro = mem_alloc(1, sizeof *s->order.micro, e)))
        return -1;
    s->order.n = s->order.per_epoch = 1;
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct micro *mb = s->order.micro;
        if (!s->g.sets[role])
            continue;
        if (!(mb->rows[role] = mem_alloc((size_t)s->o->rows, sizeof(int), e)))
            return -1;
        for (int i = 0; i < (int)s->o->rows; i++)
            mb->rows[role][mb->n[role]++] = i;
    }
    return 0;
}

static int prepare_step(struct state *s, const struct work *w, struct err *e)
{
    const struct model *m = &s->m;
    const struct optim *optim = optim_by_name("adamw", e);
    if (!optim || choice_init(&s->optim, optim, NULL, e) || recipe_open(&s->r, w->method, e))
        return -1;
    engine_init(&s->g, &s->m);
    s->g.ref = w->ref ? &s->ref : NULL;
    for (int role = 0; role < ROLE_COUNT; role++)
        if (recipe_uses(&s->r, (enum role)role)) {
            if (make_rows(s, (enum role)role, (int)s->o->rows, e))
                return -1;
            s->g.sets[role] = &s->sets[role];
        }
    if (!(s->direction = mem_alloc((size_t)m->cfg.width, sizeof(float), e)))
        return -1;
    s->direction[0] = 1;
    s->g.direction = s->direction;
    s->grad = (struct gradient){.engine = &s->g, .order = &s->order, .micro = &s->loss};
    if (recipe_bind(&s->r, &s->g, e) || engine_hold_unreached(&s->g, e) || make_order(s, e) ||
        engine_cache_reference(&s->g, w->ref ? &s->ref : &s->m, &s->order, 0, 1, e))
        return -1;
    for (int k = 0; k < optim->n_states; k++)
        if (!(s->moment[k] = m->ops->alloc(m->table.moving, e)))
            return -1;
    return 0;
}

static int run_step(struct state *s, const struct work *w, double *tokens, struct err *e)
{
    const struct optim *optim = s->optim.row;
    (void)w;
    gradient_start(&s->grad, 0, 1, 1);
    if (gradient_add(&s->grad, GOALS_METHOD, e))
        return -1;
    const double norm = gradient_norm_all(&s->grad);
    const struct optim_step step = {.ops = s->m.ops,
                                    .table = &s->m.table,
                                    .w = s->m.own,
                                    .state = s->moment,
                                    .grad = s->g.grads,
                                    .grad_scale = norm > 1 ? (float)(1 / norm) : 1,
                                    .lr = 1e-6,
                                    .weight_decay = 0.01,
                                    .step = ++s->steps};
    optim_apply(optim, s->optim.params, &step);
    *tokens = (double)s->grad.tokens;
    return 0;
}

/* --- measuring --- */

static const struct work works[BENCH_WORKS] = {
    {"score", "log-probabilities of rows", NULL, 0, MODEL_STORED, false, prepare_score, run_score},
    {"prefill", "one prompt", NULL, 1, MODEL_STORED, false, prepare_session, run_prefill},
    {"decode-1", "one sequence continued", NULL, 1, MODEL_STORED, false, prepare_decode,
     run_decode},
    {"decode-16", "16 sequences continued", NULL, 16, MODEL_STORED, false, prepare_decode,
     run_decode},
    {"train", "a step of fine-tuning (FT)", "FT", 0, MODEL_WRITE, false, prepare_step, run_step},
    {"forget-logp", "a step on log-probabilities (NPO)", "NPO", 0, MODEL_WRITE, false, prepare_step,
     run_step},
    {"forget-logits", "a step on logits of a reference (UNDIAL)", "UNDIAL", 0, MODEL_WRITE, true,
     prepare_step, run_step},
    {"forget-hidden", "a step on hidden states (RMU)", "RMU", 0, MODEL_WRITE, true, prepare_step,
     run_step},
};

static void state_fini(struct state *s)
{
    for (int k = 0; k < OPTIM_STATES && s->m.ops; k++)
        s->m.ops->free(s->moment[k]);
    order_fini(&s->order);
    arena_fini(&s->grad.kept);
    if (s->g.model)
        engine_fini(&s->g);
    recipe_fini(&s->r);
    choice_fini(&s->optim);
    if (s->s.m)
        session_fini(&s->s);
    for (int role = 0; role < ROLE_COUNT; role++)
        dataset_fini(&s->sets[role]);
    free(s->direction);
    free(s->slot);
    free(s->ids);
    model_close(&s->ref);
    model_close(&s->m);
}

static void forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}

/* The first line of a small file that begins with `key`, after the colon. */
static bool read_line(const char *path, const char *key, char *to, size_t size)
{
    char line[256];
    FILE *f = fopen(path, "r");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *at = strchr(line, ':');
        if ((found = at && !strncmp(line, key, strlen(key)))) {
            at += 1 + strspn(at + 1, " \t");
            snprintf(to, size, "%.*s", (int)strcspn(at, "\n"), at);
        }
    }
    if (f)
        fclose(f);
    return found;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int repeat(struct state *s, const struct work *w, struct bench_result *r, struct err *e)
{
    const int n = (int)s->o->repeat;
    double *seconds = mem_alloc((size_t)n, sizeof *seconds, e);
    int rc = seconds ? w->run(s, w, &r->tokens, e) : -1;
    timed_take();
    for (int k = 0; k < n && !rc; k++) {
        const double start = log_seconds();
        rc = w->run(s, w, &r->tokens, e);
        r->spent += seconds[k] = log_seconds() - start;
    }
    r->timed = timed_take();
    if (!rc) {
        qsort(seconds, (size_t)n, sizeof *seconds, by_size);
        r->seconds = (seconds[(n - 1) / 2] + seconds[n / 2]) / 2;
    }
    free(seconds);
    return rc;
}

static int measure(const struct bench_options *o, const struct work *w, struct bench_report *all,
                   struct err *e)
{
    struct bench_result *r = &all->result[all->n++];
    struct state s = {.o = o};
    char peak[64];
    *r = (struct bench_result){.name = w->name, .what = w->what};
    rng_seed(&s.rng, 1);
    forget_peak();
    const double start = log_seconds();
    if (setup_open_model(&s.m, o->model, NULL, w->access, e))
        return -1;
    all->start = w == works || !all->start ? log_seconds() - start : all->start;
    all->parameters = (double)model_n_params(&s.m);
    s.m.ops = timed_start(s.m.ops);
    int rc =
        w->ref ? setup_open_frozen(&s.ref, "reference", o->model, NULL, MODEL_STORED, &s.m, e) : 0;
    if (w->ref && !rc)
        s.ref.ops = s.m.ops;
    if (!rc && w->access == MODEL_WRITE && model_refuse_experts(&s.m, e))
        rc = -1;
    rc = rc || w->prepare(&s, w, e) || repeat(&s, w, r, e) ? -1 : 0;
    if (rc && e->code != ERR_NO_MEMORY) {
        snprintf(r->skipped, sizeof r->skipped, "%s", e->msg);
        rc = 0;
    }
    if (read_line("/proc/self/status", "VmHWM", peak, sizeof peak))
        r->peak = atof(peak) * 1024;
    s.m.ops = ops_cpu();
    state_fini(&s);
    return rc;
}

/* The best of some products of 512 rows with a matrix that fits the last cache. */
static int measure_sgemm(const struct ops *o, double *rate, struct err *e)
{
    enum { ROWS = 512, WIDE = 1536 };
    device float *w = o->alloc((size_t)WIDE * WIDE, e), *x = w ? o->alloc(ROWS * WIDE, e) : NULL,
                 *y = x ? o->alloc(ROWS * WIDE, e) : NULL;
    double best = INFINITY;
    if (y) {
        o->fill(w, 0.5f, (size_t)WIDE * WIDE);
        o->fill(x, 0.5f, ROWS * WIDE);
    }
    for (int k = 0; y && k < 10; k++) {
        const double start = log_seconds();
        o->linear(y, x, w, ROWS, WIDE, WIDE, 0);
        best = fmin(best, log_seconds() - start);
    }
    *rate = 2.0 * ROWS * WIDE * WIDE / best;
    o->free(w), o->free(x), o->free(y);
    return y ? 0 : -1;
}

static bool chosen(const char *only, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = only; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, name, n) && (!at[n] || at[n] == ','))
            return true;
    return !only;
}

/* Every word names a work. */
static int check_names(const char *only, struct err *e)
{
    for (const char *at = only; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char name[64], list[256] = "";
        bool found = false;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ","), at);
        for (int i = 0; i < BENCH_WORKS; i++) {
            const size_t used = strlen(list);
            found |= !strcmp(name, works[i].name);
            snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", works[i].name);
        }
        if (!found)
            return err_about(e, "only", "unknown work '%s': accepted are %s", name, list);
    }
    return 0;
}

int bench_measure(const struct bench_options *o, struct bench_report *r, struct err *e)
{
    *r = (struct bench_report){.processor = "unknown"};
    ops_set_threads((int)o->threads);
    read_line("/proc/cpuinfo", "model name", r->processor, sizeof r->processor);
    snprintf(r->operations, sizeof r->operations, "%s", ops_cpu()->name);
    r->threads = ops_threads();
    if (check_names(o->only, e) || measure_sgemm(ops_cpu(), &r->sgemm, e))
        return -1;
    for (int i = 0; i < BENCH_WORKS; i++)
        if (chosen(o->only, works[i].name) && measure(o, &works[i], r, e))
            return -1;
    return 0;
}
