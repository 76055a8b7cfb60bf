/* Writing a file of tensors: announce every tensor, then write the data in the same order, then
 * commit. The file appears complete or not at all (base/file.h). Formats: safetensors, GGUF, and
 * the safetensors files of a Hugging Face directory, in pieces if they are large.
 */
#ifndef TENSOR_OUT_H
#define TENSOR_OUT_H

#include "base/err.h"
#include "tensor/dtype.h"
#include "tensor/file.h"
#include "tensor/gguf_pairs.h"

struct tensor_out;

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
