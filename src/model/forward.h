/* One pass over the layers: forward, and backward through what the forward kept. Training, scoring,
 * shared prefixes and the KV cache all run this loop; how they differ is data (struct forward).
 *
 * Shapes: S sequences, N packed tokens, C width, H query heads, G key/value heads, D head width,
 * F feed-forward width, L layers. What is kept per layer is the least from which the backward can
 * be computed; the outputs of norms and of the activation are recomputed, which is cheaper than
 * their memory.
 */
#ifndef MODEL_FORWARD_H
#define MODEL_FORWARD_H

#include "base/arena.h"
#include "base/err.h"
#include "base/seq.h"
#include "model/model.h"

/* Packed sequences: N tokens of S sequences one after another, no padding. Where sequences begin
 * alike, those tokens may be there once: a sequence's path is where all of its tokens are. */
struct batch {
    int n_seqs, n_tokens;
    int *start;    /* [S+1] first token of each sequence, of those that it does not share */
    int *len;      /* [S] their number */
    int *ids;      /* [N] */
    int *pos;      /* [N] position within the sequence */
    uint8_t *mask; /* [N]; NULL: every token is attended */
    int *place;    /* [S+1] where the path of each sequence begins */
    int *path;     /* [place[S]] the token at each place; NULL: place p is token p */
};

/* All arrays live in `a`. Refuses ids outside [0, vocab) and sequences longer than `max_positions`.
 */
int batch_pack(struct batch *b, const struct seq *seqs, int n, int vocab, int max_positions,
               struct arena *a, struct err *e);
/* The same; sequence i takes its first common[i] tokens from sequence from[i] < i (NULL: i - 1),
 * which begins with the same ones. batch_find_common finds the longest. */
int batch_pack_shared(struct batch *b, const struct seq *seqs, int n, const int *from,
                      const int *common, int vocab, int max_positions, struct arena *a,
                      struct err *e);
void batch_find_common(const struct seq *seqs, int n, int *from, int *common);

static inline int batch_token(const struct batch *b, int place)
{
    return b->path ? b->path[place] : place;
}

/* Rows of logits: row r is token token[r] of the batch, predicting label[r], in sequence seq[r]. */
struct label_rows {
    int n;
    int *token, *label, *seq; /* [n] in the arena */
};

/* The rows that predict a scored label, in order. */
int batch_label_rows(struct label_rows *r, const struct batch *b, const struct seq *seqs,
                     struct arena *a, struct err *e);

/* --- a pass --- */

struct pass;

/* Where a tap reads or changes the stream; all [N,C]. */
enum place {
    PLACE_EMBED, /* token embeddings, scaled where the model scales them, without positions */
    PLACE_RESID, /* the residual after a layer, its output: HF's hidden_states[layer + 1]; of layer
                  * -1: the first layer's input */
    PLACE_ATTN_OUT, /* what attention adds to the residual, after the output projection */
    PLACE_MLP_IN,   /* the MLP's input, after its norm */
    PLACE_MLP_OUT,  /* what the MLP adds to the residual */
};

struct tap {
    enum place place;
    int layer; /* 0-based; PLACE_EMBED has none */
    /* Either may be NULL. x [N,C] may be changed; the backward is of the x after that change. The
     * gradient dx [N,C] = d loss / d x may be changed too. */
    void (*forward)(void *ctx, const struct pass *p, device float *x);
    void (*backward)(void *ctx, const struct pass *p, device float *dx);
    void *ctx;  /* borrowed */
    bool reads; /* the backward must come even where no weight below wants a gradient */
};

/* A product with (rows of) a layer's weight matrix, y [n,out] = x [n,in] W^T, as a linear tap sees
 * it. Where q, k, v or gate, up are fused into one weight, each of them is a product. */
struct product {
    int weight;             /* index in the model's weight table */
    int first;              /* the weight's rows first..first+out-1 */
    int n, in, out;         /* n rows of x */
    const device float *x;  /* [n,in] */
    const device float *dy; /* [n,out] = d loss / d y in the backward, else NULL */
    const int *start; /* [S+1] rows where each of n_seqs sequences begins; NULL: rows are not those
                       * of the batch's tokens */
    int n_seqs;
};

/* Sees the products of all layers, not that of the head: norms of inputs (Wanda), covariances of
 * inputs and output gradients (K-FAC), norms of gradients. Either may be NULL. */
struct linear_tap {
    void (*forward)(void *ctx, const struct product *y);
    void (*backward)(void *ctx, const struct product *y);
    void *ctx;  /* borrowed */
    int lowest; /* layer down to which the backward comes, where no gradient needs it lower */
};

/* A norm with a weight, y = xhat w + b, in the backward: xhat = (x - mean) rstd. */
struct norm_product {
    int weight, bias; /* indices in the model's weight table; no bias: -1 */
    int rows, width;  /* rows of x: the batch's tokens, of norms of q and k each with its heads, or
                       * the head's rows */
    const device float *x, *dy;      /* [rows,width] */
    const device float *rstd, *mean; /* [rows]; mean NULL: 0 */
};

/* Sees the norms of the layers and of the head. */
struct norm_tap {
    void (*backward)(void *ctx, const struct norm_product *y);
    void *ctx; /* borrowed */
};

/* Keys and values that are not, or not only, the batch's own: before attention in each layer, row
 * to[i] of k and v becomes what was computed for the batch's token from[i]. */
struct keys {
    struct attn at; /* n_seqs, q_start, n_q, k_start, n_k and key_mask of the batch's queries */
    device float *k, *v;  /* [rows, G*D] of the first layer */
    size_t stride;        /* floats to the next layer's; 0: all layers use the same rows */
    int n;                /* of from, to */
    const int *from, *to; /* [n]; NULL: 0..n-1 */
    int positions;        /* the longest sequence that there will be: longrope's choice of table */
};

/* How a pass runs; all borrowed. Zeros are a plain forward over all layers. */
struct forward {
    int layers;     /* runs the first so many; 0: all */
    bool keep;      /* activations, so that pass_backward can follow */
    bool recompute; /* of what keep keeps only the layers' inputs; the rest is made again
                     * in the backward, from the same numbers: the same bits */
    bool training;  /* dropout */
    bool *unset; /* [table.n] gradients that hold nothing yet: the backward writes them instead of
                  * adding to them, the first time, and clears those that nothing reaches; it resets
                  * the flags. NULL: none */
    const struct keys *keys; /* NULL: every sequence attends to its own path; not if keep */
    const struct tap *taps;
    int n_taps;
    const struct linear_tap *linear;
    const struct norm_tap *norm;
};

/* What the backward keeps of a norm, a number a row of each; mean is NULL for RMSNorm. */
struct norm_stats {
    device float *rstd, *mean;
};

/* What a layer with experts keeps (moe.c). Row r of N*K is a token at one of its experts; rows
 * first[e] to first[e+1]-1 are expert e's, in the order of tokens. */
struct moe_acts {
    device float *p;         /* [N,E] softmax of the router's logits */
    int *expert;             /* [N,K] chosen */
    device float *weight;    /* [N,K] of the chosen */
    int *first;              /* [E+1] */
    int *token, *at;         /* [N*K] a row's token, and its place in expert and weight */
    device float *share;     /* [N*K] a row's weight */
    device float *gate, *up; /* [N*K,F] */
};

/* Scratch of a pass, for all layers. */
struct moe_scratch {
    device float *in, *out; /* [N,C] an expert's rows */
    device float *y;        /* [N,C] what the experts give together; backward: dh */
    device float *scaled;   /* [N,F], backward */
    device float *dshare;   /* [N*K], backward; before it: the router's logits [N,E] */
    device float *dweight;  /* [N,K], backward */
};

/* What a layer keeps. What a model of another kind would keep is NULL. */
struct layer_acts {
    device float *x;            /* [N,C] input of the layer */
    device float *q0, *k0;      /* [N,H*D], [N,G*D] before their norms, if they have any */
    device float *q, *k, *v;    /* [N,H*D], [N,G*D], [N,G*D] after rope */
    device float *att, *lse;    /* [N,H*D], [N,H] */
    device float *att_out;      /* [N,C] if a norm follows attention */
    device float *x2;           /* [N,C] after attention; not if the MLP runs in parallel */
    device float *mlp_in;       /* [N,C] if a tap may have changed it */
    device float *gate, *up;    /* [N,F]; up only if the MLP is gated */
    struct moe_acts moe;        /* instead, if there are experts */
    device float *mlp_out;      /* [N,C] if a norm follows the MLP */
    struct norm_stats n1, n2;   /* of the norms before attention and MLP */
    struct norm_stats nq, nk;   /* of q0, k0 */
    struct norm_stats n1p, n2p; /* of att_out, mlp_out */
};

struct pass {
    struct model *m;           /* borrowed */
    const struct batch *batch; /* borrowed */
    struct forward how;
    struct layer_acts *acts;  /* [layers] if kept, else [1] */
    struct layer_acts again;  /* of one layer, without x: if acts hold only x */
    bool redoing;             /* the forward of a layer runs for the second time */
    device float *x;          /* [N,C] output of the last layer run */
    device float *norm, *act; /* scratch [N,C], [N,F] */
    struct moe_scratch moe;   /* if there are experts */
};

/* Everything lives in `a`. */
int model_forward(struct model *m, const struct batch *b, const struct forward *how, struct pass *p,
                  struct arena *a, struct err *e);

/* [N,C] after so many layers, 0..p->how.layers, of a pass that kept them (HF's hidden_states). */
const device float *pass_states(const struct pass *p, int layers);

/* Adds to grads (flat, by weight.at; weights that do not want it are skipped, and so are the layers
 * below the lowest that does or that a tap reads; NULL: none does) the gradient for dx [N,C] = d
 * loss / d p->x. dx is overwritten. The pass is used up: its activations are overwritten. */
int pass_backward(struct pass *p, device float *dx, device float *grads, struct arena *a,
                  struct err *e);

/* Clears the gradient of weight i if it is unset: before something is added to a part of it. */
void pass_set_grad(const struct pass *p, int i, device float *grads);

/* Bytes that a forward takes for N tokens, with the [N,C] gradient of its output where it is kept;
 * and those that a backward takes on top. For planning. */
size_t forward_bytes(const struct model_config *c, int n_tokens, bool keep);
size_t recompute_bytes(const struct model_config *c, int n_tokens); /* kept, with recompute */
size_t backward_bytes(const struct model_config *c, int n_tokens);

/* The taps at a place, in order forward and in the opposite order backward; for layer.c. */
bool pass_is_tapped(const struct pass *p, enum place place, int layer);
void pass_tap(const struct pass *p, enum place place, int layer, device float *x);
void pass_tap_back(const struct pass *p, enum place place, int layer, device float *dx);

#endif
