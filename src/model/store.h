/* Models and files: the weight store, which is the files a checkpoint consists of and its weights;
 * the order of a weight's numbers in them; and writing a model.
 */
#ifndef MODEL_STORE_H
#define MODEL_STORE_H

#include "base/log.h"
#include "model/family.h"
#include "model/model.h"
#include "tensor/gguf.h"

/* Reads m->cfg from config.json and generation_config.json, if there is one, of the directory
 * m->path; both stay in m, as what is saved has their other keys. */
int store_open_config(struct model *m, struct err *e);
/* Opens the tensor files of m->path into m->files: one file, model.safetensors, or the shards that
 * model.safetensors.index.json names. On failure nothing is left open. */
int store_open(struct model *m, struct err *e);
/* Fills m->w or m->stored (and m->own or m->copies) from the files, checking presence, shape and
 * finite values of every weight. */
int store_load(struct model *m, enum model_access access, struct err *e);
/* One weight's numbers to memory[w->count], checked likewise. */
int store_read(const struct model *m, const struct weight *w, device float *memory, struct err *e);
/* Bytes of weights that a model which is open like this holds in addition to its files, where those
 * have them in another form. */
size_t store_copied(const struct model *m, enum model_access access);
/* The tensor that holds this weight, or NULL: the file lacks it. */
const struct tensor *store_find(const struct model *m, const struct weight *w);

/* Warns of what the files hold and the decoder does not use (unused.c). */
int model_tell_unused(const struct model *m, struct err *e);

/* --- the order of a weight's numbers in a file against that in memory (enum layout in family.h,
 * layout.c) --- */

/* The shape of the tensor in a file; as many dimensions as the weight has. */
void layout_shape(enum layout y, const struct weight *w, int64_t shape[2]);
/* memory [w->count] = file, and back; the two do not overlap. */
void layout_load(enum layout y, const struct model_config *c, const struct weight *w, float *memory,
                 const float *file);
/* Of a layout that only moves rows, of so many bytes each, in any type. */
bool layout_moves_rows(enum layout y);
void layout_load_rows(enum layout y, const struct model_config *c, const struct weight *w,
                      void *memory, const void *file, size_t bytes);
void layout_store(enum layout y, const struct model_config *c, const struct weight *w, float *file,
                  const float *memory);
/* A tensor of numbers that belong to a weight, itself or its gradient, for an HF file: `memory` if
 * it stands in HF's order, else `room`, filled with it; layout_hf_room floats serve all weights of
 * a table. */
const float *layout_hf(const struct model_config *c, const struct weight *w, const float *memory,
                       float *room);
/* Back: `file` or `room`, filled with it in memory's order. */
const float *layout_hf_load(const struct model_config *c, const struct weight *w, const float *file,
                            float *room);
size_t layout_hf_room(const struct model_config *c, const struct weight_table *t);
void layout_hf_shape(const struct model_config *c, const struct weight *w, int64_t shape[2]);

/* --- writing ---
 *
 * Writing a model, with its adapters merged (lora.h), whose weights are in memory or, if it is open
 * by its header only, read from its files one by one.
 */

#define SAVE_SHARD_BYTES ((uint64_t)5000000000) /* the limit of save_pretrained */

struct save_options {
    enum dtype dtype;     /* F32, F16 or BF16; in a GGUF also a type of quantise_ggml */
    uint64_t shard_bytes; /* of a directory: above this there are several files */
    struct progress *bar; /* borrowed; counts weights; NULL: none */
    /* Changes w [count] of weight i, a copy in the order of memory, before it is written; NULL:
     * weights are written as they are. */
    int (*change)(void *ctx, int i, float *w, struct err *e);
    void *ctx;
};

/* config.json, generation_config.json and model.safetensors or its pieces, in the directory `dir`,
 * which is created. Tokenizer files are the caller's (text/). */
int model_save(const struct model *m, const char *dir, const struct save_options *o, struct err *e);

/* A GGUF whose pairs are the decoder's followed by `extra`, the tokenizer's. Vectors and learned
 * positions are F32 whatever the dtype, as llama.cpp wants them; a matrix whose rows are no whole
 * blocks gets the type of quantise_type_for. Refuses a family that GGUF does not know. */
int model_save_gguf(const struct model *m, const char *path, const struct gguf_pairs *extra,
                    const struct save_options *o, struct err *e);

/* The decoder's pairs: general.* and the architecture's own. */
int config_to_gguf(const struct model_config *c, enum dtype dtype, struct gguf_pairs *p,
                   struct err *e);

#endif
