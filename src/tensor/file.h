/* Files of named tensors: reading and writing.
 *
 * A file that is read is mapped and validated: every offset, size and shape was checked against the
 * file's length before open returns, so a tensor's data can be read without checks. Readers:
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

/* --- writing --- */

/* Announce every tensor, then write the data in the same order, then commit. The file appears
 * complete or not at all (base/file.h). Formats: safetensors, GGUF, and the safetensors files of a
 * Hugging Face directory, in pieces if they are large. */

struct tensor_out;
struct gguf_pairs; /* tensor/gguf.h */

struct tensor_out *tensor_out_open(const char *path, struct err *e); /* safetensors */
/* `pairs`, borrowed until the first data are written: the key/value section. */
struct tensor_out *gguf_out_open(const char *path, const struct gguf_pairs *pairs, struct err *e);

/* At most four dimensions, as PyTorch prints them; names are unique and UTF-8. */
int tensor_out_add(struct tensor_out *o, const char *name, enum dtype t, int n_dims,
                   const int64_t *shape, struct err *e);
/* Data of the next announced tensor, given as f32 and stored as its dtype. Refuses numbers that are
 * too large for it. */
int tensor_out_write(struct tensor_out *o, const float *data, struct err *e);
/* The same in `parts` equal parts, of whole rows each: the next one, `part` 0 first. */
int tensor_out_write_part(struct tensor_out *o, const float *data, int part, int parts,
                          struct err *e);
/* The same for raw bytes of the announced size. */
int tensor_out_write_raw(struct tensor_out *o, const void *data, struct err *e);
/* Announces the last tensor, "crc32", which commit fills in: the CRC-32 of all bytes before it. */
int tensor_out_add_check(struct tensor_out *o, struct err *e);
/* Whether a file has that tensor with the right sum. */
bool tensor_file_is_whole(const struct tensor_file *f);
/* Writes what is left, fsync, rename. Closes also on failure. */
int tensor_out_commit(struct tensor_out *o, struct err *e);
void tensor_out_abort(struct tensor_out *o); /* NULL is fine */

/* The same calls for the weights of the directory `dir`, which exists: model.safetensors, or, where
 * its data would be more than `limit` bytes, model-00001-of-0000N.safetensors and so on with
 * model.safetensors.index.json, split as `save_pretrained` splits. Commit removes what an earlier
 * save left there under such names. */
struct shards_out;

struct shards_out *shards_out_open(const char *dir, uint64_t limit, struct err *e);
int shards_out_add(struct shards_out *o, const char *name, enum dtype t, int n_dims,
                   const int64_t *shape, struct err *e);
int shards_out_write(struct shards_out *o, const float *data, struct err *e);
int shards_out_commit(struct shards_out *o, struct err *e);
void shards_out_abort(struct shards_out *o);

#endif
