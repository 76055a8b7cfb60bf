/* Writer of GGUF version 3: magic, version, counts, the pairs, a record for each tensor, padding to
 * 32 bytes, and the data of each tensor at a multiple of 32. gguf.c describes the records.
 */
#include <string.h>

#include "tensor/gguf_meta.h"
#include "tensor/writers.h"

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
