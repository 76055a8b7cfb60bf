#include "attack/shadow.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/outdir.h"
#include "model/score.h"
#include "run/run.h"

/* --- the pool --- */

/* Rows first..end-1 of a set, onto the end of the pool. */
static int add_rows(struct shadow_pool *p, const struct attack_run *a, enum attack_set set,
                    int first, int end, struct err *e)
{
    const struct rows *rows = &a->rows[set];
    const struct dataset *d = &a->sets[set];
    if (d->n != rows->n)
        return err_about(e, attack_set_name[set],
                         "shadow models are trained on whole rows: %s rows have one answer each",
                         attack_set_name[set]);
    for (int i = first; i < end; i++) {
        p->row[p->n] = rows->v[d->rows[i]];
        p->seqs[p->n++] = d->seqs[i];
    }
    return 0;
}

int shadow_pool_open(struct shadow_pool *p, const struct attack_run *a, struct err *e)
{
    const struct dataset *forget = &a->sets[ATTACK_FORGET], *holdout = &a->sets[ATTACK_HOLDOUT];
    const int half = holdout->n / 2;
    if (half < 1)
        return err_about(
            e, "holdout",
            "membership is measured against rows that no model has seen, at least two");
    const size_t n = (size_t)(forget->n + holdout->n);
    if (!(p->row = mem_alloc(n, sizeof *p->row, e)) ||
        !(p->seqs = mem_alloc(n, sizeof *p->seqs, e)) ||
        add_rows(p, a, ATTACK_FORGET, 0, forget->n, e))
        return -1;
    p->members = p->n;
    if (add_rows(p, a, ATTACK_HOLDOUT, 0, half, e))
        return -1;
    p->n_population = holdout->n - half;
    for (int i = 0; i < p->n_population; i++)
        p->seqs[p->n + i] = holdout->seqs[half + i];
    return 0;
}

void shadow_pool_fini(struct shadow_pool *p)
{
    free(p->row);
    free(p->seqs);
    *p = (struct shadow_pool){0};
}

int shadow_score(double *p, struct attack_run *a, struct model *m, const struct seq *seqs, int n,
                 struct err *e)
{
    struct scores scores = {0};
    const struct score_options how = {.interrupt = a->stop};
    const int rc = model_score(&scores, m, seqs, n, &how, NULL, e);
    for (int i = 0; !rc && i < n; i++) {
        p[i] = exp(-scores.v[i].nll / scores.v[i].n);
        a->spent.forward_tokens += seqs[i].n;
    }
    scores_fini(&scores);
    return rc;
}

/* --- options of training and unlearning --- */

/* The making of shadow models. */
struct making {
    struct attack_run *a;
    const struct shadow_params *p;
    const struct shadow_pool *pool;
    json_t *train, *unlearn; /* owned {name: value}; unlearn NULL: nothing unlearns */
    char *root;              /* owned */
};

/* The options of a run.json or a recipe; *values NULL: there is no such file, and none was named.
 */
static int read_options(json_t **values, const char *given, const struct setup_options *made,
                        struct err *e)
{
    struct err none;
    char *dir = !given && made->model ? setup_made_by(made, &none) : NULL;
    char *path = given ? mem_strdup(given, e) : dir ? file_join(dir, "run.json", e) : NULL;
    int rc = given && !path;
    *values = NULL;
    if (path && (given || file_exists(path))) {
        json_t *all = json_read_file(path, e), *options = json_object_get(all, "options");
        *values = json_incref(options ? options : all);
        json_decref(all);
        rc = !*values;
    }
    free(path);
    free(dir);
    return rc ? -1 : 0;
}

static int open_making(struct making *m, struct err *e)
{
    const struct attack_options *o = m->a->o;
    const struct setup_options target = {.model = o->target};
    if (!m->p->shadow_dir && !o->out)
        return err_about(e, "no_out", "shadow models need a directory");
    if (!(m->root = m->p->shadow_dir ? mem_strdup(m->p->shadow_dir, e)
                                     : file_join(o->out, "shadows", e)) ||
        read_options(&m->train, m->p->train_options, &target, e) ||
        read_options(&m->unlearn, m->p->unlearn_options, &o->setup, e))
        return -1;
    if (!m->train)
        return err_about(e, "train_options",
                         "it is not known how the target was trained: there is no run.json of it");
    if (!json_object_get(m->unlearn, "method") && m->unlearn) {
        log_note("membership: the model under attack was not unlearned by a method of unlearn: "
                 "shadow models are not unlearned");
        json_decref(m->unlearn);
        m->unlearn = NULL;
    }
    return 0;
}

static void close_making(struct making *m)
{
    json_decref(m->train);
    json_decref(m->unlearn);
    free(m->root);
}

/* --- one shadow model --- */

/* Which rows it is trained on: a random half of the pool, of every second model the other half. */
static void draw_half(const struct making *m, int k, int *order, unsigned char *in)
{
    struct rng r;
    const int n = m->pool->n;
    rng_stream(&r, (uint32_t)m->a->o->seed, RNG_SAMPLE, (uint32_t)(k / 2));
    rng_permutation(&r, order, n);
    for (int i = 0; i < n; i++)
        in[order[i]] = (i < n / 2) == (k % 2 == 0);
}

/* Of all that its scores depend on. */
static uint64_t key_of(const struct making *m, int k, const unsigned char *in)
{
    uint64_t h = hash_bytes(HASH_START, in, (size_t)m->pool->n);
    for (int i = 0; i < m->pool->n + m->pool->n_population; i++)
        h = hash_bytes(h, m->pool->seqs[i].ids, (size_t)m->pool->seqs[i].n * sizeof(int));
    for (int i = 0; i < m->a->sets[ATTACK_RETAIN].n; i++) {
        const struct seq *s = &m->a->sets[ATTACK_RETAIN].seqs[i];
        h = hash_bytes(h, s->ids, (size_t)s->n * sizeof(int));
    }
    const json_t *const options[] = {m->train, m->unlearn};
    for (int i = 0; i < 2; i++) {
        char *text = json_dumps(options[i], JSON_SORT_KEYS | JSON_COMPACT);
        h = hash_bytes(h, text ? text : "", text ? strlen(text) : 0);
        free(text);
    }
    const char *base = m->p->base ? m->p->base : "";
    return hash_word(hash_bytes(h, base, strlen(base)), (uint64_t)k);
}

/* Rows of the pool that are `in`, after the retain rows if these are wanted, as a file. */
static int write_rows(const struct making *m, const unsigned char *in, bool retain,
                      const char *path, struct err *e)
{
    const struct rows *kept = &m->a->rows[ATTACK_RETAIN];
    struct buf text = {0};
    int rc = 0;
    for (int i = 0; !rc && retain && i < kept->n; i++)
        rc = json_write_buf(kept->v[i], &text, JSON_COMPACT, e) || buf_str(&text, "\n", e);
    for (int i = 0; !rc && i < m->pool->n; i++)
        if (in[i])
            rc = json_write_buf(m->pool->row[i], &text, JSON_COMPACT, e) || buf_str(&text, "\n", e);
    rc = rc || file_write(path, text.data, text.len, e);
    buf_fini(&text);
    return rc;
}

static const volatile sig_atomic_t *stop_of(void *ctx)
{
    return ((const struct attack_run *)ctx)->stop;
}

/* Runs a kind of training with given options; what the shadow model decides is `fill`'s. */
static int run_kind_of(const struct making *m, const struct run_kind *kind, const json_t *options,
                       int k, const char *model, const char *forget, const char *retain,
                       const char *out, struct err *e)
{
    struct run_config c;
    struct run_result result = {.finished = false};
    const struct run_hooks hooks = {.interrupt = stop_of, .ctx = m->a};
    const struct attack_options *o = m->a->o;
    run_config_init(&c, kind);
    int rc = run_config_read(&c, options, e);
    if (!rc) {
        c.setup.model = model ? model : c.setup.model;
        c.setup.adapter = NULL;
        c.setup.threads = o->setup.threads;
        c.run.files[ROLE_FORGET] = forget;
        c.run.files[ROLE_RETAIN] = retain;
        c.run.ref = c.run.reinforced = c.run.new_model = NULL;
        c.run.question_key = o->question_key;
        c.run.answer_key = o->answer_key;
        c.run.out = out;
        c.run.overwrite = c.run.save_adapter = c.dry_run = false;
        c.run.scratch = c.run.scratch && !m->p->base;
        c.train.order = c.train.write_order = NULL;
        c.train.resume = true;
        c.train.seed += k;
        rc = c.setup.model
                 ? run_train(&c, &hooks, &result, e)
                 : err_about(e, "base", "the model that shadow models start from is not known");
        m->a->spent.backward_tokens += (double)result.report.tokens;
        m->a->spent.steps += result.report.steps;
    }
    run_config_fini(&c);
    return rc ? err_prefix(e, "shadow model %d: ", k) : 0;
}

static int score_model(const struct making *m, const char *path, double *p, int n, struct err *e)
{
    struct model shadow;
    if (setup_open_frozen(&shadow, "shadow model", path, NULL, MODEL_READ, &m->a->s.model, e))
        return -1;
    const int rc = shadow_score(p, m->a, &shadow, m->pool->seqs, n, e);
    model_close(&shadow);
    return rc;
}

/* The names in a shadow model's directory. */
enum { DIR_DATA, DIR_FORGET, DIR_TRAINED, DIR_UNLEARNED, DIR_SCORES, DIR_NAMES };

static int make_one(const struct making *m, int k, struct shadow *s, char *const *path,
                    struct err *e)
{
    const int n = m->pool->n;
    log_note("membership: shadow model %d of %d", k + 1, (int)m->p->shadows);
    if (write_rows(m, s->in, true, path[DIR_DATA], e) ||
        write_rows(m, s->in, false, path[DIR_FORGET], e) ||
        run_kind_of(m, &run_kind_train, m->train, k, m->p->base, NULL, path[DIR_DATA],
                    path[DIR_TRAINED], e) ||
        score_model(m, path[DIR_TRAINED], s->trained, n + m->pool->n_population, e))
        return -1;
    memcpy(s->unlearned, s->trained, (size_t)n * sizeof *s->unlearned);
    return m->unlearn &&
           (run_kind_of(m, &run_kind_forget, m->unlearn, k, path[DIR_TRAINED], path[DIR_FORGET],
                        m->a->o->set[ATTACK_RETAIN], path[DIR_UNLEARNED], e) ||
            score_model(m, path[DIR_UNLEARNED], s->unlearned, n, e));
}

static json_t *list_of(const double *v, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_finite(v[i]));
    return list;
}

static int write_scores(const struct making *m, const struct shadow *s, const char *key,
                        const char *path, struct err *e)
{
    json_t *j = json_object();
    json_object_set_new(j, "key", json_string(key));
    json_object_set_new(j, "trained", list_of(s->trained, m->pool->n + m->pool->n_population));
    json_object_set_new(j, "unlearned", list_of(s->unlearned, m->pool->n));
    const int rc = json_write_file(j, path, JSON_INDENT(1), e);
    json_decref(j);
    return rc;
}

static int read_list(const json_t *j, const char *name, double *v, int n, struct err *e)
{
    const json_t *list = json_object_get(j, name);
    if (json_array_size(list) != (size_t)n)
        return err_code(e, ERR_BAD_FILE, "'%s' must be a list of %d numbers", name, n);
    for (int i = 0; i < n; i++) {
        const json_t *x = json_array_get(list, (size_t)i);
        v[i] = json_is_number(x) ? json_number_value(x) : NAN;
    }
    return 0;
}

static int read_scores(const struct making *m, struct shadow *s, const char *key, const char *path,
                       struct err *e)
{
    json_t *j = json_read_file(path, e);
    const char *own;
    if (!j)
        return -1;
    int rc = json_need_str(j, "key", &own, e);
    if (!rc && strcmp(own, key))
        rc = err_about(e, "shadow_dir", "it is of a shadow model with other rows or options");
    rc = rc || read_list(j, "trained", s->trained, m->pool->n + m->pool->n_population, e) ||
         read_list(j, "unlearned", s->unlearned, m->pool->n, e);
    json_decref(j);
    return rc ? err_prefix(e, "'%s': ", path) : 0;
}

static int fill_one(const struct making *m, int k, struct shadow *s, char *const *path,
                    struct err *e)
{
    char key[20];
    int *order = mem_alloc((size_t)m->pool->n, sizeof *order, e);
    if (!order)
        return -1;
    draw_half(m, k, order, s->in);
    free(order);
    snprintf(key, sizeof key, "%016llx", (unsigned long long)key_of(m, k, s->in));
    if (file_exists(path[DIR_SCORES]))
        return read_scores(m, s, key, path[DIR_SCORES], e);
    if (make_one(m, k, s, path, e) || write_scores(m, s, key, path[DIR_SCORES], e))
        return -1;
    for (int i = DIR_TRAINED; i <= DIR_UNLEARNED && !m->p->keep_shadows; i++)
        outdir_remove_tree(AT_FDCWD, path[i]);
    return 0;
}

/* Its directory, locked while it is made. */
static int open_one(const struct making *m, int k, struct shadow *s, struct err *e)
{
    static const char *const names[DIR_NAMES] = {"data.jsonl", "forget.jsonl", "trained",
                                                 "unlearned", "scores.json"};
    const size_t n = (size_t)m->pool->n;
    char number[16], *path[DIR_NAMES] = {NULL};
    struct outdir dir = {0};
    snprintf(number, sizeof number, "%d", k);
    char *own = file_join(m->root, number, e);
    int rc = !own || !(s->in = mem_alloc(n, 1, e)) ||
             !(s->trained = mem_alloc(n + (size_t)m->pool->n_population, sizeof(double), e)) ||
             !(s->unlearned = mem_alloc(n, sizeof(double), e)) ||
             outdir_open(&dir, own, OUTDIR_CONTINUE, e);
    for (int i = 0; !rc && i < DIR_NAMES; i++)
        rc = !(path[i] = file_join(own, names[i], e));
    rc = rc || fill_one(m, k, s, path, e);
    outdir_close(&dir, rc != 0);
    for (int i = 0; i < DIR_NAMES; i++)
        free(path[i]);
    free(own);
    return rc;
}

int shadow_make(struct shadow *out, struct attack_run *a, const struct shadow_params *p,
                const struct shadow_pool *pool, struct err *e)
{
    struct making m = {.a = a, .p = p, .pool = pool};
    int rc = open_making(&m, e);
    for (int k = 0; !rc && k < p->shadows; k++)
        rc = open_one(&m, k, &out[k], e);
    close_making(&m);
    return rc ? -1 : 0;
}

void shadow_fini(struct shadow *s)
{
    free(s->in);
    free(s->trained);
    free(s->unlearned);
}
