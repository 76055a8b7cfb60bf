/* Writing a model, with its adapters merged (lora.h), whose weights are in memory or, if it is open
 * by its header only, read from its files one by one.
 */
#ifndef MODEL_SAVE_H
#define MODEL_SAVE_H

#include "base/log.h"
#include "model/model.h"
#include "tensor/gguf.h"

#define SAVE_SHARD_BYTES ((uint64_t)5000000000) /* the limit of save_pretrained */

struct save_options {
    enum dtype dtype;     /* F32, F16 or BF16; in a GGUF also Q8_0 */
    uint64_t shard_bytes; /* of a directory: above this there are several files */
    struct progress *bar; /* borrowed; counts weights; NULL: none */
};

/* config.json, generation_config.json and model.safetensors or its pieces, in the directory `dir`,
 * which is created. Tokenizer files are the caller's (text/). */
int model_save(const struct model *m, const char *dir, const struct save_options *o, struct err *e);

/* A GGUF whose pairs are the decoder's followed by `extra`, the tokenizer's. Vectors and learned
 * positions are F32 whatever the dtype, as llama.cpp wants them; a matrix whose rows are no whole
 * blocks of Q8_0 is F16. Refuses a family that GGUF does not know. */
int model_save_gguf(const struct model *m, const char *path, const struct gguf_pairs *extra,
                    const struct save_options *o, struct err *e);

/* The decoder's pairs: general.* and the architecture's own. */
int config_to_gguf(const struct model_config *c, enum dtype dtype, struct gguf_pairs *p,
                   struct err *e);

/* For the two writers: weights one after another in the order that a file has them in. */
struct save_source {
    const struct model *m;      /* borrowed */
    device float *loaded;       /* owned: a weight from its file, or merged */
    float *turned;              /* owned: in another order */
    const device float *mapped; /* until the next */
};

/* Weight i in layout y; borrowed until the next call. NULL: failed. */
const float *save_values(struct save_source *s, int i, enum layout y, struct err *e);
void save_source_fini(struct save_source *s);

#endif
