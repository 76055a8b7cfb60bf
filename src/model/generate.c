#include "model/generate.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/head.h"
#include "model/kv.h"
#include "model/sample.h"

enum {
    DEFAULT_BATCH = 32,
    PROMPT_TOKENS = 2048, /* that enter in one step, unless one prompt alone is longer */
    LEAST_SHARED = 8      /* tokens that are worth a slot of their own */
};
#define DEFAULT_CACHE ((size_t)1 << 30) /* bytes that the default batch may take */

/* A slot of the cache, and the prompt that is continued there. */
struct lane {
    int prompt;
    int held;      /* tokens of the prompt that came into the slot ready-made */
    int next, pos; /* last chosen token and its position */
    bool fed;      /* the prompt is in the cache */
    struct rng rng;
};

struct running {
    struct model *m;
    const struct generate_options *o;
    const struct seq *prompts;
    struct generation *out;
    int n, waiting, done; /* prompts in all; first that has no slot yet; finished */
    struct kv_cache kv;
    struct lane *lanes; /* owned */
    int n_slots;
    int *live; /* owned [n_slots]: slots at work, n_live of them, then the free ones */
    int n_live;
    int longest, shared; /* a prompt whose first `shared` tokens the slot behind the others holds */
};

static bool is_end(const struct model *m, int id)
{
    for (int i = 0; i < m->cfg.n_eos; i++)
        if (m->cfg.eos[i] == id)
            return true;
    return false;
}

/* Tokens that prompt p has in common with the longest one; its last token it has alone, as its row
 * of logits is wanted. */
static int common(const struct running *r, int p)
{
    int n = seq_common(&r->prompts[r->longest], &r->prompts[p]);
    return n < r->prompts[p].n ? n : n - 1;
}

/* Prompts move into free slots, as many as one step should take. */
static int admit(struct running *r, struct err *e)
{
    size_t room = (size_t)r->o->max_new_tokens;
    int tokens = 0;
    while (r->n_live < r->n_slots && r->waiting < r->n) {
        int p = r->waiting, slot = r->live[r->n_live];
        int held = r->shared ? common(r, p) : 0, own;
        held = held < r->shared ? held : r->shared;
        own = r->prompts[p].n - held;
        tokens += own;
        if (tokens > PROMPT_TOKENS && tokens > own)
            break;
        if (!(r->out[p].ids = mem_alloc(room, sizeof(int), e)) ||
            !(r->out[p].margins = mem_alloc(room, sizeof(float), e)))
            return -1;
        r->lanes[slot] = (struct lane){.prompt = p, .held = held};
        rng_stream(&r->lanes[slot].rng, r->o->seed, RNG_SAMPLE, (uint32_t)p);
        r->kv.len[slot] = 0;
        if (held)
            kv_copy(&r->kv, r->m, r->n_slots, slot, held);
        r->waiting++;
        r->n_live++;
    }
    return 0;
}

/* Positions of the tokens from..n-1 of a prompt, which begin at token `first` of the batch; returns
 * the last one. Where only tokens with mask 1 count, the others stand at 1, as HF's generate() has
 * it. */
static int place_prompt(const struct seq *s, int from, struct batch *b, int first,
                        bool count_masked)
{
    int real = 0;
    for (int t = 0; t < s->n; t++) {
        bool counts = count_masked || !s->mask || s->mask[t];
        if (t >= from)
            b->pos[first + t - from] = counts ? real : 1;
        real += counts;
    }
    return real - 1;
}

/* What enters the cache in this step: a new prompt, or the token chosen last, for every live slot.
 * rows: the last token of each. */
static int pack(struct running *r, struct batch *b, struct label_rows *rows, struct arena *a,
                struct err *e)
{
    struct seq *seqs = arena_take(a, (size_t)r->n_live, sizeof *seqs, e);
    *rows = (struct label_rows){.n = r->n_live,
                                .token = arena_take(a, (size_t)r->n_live, sizeof(int), e)};
    if (!seqs || !rows->token)
        return -1;
    for (int i = 0; i < r->n_live; i++) {
        const struct lane *s = &r->lanes[r->live[i]];
        seqs[i] = s->fed ? (struct seq){.n = 1, .ids = &s->next}
                         : seq_rest(&r->prompts[s->prompt], s->held);
    }
    if (batch_pack(b, seqs, r->n_live, r->m->cfg.vocab, r->m->cfg.positions, a, e))
        return -1;
    for (int i = 0; i < r->n_live; i++) {
        struct lane *s = &r->lanes[r->live[i]];
        if (s->fed)
            b->pos[b->start[i]] = s->pos;
        else
            s->pos = place_prompt(&r->prompts[s->prompt], s->held, b, b->start[i],
                                  !r->o->mask_positions);
        s->fed = true;
        rows->token[i] = b->start[i + 1] - 1;
    }
    return 0;
}

/* The next token of one slot from its row of logits. True: the sequence goes on. -1 in *id:
 * failure. */
static bool take(struct running *r, struct lane *s, const float *z, int *id, struct err *e)
{
    struct generation *g = &r->out[s->prompt];
    *id = sample_token(z, r->m->cfg.vocab, r->o->temperature, r->o->top_p, &s->rng,
                       &g->margins[g->n], e);
    if (*id < 0)
        return false;
    g->ids[g->n++] = s->next = *id;
    s->pos++;
    g->ended = !r->o->ignore_eos && is_end(r->m, *id);
    if (g->ended || g->n == r->o->max_new_tokens)
        return false;
    return !r->o->stop || !r->o->stop(r->o->stop_ctx, s->prompt, g->ids, g->n);
}

/* Chooses a token for every live slot from its row of x, and frees the slots that are done. */
static int choose(struct running *r, const struct pass *p, const struct label_rows *rows,
                  struct arena *a, struct err *e)
{
    struct head h;
    int n, id, kept = 0;
    if (head_init(&h, p, rows, false, a, e))
        return -1;
    for (int first = 0; first < rows->n; first += n) {
        float *z = head_logits(&h, first, &n);
        for (int i = first; i < first + n; i++, z += r->m->cfg.vocab) {
            int slot = r->live[i];
            sample_ban(z, r->m->banned, r->m->n_banned);
            bool on = take(r, &r->lanes[slot], z, &id, e);
            if (id < 0)
                return -1;
            if (on) { /* live slots to the front, in order; done ones gather behind them */
                r->live[i] = r->live[kept];
                r->live[kept++] = slot;
            }
        }
    }
    r->done += r->n_live - kept;
    r->n_live = kept;
    return 0;
}

static int step(struct running *r, struct arena *a, struct err *e)
{
    struct batch b;
    struct label_rows rows;
    struct pass p;
    arena_reset(a);
    if (admit(r, e) || pack(r, &b, &rows, a, e) || kv_extend(r->m, &b, r->live, &r->kv, &p, a, e))
        return -1;
    return choose(r, &p, &rows, a, e);
}

/* Prompts at once: as asked for, or as many as a cache of some size holds. */
static int count_slots(const struct running *r, int max_len)
{
    const struct model_config *c = &r->m->cfg;
    size_t row = 2 * sizeof(float) * (size_t)c->layers * (size_t)(c->kv_heads * c->head_dim);
    size_t fit = DEFAULT_CACHE / (row * (size_t)max_len) + 1;
    int slots = r->o->batch > 0 ? r->o->batch : fit < DEFAULT_BATCH ? (int)fit : DEFAULT_BATCH;
    return slots < r->n ? slots : r->n;
}

/* The beginning that most is gained by: what the longest prompt shares with any other. */
static void find_shared(struct running *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->prompts[i].n > r->prompts[r->longest].n)
            r->longest = i;
    for (int i = 0; i < r->n; i++) {
        int n = i == r->longest ? 0 : common(r, i);
        r->shared = n > r->shared ? n : r->shared;
    }
    if (r->shared < LEAST_SHARED)
        r->shared = 0;
}

/* Computes it, in the slot behind those of the prompts. */
static int hold_shared(struct running *r, struct arena *a, struct err *e)
{
    struct batch b;
    struct pass p;
    struct seq s = r->prompts[r->longest];
    s.n = r->shared;
    if (!s.n)
        return 0;
    if (batch_pack(&b, &s, 1, r->m->cfg.vocab, r->m->cfg.positions, a, e))
        return -1;
    place_prompt(&s, 0, &b, 0, !r->o->mask_positions);
    return kv_extend(r->m, &b, &r->n_slots, &r->kv, &p, a, e);
}

static int running_init(struct running *r, struct err *e)
{
    int longest = 0, room = r->o->max_new_tokens, most = r->m->cfg.positions;
    for (int i = 0; i < r->n; i++) {
        if (r->prompts[i].n < 1)
            return err_set(e, "prompt %d is empty", i);
        if (r->prompts[i].n > most - room)
            return err_set(e,
                           "prompt %d has %d tokens, which with %d new ones exceed the model's %d "
                           "positions",
                           i, r->prompts[i].n, room, most);
        longest = r->prompts[i].n > longest ? r->prompts[i].n : longest;
    }
    find_shared(r);
    r->n_slots = count_slots(r, longest + room);
    if (!(r->lanes = mem_alloc((size_t)r->n_slots, sizeof *r->lanes, e)) ||
        !(r->live = mem_alloc((size_t)r->n_slots, sizeof *r->live, e)) ||
        kv_cache_init(&r->kv, r->m, r->n_slots + (r->shared > 0), longest + room, e))
        return -1;
    for (int s = 0; s < r->n_slots; s++)
        r->live[s] = s;
    return 0;
}

int model_generate(struct generation *out, struct model *m, const struct seq *prompts, int n,
                   const struct generate_options *o, struct progress *bar, struct err *e)
{
    struct running r = {.m = m, .o = o, .prompts = prompts, .out = out, .n = n};
    struct arena a;
    long done = bar ? bar->done : 0;
    double tokens = bar ? bar->tokens : 0;
    if (n < 1 || o->max_new_tokens < 1)
        return 0;
    arena_init(&a);
    int rc = running_init(&r, e) || hold_shared(&r, &a, e) ? -1 : 0;
    while (!rc && r.done < n) {
        rc = interrupt_check(o->interrupt, e) || step(&r, &a, e) ? -1 : 0;
        tokens += r.n_live;
        if (bar && !rc)
            progress_step(bar, done + r.done, tokens, NULL);
    }
    kv_cache_fini(&r.kv);
    arena_fini(&a);
    free(r.lanes);
    free(r.live);
    return rc;
}

void generation_fini(struct generation *g)
{
    free(g->ids);
    free(g->margins);
    *g = (struct generation){0};
}
