/* The wire format of protocol buffers: a message is a row of fields, each a key (number and type of
 * value) and the value. Every length is checked against the message before it is used.
 */
#ifndef TEXT_PROTOBUF_H
#define TEXT_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct protobuf {
    const char *data; /* borrowed, n bytes */
    size_t n, at;
};

struct protobuf_field {
    int number;
    int64_t value;     /* of a varint, as two's complement */
    float real;        /* of four bytes */
    const char *bytes; /* of a string or a message, n bytes, borrowed; else NULL */
    size_t n;
};

/* 1: the next field; 0: the message ends here; -1: it is damaged. */
int protobuf_next(struct protobuf *p, struct protobuf_field *f, struct err *e);

#endif
