/* A file of named tensors, mapped and validated: every offset, size and shape was checked against
 * the file's length before open returns, so a tensor's data can be read without checks. Readers:
 * safetensors, GGUF v2/v3 and llama2.c; chosen by the first bytes.
 */
#ifndef TENSOR_FILE_H
#define TENSOR_FILE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/file.h"
#include "tensor/dtype.h"

#define TENSOR_MAX_DIMS 4

struct tensor {
    const char *name; /* borrowed from its file */
    enum dtype dtype;
    const char *type; /* borrowed from its file: the type name if DT_OTHER, else NULL */
    int n_dims;       /* DT_OTHER: 1, the bytes */
    int64_t shape[TENSOR_MAX_DIMS]; /* row-major, as PyTorch prints it (GGUF's order reversed) */
    size_t count;                   /* elements */
    const void *data;               /* borrowed from the map; any alignment */
};

struct gguf_meta; /* key/value section of a GGUF, tensor/gguf.h */

enum tensor_format { TENSOR_SAFETENSORS, TENSOR_GGUF, TENSOR_LLAMA2C };

/* A llama2.c file has HF tensor names; its q and k rows are for rope on neighbours, pairs (2i,
 * 2i+1), as in a GGUF of the llama family. There is no lm_head.weight when the head is tied. */
struct llama2c {
    int dim, hidden_dim, n_layers, n_heads, n_kv_heads;
    int vocab_size; /* negative in the file means an untied head; here positive */
    int seq_len;
};

struct tensor_file {
    struct file_map map;
    enum tensor_format format;
    struct tensor *tensors; /* owned, sorted by name */
    int n_tensors;
    struct gguf_meta *meta; /* owned; NULL unless GGUF */
    struct llama2c llama2c; /* zero unless TENSOR_LLAMA2C */
    char *names;            /* owned storage of the names */
};

int tensor_file_open(struct tensor_file *f, const char *path, struct err *e);
/* The same for the bytes of such a file, borrowed until close; data of any alignment. */
int tensor_file_parse(struct tensor_file *f, const void *data, size_t size, struct err *e);
void tensor_file_close(struct tensor_file *f); /* fine on a zeroed struct */
const struct tensor *tensor_find(const struct tensor_file *f, const char *name); /* or NULL */
/* The f32 values, as a fresh array owned by the caller. */
float *tensor_f32(const struct tensor *t, struct err *e);
/* An I32 or I64 tensor as ints, owned by the caller; refuses other types and values outside int. */
int *tensor_ints(const struct tensor *t, struct err *e);

#endif
