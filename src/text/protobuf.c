#include "text/protobuf.h"

#include <string.h>

enum { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, FOUR_BYTES = 5 };

/* Seven bits a byte, the lowest first; the top bit says that more follow. */
static int read_varint(struct protobuf *p, uint64_t *out, struct err *e)
{
    *out = 0;
    for (unsigned shift = 0; p->at < p->n && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)p->data[p->at++];
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return 0;
    }
    return err_set(e, "a number is cut off or too long; the file is damaged");
}

/* n bytes of the value. */
static int take(struct protobuf *p, uint64_t n, const char **bytes, struct err *e)
{
    if (n > p->n - p->at)
        return err_set(e, "a field of %llu bytes goes past the end; the file is damaged",
                       (unsigned long long)n);
    *bytes = p->data + p->at;
    p->at += (size_t)n;
    return 0;
}

int protobuf_next(struct protobuf *p, struct protobuf_field *f, struct err *e)
{
    uint64_t key, v;
    const char *fixed = NULL;
    *f = (struct protobuf_field){0};
    if (p->at == p->n)
        return 0;
    if (read_varint(p, &key, e))
        return -1;
    if (key >> 3 == 0 || key >> 3 > INT32_MAX)
        return err_set(e, "field %llu is no field; the file is damaged",
                       (unsigned long long)(key >> 3));
    f->number = (int)(key >> 3);
    switch (key & 7) {
    case VARINT:
        if (read_varint(p, &v, e))
            return -1;
        f->value = (int64_t)v;
        return 1;
    case BYTES:
        if (read_varint(p, &v, e) || take(p, v, &f->bytes, e))
            return -1;
        f->n = (size_t)v;
        return 1;
    case FOUR_BYTES:
        if (take(p, 4, &fixed, e))
            return -1;
        memcpy(&f->real, fixed, 4);
        return 1;
    case EIGHT_BYTES:
        return take(p, 8, &fixed, e) ? -1 : 1;
    default:
        return err_set(e, "field %d has an unknown type; the file is damaged", f->number);
    }
}
