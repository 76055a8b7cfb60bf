/* What a decoder looks like, as data. A checkpoint's config.json or GGUF metadata is read into
 * this; the decoder branches on these fields, and on which slots the family has (family.h), never
 * on a family's name.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "tensor/file.h"
#include "tensor/ops.h"

#define MODEL_MAX_EOS    128
#define MODEL_MAX_LAYERS 1024

/* ROPE_LONG: longrope (arXiv 2402.13753), which the first Phi-3 checkpoints call su.
 * ROPE_DYNAMIC: the base grows with sequences longer than `positions`, which this program refuses:
 * it is plain. ROPE_YARN: arXiv 2309.00071. */
enum rope_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_LONG, ROPE_DYNAMIC, ROPE_YARN };

/* `rot` numbers of each head, the first ones, are rotated, in pairs (i, i + rot/2). */
struct rope_config {
    enum rope_kind kind;
    int rot;                            /* head_dim, less (partial rotary), or 0: no rotation */
    double base;                        /* theta */
    double local_base;                  /* theta in layers of the window, unscaled; 0: as others */
    double factor, low_freq, high_freq; /* linear, llama3, dynamic, yarn scaling */
    double beta_fast, beta_slow;        /* yarn: turns within the context, from kept to slowed */
    int original_positions;             /* llama3, longrope, yarn: context length before scaling */
    /* longrope: frequency i is divided by one of these; which one, the longest sequence of the
     * batch decides: up to original_positions the short one. */
    double short_factor[OPS_MAX_HEAD / 2], long_factor[OPS_MAX_HEAD / 2];
    double
        magnitude; /* cosines and sines are multiplied by it; attention factor of longrope, yarn */
};

enum norm_kind { NORM_RMS, NORM_LAYER };

/* What a layer does that others may not. */
enum layer_flag {
    LAYER_WINDOW = 1, /* attention sees the window only; rope has local_base, if there is one */
    LAYER_NO_ROPE = 2 /* queries and keys are not rotated */
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

    /* Norms. Which norms there are, the family's slots say: before attention and MLP, after them
     * (gemma2, olmo2), on q and k (qwen3: per head; olmo2: all heads together). */
    enum norm_kind norm;
    float norm_eps;
    float norm_offset; /* a norm multiplies by its weight plus this: 1 in gemma, else 0 */

    /* Embedding and head. */
    bool tied_head;      /* logits use the embedding matrix */
    bool embed_root;     /* embeddings are multiplied by sqrt(C): gemma */
    float embed_scale;   /* embeddings are multiplied by this; 1 where the family has nothing */
    int position_offset; /* learned positions (slot W_POS): position p has row p + this; opt: 2 */
    float logit_divisor; /* logits are divided by this; 1, but granite */
    float logit_softcap; /* z -> cap tanh(z / cap); 0: none */

    /* Attention. */
    struct rope_config rope;
    float attn_scale;   /* of q.k; 1 / sqrt(D) but in gemma2, gemma3 and granite */
    float attn_softcap; /* 0: none */
    int window;         /* a token sees so many, itself included; 0: all before it */

    /* Layers that differ: flags of enum layer_flag. A checkpoint that does not list them (`listed`
     * has no such flag) has them by these rules. */
    uint8_t layer[MODEL_MAX_LAYERS];
    unsigned listed;
    int window_first;  /* the window holds from this layer on: qwen */
    int full_every;    /* but not in every such layer, the last of so many; 0: in all */
    int no_rope_every; /* every such layer, the last of so many, has no rope; 0: none */

    /* The MLP: act(gate) * up with a slot W_GATE or W_GATE_UP, act(up) without. */
    enum act_kind act;
    bool parallel; /* x + attention(n1(x)) + mlp(n2(x)); n1 serves both if there is no W_NORM_MLP */
    float
        residual_scale; /* branches are multiplied by this before they are added; 1, but granite */

    /* Experts in place of one MLP: a token goes to the `experts_used` with the largest p =
     * softmax(h Wr^T), and their outputs are added, weighted by p. ff is the width of one. */
    int experts, experts_used; /* E, K; 0: none */
    bool experts_norm;         /* the chosen p are divided by their sum */
    int dense_ff;              /* config.json's width of an MLP without experts, which none is */

    /* Biases that some checkpoints of a family have and others lack; see enum when. */
    bool qkv_bias, out_bias, mlp_bias;

    int bos, pad;           /* -1: none */
    int eos[MODEL_MAX_EOS]; /* generation stops at any of these */
    int n_eos;
};

/* Whether a layer's attention sees only the window. */
static inline bool config_windowed(const struct model_config *c, int layer)
{
    return c->window && c->layer[layer] & LAYER_WINDOW;
}

/* Whether layers have a flag as the rules of the family have it, which is all that GGUF can say. */
bool config_layers_by_rule(const struct model_config *c);

/* Generation stops at this token. */
static inline bool config_is_eos(const struct model_config *c, int id)
{
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

/* Readers start from the family's preset (family.h), fill in what the checkpoint says, and call
 * this: fields that may not be 0 and still are get what they are where nothing is said. */
void config_derive(struct model_config *c);

/* From config.json of an HF directory (and generation_config.json for eos, if `generation` is not
 * NULL). */
int config_from_json(struct model_config *c, json_t *config, const json_t *generation,
                     struct err *e);
int config_from_gguf(struct model_config *c, const struct tensor_file *f, struct err *e);
int config_from_llama2c(struct model_config *c, const struct tensor_file *f, struct err *e);
/* A config.json that `transformers` reads; new reference. */
json_t *config_to_json(const struct model_config *c, const char *torch_dtype);
/* The same with the other keys of the file that it was read from (NULL: there is none). */
json_t *config_to_json_kept(const struct model_config *c, const char *torch_dtype,
                            const json_t *was);
json_t *config_generation_json(const struct model_config *c);

/* Appends the keys that nothing reads and that may change numbers, each with its value:
 * "'logit_scale' (0.5), 'x' (true)". NULL for either file: it is not there. */
int config_unread(const struct model_config *c, const json_t *config, struct buf *names,
                  struct err *e);
int config_generation_unread(const json_t *generation, struct buf *names, struct err *e);
/* Likewise the rates of dropout above 0, which training here does without. */
int config_dropout(const json_t *config, struct buf *names, struct err *e);

/* The text part of an image model: its own settings, and the ids that the whole gives. A new
 * reference; the whole where it is no such model. */
json_t *config_text_part(json_t *config);

/* Refuses shapes no decoder can have. */
int config_check(const struct model_config *c, struct err *e);

/* --- rotary positions (rope.c): the tables of cosines and sines, as HF computes them --- */

/* One frequency under llama3 scaling. */
double rope_llama3_scale(const struct rope_config *r, double inv_freq);
/* That of layers with local_base: the same rotations without scaling. */
struct rope_config rope_local(const struct rope_config *r);
/* What yarn multiplies cosines and sines by, and so q and k. */
double rope_yarn_magnitude(double factor, double scale);
/* Tables cs, sn [n_pos, rot/2]: f32 angles pos * inv_freq. long_context: sequences are longer than
 * original_positions, which matters to longrope only. */
void rope_tables(const struct rope_config *r, int n_pos, bool long_context, float *cs, float *sn);

#endif
