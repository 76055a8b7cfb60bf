/* Writer of safetensors: eight bytes of length, the header as JSON, the data. The header is padded
 * with spaces to a multiple of 8 bytes, which aligns the data; between tensors there is nothing.
 */
#include <jansson.h>
#include <string.h>

#include "tensor/writers.h"

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
