#include "run/merge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/score.h"
#include "run/model_name.h"

/* --- names --- */

static int find_path(struct merge_result *r, int i, const char *name, struct err *e)
{
    struct model_name n;
    if (model_name_find(&n, name, e))
        return -1;
    const bool adapter = n.adapter != NULL;
    r->paths[i] = n.path;
    n.path = NULL;
    model_name_fini(&n);
    return adapter ? err_set(e, "'%s' holds an adapter, not a model", name) : 0;
}

static int open_all(struct merge_result *r, const struct merge_options *o,
                    const struct merge_names *sources, int n, struct err *e)
{
    struct merge_names *at = mem_alloc((size_t)n, sizeof *at, e);
    int rc = at && (r->paths = mem_alloc((size_t)n + 2, sizeof *r->paths, e)) ? 0 : -1;
    r->n_paths = rc ? 0 : n + 2;
    for (int k = 0; !rc && k < n; k++) {
        at[k] = sources[k];
        if (!at[k].is_adapter && !(rc = find_path(r, k, sources[k].name, e)))
            at[k].name = r->paths[k];
    }
    rc = rc || find_path(r, n, o->base, e) || (o->start && find_path(r, n + 1, o->start, e)) ||
         merging_open(&r->g, r->paths[n], r->paths[n + 1], at, n, e);
    for (int k = 0; !rc && k < n; k++)
        r->g.v[k].name = sources[k].name;
    free(at);
    return rc ? -1 : 0;
}

static int open_masks(struct merging *g, const char *masks, struct err *e)
{
    int k = 0;
    for (const char *at = masks; at && *at; k++) {
        const size_t n = strcspn(at, ",");
        char *path = mem_strndup(at, n, e);
        int rc = !path || (k < g->n ? merging_mask(g, k, path, e) : 0);
        free(path);
        if (rc)
            return -1;
        at += n + (at[n] == ',');
    }
    return !masks || k == g->n
               ? 0
               : err_set(e, "there are %d masks for %d models: one is needed for each", k, g->n);
}

/* --- the choice of lambda --- */

struct search {
    const struct merge_options *o;
    struct merge_result *r;
    struct setup s;         /* the start, open for writing */
    struct dataset sets[2]; /* forget, retain */
};

/* The share of the scored tokens that are the model's first choice. */
static int accuracy(struct search *s, const struct dataset *d, double *share, struct err *e)
{
    struct scores scores = {0};
    const struct score_options how = {.interrupt = s->r->g.stop};
    double hits = 0, all = 0;
    *share = NAN;
    if (!d->n)
        return 0;
    const int rc = model_score(&scores, &s->s.model, d->seqs, d->n, &how, NULL, e);
    for (int i = 0; !rc && i < d->n; i++)
        for (int k = 0; k < scores.v[i].n; k++, all++)
            hits += scores.v[i].best[k] == scores.v[i].label[k];
    *share = hits / all;
    scores_fini(&scores);
    return rc;
}

/* The model's weights = those of the result with g->lambda. */
static int move(struct search *s, struct err *e)
{
    struct merging *g = &s->r->g;
    struct model *m = &s->s.model;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        device float *at = m->own + w->offset;
        int rc = store_read(merging_start(g), w, at, e) ||
                 (g->lambda != 0 && merging_weight(g, i, m->ops->map(at, w->count), e));
        if (g->lambda != 0)
            m->ops->unmap(at);
        if (rc)
            return -1;
    }
    return 0;
}

static int try_one(struct search *s, double lambda, struct err *e)
{
    struct merge_result *r = s->r;
    struct merge_try *t = &r->tries[r->n_tries];
    r->g.lambda = t->lambda = lambda;
    if (move(s, e) || accuracy(s, &s->sets[0], &t->forget, e) ||
        accuracy(s, &s->sets[1], &t->retain, e))
        return -1;
    r->n_tries++;
    log_note("lambda %g: token accuracy forget %.4f, retain %.4f", t->lambda, t->forget, t->retain);
    return 0;
}

static int next_lambda(const char **at, double *v, struct err *e)
{
    char *end;
    *v = strtod(*at, &end);
    if (end == *at || (*end && *end != ',') || !isfinite(*v))
        return err_about(e, "lambdas", "'%s' is no list of numbers", *at);
    *at = *end ? end + 1 : end;
    return 0;
}

static int try_all(struct search *s, struct err *e)
{
    size_t most = 2;
    for (const char *at = s->o->lambdas; *at; at++)
        most += *at == ',';
    if (!(s->r->tries = mem_alloc(most, sizeof *s->r->tries, e)) || try_one(s, 0, e))
        return -1;
    for (const char *at = s->o->lambdas; *at;) {
        double lambda;
        if (next_lambda(&at, &lambda, e) || try_one(s, lambda, e))
            return -1;
    }
    return 0;
}

static double choose(const struct merge_result *r, double keep)
{
    int best = 0;
    for (int i = 1; i < r->n_tries; i++) {
        const struct merge_try *t = &r->tries[i];
        const bool kept = isnan(t->retain) || t->retain >= keep * r->tries[0].retain;
        if (kept && t->forget < r->tries[best].forget)
            best = i;
    }
    return r->tries[best].lambda;
}

static int read_rows(struct search *s, enum role role, struct err *e)
{
    const char *file = s->o->data.files[role];
    struct dataset *d = &s->sets[role == ROLE_RETAIN];
    return file ? run_data_file(&s->s, &s->o->data, role, file, d, e) : 0;
}

static int search(struct merge_result *r, const struct merge_options *o, struct err *e)
{
    struct search s = {.o = o, .r = r};
    struct setup_options so = o->setup;
    so.model = o->start ? o->start : o->base;
    if (!o->data.files[ROLE_FORGET])
        return err_about(e, "forget", "the choice of lambda needs forget data");
    int rc = setup_open(&s.s, &so, MODEL_WRITE, e) || read_rows(&s, ROLE_FORGET, e) ||
             read_rows(&s, ROLE_RETAIN, e) || try_all(&s, e);
    r->g.lambda = rc ? o->lambda : choose(r, o->keep);
    dataset_fini(&s.sets[0]);
    dataset_fini(&s.sets[1]);
    setup_close(&s.s);
    if (!rc && r->g.lambda == 0)
        return err_set(e,
                       "no lambda lowers the accuracy on the forget rows and keeps %g of that on "
                       "the retain rows",
                       o->keep);
    return rc;
}

/* --- the result --- */

/* The model, and the vector that it was moved by. */
struct writing {
    struct merging *g;
    struct tensor_out *vector; /* NULL: not wanted */
    float *room;               /* owned, if so */
};

static int write_vector(struct writing *to, const struct weight *w, struct err *e)
{
    const struct merging *g = to->g;
    float *turned = to->room + w->count;
    const double c = ((const struct merge_rule *)g->rule->row)->sign * g->lambda;
    for (size_t j = 0; j < w->count; j++)
        to->room[j] = c != 0 ? (float)(g->sum[j] / c) : 0;
    return tensor_out_write(to->vector, layout_hf(&g->base.cfg, w, to->room, turned), e);
}

static int change(void *ctx, int i, float *w, struct err *e)
{
    struct writing *to = ctx;
    return merging_weight(to->g, i, w, e) ||
                   (to->vector && write_vector(to, &to->g->base.table.v[i], e))
               ? -1
               : 0;
}

static int open_vector(struct writing *to, const char *path, struct err *e)
{
    const struct model *m = &to->g->base;
    size_t most = 0;
    if (!path)
        return 0;
    if (!(to->vector = tensor_out_open(path, e)))
        return -1;
    for (int i = 0; i < m->table.n_model; i++) {
        const struct weight *w = &m->table.v[i];
        int64_t shape[2];
        layout_hf_shape(&m->cfg, w, shape);
        if (tensor_out_add(to->vector, w->name, DT_F32, w->n_dims, shape, e))
            return -1;
        most = w->count > most ? w->count : most;
    }
    return (to->room = mem_alloc(2 * most, sizeof *to->room, e)) ? 0 : -1;
}

static int write_tokenizer(const char *path, const char *dir, struct err *e)
{
    struct err why;
    struct tokenizer *t = tokenizer_open(path, &why);
    if (!t)
        log_warn("no tokenizer is written: %s", why.msg);
    const int rc = t ? tokenizer_save(t, dir, e) : 0;
    tokenizer_close(t);
    return rc;
}

static int write_model(struct merging *g, const struct merge_options *o, const char *dir,
                       struct err *e)
{
    struct progress bar;
    struct writing to = {.g = g};
    const struct save_options so = {.dtype = run_dtype(o->dtype),
                                    .shard_bytes = SAVE_SHARD_BYTES,
                                    .bar = &bar,
                                    .change = change,
                                    .ctx = &to};
    progress_start(&bar, "merge", g->base.table.n_model);
    int rc = open_vector(&to, o->vector, e) || model_save(merging_start(g), dir, &so, e);
    progress_end(&bar);
    if (!rc && to.vector) {
        rc = tensor_out_commit(to.vector, e);
        to.vector = NULL;
    }
    tensor_out_abort(to.vector);
    free(to.room);
    return rc || write_tokenizer(merging_start(g)->path, dir, e);
}

int run_merge(struct merge_result *r, const struct merge_options *o, const struct choice *rule,
              const struct merge_names *sources, int n, struct outdir *d,
              const volatile sig_atomic_t *stop, struct err *e)
{
    *r = (struct merge_result){
        .g = {.rule = rule, .lambda = o->lambda, .seed = (uint32_t)o->seed, .stop = stop}};
    if (open_all(r, o, sources, n, e) || open_masks(&r->g, o->masks, e) ||
        merging_prepare(&r->g, e) || (o->lambdas && search(r, o, e)))
        return -1;
    r->g.count = r->g.moved = 0;
    r->g.squares = 0;
    int rc = outdir_stage(d, e) ||
             (o->into_adapter ? merging_save_adapter(&r->g, (int)o->rank, d->stage, &r->low_rank, e)
                              : write_model(&r->g, o, d->stage, e)) ||
             outdir_commit(d, e);
    outdir_drop_stage(d);
    return rc ? -1 : 0;
}

void merge_result_fini(struct merge_result *r)
{
    merging_close(&r->g);
    for (int i = 0; i < r->n_paths; i++)
        free(r->paths[i]);
    free(r->paths);
    free(r->tries);
}
