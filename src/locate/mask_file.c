#include "locate/mask_file.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/store.h"
#include "tensor/file.h"
#include "train/mask.h"

static const char mask_prefix[] = "mask.", score_prefix[] = "score.";

/* A parameter as files have it: rows of `cols` elements. */
struct plane {
    int n_dims;
    int64_t shape[2];
    size_t rows, cols, packed; /* packed: bytes of a row of bits */
};

static struct plane plane_of(const struct model *m, const struct weight *w)
{
    struct plane p = {.n_dims = w->n_dims, .rows = 1};
    layout_hf_shape(&m->cfg, w, p.shape);
    p.cols = (size_t)p.shape[w->n_dims - 1];
    p.rows = w->count / p.cols;
    p.packed = (p.cols + 7) / 8;
    return p;
}

/* --- writing --- */

struct writer {
    const struct model *m;
    const uint64_t *bits;
    bool bytes;
    const struct scoring *s;
    const struct locator *l;
    float *x, *room; /* of the largest parameter: in memory, in its file's order */
    uint8_t *out;
};

static int announce(const struct writer *w, struct tensor_out *o, const struct weight *v,
                    struct err *e)
{
    char name[128];
    const struct plane p = plane_of(w->m, v);
    int64_t shape[2] = {p.shape[0], p.shape[1]};
    snprintf(name, sizeof name, "%s%s", mask_prefix, v->name);
    if (!w->bytes)
        shape[p.n_dims - 1] = (int64_t)p.packed;
    if (tensor_out_add(o, name, DT_U8, p.n_dims, shape, e))
        return -1;
    snprintf(name, sizeof name, "%s%s", score_prefix, v->name);
    return w->s ? tensor_out_add(o, name, DT_F32, p.n_dims, p.shape, e) : 0;
}

static int write_bits(const struct writer *w, struct tensor_out *o, const struct weight *v,
                      struct err *e)
{
    const struct plane p = plane_of(w->m, v);
    for (size_t k = 0; k < v->count; k++)
        w->x[k] = (float)(w->bits[(v->offset + k) / 64] >> (v->offset + k) % 64 & 1);
    const float *x = layout_hf(&w->m->cfg, v, w->x, w->room);
    memset(w->out, 0, w->bytes ? v->count : p.rows * p.packed);
    for (size_t r = 0; r < p.rows; r++)
        for (size_t c = 0; c < p.cols; c++) {
            const unsigned bit = x[r * p.cols + c] > 0;
            if (w->bytes)
                w->out[r * p.cols + c] = (uint8_t)bit;
            else
                w->out[r * p.packed + c / 8] |= (uint8_t)(bit << c % 8);
        }
    return tensor_out_write_raw(o, w->out, e);
}

/* The score of each element: that of its row or neuron. */
static int write_scores(const struct writer *w, struct tensor_out *o, int i, struct err *e)
{
    const struct weight *v = &w->m->table.v[i];
    for (size_t k = 0; k < v->count; k++)
        w->x[k] = scoring_value(w->s, w->l, i, k);
    return tensor_out_write(o, layout_hf(&w->m->cfg, v, w->x, w->room), e);
}

static int write_all(struct writer *w, struct tensor_out *o, struct err *e)
{
    const struct weight_table *t = &w->m->table;
    size_t most = 1;
    for (int i = 0; i < t->n_model; i++) {
        most = t->v[i].count > most ? t->v[i].count : most;
        if (announce(w, o, &t->v[i], e))
            return -1;
    }
    if (tensor_out_add_check(o, e) || !(w->x = mem_alloc(most, sizeof *w->x, e)) ||
        !(w->room = mem_alloc(most, sizeof *w->room, e)) || !(w->out = mem_alloc(most, 1, e)))
        return -1;
    for (int i = 0; i < t->n_model; i++)
        if (write_bits(w, o, &t->v[i], e) || (w->s && write_scores(w, o, i, e)))
            return -1;
    return 0;
}

int mask_save(const struct model *m, const uint64_t *bits, bool bytes, const struct scoring *s,
              const struct locator *l, const char *path, struct err *e)
{
    struct writer w = {.m = m, .bits = bits, .bytes = bytes, .s = s, .l = l};
    struct tensor_out *o = tensor_out_open(path, e);
    int rc = o ? write_all(&w, o, e) : -1;
    free(w.x);
    free(w.room);
    free(w.out);
    if (rc) {
        tensor_out_abort(o);
        return -1;
    }
    return tensor_out_commit(o, e);
}

/* --- reading --- */

/* Whether a tensor has the shape of the parameter, or that of its bits. */
static int check_shape(const struct tensor *t, const struct weight *v, const struct plane *p,
                       bool *packed, struct err *e)
{
    int64_t shape[2] = {p->shape[0], p->shape[1]};
    const size_t last = (size_t)p->n_dims - 1;
    bool same = t->n_dims == p->n_dims, bits = same;
    for (int d = 0; d < p->n_dims && d < t->n_dims; d++) {
        const bool is_last = (size_t)d == last;
        same &= t->shape[d] == shape[d];
        bits &= t->shape[d] == (is_last ? (int64_t)p->packed : shape[d]);
    }
    *packed = bits && !same;
    if (t->dtype == DT_U8 && (same || bits))
        return 0;
    char want[64], got[64];
    snprintf(want, sizeof want, p->n_dims == 1 ? "[%lld]" : "[%lld, %lld]", (long long)shape[0],
             (long long)shape[1]);
    snprintf(got, sizeof got, t->n_dims == 1 ? "[%lld]" : "[%lld, %lld]", (long long)t->shape[0],
             (long long)t->shape[1]);
    return err_code(e, ERR_BAD_FILE,
                    "'%s' is %s %s, but the model's '%s' is %s: a mask is U8 of that shape, or its "
                    "bits, %lld in the last dimension",
                    t->name, t->dtype == DT_OTHER ? t->type : dtype_info[t->dtype].name, got,
                    v->name, want, (long long)p->packed);
}

/* x [count] = 0 or 1, in the file's order. */
static int unpack(const struct tensor *t, const struct plane *p, bool packed, float *x,
                  struct err *e)
{
    const uint8_t *in = t->data;
    for (size_t r = 0; r < p->rows; r++)
        for (size_t c = 0; c < p->cols; c++) {
            const size_t at = r * p->cols + c;
            const unsigned bit =
                packed ? (unsigned)in[r * p->packed + c / 8] >> c % 8 & 1 : (unsigned)in[at];
            if (bit > 1)
                return err_code(e, ERR_BAD_FILE, "'%s' holds %u: a mask is 0 or 1", t->name, bit);
            x[at] = (float)bit;
        }
    for (size_t r = 0; packed && p->cols % 8 && r < p->rows; r++)
        if (in[(r + 1) * p->packed - 1] >> p->cols % 8)
            return err_code(
                e, ERR_BAD_FILE,
                "'%s' has bits beyond the %zu elements of a row: it is of another model", t->name,
                p->cols);
    return 0;
}

/* Sets the bits of one parameter; x, room [its count]. */
static int read_one(const struct model *m, const struct tensor *t, const struct weight *v, float *x,
                    float *room, uint64_t *bits, struct err *e)
{
    const struct plane p = plane_of(m, v);
    bool packed;
    if (check_shape(t, v, &p, &packed, e) || unpack(t, &p, packed, x, e))
        return -1;
    const float *memory = layout_hf_load(&m->cfg, v, x, room);
    for (size_t k = 0; k < v->count; k++)
        if (memory[k] > 0)
            bits[(v->offset + k) / 64] |= (uint64_t)1 << (v->offset + k) % 64;
    return 0;
}

static int read_all(const struct model *m, const struct tensor_file *f, float *x, float *room,
                    uint64_t *bits, struct err *e)
{
    int found = 0;
    for (int i = 0; i < f->n_tensors; i++) {
        const struct tensor *t = &f->tensors[i];
        const size_t n = sizeof mask_prefix - 1;
        if (strncmp(t->name, mask_prefix, n) != 0)
            continue;
        const int w = weight_by_name(&m->table, t->name + n);
        if (w < 0 || w >= m->table.n_model)
            return err_code(e, ERR_BAD_FILE,
                            "'%s' is not of this model, which has no parameter '%s'", t->name,
                            t->name + n);
        if (read_one(m, t, &m->table.v[w], x, room, bits, e))
            return -1;
        found++;
    }
    if (tensor_find(f, "crc32") && !tensor_file_is_whole(f))
        return err_code(e, ERR_BAD_FILE, "damaged: its checksum is wrong");
    return found ? 0
                 : err_code(e, ERR_BAD_FILE, "no tensor 'mask.NAME' of a parameter: not a mask");
}

int mask_load(const struct model *m, uint64_t **bits, const char *path, struct err *e)
{
    struct tensor_file f = {0};
    size_t most = 1;
    for (int i = 0; i < m->table.n_model; i++)
        most = m->table.v[i].count > most ? m->table.v[i].count : most;
    float *x = mem_alloc(2 * most, sizeof *x, e);
    *bits = x ? mem_alloc(mask_words(&m->table), sizeof **bits, e) : NULL;
    int rc = *bits && !tensor_file_open(&f, path, e) ? 0 : -1;
    if (!rc && read_all(m, &f, x, x + most, *bits, e))
        rc = err_prefix(e, "mask '%s': ", path);
    tensor_file_close(&f);
    free(x);
    if (rc) {
        free(*bits);
        *bits = NULL;
    }
    return rc;
}
