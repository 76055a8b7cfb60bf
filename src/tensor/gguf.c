/* Reader of GGUF versions 2 and 3 (little-endian): magic, version, counts of tensors and pairs, the
 * key/value pairs, one record per tensor (name, dimensions with the fastest first, ggml type,
 * offset), then the data, aligned to general.alignment bytes (32 by default).
 *
 * The experts of a layer are one tensor of three dimensions, NAME_exps.weight [E, out, in]. It is
 * read as E matrices, NAME_exps.weight.0 and so on.
 */
#include "tensor/gguf.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#include "tensor/gguf_meta.h"
#include "tensor/readers.h"

/* Types of ggml that are not read here, for the message. */
static const struct {
    uint32_t type;
    const char *name;
} unread[] = {
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {24, "I8"},     {25, "I16"},
    {29, "IQ1_M"}, {34, "TQ1_0"}, {35, "TQ2_0"},   {39, "MXFP4"},
};

static int refuse_type(struct gguf_str name, uint32_t type, struct err *e)
{
    const int shown = name.n < 128 ? (int)name.n : 128;
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++)
        if (unread[i].type == type)
            return err_set(e,
                           "tensor '%.*s' is stored as %s, which is not supported; requantise it",
                           shown, name.s, unread[i].name);
    return err_set(e, "tensor '%.*s' has the unknown ggml type %u", shown, name.s, type);
}

/* One record of the directory. */
static int read_info(struct cursor *c, struct tensor *t, struct gguf_str *name, uint64_t *offset,
                     struct err *e)
{
    uint32_t n_dims, type;
    uint64_t dim[TENSOR_MAX_DIMS];
    if (!cursor_str(c, name) || !cursor_u32(c, &n_dims))
        return err_set(e, "the file ends inside the list of tensors: incomplete download?");
    const int shown = name->n < 128 ? (int)name->n : 128;
    if (n_dims > TENSOR_MAX_DIMS)
        return err_set(e, "tensor '%.*s' has %u dimensions, at most %d are supported", shown,
                       name->s, n_dims, TENSOR_MAX_DIMS);
    for (uint32_t i = 0; i < n_dims; i++) {
        if (!cursor_u64(c, &dim[i]))
            return err_set(e, "the file ends inside the list of tensors: incomplete download?");
        if (dim[i] > INT64_MAX)
            return err_set(e, "tensor '%.*s' has a bad shape", shown, name->s);
        t->shape[n_dims - 1 - i] = (int64_t)dim[i];
    }
    if (!cursor_u32(c, &type) || !cursor_u64(c, offset))
        return err_set(e, "the file ends inside the list of tensors: incomplete download?");
    t->n_dims = (int)n_dims;
    t->dtype = dtype_by_ggml(type);
    return t->dtype == DT_COUNT ? refuse_type(*name, type, e) : 0;
}

/* Data start at the first multiple of the alignment after the directory. */
static int data_start(const struct gguf_meta *m, size_t after, size_t size, size_t *start,
                      uint64_t *align, struct err *e)
{
    int64_t a = 32;
    gguf_int(m, "general.alignment", &a);
    if (a <= 0 || (a & (a - 1)) || a > 1 << 30)
        return err_set(e, "general.alignment is %lld, not a power of two", (long long)a);
    *align = (uint64_t)a;
    *start = (after + (size_t)a - 1) & ~((size_t)a - 1);
    if (*start > size)
        *start = size; /* no tensors, or each of them will be refused */
    return 0;
}

enum { MAX_EXPERTS = 1024 };

static bool holds_experts(const struct tensor *t, struct gguf_str name)
{
    static const char end[] = "_exps.weight";
    const size_t n = sizeof end - 1;
    return t->n_dims == 3 && t->shape[0] > 0 && t->shape[0] <= MAX_EXPERTS && name.n > n &&
           name.n < 128 && !memcmp(name.s + name.n - n, end, n);
}

static int add_experts(struct tensor_list *l, struct gguf_str name, struct tensor t,
                       const uint8_t *base, size_t size, uint64_t at, struct err *e)
{
    const int64_t experts = t.shape[0];
    size_t count, bytes;
    if (t.shape[1] < 0 || t.shape[2] < 0 ||
        size_mul((size_t)t.shape[1], (size_t)t.shape[2], &count) ||
        dtype_bytes(t.dtype, count, &bytes) || bytes > size)
        return err_set(e, "tensor '%.*s' reaches past the end of the file: incomplete download?",
                       (int)name.n, name.s);
    t.n_dims = 2;
    t.shape[0] = t.shape[1];
    t.shape[1] = t.shape[2];
    for (int64_t i = 0; i < experts; i++) {
        char one[160];
        int n = snprintf(one, sizeof one, "%.*s.%lld", (int)name.n, name.s, (long long)i);
        if (at > size ||
            tensor_list_add(l, one, (size_t)n, t, base, size, at + (uint64_t)i * bytes, e))
            return -1;
    }
    return 0;
}

static int read_tensors(struct tensor_list *l, const struct gguf_meta *m, struct cursor c,
                        uint64_t n, const uint8_t *data, size_t size, struct err *e)
{
    struct cursor directory = c;
    struct tensor t;
    struct gguf_str name;
    uint64_t offset, align = 0;
    size_t start = 0;
    for (uint64_t i = 0; i < n; i++) /* its end gives the start of the data */
        if (read_info(&c, &t, &name, &offset, e))
            return -1;
    if (data_start(m, (size_t)(c.p - data), size, &start, &align, e))
        return -1;
    for (uint64_t i = 0; i < n; i++) {
        t = (struct tensor){0};
        if (read_info(&directory, &t, &name, &offset, e))
            return -1;
        if (offset % align)
            return err_set(e, "tensor '%.*s' is not aligned to %llu bytes",
                           name.n < 128 ? (int)name.n : 128, name.s, (unsigned long long)align);
        if (holds_experts(&t, name)
                ? add_experts(l, name, t, data + start, size - start, offset, e)
                : tensor_list_add(l, name.s, name.n, t, data + start, size - start, offset, e))
            return -1;
    }
    return 0;
}

int gguf_read(struct tensor_file *f, const uint8_t *data, size_t size, struct err *e)
{
    struct cursor c = {data, data + size};
    uint32_t magic, version;
    uint64_t n_tensors, n_pairs;
    if (!cursor_u32(&c, &magic) || !cursor_u32(&c, &version) || !cursor_u64(&c, &n_tensors) ||
        !cursor_u64(&c, &n_pairs))
        return err_set(e, "the file ends inside its header: incomplete download?");
    if (version == 2 << 24 || version == 3 << 24)
        return err_set(e, "this is a big-endian GGUF; convert it to little-endian");
    if (version != 2 && version != 3)
        return err_set(e, "GGUF version %u is not supported, only 2 and 3", version);
    struct tensor_list list = {0};
    f->format = TENSOR_GGUF;
    f->meta = gguf_meta_read(&c, n_pairs, e);
    int rc = f->meta ? 0 : -1;
    if (!rc)
        rc = read_tensors(&list, f->meta, c, n_tensors, data, size, e);
    if (!rc)
        rc = tensor_list_finish(&list, f, e);
    tensor_list_fini(&list);
    return rc;
}
