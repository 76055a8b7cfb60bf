/* Kronecker factors in files: what is saved once serves every later query. */
#include "influence/walk.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/file.h"

/* What a map has in the file, in the order of writing. */
enum part { FILE_A, FILE_S, FILE_LAMBDA, FILE_Q_A, FILE_Q_S, FILE_E_A, FILE_E_S, FILE_PARTS };

static const char *const part_prefix[FILE_PARTS] = {"A", "S", "lambda", "Q_A", "Q_S", "e_A", "e_S"};

/* Shape of a part; true: the strategy has it. */
static bool shape_of(const struct kfac *k, const struct kfac_map *i, enum part part,
                     int64_t shape[2], int *dims)
{
    const int sides[FILE_PARTS][2] = {
        [FILE_A] = {i->in, i->in},   [FILE_S] = {i->out, i->out},   [FILE_LAMBDA] = {i->out, i->in},
        [FILE_Q_A] = {i->in, i->in}, [FILE_Q_S] = {i->out, i->out}, [FILE_E_A] = {i->in, 0},
        [FILE_E_S] = {i->out, 0}};
    shape[0] = sides[part][0];
    shape[1] = sides[part][1];
    *dims = shape[1] ? 2 : 1;
    return part == FILE_LAMBDA ? kfac_has_lambda(k) : kfac_has_basis(k);
}

/* The eigenvalues of the diagonal have another basis, and so another name. */
static void name_of(const struct kfac *k, const struct kfac_map *i, enum part part, char *name,
                    size_t room)
{
    const bool diagonal = part == FILE_LAMBDA && k->strategy == STRATEGY_DIAGONAL;
    snprintf(name, room, "%s.%s", diagonal ? "diagonal" : part_prefix[part], i->name);
}

struct kfac_writer {
    struct tensor_out *out;
    const struct kfac *k;
};

static int announce(struct kfac_writer *w, int lo, int hi, enum part first, enum part last,
                    struct err *e)
{
    char name[128];
    int64_t shape[2];
    int dims;
    for (int i = lo; i < hi; i++)
        for (enum part p = first; p < last; p++) {
            name_of(w->k, &w->k->maps[i], p, name, sizeof name);
            if (shape_of(w->k, &w->k->maps[i], p, shape, &dims) &&
                tensor_out_add(w->out, name, DT_F32, dims, shape, e))
                return -1;
        }
    return 0;
}

struct kfac_writer *kfac_write_open(const char *path, const struct kfac *k, struct err *e)
{
    struct kfac_writer *w = mem_alloc(1, sizeof *w, e);
    if (!w)
        return NULL;
    *w = (struct kfac_writer){tensor_out_open(path, e), k};
    int rc = w->out ? 0 : -1;
    for (int b = 0; b < k->n_blocks && !rc; b++)
        rc = announce(w, k->block[b], k->block[b + 1], FILE_A, FILE_LAMBDA, e) ||
             announce(w, k->block[b], k->block[b + 1], FILE_LAMBDA, FILE_PARTS, e);
    rc = rc || tensor_out_add(w->out, "counts", DT_I32, 1, (int64_t[]){2}, e) ||
         tensor_out_add(w->out, "fingerprint", DT_I32, 1, (int64_t[]){2}, e);
    if (!rc)
        return w;
    tensor_out_abort(w->out);
    free(w);
    return NULL;
}

static int put(struct kfac_writer *w, const device float *v, size_t n, struct err *e)
{
    const struct ops *o = w->k->m->ops;
    int rc = tensor_out_write(w->out, o->map_read(v, n), e);
    o->unmap(v);
    return rc;
}

static int put_values(struct kfac_writer *w, const double *v, int n, struct err *e)
{
    float *narrow = mem_alloc((size_t)n, sizeof *narrow, e);
    for (int i = 0; narrow && i < n; i++)
        narrow[i] = (float)v[i];
    int rc = narrow ? tensor_out_write(w->out, narrow, e) : -1;
    free(narrow);
    return rc;
}

int kfac_write_factors(void *writer, const struct kfac *k, struct err *e)
{
    struct kfac_writer *w = writer;
    for (int i = k->lo; i < k->hi; i++) {
        const struct kfac_map *at = &k->maps[i];
        if (put(w, k->maps[at->input].a, kfac_square(at->in), e) ||
            put(w, at->s, kfac_square(at->out), e))
            return -1;
    }
    return 0;
}

int kfac_write_rest(struct kfac_writer *w, const struct kfac *k, struct err *e)
{
    for (int i = k->lo; i < k->hi && k->strategy != STRATEGY_IDENTITY; i++) {
        const struct kfac_map *at = &k->maps[i];
        if ((kfac_has_lambda(k) && put(w, at->lambda, kfac_area(at), e)) ||
            (kfac_has_basis(k) &&
             (put(w, k->maps[at->input].a, kfac_square(at->in), e) ||
              put(w, at->s, kfac_square(at->out), e) || put_values(w, at->ea, at->in, e) ||
              put_values(w, at->es, at->out, e))))
            return -1;
    }
    return 0;
}

int kfac_write_close(struct kfac_writer *w, bool failed, struct err *e)
{
    uint64_t print = 0;
    int rc = -1;
    if (!failed && !model_fingerprint(w->k->m, &print, e)) {
        const int32_t counts[2] = {(int32_t)w->k->tokens, w->k->rows},
                      prints[2] = {(int32_t)(uint32_t)print, (int32_t)(uint32_t)(print >> 32)};
        rc = tensor_out_write_raw(w->out, counts, e) || tensor_out_write_raw(w->out, prints, e);
    }
    if (rc)
        tensor_out_abort(w->out);
    else
        rc = tensor_out_commit(w->out, e);
    free(w);
    return rc;
}

/* --- reading --- */

static int refuse(const char *name, const struct tensor *t, const int64_t *shape, int dims,
                  struct err *e)
{
    char want[48], got[48];
    snprintf(want, sizeof want, dims == 2 ? "[%lld, %lld]" : "[%lld]", (long long)shape[0],
             (long long)shape[1]);
    if (!t)
        return err_code(e, ERR_BAD_FILE,
                        "no tensor '%s' %s: the factors are of another model, or "
                        "of another strategy",
                        name, want);
    snprintf(got, sizeof got, t->n_dims == 2 ? "[%lld, %lld]" : "[%lld]", (long long)t->shape[0],
             (long long)t->shape[1]);
    return err_code(
        e, ERR_BAD_FILE,
        "tensor '%s' is %s %s, but this model's is %s: the factors are of another model", name,
        t->dtype == DT_F32 ? "F32" : "of another type,", got, want);
}

/* The numbers of a part, owned by the caller; NULL: an error. */
static float *part_of(const struct kfac *k, const struct tensor_file *f, int i, enum part part,
                      struct err *e)
{
    char name[128];
    int64_t shape[2];
    int dims;
    shape_of(k, &k->maps[i], part, shape, &dims);
    name_of(k, &k->maps[i], part, name, sizeof name);
    const struct tensor *t = tensor_find(f, name);
    if (!t || t->dtype != DT_F32 || t->n_dims != dims || t->shape[0] != shape[0] ||
        (dims == 2 && t->shape[1] != shape[1])) {
        refuse(name, t, shape, dims, e);
        return NULL;
    }
    return tensor_f32(t, e);
}

static int get(const struct kfac *k, const struct tensor_file *f, int i, enum part part,
               device float *to, size_t n, struct err *e)
{
    float *v = part_of(k, f, i, part, e);
    if (!v)
        return -1;
    ops_write(k->m->ops, to, v, n);
    free(v);
    return 0;
}

static int get_values(const struct kfac *k, const struct tensor_file *f, int i, enum part part,
                      double *to, int n, struct err *e)
{
    float *v = part_of(k, f, i, part, e);
    for (int c = 0; v && c < n; c++)
        to[c] = (double)v[c];
    free(v);
    return v ? 0 : -1;
}

static int read_map(struct kfac *k, const struct tensor_file *f, int i, struct err *e)
{
    const struct kfac_map *at = &k->maps[i];
    if (kfac_has_basis(k) &&
        ((at->input == i && get(k, f, i, FILE_Q_A, at->a, kfac_square(at->in), e)) ||
         get(k, f, i, FILE_Q_S, at->s, kfac_square(at->out), e) ||
         get_values(k, f, i, FILE_E_A, at->ea, at->in, e) ||
         get_values(k, f, i, FILE_E_S, at->es, at->out, e)))
        return -1;
    if (kfac_has_lambda(k))
        return get(k, f, i, FILE_LAMBDA, at->lambda, kfac_area(at), e);
    kfac_multiply(k, i);
    return 0;
}

static int read_counts(struct kfac *k, const struct tensor_file *f, struct err *e)
{
    const struct tensor *t = tensor_find(f, "counts");
    int *v = t && t->count == 2 ? tensor_ints(t, e) : NULL;
    if (!v)
        return t && t->count == 2 ? -1 : err_set(e, "no tensor 'counts' [2]: it has no factors");
    k->tokens = v[0];
    k->rows = v[1];
    free(v);
    return 0;
}

int kfac_read(struct kfac *k, const char *path, struct err *e)
{
    struct tensor_file f;
    if (tensor_file_open(&f, path, e))
        return -1;
    int rc = kfac_reserve(k, e) || read_counts(k, &f, e);
    for (int i = k->lo; i < k->hi && !rc && k->strategy != STRATEGY_IDENTITY; i++)
        rc = read_map(k, &f, i, e);
    rc = rc || kfac_mean(k, e);
    tensor_file_close(&f);
    return rc ? err_prefix(e, "factors '%s': ", path) : 0;
}
