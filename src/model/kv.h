/* KV cache: keys and values of sequences that are being continued. */
#ifndef MODEL_KV_H
#define MODEL_KV_H

#include "model/forward.h"

/* Row r of slot s is row s * max_len + r of k and v. */
struct kv_cache {
    float *k, *v; /* owned [layers, slots*max_len, G*D] */
    int slots, max_len;
    size_t stride; /* floats of a layer */
    int *len;      /* owned [slots] tokens held */
    uint8_t *mask; /* owned [slots*max_len] 0 = attended by nobody */
    bool masked;   /* some token has mask 0 */
};

int kv_cache_init(struct kv_cache *c, const struct model *m, int slots, int max_len, struct err *e);
void kv_cache_fini(struct kv_cache *c);
/* Runs the batch's sequences, which continue what the slots slot[S] hold: p->x is the last layer's
 * output. b->pos holds the positions to rotate by. */
int kv_extend(struct model *m, const struct batch *b, const int *slot, struct kv_cache *c,
              struct pass *p, struct arena *a, struct err *e);
/* Slot `to` holds what the first n tokens of slot `from` are, and nothing else. */
void kv_copy(struct kv_cache *c, const struct model *m, int from, int to, int n);

#endif
