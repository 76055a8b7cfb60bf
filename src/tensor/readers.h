/* Readers of tensor/file.c, and the tensor list that they build. Internal to tensor/.
 */
#ifndef TENSOR_READERS_H
#define TENSOR_READERS_H

#include <stdbool.h>

#include "base/buf.h"
#include "tensor/file.h"

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

#endif
