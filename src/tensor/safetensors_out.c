/* Writer of safetensors. The header comes first in the file, so every tensor is announced before
 * the first data are written; it is padded with spaces to a multiple of 8 bytes, which aligns the
 * data.
 */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/file.h"

struct pending {
    enum dtype dtype;
    size_t count, bytes;
};

struct tensor_out {
    struct file_out file;
    json_t *header;
    struct pending *tensors; /* owned, in announced order */
    size_t n, cap, next;     /* announced, allocated, written */
    size_t end;              /* of the data announced so far */
    bool started;            /* the header is written */
};

/* Frees everything but the file. */
static void free_out(struct tensor_out *o)
{
    json_decref(o->header);
    free(o->tensors);
    free(o);
}

struct tensor_out *tensor_out_open(const char *path, struct err *e)
{
    struct tensor_out *o = mem_alloc(1, sizeof *o, e);
    if (!o)
        return NULL;
    o->header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    if (!o->header)
        err_set(e, "out of memory");
    if (!o->header || file_out_open(&o->file, path, e)) {
        free_out(o);
        return NULL;
    }
    return o;
}

static json_t *header_entry(const struct dtype_info *d, int n_dims, const int64_t *shape,
                            size_t begin, size_t end)
{
    json_t *dims = json_array();
    for (int i = 0; i < n_dims; i++)
        if (json_array_append_new(dims, json_integer(shape[i]))) {
            json_decref(dims);
            return NULL;
        }
    return json_pack("{s:s,s:o,s:[I,I]}", "dtype", d->st, "shape", dims, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

int tensor_out_add(struct tensor_out *o, const char *name, enum dtype t, int n_dims,
                   const int64_t *shape, struct err *e)
{
    struct pending p = {t, 1, 0};
    size_t end;
    BUG_ON(o->started);
    if (!dtype_info[t].st)
        return err_set(e, "tensor '%s': safetensors cannot hold %s", name, dtype_info[t].name);
    if (json_object_get(o->header, name))
        return err_set(e, "two tensors are named '%s'", name);
    for (int i = 0; i < n_dims; i++)
        if (shape[i] < 0 || size_mul(p.count, (size_t)shape[i], &p.count))
            return err_set(e, "tensor '%s' has a bad shape", name);
    if (dtype_bytes(t, p.count, &p.bytes) || size_add(o->end, p.bytes, &end) || end > INT64_MAX)
        return err_set(e, "tensor '%s' is too large", name);
    if (mem_reserve(&o->tensors, &o->cap, o->n + 1, sizeof p, e))
        return -1;
    if (json_object_set_new(o->header, name,
                            header_entry(&dtype_info[t], n_dims, shape, o->end, end)))
        return err_set(e, "tensor '%s': no UTF-8 name, or out of memory", name);
    o->tensors[o->n++] = p;
    o->end = end;
    return 0;
}

static int write_header(struct tensor_out *o, struct err *e)
{
    char *text = json_dumps(o->header, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (!text)
        return err_set(e, "out of memory");
    const size_t len = strlen(text), padded = (len + 7) & ~(size_t)7;
    uint8_t size[8];
    for (int i = 0; i < 8; i++)
        size[i] = (uint8_t)(padded >> (8 * i));
    int rc = file_out_write(&o->file, size, sizeof size, e);
    if (!rc)
        rc = file_out_write(&o->file, text, len, e);
    if (!rc)
        rc = file_out_write(&o->file, "       ", padded - len, e);
    free(text);
    o->started = true;
    return rc;
}

/* The tensor whose data come next, behind the header. */
static const struct pending *next_tensor(struct tensor_out *o, struct err *e)
{
    BUG_ON(o->next >= o->n);
    if (!o->started && write_header(o, e))
        return NULL;
    return &o->tensors[o->next++];
}

int tensor_out_write(struct tensor_out *o, const float *data, struct err *e)
{
    const struct pending *p = next_tensor(o, e);
    if (!p)
        return -1;
    uint8_t piece[4 * 4096];
    const size_t size = (size_t)dtype_info[p->dtype].bytes, step = sizeof piece / 4;
    for (size_t at = 0; at < p->count; at += step) {
        const size_t n = p->count - at < step ? p->count - at : step;
        dtype_from_f32(p->dtype, piece, data + at, n);
        if (file_out_write(&o->file, piece, n * size, e))
            return -1;
    }
    return 0;
}

int tensor_out_write_raw(struct tensor_out *o, const void *data, struct err *e)
{
    const struct pending *p = next_tensor(o, e);
    return p ? file_out_write(&o->file, data, p->bytes, e) : -1;
}

int tensor_out_commit(struct tensor_out *o, struct err *e)
{
    BUG_ON(o->next != o->n);
    int rc = o->started ? 0 : write_header(o, e);
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
