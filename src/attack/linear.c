/* Attacks on the hidden states of whole rows, layer by layer: linear probes that tell rows apart,
 * and how far forget rows are from the nearest retain row. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attack/attack.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "eval/lens.h"
#include "eval/logistic.h"
#include "eval/stats.h"

/* --- the rows' hidden states --- */

/* Of n rows with a class each: x [L+1,n,C]. */
struct features {
    struct seq *seqs; /* owned [n] */
    int *at;          /* owned [n] the token whose states are read */
    int *class;       /* owned [n] */
    float *x;         /* owned */
    int n, layers, width;
    int classes;
};

/* The rows of `one` with class 1, then those of `zero` (NULL: none) with class 0. */
static int open_features(struct features *f, const struct dataset *one, const struct dataset *zero,
                         bool of_answer, struct err *e)
{
    const size_t n = (size_t)one->n + (zero ? (size_t)zero->n : 0);
    if (!(f->seqs = mem_alloc(n, sizeof *f->seqs, e)) ||
        !(f->at = mem_alloc(n, sizeof *f->at, e)) || !(f->class = mem_alloc(n, sizeof(int), e)))
        return -1;
    for (f->n = 0; f->n < (int)n; f->n++) {
        const bool first = f->n < one->n;
        const struct seq *s = first ? &one->seqs[f->n] : &zero->seqs[f->n - one->n];
        f->seqs[f->n] = *s;
        f->at[f->n] = of_answer ? s->n - 1 : seq_prompt(s) - 1;
        f->class[f->n] = first;
    }
    f->classes = 2;
    return 0;
}

static int read_features(struct features *f, struct attack_run *a, struct err *e)
{
    f->layers = a->s.model.cfg.layers;
    f->width = a->s.model.cfg.width;
    for (int i = 0; i < f->n; i++)
        a->spent.forward_tokens += f->seqs[i].n;
    return lens_features(&f->x, &a->s.model, f->seqs, f->at, f->n, a->stop, e);
}

static const float *row_at(const struct features *f, int layer, int i)
{
    return f->x + ((size_t)layer * (size_t)f->n + (size_t)i) * (size_t)f->width;
}

static void features_fini(struct features *f)
{
    free(f->seqs);
    free(f->at);
    free(f->class);
    free(f->x);
}

static void append(json_t *to, const char *key, double v)
{
    json_t *list = json_object_get(to, key);
    if (!list)
        json_object_set_new(to, key, list = json_array());
    json_array_append_new(list, json_finite(v));
}

/* The layer at which the list is largest, and its figure, as best_KEY and best_layer. */
static void put_best(json_t *block, const json_t *layers, const char *key)
{
    double best = NAN;
    size_t at = 0, i;
    char name[48];
    json_t *v;
    json_array_foreach(json_object_get(layers, key), i, v)
    {
        if (json_is_number(v) && !(json_number_value(v) <= best)) {
            best = json_number_value(v);
            at = i;
        }
    }
    snprintf(name, sizeof name, "best_%s", key);
    json_put_real(block, name, best);
    json_object_set_new(block, "best_layer", json_integer((json_int_t)at));
}

#define POSITION_PARAM(type)                                                                       \
    CHOICE_PARAM(type, position, "prompt|answer", "prompt",                                        \
                 "the token whose hidden states are read: the last one of the prompt, or of the "  \
                 "answer")

/* --- linear probes --- */

struct probe_params {
    const char *position, *label_key;
    double c;
    int64_t max_iterations;
};

static const struct param probe_table[] = {
    STRING_PARAM(struct probe_params, label_key, NULL, "KEY",
                 "field of the forget rows whose values are the classes; else the classes are "
                 "forget rows and holdout rows, which were never trained on"),
    POSITION_PARAM(struct probe_params),
    REAL_PARAM(struct probe_params, c, 1e-12, 1e12, 1, "C, the inverse strength of the penalty"),
    INT_PARAM(struct probe_params, max_iterations, 1, 1e6, 1000, "steps of L-BFGS"),
    {0}};

/* Classes of the forget rows by their values at a key, in the order in which they come up. */
static int label_rows_by(struct features *f, const struct attack_run *a, const char *key,
                         struct err *e)
{
    const struct rows *rows = &a->rows[ATTACK_FORGET];
    const struct dataset *d = &a->sets[ATTACK_FORGET];
    f->classes = 0;
    for (int i = 0; i < d->n; i++) {
        const json_t *v = json_object_get(rows->v[d->rows[i]], key);
        int k = 0;
        if (!v)
            return rows_err(rows, d->rows[i], e, "there is no field '%s'", key);
        while (k < i && !json_equal(v, json_object_get(rows->v[d->rows[k]], key)))
            k++;
        f->class[i] = k < i ? f->class[k] : f->classes++;
    }
    return f->classes > 1
               ? 0
               : err_set(e, "all forget rows have the same '%s': there is nothing to tell apart",
                         key);
}

static int open_classes(struct features *f, const struct attack_run *a,
                        const struct probe_params *p, struct err *e)
{
    const struct dataset *zero = p->label_key ? NULL : &a->sets[ATTACK_HOLDOUT];
    if (zero && !zero->n)
        return err_about(e, "holdout", "a probe of membership needs rows that no model has seen");
    if (open_features(f, &a->sets[ATTACK_FORGET], zero, !strcmp(p->position, "answer"), e))
        return -1;
    return p->label_key ? label_rows_by(f, a, p->label_key, e) : 0;
}

/* The rows split in two: every second row of each class is a test. */
struct split {
    int *row; /* owned [n]: the rows to fit on, then those to test */
    int n_train, n_test;
    float *x;        /* owned [n_train,C]: of one layer */
    int *label;      /* owned [n_train] */
    int *shuffled;   /* owned [n_train]: the same in another order */
    double majority; /* share of the test rows that are of the commonest class of the others */
};

static int open_split(struct split *s, const struct features *f, uint32_t seed, struct err *e)
{
    const size_t n = (size_t)f->n;
    int *seen = mem_alloc(2 * (size_t)f->classes, sizeof *seen, e), top = 0;
    if (!seen || !(s->row = mem_alloc(n, sizeof *s->row, e)) ||
        !(s->x = mem_alloc(n, (size_t)f->width * sizeof *s->x, e)) ||
        !(s->label = mem_alloc(n, sizeof *s->label, e)) ||
        !(s->shuffled = mem_alloc(n, sizeof *s->shuffled, e))) {
        free(seen);
        return -1;
    }
    for (int i = 0; i < f->n; i++)
        if (seen[f->class[i]]++ % 2)
            s->row[f->n - 1 - s->n_test++] = i;
        else
            s->row[s->n_train++] = i;
    struct rng r;
    rng_stream(&r, seed, RNG_SAMPLE, 0);
    rng_permutation(&r, s->shuffled, s->n_train);
    for (int k = 0; k < s->n_train; k++) {
        s->label[k] = f->class[s->row[k]];
        seen[f->classes + s->label[k]]++;
    }
    for (int k = 0; k < s->n_train; k++)
        s->shuffled[k] = s->label[s->shuffled[k]];
    for (int k = 1; k < f->classes; k++)
        top = seen[f->classes + k] > seen[f->classes + top] ? k : top;
    for (int k = s->n_train; k < f->n; k++)
        s->majority += (double)(f->class[s->row[k]] == top) / s->n_test;
    free(seen);
    return s->n_test ? 0 : err_set(e, "a probe needs two rows of a class, one of them to test");
}

static void split_fini(struct split *s)
{
    free(s->row);
    free(s->x);
    free(s->label);
    free(s->shuffled);
}

/* Accuracy on the test rows, and of two classes the AUC; NaN of more. */
static int test_probe(const struct features *f, const struct split *s, int layer, const int *label,
                      const struct probe_params *p, double *accuracy, double *auc, struct err *e)
{
    const struct logistic_options how = {p->c, 1e-6, (int)p->max_iterations};
    struct logistic l = {0};
    double *side[2] = {mem_alloc((size_t)f->n, sizeof(double), e), NULL};
    double *proba = side[0] ? mem_alloc((size_t)f->classes, sizeof *proba, e) : NULL;
    int n[2] = {0}, rc = !proba || !(side[1] = mem_alloc((size_t)f->n, sizeof(double), e)) ||
                         logistic_fit(&l, s->x, label, s->n_train, f->width, f->classes, &how, e);
    *accuracy = 0;
    *auc = NAN;
    for (int k = s->n_train; !rc && k < f->n; k++) {
        const int i = s->row[k], class = f->class[i];
        *accuracy +=
            (double)(logistic_predict(&l, row_at(f, layer, i), proba) == class) / s->n_test;
        if (f->classes == 2)
            side[class][n[class]++] = proba[1];
    }
    rc = rc || (f->classes == 2 && stats_auc(side[0], n[0], side[1], n[1], auc, e));
    free(side[0]);
    free(side[1]);
    free(proba);
    logistic_fini(&l);
    return rc ? -1 : 0;
}

static int probe_layers(struct attack_run *a, const struct features *f, struct split *s,
                        const struct probe_params *p, json_t *layers, struct err *e)
{
    struct progress bar;
    int rc = 0;
    progress_start(&bar, "probe", f->layers + 1);
    for (int layer = 0; !rc && layer <= f->layers; layer++) {
        double accuracy, auc, shuffled, unused;
        for (int k = 0; k < s->n_train; k++)
            memcpy(s->x + (size_t)k * (size_t)f->width, row_at(f, layer, s->row[k]),
                   (size_t)f->width * sizeof *s->x);
        rc = interrupt_check(a->stop, e) ||
             test_probe(f, s, layer, s->label, p, &accuracy, &auc, e) ||
             test_probe(f, s, layer, s->shuffled, p, &shuffled, &unused, e);
        if (rc)
            break;
        append(layers, "accuracy", accuracy);
        append(layers, "shuffled", shuffled);
        if (f->classes == 2)
            append(layers, "auc", auc);
        progress_step(&bar, layer + 1, 0, NULL);
    }
    progress_end(&bar);
    return rc;
}

static int run_probe(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const struct probe_params *p = params;
    struct features f = {0};
    struct split s = {0};
    json_t *layers = json_object();
    int rc = open_classes(&f, a, p, e) || read_features(&f, a, e) ||
             open_split(&s, &f, (uint32_t)a->o->seed, e) || probe_layers(a, &f, &s, p, layers, e);
    if (!rc) {
        if (f.n < 10 * f.width && p->c > 0.01)
            log_note("probe: %d rows for %d features: a smaller c (0.01) penalises more", f.n,
                     f.width);
        json_put_real(block, "majority", s.majority);
        put_best(block, layers, "shuffled");
        put_best(block, layers, "accuracy");
        json_object_set(block, "layers", layers);
        a->spent.candidates = f.layers + 1;
        a->spent.rows = f.n;
    }
    json_decref(layers);
    split_fini(&s);
    features_fini(&f);
    return rc ? -1 : 0;
}

const struct attack attack_probe = {
    .name = "probe",
    .seeded = true,
    .params = probe_table,
    .params_size = sizeof(struct probe_params),
    .help = "linear probes: whether hidden states tell forget rows from unseen ones, or classes",
    .paper = "arXiv 2402.16835",
    .touches = "hidden states",
    .access = "white",
    .verified = "scikit-learn",
    .run = run_probe,
};

/* --- the nearest retain row --- */

struct nearest_params {
    const char *position;
};

static const struct param nearest_table[] = {POSITION_PARAM(struct nearest_params), {0}};

/* 1 - cosine. */
static double distance(const float *x, const float *y, int n)
{
    double xy = 0, xx = 0, yy = 0;
    for (int i = 0; i < n; i++) {
        xy += (double)x[i] * (double)y[i];
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
    }
    return 1 - xy / sqrt(xx * yy);
}

/* The distance of each row to the nearest retain row other than itself. */
static void measure_distances(const struct features *f, int layer, double *nearest)
{
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < f->n; i++) {
        nearest[i] = INFINITY;
        for (int k = 0; k < f->n; k++)
            if (k != i && !f->class[k])
                nearest[i] =
                    fmin(nearest[i], distance(row_at(f, layer, i), row_at(f, layer, k), f->width));
    }
}

static int run_nearest(struct attack_run *a, const void *params, json_t *block, struct err *e)
{
    const bool of_answer = !strcmp(((const struct nearest_params *)params)->position, "answer");
    const struct dataset *sets = a->sets;
    struct features f = {0};
    double *nearest = NULL, auc;
    json_t *layers = json_object();
    int rc = 0;
    if (sets[ATTACK_RETAIN].n < 2)
        rc = err_about(e, "retain", "the distance to retain rows needs at least two of them");
    rc = rc || open_features(&f, &sets[ATTACK_FORGET], &sets[ATTACK_RETAIN], of_answer, e) ||
         read_features(&f, a, e) || !(nearest = mem_alloc((size_t)f.n, sizeof *nearest, e));
    const int n = sets[ATTACK_FORGET].n;
    for (int layer = 0; !rc && layer <= f.layers; layer++) {
        rc = interrupt_check(a->stop, e);
        measure_distances(&f, layer, nearest);
        rc = rc || stats_auc(nearest + n, f.n - n, nearest, n, &auc, e);
        append(layers, "forget", stats_mean(nearest, n));
        append(layers, "retain", stats_mean(nearest + n, f.n - n));
        append(layers, "auc", auc);
    }
    if (!rc) {
        put_best(block, layers, "auc");
        json_object_set(block, "layers", layers);
        a->spent.rows = f.n;
    }
    json_decref(layers);
    free(nearest);
    features_fini(&f);
    return rc ? -1 : 0;
}

const struct attack attack_nearest = {
    .name = "nearest",
    .params = nearest_table,
    .params_size = sizeof(struct nearest_params),
    .help = "distance of forget rows' hidden states to the nearest retain row's, by layer",
    .touches = "hidden states",
    .access = "white",
    .verified = "a property: a row in both sets is at distance 0",
    .run = run_nearest,
};
