/* A model: configuration, weight table and the weights themselves, from an HF directory
 * (safetensors, single or sharded), a GGUF file or a llama2.c file. Unless the model is opened for
 * writing, weights that are f32 in the file stay there, borrowed from the map. Others are converted
 * to f32, or stay, too, where the model is opened for products with them only.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "model/config.h"
#include "model/family.h"
#include "tensor/file.h"
#include "tensor/ops.h"

struct lora;        /* model/lora.h */
struct model_guard; /* model/guarded.h */
struct logits_rule; /* model/ensemble.h */

/* Cosines and sines of rotations, owned [rope_len, rot/2]; NULL: no layer uses them. */
struct rope_table {
    device float *cos, *sin;
};

enum model_access {
    MODEL_READ,  /* every weight is f32, at w */
    MODEL_WRITE, /* and in `own`, for training */
    MODEL_STORED /* for forward and backward passes: matrices in the type of the file */
};

struct model {
    struct model_config cfg;
    struct weight_table table;
    const device float **w; /* [table.n] owned array; each points into a file or what follows; NULL:
                             * a weight that is not f32 */
    struct stored *stored;  /* owned [table.n_model]: those, with x NULL for the others; NULL: none.
                             * model_stored, model_copy_weight */
    device float *own; /* owned flat storage, by weight.offset, of what may move: all weights of a
                        * model open for writing, or its adapters; NULL: nothing may */
    device float *copies; /* owned: of a model open for reading, weights that cannot be borrowed */
    device float *room;   /* owned [STORED_ROOM]: scratch for products with `stored`; NULL: none */
    device float *
        *merged;       /* owned [table.n_model]: ... that an adapter was merged into; NULL: none */
    struct lora *lora; /* owned; NULL: no adapters */
    const struct model *of; /* a view (lora_base) of this one, which owns all but the rope tables */
    struct tensor_file *files;
    int n_files;
    struct rope_table rope[2]; /* of layers that are not local, and of those that are */
    int rope_len;
    bool rope_long;              /* made for sequences longer than rope.original_positions */
    const struct ops *ops;       /* borrowed */
    char *path;                  /* owned; for messages and for what is copied on save */
    json_t *config, *generation; /* owned: config.json and generation_config.json as they were read,
                                  * for their other keys on save; NULL: there is none */
    struct model *others; /* owned [n_others]: of an ensemble (model/ensemble.h); NULL: none */
    int n_others;
    const struct logits_rule
        *rule;                 /* borrowed: of an ensemble (model/ensemble.h); NULL: the mean */
    struct model_guard *guard; /* borrowed: generation and scoring go through it; NULL: none */
    int *banned;               /* owned [n_banned]: ids that generation never chooses; NULL: none */
    int n_banned;
};

int model_open(struct model *m, const char *path, enum model_access access, struct err *e);
/* An error if the weights are of a kind that is not trained: experts. */
int model_refuse_experts(const struct model *m, struct err *e);
/* The configuration and the weight table only: nothing is read but headers. */
int model_open_header(struct model *m, const char *path, struct err *e);
/* Fresh weights N(0, std) for matrices (std 0.02, outputs of residual branches scaled by
 * 1/sqrt(2L)), ones for norms, of the shape that config.json in the directory `dir` gives. */
int model_init_random(struct model *m, const char *dir, unsigned seed, struct err *e);
void model_close(struct model *m);

/* Weights by place, of those that are f32: vectors and learned positions always are. */
const device float *model_weight(const struct model *m, enum slot slot, int layer);
/* Weight i of the table in its file's type, or NULL: it is f32, m->w[i]. */
static inline const struct stored *model_stored(const struct model *m, int i)
{
    return m->stored && i < m->table.n_model && m->stored[i].x ? &m->stored[i] : NULL;
}
/* Weight i in f32. */
void model_copy_weight(const struct model *m, int i, device float *to);
/* The rotations of layer l; NULL: its queries and keys are not rotated. */
const struct rope_table *model_rope(const struct model *m, int l);
/* Makes the rotation tables cover positions 0..n_pos-1, for sequences that long. */
int model_reserve_positions(struct model *m, int n_pos, struct err *e);

/* Gives a model whose head is tied to its embedding a head of its own, a copy; nothing where it is
 * not tied. No adapters may be attached. */
int model_untie(struct model *m, struct err *e);

/* Numbers in all weights; a tied head counts once. */
size_t model_n_params(const struct model *m);
/* Those that one token meets: of experts, the few that it goes to. */
double model_n_active(const struct model *m);
/* Which model it is: a hash of its configuration and of every weight as it computes with them, so
 * that it does not matter what the file is called, or when it was written. */
int model_fingerprint(const struct model *m, uint64_t *out, struct err *e);

#endif
