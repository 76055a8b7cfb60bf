/* unlearn head: certified removal of rows from a logistic head over frozen features. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/args.h"
#include "cli/command.h"
#include "tensor/file.h"
#include "train/certified.h"

struct options {
    const char *certify, *forget, *out;
    double lambda, sigma, delta, epsilon;
    int64_t seed;
    bool json;
};

static const struct param params[] = {
    STRING_PARAM(
        struct options, certify, NULL, "FILE",
        "safetensors: features X [n,d], labels y [n] of 1 and -1, noise b [d] (else drawn)"),
    STRING_PARAM(struct options, forget, NULL, "LIST", "rows to remove, in this order: 4,17,20:25"),
    REAL_PARAM(struct options, lambda, 0, 1e6, 0.01, "penalty, times n / 2 |w|^2"),
    REAL_PARAM(struct options, sigma, 1e-12, 1e6, 1, "standard deviation of the noise b"),
    REAL_PARAM(struct options, delta, 1e-300, 0.999, 1e-4, "probability that epsilon may fail"),
    REAL_PARAM(struct options, epsilon, 0, 1e9, 0,
               "largest epsilon of the certificate, else exit status 3; 0: none is required"),
    INT_PARAM(struct options, seed, 0, UINT32_MAX, 0, "seed of b, to be kept secret"),
    STRING_PARAM(struct options, out, NULL, "FILE",
                 "safetensors: w0, w_after, deltas, bound, residual, epsilon"),
    BOOL_PARAM(struct options, json, false, "print a JSON object a removal"),
    {0}};

static const char about[] =
    "Trains a logistic head on frozen features (a probe, a classifier's last layer), removes rows "
    "one after another by Newton steps, and accounts for the gradient that each leaves (arXiv "
    "1911.03030). As long as epsilon is small enough, no test tells the head from one trained "
    "without the rows; beyond, train again with new noise.\n"
    "\n"
    "  unlearn head --certify probe.safetensors --forget 0:5 --epsilon 2\n";

struct job {
    const struct options *o;
    struct head_data h;
    double *x, *y, *b, *w, *deltas, *after, *bound, *residual, *epsilon; /* owned */
    bool *gone;
    struct row_list rows;
};

static double *read_f64(const struct tensor_file *f, const char *name, size_t count, struct err *e)
{
    const struct tensor *t = tensor_find(f, name);
    if (!t || (t->dtype != DT_F64 && t->dtype != DT_F32) || (count && t->count != count)) {
        err_set(e, "tensor '%s' of f32 or f64 is missing, or has another size", name);
        return NULL;
    }
    double *v = mem_alloc(t->count, sizeof *v, e);
    for (size_t i = 0; v && i < t->count; i++) {
        float single;
        if (t->dtype == DT_F64) {
            memcpy(&v[i], (const char *)t->data + i * sizeof *v, sizeof *v);
        } else {
            memcpy(&single, (const char *)t->data + i * sizeof single, sizeof single);
            v[i] = (double)single;
        }
    }
    return v;
}

static int check(const struct head_data *h, struct err *e)
{
    double longest = 0;
    for (int i = 0; i < h->n; i++) {
        double sum = 0;
        for (int k = 0; k < h->d; k++)
            sum += h->x[(size_t)i * (size_t)h->d + (size_t)k] *
                   h->x[(size_t)i * (size_t)h->d + (size_t)k];
        if (!isfinite(sum))
            return err_set(e, "row %d of X is not finite", i);
        if (h->y[i] != 1 && h->y[i] != -1)
            return err_set(e, "label %d is %g: labels are 1 and -1", i, h->y[i]);
        longest = fmax(longest, sqrt(sum));
    }
    return longest > 1 + 1e-6 ? err_set(e,
                                        "a row of X has the length %g: the certificate needs "
                                        "features of at most 1, divide them",
                                        longest)
                              : 0;
}

static int read_data(struct job *j, struct err *e)
{
    struct tensor_file f;
    if (!j->o->certify)
        return err_set(e, "no features given: use --certify FILE");
    if (tensor_file_open(&f, j->o->certify, e))
        return -1;
    const struct tensor *x = tensor_find(&f, "X");
    int rc = x && x->n_dims == 2 && x->count && x->shape[0] < 1 << 30 && x->shape[1] < 1 << 14
                 ? 0
                 : err_set(e, "there is no tensor 'X' [n,d]");
    if (!rc) {
        j->h.n = (int)x->shape[0];
        j->h.d = (int)x->shape[1];
        rc = !(j->x = read_f64(&f, "X", 0, e)) || !(j->y = read_f64(&f, "y", (size_t)j->h.n, e)) ||
             (tensor_find(&f, "b") && !(j->b = read_f64(&f, "b", (size_t)j->h.d, e)));
    }
    if (!rc && !j->b && (j->b = mem_alloc((size_t)j->h.d, sizeof *j->b, e))) {
        struct rng r;
        rng_stream(&r, (unsigned)j->o->seed, RNG_SAMPLE, 0);
        for (int k = 0; k < j->h.d; k++)
            j->b[k] = j->o->sigma * rng_normal(&r);
    }
    tensor_file_close(&f);
    if (rc || !j->b)
        return err_prefix(e, "'%s': ", j->o->certify);
    j->h.x = j->x;
    j->h.y = j->y;
    j->h.b = j->b;
    return check(&j->h, e) ? err_prefix(e, "'%s': ", j->o->certify) : 0;
}

static int reserve(struct job *j, struct err *e)
{
    const size_t d = (size_t)j->h.d, n = j->rows.n + 1;
    j->h.lambda = j->o->lambda;
    return !(j->w = mem_alloc(d, sizeof *j->w, e)) ||
           !(j->gone = mem_alloc((size_t)j->h.n, sizeof *j->gone, e)) ||
           !(j->deltas = mem_alloc(n * d, sizeof *j->deltas, e)) ||
           !(j->after = mem_alloc(n * d, sizeof *j->after, e)) ||
           !(j->bound = mem_alloc(n, sizeof *j->bound, e)) ||
           !(j->residual = mem_alloc(n, sizeof *j->residual, e)) ||
           !(j->epsilon = mem_alloc(n, sizeof *j->epsilon, e)) || !(j->h.gone = j->gone);
}

/* A removal: a line. */
static int print(const struct job *j, int k, int row, double sum, struct err *e)
{
    if (!j->o->json) {
        printf("row %d: bound %.6g, together %.6g; gradient left %.6g; epsilon %.6g\n", row,
               j->bound[k], sum, j->residual[k], j->epsilon[k]);
        return 0;
    }
    json_t *line = json_pack("{s:i, s:f, s:f, s:f, s:f}", "row", row, "bound", j->bound[k],
                             "bounds", sum, "residual", j->residual[k], "epsilon", j->epsilon[k]);
    int rc = line ? command_print_json(line, 0, e) : err_no_memory(e, "removal");
    json_decref(line);
    return rc;
}

static int remove_all(struct job *j, double sum, struct err *e)
{
    const size_t d = (size_t)j->h.d;
    for (size_t k = 0; k < j->rows.n; k++) {
        struct head_removal r;
        if (certified_remove(&j->h, j->rows.v[k], j->w, j->deltas + k * d, &r, e))
            return -1;
        sum += r.bound;
        memcpy(j->after + k * d, j->w, d * sizeof *j->w);
        j->bound[k] = r.bound;
        j->residual[k] = r.residual;
        j->epsilon[k] = certified_epsilon(sum, j->o->sigma, j->o->delta);
        if (print(j, (int)k, j->rows.v[k], sum, e))
            return -1;
    }
    return 0;
}

static int write_out(const struct job *j, const double *w0, struct err *e)
{
    const int64_t d = j->h.d, n = (int64_t)j->rows.n;
    const struct {
        const char *name;
        const double *v;
        int n_dims;
        int64_t shape[2];
    } all[] = {{"w0", w0, 1, {d, 0}},
               {"w_after", j->after, 2, {n, d}},
               {"deltas", j->deltas, 2, {n, d}},
               {"bound", j->bound, 1, {n, 0}},
               {"residual", j->residual, 1, {n, 0}},
               {"epsilon", j->epsilon, 1, {n, 0}}};
    const int count = n ? 6 : 1;
    struct tensor_out *o = tensor_out_open(j->o->out, e);
    int rc = o ? 0 : -1;
    for (int i = 0; i < count && !rc; i++)
        rc = tensor_out_add(o, all[i].name, DT_F64, all[i].n_dims, all[i].shape, e);
    for (int i = 0; i < count && !rc; i++)
        rc = tensor_out_write_raw(o, all[i].v, e);
    if (rc)
        tensor_out_abort(o);
    return rc ? -1 : tensor_out_commit(o, e);
}

static int work(struct job *j, struct err *e)
{
    double residual;
    if (command_rows(&j->rows, j->o->forget, e) || read_data(j, e) || reserve(j, e) ||
        certified_train(&j->h, j->w, &residual, e))
        return STATUS_FAILED;
    double *w0 = mem_alloc((size_t)j->h.d, sizeof *w0, e);
    if (!w0)
        return STATUS_FAILED;
    memcpy(w0, j->w, (size_t)j->h.d * sizeof *w0);
    log_note("%d rows of %d features; the training leaves a gradient of %.3g, which counts", j->h.n,
             j->h.d, residual);
    int rc = remove_all(j, residual, e) || (j->o->out && write_out(j, w0, e));
    free(w0);
    const double last = j->rows.n ? j->epsilon[j->rows.n - 1] : 0;
    const bool over = !rc && j->o->epsilon > 0 && last > j->o->epsilon;
    if (over)
        log_warn("epsilon is %g, above %g: train again, with new noise", last, j->o->epsilon);
    return rc ? STATUS_FAILED : over ? STATUS_BOUND : STATUS_DONE;
}

static int run(const struct args *a, void *options, struct err *e)
{
    struct job j = {.o = options};
    (void)a;
    j.h.gone = NULL;
    int status = work(&j, e);
    double *const owned[] = {j.x, j.y, j.b, j.w, j.deltas, j.after, j.bound, j.residual, j.epsilon};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    free(j.gone);
    free(j.rows.v);
    return status;
}

int cmd_head(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "head",
                     .usage = "--certify FILE --forget LIST [options]",
                     .about = about,
                     .tables = {{"options", params, &o}}};
    return args_run(&a, argc, argv, run, &o);
}
