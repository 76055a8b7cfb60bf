#include "model/generate.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/head.h"
#include "model/kv.h"
#include "model/sample.h"

enum { DEFAULT_BATCH = 32 };

/* The prompts of one batch, while they run. Slot s of the cache belongs to prompt first + s. */
struct running {
    struct model *m;
    const struct generate_options *o;
    struct generation *out; /* [slots] */
    struct rng *rng;        /* [slots] */
    int *next;              /* [slots] last chosen token */
    int *pos;               /* [slots] its position */
    int *live;              /* [n_live] slots still running */
    int n_live;
};

static bool is_end(const struct model *m, int id)
{
    for (int i = 0; i < m->cfg.n_eos; i++)
        if (m->cfg.eos[i] == id)
            return true;
    return false;
}

/* Chooses a token for every live slot from its row of x [n_live, C], and drops those that are done.
 */
static int choose(struct running *r, const float *x, const struct label_rows *rows, struct arena *a,
                  struct err *e)
{
    struct head h;
    int n, kept = 0, v = r->m->cfg.vocab;
    if (head_init(&h, r->m, x, rows, false, a, e))
        return -1;
    for (int first = 0; first < rows->n; first += n) {
        const float *z = head_logits(&h, first, &n);
        for (int i = 0; i < n; i++) {
            int slot = r->live[first + i];
            struct generation *g = &r->out[slot];
            const float *row = z + (size_t)i * (size_t)v;
            int id = sample_token(row, v, r->o->temperature, r->o->top_p, &r->rng[slot],
                                  &g->margins[g->n], e);
            if (id < 0)
                return -1;
            g->ids[g->n++] = r->next[slot] = id;
            r->pos[slot]++;
            g->ended = !r->o->ignore_eos && is_end(r->m, id);
            if (!g->ended && g->n < r->o->max_new_tokens)
                r->live[kept++] = slot; /* kept <= first + i: not yet read again */
        }
    }
    r->n_live = kept;
    return 0;
}

/* The rows of the last token of each live slot's part of the batch. */
static int last_rows(struct label_rows *rows, const struct batch *b, struct arena *a, struct err *e)
{
    rows->n = b->n_seqs;
    if (!(rows->token = arena_take(a, (size_t)b->n_seqs + 1, sizeof(int), e)))
        return -1;
    for (int s = 0; s < b->n_seqs; s++)
        rows->token[s] = b->start[s + 1] - 1;
    return 0;
}

static int prefill(struct running *r, const struct seq *prompts, struct kv_cache *kv,
                   struct arena *a, struct err *e)
{
    struct batch b;
    struct label_rows rows = {0};
    float *x;
    if (batch_pack(&b, prompts, r->n_live, r->m->cfg.vocab, r->m->cfg.positions, a, e))
        return -1;
    for (int s = 0; s < b.n_seqs; s++) {
        int real = 0;
        for (int t = b.start[s]; t < b.start[s + 1]; t++)
            if (r->o->mask_positions && b.mask)
                b.pos[t] = b.mask[t] ? real++ : 1;
        r->pos[s] = (r->o->mask_positions && b.mask ? real : b.len[s]) - 1;
    }
    if (kv_extend(r->m, &b, r->live, kv, &x, a, e) || last_rows(&rows, &b, a, e))
        return -1;
    return choose(r, x, &rows, a, e);
}

static int step(struct running *r, struct kv_cache *kv, struct arena *a, struct err *e)
{
    struct batch b = {.n_seqs = r->n_live, .n_tokens = r->n_live};
    struct label_rows rows = {0};
    float *x;
    size_t n = (size_t)r->n_live + 1;
    if (!(b.start = arena_take(a, n, sizeof(int), e)) ||
        !(b.len = arena_take(a, n, sizeof(int), e)) ||
        !(b.ids = arena_take(a, n, sizeof(int), e)) || !(b.pos = arena_take(a, n, sizeof(int), e)))
        return -1;
    for (int i = 0; i < r->n_live; i++) {
        b.start[i] = i;
        b.len[i] = 1;
        b.ids[i] = r->next[r->live[i]];
        b.pos[i] = r->pos[r->live[i]];
    }
    b.start[r->n_live] = r->n_live;
    if (kv_extend(r->m, &b, r->live, kv, &x, a, e) || last_rows(&rows, &b, a, e))
        return -1;
    return choose(r, x, &rows, a, e);
}

static int running_init(struct running *r, int n, int first, struct err *e)
{
    if (!(r->rng = mem_alloc((size_t)n, sizeof *r->rng, e)) ||
        !(r->next = mem_alloc((size_t)n, sizeof(int), e)) ||
        !(r->pos = mem_alloc((size_t)n, sizeof(int), e)) ||
        !(r->live = mem_alloc((size_t)n, sizeof(int), e)))
        return -1;
    for (int s = 0; s < n; s++) {
        size_t room = (size_t)r->o->max_new_tokens;
        rng_stream(&r->rng[s], r->o->seed, RNG_SAMPLE, (uint32_t)(first + s));
        r->live[s] = s;
        if (!(r->out[s].ids = mem_alloc(room, sizeof(int), e)) ||
            !(r->out[s].margins = mem_alloc(room, sizeof(float), e)))
            return -1;
    }
    r->n_live = n;
    return 0;
}

static int run_batch(struct generation *out, struct model *m, const struct seq *prompts, int first,
                     int n, const struct generate_options *o, struct progress *bar, struct err *e)
{
    struct running r = {.m = m, .o = o, .out = out};
    struct kv_cache kv = {0};
    struct arena a;
    int longest = 0, rc = -1;
    arena_init(&a);
    for (int s = 0; s < n; s++)
        longest = prompts[s].n > longest ? prompts[s].n : longest;
    if (longest + o->max_new_tokens > m->cfg.positions) {
        err_set(e, "prompt of %d tokens and %d new ones exceed the model's %d positions", longest,
                o->max_new_tokens, m->cfg.positions);
        goto out;
    }
    if (running_init(&r, n, first, e) || kv_cache_init(&kv, m, n, longest + o->max_new_tokens, e) ||
        prefill(&r, prompts, &kv, &a, e))
        goto out;
    while (r.n_live) {
        if (bar)
            progress_step(bar, first + n - r.n_live, bar->tokens + r.n_live, NULL);
        arena_reset(&a);
        if (step(&r, &kv, &a, e))
            goto out;
    }
    rc = 0;
out:
    kv_cache_fini(&kv);
    arena_fini(&a);
    free(r.rng);
    free(r.next);
    free(r.pos);
    free(r.live);
    return rc;
}

int model_generate(struct generation *out, struct model *m, const struct seq *prompts, int n,
                   const struct generate_options *o, struct progress *bar, struct err *e)
{
    int batch = o->batch > 0 ? o->batch : DEFAULT_BATCH;
    for (int i = 0; i < n; i++)
        if (prompts[i].n < 1)
            return err_set(e, "prompt %d is empty", i);
    if (o->max_new_tokens < 1)
        return 0;
    for (int i = 0; i < n; i += batch) {
        int some = n - i < batch ? n - i : batch;
        if (run_batch(out + i, m, prompts + i, i, some, o, bar, e))
            return -1;
    }
    return 0;
}

void generation_fini(struct generation *g)
{
    free(g->ids);
    free(g->margins);
    *g = (struct generation){0};
}
