/* GGUF versions 2 and 3 (little-endian): magic, version, counts of tensors and pairs, the
 * key/value pairs, one record per tensor (name, dimensions with the fastest first, ggml type,
 * offset), then the data, aligned to general.alignment bytes (32 by default).
 *
 * The experts of a layer are one tensor of three dimensions, NAME_exps.weight [E, out, in]. It is
 * read as E matrices, NAME_exps.weight.0 and so on.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/formats.h"

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

/* --- writing version 3: each tensor's data at a multiple of 32 --- */

enum { ALIGN = 32 };

static int add_number(struct buf *b, uint64_t v, int bytes, struct err *e)
{
    uint8_t le[8];
    for (int i = 0; i < bytes; i++)
        le[i] = (uint8_t)(v >> (8 * i));
    return buf_add(b, le, (size_t)bytes, e);
}

static int add_text(struct buf *b, const char *s, size_t n, struct err *e)
{
    return add_number(b, n, 8, e) || buf_add(b, s, n, e);
}

static int add_record(struct buf *b, const struct out_tensor *t, struct err *e)
{
    int rc = add_text(b, t->name, strlen(t->name), e) || add_number(b, (uint64_t)t->n_dims, 4, e);
    for (int i = t->n_dims; !rc && i > 0; i--)
        rc = add_number(b, (uint64_t)t->shape[i - 1], 8, e);
    return rc || add_number(b, (uint64_t)dtype_info[t->dtype].ggml, 4, e) ||
           add_number(b, t->at, 8, e);
}

static int header(const struct tensor_out *o, struct buf *b, struct err *e)
{
    int rc = buf_add(b, "GGUF", 4, e) || add_number(b, 3, 4, e) || add_number(b, o->n, 8, e) ||
             add_number(b, o->pairs->n, 8, e) ||
             buf_add(b, o->pairs->bytes.data, o->pairs->bytes.len, e);
    for (size_t i = 0; !rc && i < o->n; i++)
        rc = add_record(b, &o->t[i], e);
    while (!rc && b->len % ALIGN)
        rc = buf_add(b, "", 1, e);
    return rc;
}

static int can_hold(const struct out_tensor *t, struct err *e)
{
    return dtype_info[t->dtype].ggml < 0 ? err_set(e, "tensor '%.128s': GGUF cannot hold %s",
                                                   t->name, dtype_info[t->dtype].name)
                                         : 0;
}

struct tensor_out *gguf_out_open(const char *path, const struct gguf_pairs *pairs, struct err *e)
{
    const struct tensor_out format = {
        .align = ALIGN, .header = header, .can_hold = can_hold, .pairs = pairs};
    return tensor_out_new(path, &format, e);
}

/* --- the pairs --- */

/* Key and type; for `list` the type is that of its n elements. */
static int begin(struct gguf_pairs *p, const char *key, enum value_type type, bool list, size_t n,
                 struct err *e)
{
    struct buf *b = &p->bytes;
    p->n++;
    if (add_text(b, key, strlen(key), e))
        return -1;
    if (list && (add_number(b, GV_ARRAY, 4, e) || add_number(b, type, 4, e)))
        return -1;
    return list ? add_number(b, n, 8, e) : add_number(b, type, 4, e);
}

static int add_real(struct buf *b, float v, struct err *e)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return add_number(b, bits, 4, e);
}

int gguf_put_u32(struct gguf_pairs *p, const char *key, uint32_t v, struct err *e)
{
    return begin(p, key, GV_U32, false, 1, e) || add_number(&p->bytes, v, 4, e);
}

int gguf_put_f32(struct gguf_pairs *p, const char *key, float v, struct err *e)
{
    return begin(p, key, GV_F32, false, 1, e) || add_real(&p->bytes, v, e);
}

int gguf_put_bool(struct gguf_pairs *p, const char *key, bool v, struct err *e)
{
    return begin(p, key, GV_BOOL, false, 1, e) || add_number(&p->bytes, v, 1, e);
}

int gguf_put_text(struct gguf_pairs *p, const char *key, const char *s, struct err *e)
{
    return begin(p, key, GV_STRING, false, 1, e) || add_text(&p->bytes, s, strlen(s), e);
}

int gguf_put_strings(struct gguf_pairs *p, const char *key, const struct gguf_str *v, size_t n,
                     struct err *e)
{
    int rc = begin(p, key, GV_STRING, true, n, e);
    for (size_t i = 0; !rc && i < n; i++)
        rc = add_text(&p->bytes, v[i].s, v[i].n, e);
    return rc;
}

int gguf_put_ints(struct gguf_pairs *p, const char *key, const int32_t *v, size_t n, struct err *e)
{
    int rc = begin(p, key, GV_I32, true, n, e);
    for (size_t i = 0; !rc && i < n; i++)
        rc = add_number(&p->bytes, (uint32_t)v[i], 4, e);
    return rc;
}

int gguf_put_reals(struct gguf_pairs *p, const char *key, const float *v, size_t n, struct err *e)
{
    int rc = begin(p, key, GV_F32, true, n, e);
    for (size_t i = 0; !rc && i < n; i++)
        rc = add_real(&p->bytes, v[i], e);
    return rc;
}

void gguf_pairs_fini(struct gguf_pairs *p)
{
    buf_fini(&p->bytes);
    *p = (struct gguf_pairs){0};
}
