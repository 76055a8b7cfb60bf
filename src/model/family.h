/* Model families: which tensors a checkpoint holds, under which names, in which shape and order. A
 * new family whose decoder is described by struct model_config is a row in families.c.
 */
#ifndef MODEL_FAMILY_H
#define MODEL_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"
#include "model/config.h"

/* The places a weight can have in a decoder. A bias follows its weight: slot + 1. Those of the head
 * are the last. What the decoder
 * does depends on the slots that a family has: a norm that is not there is left out, q and k are
 * normalised if they have norms, an MLP without gate is a plain one.
 *
 * W_QKV holds the rows of q, k and v in this order, W_GATE_UP those of gate and up. They are there
 * instead of W_Q, W_K, W_V and W_GATE, W_UP; linear.h finds the rows, so that the decoder asks for
 * W_Q either way. */
enum slot {
    W_EMBED, /* [V, C]; no bias */
    W_POS,   /* [positions + position_offset, C] learned positions; no bias */
    W_NORM_ATTN,
    W_NORM_ATTN_B,
    W_Q,
    W_Q_B,
    W_K,
    W_K_B,
    W_V,
    W_V_B,
    W_QKV,
    W_QKV_B,
    W_NORM_Q, /* [D]: each head separately; [H*D]: all heads together */
    W_NORM_Q_B,
    W_NORM_K, /* [D] or [G*D] */
    W_NORM_K_B,
    W_O,
    W_O_B,
    W_NORM_ATTN_POST, /* of attention's output, before it is added */
    W_NORM_ATTN_POST_B,
    W_NORM_MLP,
    W_NORM_MLP_B,
    W_GATE,
    W_GATE_B,
    W_UP,
    W_UP_B,
    W_GATE_UP,
    W_GATE_UP_B,
    W_DOWN,
    W_DOWN_B,
    W_ROUTER, /* [E, C], and for each of E experts instead of W_GATE, W_UP, W_DOWN: */
    W_ROUTER_B,
    W_EXPERT_GATE,
    W_EXPERT_GATE_B,
    W_EXPERT_UP,
    W_EXPERT_UP_B,
    W_EXPERT_DOWN,
    W_EXPERT_DOWN_B,
    W_NORM_MLP_POST,
    W_NORM_MLP_POST_B,
    W_NORM_OUT,
    W_NORM_OUT_B,
    W_HEAD,
    W_HEAD_B,
    SLOT_COUNT
};

static inline enum slot slot_bias(enum slot weight)
{
    return (enum slot)(weight + 1);
}

static inline bool slot_of_head(enum slot slot)
{
    return slot >= W_NORM_OUT;
}

static inline bool slot_of_expert(enum slot slot)
{
    return slot >= W_EXPERT_GATE && slot <= W_EXPERT_DOWN_B;
}

enum dim {
    DIM_NONE,
    DIM_C,
    DIM_D,
    DIM_Q,   /* H*D */
    DIM_KV,  /* G*D */
    DIM_QKV, /* (H+2G)*D */
    DIM_F,
    DIM_2F,
    DIM_V,
    DIM_POS, /* positions + position_offset */
    DIM_E    /* experts */
};

/* How the numbers of a weight stand in a file. In memory a matrix is always [out, in], the rows of
 * a head are in the order of rope's halves, and q, k, v follow one another. */
enum layout {
    LAYOUT_PLAIN,      /* as in memory */
    LAYOUT_TRANSPOSED, /* [in, out]: GPT-2's Conv1D */
    LAYOUT_HEAD_QKV,   /* q, k and v of head 0, then of head 1 ...: GPT-NeoX */
    LAYOUT_ROPE_PAIRS, /* rows of a head in neighbouring pairs (2i, 2i+1): GGUF's llama, llama2.c */
    LAYOUT_PLUS_ONE    /* one more than the weight: GGUF's gemma norms */
};

/* Whether a checkpoint has the tensor. */
enum when { ALWAYS, IF_UNTIED, IF_QKV_BIAS, IF_OUT_BIAS, IF_MLP_BIAS };

struct slot_name {
    enum slot slot;
    const char *hf; /* "%d" is the layer, a second one the expert */
    const char *gguf;
    enum dim rows, cols; /* in memory; cols DIM_NONE: a vector */
    enum layout hf_layout, gguf_layout;
    enum when when;
};

struct family {
    const char *name;         /* "llama", HF model_type */
    const char *architecture; /* HF class */
    const char *within;       /* HF class of a larger model whose text part it is; NULL: none */
    const char *gguf;         /* general.architecture, read as the first row that has it; NULL: GGUF
                                 has no such family */
    /* Slots before the layers, of a layer, after the layers, in this order; ended by hf NULL. */
    const struct slot_name *names;
    const struct config_key *keys; /* of its config.json */
    /* What all checkpoints of the family have alike (norm, act ...), and what config.json means
     * where it does not say; readers start from it. */
    struct model_config preset;
    bool norm_registered; /* HF's trainer knows its RMSNorm class for a norm: COMPAT_DECAY_NORMS */
};

extern const struct family families[]; /* ended by name NULL */

const struct family *family_by_architecture(const char *architecture, struct err *e);
const struct family *family_by_type(const char *model_type); /* of config.json; or NULL */
/* Architectures may be shared by families with experts and without. */
const struct family *family_by_gguf(const char *name, size_t n, bool experts, struct err *e);
/* The row of a slot that a model of this configuration has, or NULL. */
const struct slot_name *family_slot(const struct model_config *c, enum slot slot);

/* One weight of a model: the row of the table that loading, saving, masks, optimiser and all-reduce
 * walk. */
struct weight {
    char name[96]; /* HF parameter name */
    enum slot slot;
    int layer;  /* -1: not in a layer */
    int expert; /* of W_EXPERT_..., else 0 */
    int n_dims;
    int64_t shape[2];     /* in memory: [out, in] or [n, 1]; store.h has that of a file */
    size_t count, offset; /* floats, and where they start in flat storage */
    size_t at;            /* where its gradient and optimiser state start in theirs */
    bool decay;           /* weight decay applies: to matrices, never to norms and biases */
    bool trainable;       /* the optimiser moves it */
    bool wants_grad;      /* its gradient is computed: if it moves, or counts in the clip norm */
};

struct weight_table {
    struct weight *v;        /* owned */
    struct hash_index names; /* of the model's own rows */
    int n;                   /* rows: the model's own, then those of adapters (lora.h) */
    int n_model;             /* the model's own */
    int first[SLOT_COUNT],
        per_layer; /* where a slot of layer 0 stands (-1: absent), and the step */
    size_t
        total; /* floats of the model's own flat storage; each weight starts at a multiple of 16 */
    /* Floats of flat gradients, which hold only what wants_grad, and of an optimiser state, their
     * first part, which holds only what is trainable. */
    size_t grads, moving;
    /* Which numbers of the model's own weights may move: bit offset % 64 of word offset / 64, by
     * weight.offset; borrowed. NULL: all of what is trainable. Set by train/mask.h. */
    const uint64_t *mask;
};

static inline bool weight_may_move(const struct weight_table *t, size_t offset)
{
    return !t->mask || t->mask[offset / 64] >> offset % 64 & 1;
}

int weight_table_init(struct weight_table *t, const struct model_config *c, struct err *e);
/* Lets weight decay apply to what HF's trainer applies it to: also to the norms of families whose
 * RMSNorm class it does not know. Biases stay out. */
void weight_table_decay_norms(struct weight_table *t, const struct model_config *c);
void weight_table_fini(struct weight_table *t);
/* Gives gradients and states their places, for what is trainable and what wants_grad now. While all
 * weights move, `at` is `offset`. */
void weight_table_place(struct weight_table *t);
/* Whether the model has such a weight (in every layer, if it is a layer's). */
bool weight_has(const struct weight_table *t, enum slot slot);
/* Index of a slot's weight, that of the first expert, which the others follow; BUG if the model
 * lacks it. */
int weight_index(const struct weight_table *t, enum slot slot, int layer);
/* Where the gradient of a slot's weight goes in flat gradients, or NULL: the model lacks the
 * weight, or nobody wants its gradient, or grads is NULL. */
device float *weight_grad(const struct weight_table *t, enum slot slot, int layer,
                          device float *grads);
/* One of the model's own; -1: none. */
int weight_by_name(const struct weight_table *t, const char *name);

#endif
