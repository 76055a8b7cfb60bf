/* Low-rank adapters, LoRA (arXiv 2106.09685): next to a frozen weight W [out,in],
 * A [r,in] and B [out,r] are trained, and the layer computes
 *     y = x W^T + s (x A^T) B^T,   s = alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv 2312.03732).
 * B starts at zero, so that the model starts as it was.
 *
 * A and B are rows of the model's weight table after its own: optimiser, clipping and checkpoints
 * treat them as any weight. The model is open for reading: its own weights are borrowed from the
 * file where they can be, and have neither gradients nor optimiser state.
 */
#ifndef MODEL_LORA_H
#define MODEL_LORA_H

#include "base/sizes.h"
#include "model/model.h"

struct lora_options {
    int64_t lora_rank;
    double lora_alpha, lora_dropout;
    /* Module names as PEFT's target_modules: "q_proj,v_proj" (the last parts of a name), a regular
     * expression that a whole name matches, or "all-linear": all but the head. */
    const char *lora_targets;
    bool use_rslora;
};

#define LORA_ROWS SIZE(512, 3) /* rows of x at once */

struct lora {
    int rank;
    float scale;    /* s */
    double dropout; /* share of x that is zero in training; the rest is divided by 1 - dropout */
    double alpha;
    bool rslora, regex;
    char *targets; /* owned */
    int *of;       /* owned [table.n_model]: the row of A, which that of B follows; -1: none */
    size_t floats; /* of all A and B */
    int widest;    /* the largest `in` */

    /* Dropout draws depend on these and on the place alone, so that a forward, its backward, and a
     * resumed run draw the same. */
    unsigned seed;
    long draw; /* number of the micro-batch; lora_draw */

    device float *u, *du, *x; /* owned scratch [LORA_ROWS, rank], the same, [LORA_ROWS, widest] */
};

/* Gives the model, which is open for reading, fresh adapters: m->own holds them. Nothing else may
 * move then. */
int lora_attach(struct model *m, const struct lora_options *o, unsigned seed, struct err *e);
/* NULL is fine. */
void lora_free(struct lora *l, const struct ops *o);
/* What the next passes of training draw; NULL is fine. */
void lora_draw(struct lora *l, long micro);
/* y[n,out] += s (x A^T) B^T, of the rows first..first+out-1 of weight i. Nothing where it has no
 * adapter. training: with dropout; a backward has that of its forward. */
void lora_forward(const struct model *m, int i, size_t first, int out, device float *y,
                  const device float *x, int n, bool training);
/* dA, dB += ...  in grads, flat by weight.at; dx += ... unless it is NULL. */
void lora_backward(const struct model *m, int i, size_t first, int out, device float *grads,
                   device float *dx, const device float *dy, const device float *x, int n,
                   bool training);

/* Weight i in f32 with its adapter merged, W + s B A: in `room`, lora_room(m) floats, or where W is
 * if it is f32 without adapter. */
const device float *lora_merged(const struct model *m, int i, device float *room);
size_t lora_room(const struct model *m);

/* Of a model with adapters: shows it without them, as the frozen reference. It borrows all but its
 * position tables; close it before the model, by model_close. */
void lora_base(const struct model *m, struct model *view);

/* PEFT's files, adapter_config.json and adapter_model.safetensors, in the directory `dir`, which is
 * created. */
int lora_save(const struct model *m, const char *dir, struct err *e);
/* The same of factors that are no adapters of the model: A [rank,in] and B [out,rank] of some of
 * its matrices, in the order of memory, with scale 1. */
struct lora_pair {
    const struct weight *w;
    float *a, *b; /* owned by the caller */
};
int lora_save_pairs(const struct model *m, int rank, const struct lora_pair *p, int n,
                    const char *dir, struct err *e);
/* Merges PEFT's adapter in `dir` into the weights (adapter.h), as PEFT computes with it. Those of a
 * model that is open for reading are copied first, if the adapter changes them. A head that is tied
 * to the embedding becomes one of its own if they differ then. */
int lora_merge_dir(struct model *m, const char *dir, struct err *e);
/* Reads and checks it only; the model may be open by its header. */
struct lora_facts {
    int rank, rank_most;      /* of its pairs of A and B, the lowest and the highest */
    double scale, scale_most; /* likewise */
    int pairs, whole;         /* pairs; other tensors that stand in for a weight or its rows */
    bool dora;
    size_t numbers; /* in all of its tensors */
};
int lora_look(const struct model *m, const char *dir, struct lora_facts *f, struct err *e);
/* The rows of B, which are those of w, stand in another order in HF's files: GPT-NeoX's q, k, v.
 * Where HF's files hold w transposed, A and B are as here. */
bool lora_reorders(const struct model *m, const struct weight *w);
/* Floats of adapters of this rank on all linear layers; for planning. */
size_t lora_floats(const struct model *m, int rank);

#endif
