/* What the readers and writers of formats share. Internal to tensor/.
 */
#ifndef TENSOR_FORMATS_H
#define TENSOR_FORMATS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "tensor/file.h"
#include "tensor/gguf.h"

/* --- readers of tensor/file.c, and the tensor list that they build --- */

struct tensor_list {
    struct tensor *t; /* owned; names are set by tensor_list_finish */
    size_t n, cap;
    struct buf names; /* in order of t, each with its NUL; the type of DT_OTHER follows */
};

/* Appends a tensor whose dtype (type), n_dims and shape are set and whose data start at byte `at`
 * of the `size` bytes at `base`. Name, shape and range are checked here. */
int tensor_list_add(struct tensor_list *l, const char *name, size_t name_len, struct tensor t,
                    const uint8_t *base, size_t size, uint64_t at, struct err *e);
/* Moves the list to the file, sorted; refuses tensors that share bytes or a name. */
int tensor_list_finish(struct tensor_list *l, struct tensor_file *f, struct err *e);
void tensor_list_fini(struct tensor_list *l);

/* Each fills the zeroed `f` from the whole file in memory; the caller has checked the first 9
 * bytes and closes `f` on failure. */
int safetensors_read(struct tensor_file *f, const uint8_t *data, size_t size, struct err *e);
int gguf_read(struct tensor_file *f, const uint8_t *data, size_t size, struct err *e);
int llama2c_read(struct tensor_file *f, const uint8_t *data, size_t size, struct err *e);
/* True if the seven leading numbers describe a file of exactly this size. */
bool llama2c_fits(const uint8_t *data, size_t size);

/* --- reading a GGUF byte by byte: a cursor that never passes the end, the key/value section --- */

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

/* --- a file under construction --- */

struct out_tensor {
    char *name; /* owned */
    enum dtype dtype;
    int n_dims;
    int64_t shape[TENSOR_MAX_DIMS];
    size_t count, bytes;
    size_t at; /* where its data start, from the start of the data section */
};

struct tensor_out {
    struct file_out file;
    size_t align; /* of every tensor's data */
    /* Appends everything before the data, padding included. */
    int (*header)(const struct tensor_out *o, struct buf *b, struct err *e);
    int (*can_hold)(const struct out_tensor *t, struct err *e);
    const struct gguf_pairs *pairs; /* borrowed; NULL unless GGUF */
    struct out_tensor *t;           /* owned, in announced order */
    struct hash_index names;        /* numbers of t */
    size_t n, cap, next;            /* announced, allocated, written */
    size_t end, written;            /* data bytes announced and written so far, padding included */
    bool started;                   /* the header is written */
    bool checked;                   /* the last tensor is the CRC-32 of the bytes before it */
    uint32_t crc;                   /* of the bytes so far, if so */
};

/* A file of the format that these functions describe. */
struct tensor_out *tensor_out_new(const char *path, const struct tensor_out *format, struct err *e);

#endif
