/* Common part of the writers: the announced tensors, then their data. */
#include "tensor/file.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/sizes.h"
#include "base/utf8.h"
#include "tensor/formats.h"

/* Frees everything but the file. */
static void free_out(struct tensor_out *o)
{
    for (size_t i = 0; i < o->n; i++)
        free(o->t[i].name);
    free(o->t);
    hash_index_fini(&o->names);
    free(o);
}

struct tensor_out *tensor_out_new(const char *path, const struct tensor_out *format, struct err *e)
{
    struct tensor_out *o = mem_alloc(1, sizeof *o, e);
    if (!o)
        return NULL;
    *o = *format;
    if (file_out_open(&o->file, path, e)) {
        free_out(o);
        return NULL;
    }
    return o;
}

static int check_name(const struct tensor_out *o, const char *name, struct err *e)
{
    if (!utf8_valid(name, strlen(name), NULL))
        return err_set(e, "tensor %zu has a name that is not UTF-8", o->n);
    for (size_t i, p = 0; hash_index_next(&o->names, hash_text(name), &p, &i);)
        if (!strcmp(o->t[i].name, name))
            return err_set(e, "two tensors are named '%.128s'", name);
    return 0;
}

/* Sets the place of a tensor whose name, type and dimensions are known. */
static int place(const struct tensor_out *o, struct out_tensor *t, struct err *e)
{
    size_t end = 0;
    t->count = 1;
    for (int i = 0; i < t->n_dims; i++)
        if (t->shape[i] < 0 || size_mul(t->count, (size_t)t->shape[i], &t->count))
            return err_set(e, "tensor '%.128s' has a bad shape", t->name);
    if (t->n_dims && t->shape[t->n_dims - 1] % dtype_info[t->dtype].block)
        return err_set(e, "tensor '%.128s' has rows that %s cannot hold", t->name,
                       dtype_info[t->dtype].name);
    t->at = o->end;
    if (dtype_bytes(t->dtype, t->count, &t->bytes) || size_add(t->at, t->bytes, &end) ||
        size_add(end, o->align - 1, &end) || end > INT64_MAX)
        return err_set(e, "tensor '%.128s' is too large", t->name);
    return 0;
}

int tensor_out_add(struct tensor_out *o, const char *name, enum dtype dtype, int n_dims,
                   const int64_t *shape, struct err *e)
{
    BUG_ON(o->started || n_dims > TENSOR_MAX_DIMS);
    struct out_tensor t = {.name = (char *)name, .dtype = dtype, .n_dims = n_dims};
    if (n_dims)
        memcpy(t.shape, shape, (size_t)n_dims * sizeof *shape);
    if (check_name(o, name, e) || o->can_hold(&t, e) || place(o, &t, e) ||
        mem_reserve(&o->t, &o->cap, o->n + 1, sizeof t, e) ||
        hash_index_add(&o->names, hash_text(name), o->n, e) || !(t.name = mem_strdup(name, e)))
        return -1;
    o->t[o->n++] = t;
    o->end = (t.at + t.bytes + o->align - 1) & ~(o->align - 1);
    return 0;
}

static int emit(struct tensor_out *o, const void *bytes, size_t n, struct err *e)
{
    if (o->checked)
        o->crc = (uint32_t)crc32_z(o->crc, bytes, n);
    return file_out_write(&o->file, bytes, n, e);
}

static int write_header(struct tensor_out *o, struct err *e)
{
    struct buf b = {0};
    int rc = o->header(o, &b, e) ? -1 : emit(o, b.data, b.len, e);
    buf_fini(&b);
    o->started = true;
    return rc;
}

/* Zeros up to byte `to` of the data. */
static int pad(struct tensor_out *o, size_t to, struct err *e)
{
    static const char zeros[64];
    BUG_ON(to < o->written || to - o->written > sizeof zeros);
    int rc = emit(o, zeros, to - o->written, e);
    o->written = to;
    return rc;
}

/* The next tensor to write, after writing the header and the padding. */
static const struct out_tensor *next_tensor(struct tensor_out *o, struct err *e)
{
    BUG_ON(o->next >= o->n);
    if ((!o->started && write_header(o, e)) || pad(o, o->t[o->next].at, e))
        return NULL;
    o->written += o->t[o->next].bytes;
    return &o->t[o->next++];
}

/* Halves end at 65504; a block of Q8_0 at 127 times that. */
static int check_range(const struct out_tensor *t, const float *x, size_t n, struct err *e)
{
    if (t->dtype != DT_F16 && t->dtype != DT_Q8_0)
        return 0;
    const float end = t->dtype == DT_F16 ? 65520.0f : 127 * 65520.0f;
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) < end))
            return err_set(e, "tensor '%.128s' holds %g, which %s cannot hold: use BF16 or F32",
                           t->name, (double)x[i], dtype_info[t->dtype].name);
    return 0;
}

static int write_numbers(struct tensor_out *o, const struct out_tensor *t, const float *data,
                         size_t count, struct err *e)
{
    enum { STEP = SIZE(4096, 32) }; /* elements, a multiple of every block */
    uint8_t piece[4 * STEP];
    for (size_t at = 0; at < count; at += STEP) {
        const size_t n = count - at < STEP ? count - at : STEP;
        size_t bytes = 0;
        BUG_ON(dtype_bytes(t->dtype, n, &bytes)); /* its rows are whole blocks */
        if (check_range(t, data + at, n, e))
            return -1;
        dtype_from_f32(t->dtype, piece, data + at, n);
        if (emit(o, piece, bytes, e))
            return -1;
    }
    return 0;
}

int tensor_out_write(struct tensor_out *o, const float *data, struct err *e)
{
    return tensor_out_write_part(o, data, 0, 1, e);
}

int tensor_out_write_part(struct tensor_out *o, const float *data, int part, int parts,
                          struct err *e)
{
    const struct out_tensor *t = part ? &o->t[o->next - 1] : next_tensor(o, e);
    return t ? write_numbers(o, t, data, t->count / (size_t)parts, e) : -1;
}

int tensor_out_write_raw(struct tensor_out *o, const void *data, struct err *e)
{
    const struct out_tensor *t = next_tensor(o, e);
    return t ? emit(o, data, t->bytes, e) : -1;
}

/* --- a check sum of the whole file --- */

static const char sum_name[] = "crc32";

int tensor_out_add_check(struct tensor_out *o, struct err *e)
{
    const int64_t bytes = sizeof o->crc;
    o->checked = true;
    return tensor_out_add(o, sum_name, DT_U8, 1, &bytes, e);
}

static int write_check(struct tensor_out *o, struct err *e)
{
    if (!next_tensor(o, e))
        return -1;
    const uint32_t c = o->crc;
    const uint8_t little_endian[] = {(uint8_t)c, (uint8_t)(c >> 8), (uint8_t)(c >> 16),
                                     (uint8_t)(c >> 24)};
    return emit(o, little_endian, sizeof little_endian, e);
}

bool tensor_file_is_whole(const struct tensor_file *f)
{
    const struct tensor *t = tensor_find(f, sum_name);
    if (!t || t->dtype != DT_U8 || t->count != sizeof(uint32_t))
        return false;
    const uint8_t *v = t->data;
    const uint32_t sum = v[0] | (uint32_t)v[1] << 8 | (uint32_t)v[2] << 16 | (uint32_t)v[3] << 24;
    return crc32_z(0, f->map.data, (size_t)(v - f->map.data)) == sum;
}

int tensor_out_commit(struct tensor_out *o, struct err *e)
{
    int rc = o->checked ? write_check(o, e) : 0;
    BUG_ON(!rc && o->next != o->n);
    if (!rc && !o->started)
        rc = write_header(o, e);
    if (!rc)
        rc = pad(o, o->end, e);
    if (!rc)
        rc = file_out_commit(&o->file, e);
    else
        file_out_abort(&o->file);
    free_out(o);
    return rc;
}

void tensor_out_abort(struct tensor_out *o)
{
    if (!o)
        return;
    file_out_abort(&o->file);
    free_out(o);
}
