/* Reading a GGUF byte by byte: a cursor that never passes the end, and the key/value section.
 * Internal to tensor/; users of the values include tensor/gguf.h.
 */
#ifndef TENSOR_GGUF_META_H
#define TENSOR_GGUF_META_H

#include <stddef.h>

#include "tensor/gguf.h"

/* Types of values, by their numbers in the file. */
enum value_type {
    GV_U8,
    GV_I8,
    GV_U16,
    GV_I16,
    GV_U32,
    GV_I32,
    GV_F32,
    GV_BOOL,
    GV_STRING,
    GV_ARRAY,
    GV_U64,
    GV_I64,
    GV_F64,
    GV_COUNT
};

struct cursor {
    const uint8_t *p, *end; /* borrowed */
};

/* Each returns false, without moving, if the file ends too early. */
bool cursor_u32(struct cursor *c, uint32_t *out);
bool cursor_u64(struct cursor *c, uint64_t *out);
bool cursor_str(struct cursor *c, struct gguf_str *out);
bool cursor_skip(struct cursor *c, uint64_t n, uint64_t size); /* n elements of `size` bytes */

/* Reads n pairs; NULL on failure. Borrows from the bytes under the cursor. */
struct gguf_meta *gguf_meta_read(struct cursor *c, uint64_t n, struct err *e);
void gguf_meta_free(struct gguf_meta *m); /* NULL is fine */

#endif
