/* Generation's memory: keys and values of sequences that are being continued. */
#ifndef MODEL_KV_H
#define MODEL_KV_H

#include "base/arena.h"
#include "model/batch.h"
#include "model/model.h"

/* Row r of slot s is row s * max_len + r of k and v. */
struct kv_cache {
    float **k, **v; /* owned [layers] arrays of [slots*max_len, G*D] */
    int layers, slots, max_len;
    int *len;      /* owned [slots] tokens held */
    uint8_t *mask; /* owned [slots*max_len] 0 = attended by nobody */
    bool masked;   /* some token has mask 0 */
};

int kv_cache_init(struct kv_cache *c, const struct model *m, int slots, int max_len, struct err *e);
void kv_cache_fini(struct kv_cache *c);
/* Feeds the batch's sequences into the slots slot[S], behind what these hold, and leaves the last
 * layer's output in *x [N,C] (in the arena). b->pos holds the positions to rotate by. */
int kv_extend(struct model *m, const struct batch *b, const int *slot, struct kv_cache *c,
              float **x, struct arena *a, struct err *e);
/* Slot `to` holds what the first n tokens of slot `from` are, and nothing else. */
void kv_copy(struct kv_cache *c, const struct model *m, int from, int to, int n);

#endif
