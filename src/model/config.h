/* What a decoder looks like, as data. A checkpoint's config.json or GGUF metadata is read into
 * this; the decoder branches on these fields only, never on a family's name.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "tensor/file.h"

#define MODEL_MAX_EOS 8

enum rope_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 };

struct rope_config {
    enum rope_kind kind;
    double base;                        /* theta */
    double factor, low_freq, high_freq; /* scaling */
    int original_positions;             /* context length before scaling */
};

struct family; /* model/family.h: names of tensors in files */

struct model_config {
    const struct family *family;
    int layers;    /* L */
    int width;     /* C */
    int heads;     /* H */
    int kv_heads;  /* G */
    int head_dim;  /* D */
    int ff;        /* F */
    int vocab;     /* V */
    int positions; /* longest context */
    float norm_eps;
    bool tied_head; /* logits use the embedding matrix */
    struct rope_config rope;
    int bos, pad;           /* -1: none */
    int eos[MODEL_MAX_EOS]; /* generation stops at any of these */
    int n_eos;
};

/* From config.json of an HF directory (and generation_config.json for eos, if `generation` is not
 * NULL). */
int config_from_json(struct model_config *c, const json_t *config, const json_t *generation,
                     struct err *e);
int config_from_gguf(struct model_config *c, const struct tensor_file *f, struct err *e);
int config_from_llama2c(struct model_config *c, const struct tensor_file *f, struct err *e);
/* A config.json that `transformers` reads; new reference. */
json_t *config_to_json(const struct model_config *c, const char *torch_dtype);
json_t *config_generation_json(const struct model_config *c);

/* Refuses shapes no decoder can have. */
int config_check(const struct model_config *c, struct err *e);
/* One frequency under llama3 scaling. */
double rope_llama3_scale(const struct rope_config *r, double inv_freq);

/* Rotation tables cs, sn [n_pos, D/2], as HF computes them: f32 angles pos * inv_freq. */
void config_rope_tables(const struct model_config *c, int n_pos, float *cs, float *sn);

#endif
