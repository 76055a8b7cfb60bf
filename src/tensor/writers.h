/* A tensor file under construction, shared by the writers. Internal to tensor/. */
#ifndef TENSOR_WRITERS_H
#define TENSOR_WRITERS_H

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "tensor/file.h"
#include "tensor/out.h"

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
