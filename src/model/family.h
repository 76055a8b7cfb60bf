/* Model families: which tensors a checkpoint holds, under which names, in which shape. A new family
 * whose decoder is described by struct model_config is a row here.
 */
#ifndef MODEL_FAMILY_H
#define MODEL_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/config.h"

/* The places a weight can have in a decoder. */
enum slot {
    W_EMBED,
    W_NORM_ATTN,
    W_Q,
    W_K,
    W_V,
    W_O,
    W_NORM_MLP,
    W_GATE,
    W_UP,
    W_DOWN,
    W_NORM_OUT,
    W_HEAD,
    SLOT_COUNT
};

enum dim { DIM_NONE, DIM_C, DIM_Q /* H*D */, DIM_KV /* G*D */, DIM_F, DIM_V };

struct slot_name {
    enum slot slot;
    const char *hf; /* "%d" is the layer */
    const char *gguf;
    enum dim rows, cols; /* cols DIM_NONE: a vector */
    bool decay;          /* weight decay applies (never to norms and biases) */
};

struct family {
    const char *name;         /* "llama", HF model_type */
    const char *architecture; /* HF class */
    const char *gguf;         /* general.architecture */
    bool gguf_interleaved;    /* q, k rows of its GGUFs are permuted for rope pairs (2i, 2i+1) */
    const struct slot_name *names; /* SLOT_COUNT rows at most, ended by hf NULL */
};

const struct family *family_by_architecture(const char *architecture, struct err *e);
const struct family *family_by_gguf(const char *name, size_t n, struct err *e);

/* One weight of a model: the row of the table that loading, saving, masks, optimiser and all-reduce
 * walk. */
struct weight {
    char name[96]; /* HF parameter name */
    enum slot slot;
    int layer; /* -1: not in a layer */
    int n_dims;
    int64_t shape[2];
    size_t count, offset; /* floats, and where they start in flat storage */
    size_t at;            /* where its gradient and optimiser state start in theirs */
    bool decay;
    bool trainable;  /* the optimiser moves it */
    bool wants_grad; /* its gradient is computed: if it moves, or counts in the clip norm */
};

struct weight_table {
    struct weight *v; /* owned */
    int n;
    int first[SLOT_COUNT],
        per_layer; /* where a slot of layer 0 stands (-1: absent), and the step */
    size_t total;  /* floats of flat storage; each weight starts at a multiple of 16 */
    /* Floats of flat gradients, which hold only what wants_grad, and of an optimiser state, their
     * first part, which holds only what is trainable. */
    size_t grads, moving;
};

int weight_table_init(struct weight_table *t, const struct model_config *c, struct err *e);
void weight_table_fini(struct weight_table *t);
/* Gives gradients and states their places, for what is trainable and what wants_grad now. While all
 * weights move, `at` is `offset`. */
void weight_table_place(struct weight_table *t);
/* Index of a slot's weight; BUG if the family lacks it. */
int weight_index(const struct weight_table *t, enum slot slot, int layer);
int weight_by_name(const struct weight_table *t, const char *name); /* -1: none */

#endif
