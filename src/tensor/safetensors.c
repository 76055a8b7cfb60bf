/* Safetensors: eight bytes of little-endian header length, the header, the data. The header is one
 * JSON object, name -> {dtype, shape, data_offsets: [begin, end) from the start of the data}; its
 * member __metadata__ holds text for people.
 */
#include <jansson.h>
#include <string.h>

#include "tensor/formats.h"

enum { HEADER_MAX = 100 * 1000 * 1000 }; /* the reference reader's limit */

enum { TYPE_TEXT = 64 };

/* Tensors that no weight needs have any type (masks, counters): one that is not known here is left
 * as bytes, with its name in `type`. */
static int read_dtype(struct tensor *t, const char *name, const json_t *entry, char *type,
                      struct err *e)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype || !*dtype)
        return err_set(e, "tensor '%.128s' has no dtype", name);
    t->dtype = dtype_by_safetensors(dtype);
    if (t->dtype == DT_COUNT) {
        t->dtype = DT_OTHER;
        snprintf(type, TYPE_TEXT, "%.32s", dtype);
    }
    return 0;
}

/* More dimensions than supported for weights: raw bytes. */
static int read_shape(struct tensor *t, const char *name, const json_t *entry, char *type,
                      struct err *e)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return err_set(e, "tensor '%.128s' has no shape", name);
    const size_t n = json_array_size(shape);
    for (size_t i = 0; i < n; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return err_set(e, "tensor '%.128s' has a bad shape", name);
        if (i < TENSOR_MAX_DIMS)
            t->shape[i] = json_integer_value(dim);
    }
    t->n_dims = (int)n;
    if (n > TENSOR_MAX_DIMS && t->dtype != DT_OTHER)
        snprintf(type, TYPE_TEXT, "%s of %zu dimensions", dtype_info[t->dtype].name, n);
    if (n > TENSOR_MAX_DIMS)
        t->dtype = DT_OTHER;
    return 0;
}

/* [begin, end) must hold exactly the tensor's elements, where their size is known. */
static int read_range(struct tensor *t, const char *name, const json_t *entry, uint64_t *begin,
                      struct err *e)
{
    const json_t *range = json_object_get(entry, "data_offsets");
    const json_t *from = json_array_get(range, 0), *to = json_array_get(range, 1);
    if (json_array_size(range) != 2 || !json_is_integer(from) || !json_is_integer(to) ||
        json_integer_value(from) < 0 || json_integer_value(to) < json_integer_value(from))
        return err_set(e, "tensor '%.128s' has bad data_offsets", name);
    *begin = (uint64_t)json_integer_value(from);
    if (t->dtype == DT_OTHER) {
        t->n_dims = 1;
        t->shape[0] = json_integer_value(to) - json_integer_value(from);
        return 0;
    }
    uint64_t want = (uint64_t)dtype_info[t->dtype].bytes;
    bool fits = true;
    for (int i = 0; i < t->n_dims; i++)
        fits = !__builtin_mul_overflow(want, (uint64_t)t->shape[i], &want) && fits;
    if (!fits || want != (uint64_t)json_integer_value(to) - *begin)
        return err_set(e, "tensor '%.128s' has a shape that does not match its data_offsets", name);
    return 0;
}

static int read_header(struct tensor_list *l, json_t *header, const uint8_t *base, size_t size,
                       struct err *e)
{
    const char *name;
    size_t len;
    json_t *entry;
    json_object_keylen_foreach(header, name, len, entry)
    {
        struct tensor t = {0};
        uint64_t begin = 0;
        char type[TYPE_TEXT] = "";
        if (!strcmp(name, "__metadata__"))
            continue;
        if (read_dtype(&t, name, entry, type, e) || read_shape(&t, name, entry, type, e) ||
            read_range(&t, name, entry, &begin, e))
            return -1;
        t.type = *type ? type : NULL;
        if (tensor_list_add(l, name, len, t, base, size, begin, e))
            return -1;
    }
    return 0;
}

static uint64_t u64_load(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

int safetensors_read(struct tensor_file *f, const uint8_t *data, size_t size, struct err *e)
{
    const uint64_t length = u64_load(data);
    if (length > HEADER_MAX || length > size - 8)
        return err_set(e, "the header of %llu bytes does not fit the file: incomplete download?",
                       (unsigned long long)length);
    const char *text = (const char *)data + 8;
    json_error_t where;
    json_t *header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(header)) {
        json_decref(header);
        return err_set(e, "the header is not a JSON object of tensors: %s",
                       header ? "it is a list" : where.text);
    }
    struct tensor_list list = {0};
    const size_t at = 8 + (size_t)length;
    f->format = TENSOR_SAFETENSORS;
    int rc = read_header(&list, header, data + at, size - at, e);
    if (!rc)
        rc = tensor_list_finish(&list, f, e);
    json_decref(header);
    tensor_list_fini(&list);
    return rc;
}

/* --- writing: the header is padded with spaces to a multiple of 8 bytes, which aligns the data;
 * between tensors there is nothing --- */

static int can_hold(const struct out_tensor *t, struct err *e)
{
    return dtype_info[t->dtype].st ? 0
                                   : err_set(e, "tensor '%.128s': safetensors cannot hold %s",
                                             t->name, dtype_info[t->dtype].name);
}

static json_t *entry(const struct out_tensor *t)
{
    json_t *dims = json_array();
    for (int i = 0; i < t->n_dims; i++)
        json_array_append_new(dims, json_integer(t->shape[i]));
    if (json_array_size(dims) != (size_t)t->n_dims) {
        json_decref(dims);
        return NULL;
    }
    return json_pack("{s:s,s:o,s:[I,I]}", "dtype", dtype_info[t->dtype].st, "shape", dims,
                     "data_offsets", (json_int_t)t->at, (json_int_t)(t->at + t->bytes));
}

static char *header_text(const struct tensor_out *o)
{
    json_t *h = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    char *text = NULL;
    size_t i = 0;
    while (h && i < o->n && !json_object_set_new(h, o->t[i].name, entry(&o->t[i])))
        i++;
    if (h && i == o->n)
        text = json_dumps(h, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(h);
    return text;
}

static int header(const struct tensor_out *o, struct buf *b, struct err *e)
{
    char *text = header_text(o);
    if (!text)
        return err_no_memory(e, NULL);
    const size_t len = strlen(text), padded = (len + 7) & ~(size_t)7;
    uint8_t size[8];
    for (int i = 0; i < 8; i++)
        size[i] = (uint8_t)(padded >> (8 * i));
    int rc = buf_add(b, size, sizeof size, e) || buf_add(b, text, len, e) ||
             buf_add(b, "       ", padded - len, e);
    free(text);
    return rc;
}

struct tensor_out *tensor_out_open(const char *path, struct err *e)
{
    const struct tensor_out format = {.align = 1, .header = header, .can_hold = can_hold};
    return tensor_out_new(path, &format, e);
}
