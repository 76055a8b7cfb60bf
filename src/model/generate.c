#include "model/generate.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sizes.h"
#include "model/guarded.h"
#include "model/session.h"

enum {
    DEFAULT_BATCH = SIZE(32, 3),
    PROMPT_TOKENS = SIZE(2048, 5), /* that enter in one step, unless one prompt alone is longer */
    LEAST_SHARED = SIZE(8, 2)      /* tokens that are worth a slot of their own */
};
#define DEFAULT_CACHE ((size_t)1 << 30) /* bytes that the default batch may take */

/* An answer under way. It has as many slots of the session as a prompt has contexts. */
struct lane {
    int answer, prompt;
    bool fed; /* the contexts are in the cache */
    struct rng rng;
};

struct running {
    struct model *m;
    const struct generate_options *o;
    const struct seq *prompts;
    struct generation *out;
    int n_contexts;             /* of a prompt: 1, or 3 with guidance */
    int n_prompts, n_answers;   /* in all */
    int samples, waiting, done; /* of a prompt; first answer that has no lane yet; finished */
    const struct seq *longest;  /* the context whose beginning others share */
    int shared;                 /* tokens of it that the session's last slot holds */
    struct session s;
    int n_lanes, n_live;
    struct lane *lanes; /* owned */
    int *live;          /* owned [n_lanes]: lanes at work, n_live of them, then the free */
    int *slot;          /* owned [n_lanes * contexts] what a step feeds, and where */
    struct seq *seqs;   /* owned, as many */
    int *of, *first;    /* owned, as many: of which prompt, and from which token; for taps */
    device float *z;    /* owned [V] what the contexts predict together; NULL: one */
};

static const struct seq *context(const struct running *r, int prompt, int k)
{
    const struct guidance *g = r->o->guidance;
    return k == 0 ? &r->prompts[prompt] : k == 1 ? &g->away[prompt] : &g->towards[prompt];
}

/* Tokens that a context has in common with the longest one; its last token it has alone, as its row
 * of logits is wanted. */
static int common(const struct running *r, const struct seq *q)
{
    int n = seq_common(r->longest, q);
    return n < q->n ? n : q->n - 1;
}

/* A lane that holds the prompt, which another answer continues; NULL: there is none. */
static const struct lane *sibling(const struct running *r, int prompt)
{
    for (int i = 0; i < r->n_lanes && r->samples > 1; i++)
        if (r->lanes[i].fed && r->lanes[i].prompt == prompt)
            return &r->lanes[i];
    return NULL;
}

/* Puts what is there already into the lane's slots; returns the tokens that are still to be fed. */
static int prepare(struct running *r, int lane, int prompt, const struct lane *like)
{
    int own = 0;
    for (int k = 0; k < r->n_contexts; k++) {
        const struct seq *q = context(r, prompt, k);
        int slot = lane * r->n_contexts + k, held = 0;
        r->s.len[slot] = like ? r->s.len[slot] : 0;
        if (like) {
            session_fork(&r->s, (int)(like - r->lanes) * r->n_contexts + k, slot, q->n - 1);
            held = q->n - 1;
        } else if (r->shared) {
            held = common(r, q);
            held = held < r->shared ? held : r->shared;
            session_fork(&r->s, r->n_lanes * r->n_contexts, slot, held);
        }
        own += q->n - held;
    }
    return own;
}

/* Answers move into free lanes, as many as one step should take. The first answer to a prompt is
 * fed before others continue it. */
static int admit(struct running *r, struct err *e)
{
    size_t room = (size_t)r->o->max_new_tokens;
    int tokens = 0;
    while (r->n_live < r->n_lanes && r->waiting < r->n_answers) {
        int answer = r->waiting, prompt = answer / r->samples, lane = r->live[r->n_live];
        struct generation *g = &r->out[answer];
        const struct lane *like = sibling(r, prompt);
        if (!like && r->n_live && answer % r->samples &&
            r->lanes[r->live[r->n_live - 1]].prompt == prompt)
            break;
        int own = prepare(r, lane, prompt, like);
        r->lanes[lane].fed = false;
        tokens += own;
        if (tokens > PROMPT_TOKENS && tokens > own)
            break;
        if (!(g->ids = mem_alloc(room, sizeof(int), e)) ||
            !(g->margins = mem_alloc(room, sizeof(float), e)))
            return -1;
        r->lanes[lane] = (struct lane){.answer = answer, .prompt = prompt};
        rng_stream(&r->lanes[lane].rng, r->o->seed + (unsigned)(answer % r->samples) * 0x9e3779b9u,
                   RNG_SAMPLE, (uint32_t)prompt);
        r->waiting++;
        r->n_live++;
    }
    return 0;
}

/* Feeds every live lane: the rest of its contexts, or the token chosen last. */
static int feed(struct running *r, struct err *e)
{
    int n = 0;
    for (int i = 0; i < r->n_live; i++) {
        struct lane *l = &r->lanes[r->live[i]];
        const struct generation *g = &r->out[l->answer];
        for (int k = 0; k < r->n_contexts; k++, n++) {
            r->slot[n] = r->live[i] * r->n_contexts + k;
            r->of[n] = l->prompt;
            r->first[n] = r->s.len[r->slot[n]];
            r->seqs[n] = l->fed ? (struct seq){.n = 1, .ids = &g->ids[g->n - 1]}
                                : seq_rest(context(r, l->prompt, k), r->s.len[r->slot[n]]);
        }
        l->fed = true;
    }
    if (r->o->taps)
        r->o->taps->feed(r->o->taps->ctx, r->of, r->first, n);
    return session_feed(&r->s, r->slot, r->seqs, n, e);
}

/* The logits of the i-th live lane. */
static device float *logits(struct running *r, int i)
{
    const size_t v = (size_t)r->m->cfg.vocab;
    if (!r->z)
        return session_logits(&r->s, i);
    const float away = (float)-r->o->guidance->strength, share[] = {1, away, -away};
    r->m->ops->fill(r->z, 0, v);
    for (int k = 0; k < r->n_contexts; k++)
        r->m->ops->axpy(r->z, share[k], session_logits(&r->s, i * r->n_contexts + k), v);
    return r->z;
}

/* The next token of a lane. *on: the answer continues. */
static int choose(struct running *r, struct lane *l, float *z, bool *on, struct err *e)
{
    const struct generate_options *o = r->o;
    struct generation *g = &r->out[l->answer];
    if (o->logits && o->logits(o->logits_ctx, l->answer, g->ids, g->n, z, e))
        return -1;
    sample_ban(z, r->m->banned, r->m->n_banned);
    int id =
        sample_token(z, r->m->cfg.vocab, o->temperature, o->top_p, &l->rng, &g->margins[g->n], e);
    if (id < 0)
        return -1;
    g->ids[g->n++] = id;
    g->ended = !o->ignore_eos && config_is_eos(&r->m->cfg, id);
    *on = !g->ended && g->n < o->max_new_tokens;
    if (o->token && o->token(o->token_ctx, l->answer, g->ids, g->n))
        *on = false;
    return 0;
}

static int step(struct running *r, struct err *e)
{
    const struct ops *o = r->m->ops;
    int kept = 0;
    if (admit(r, e) || feed(r, e))
        return -1;
    for (int i = 0; i < r->n_live; i++) {
        int lane = r->live[i];
        device float *z = logits(r, i);
        bool on;
        int rc = choose(r, &r->lanes[lane], o->map(z, (size_t)r->m->cfg.vocab), &on, e);
        o->unmap(z);
        if (rc)
            return -1;
        if (on) { /* live lanes to the front, in order; done ones gather after them */
            r->live[i] = r->live[kept];
            r->live[kept++] = lane;
        }
    }
    r->done += r->n_live - kept;
    r->n_live = kept;
    return 0;
}

/* Answers at once: as asked for, or as many as a cache of some size holds. */
static int count_lanes(const struct running *r, int max_len)
{
    const struct model_config *c = &r->m->cfg;
    size_t row = 2 * sizeof(float) * (size_t)c->layers * (size_t)(c->kv_heads * c->head_dim);
    size_t fit = DEFAULT_CACHE / (row * (size_t)max_len * (size_t)r->n_contexts) + 1;
    int lanes = r->o->batch > 0 ? r->o->batch : fit < DEFAULT_BATCH ? (int)fit : DEFAULT_BATCH;
    return lanes < r->n_answers ? lanes : r->n_answers;
}

/* The longest context; all fit the model. */
static int check_contexts(struct running *r, struct err *e)
{
    const int room = r->o->max_new_tokens, most = r->m->cfg.positions;
    for (int i = 0; i < r->n_prompts; i++)
        for (int k = 0; k < r->n_contexts; k++) {
            const struct seq *q = context(r, i, k);
            if (q->n < 1)
                return err_set(e, "prompt %d is empty", i);
            if (q->n > most - room)
                return err_set(e,
                               "prompt %d has %d tokens, which with %d new ones exceed the "
                               "model's %d positions",
                               i, q->n, room, most);
            if (!r->longest || q->n > r->longest->n)
                r->longest = q;
        }
    return 0;
}

/* The beginning that most is gained by: what the longest context shares with any other. */
static void find_shared(struct running *r)
{
    for (int i = 0; i < r->n_prompts; i++)
        for (int k = 0; k < r->n_contexts; k++) {
            const struct seq *q = context(r, i, k);
            int n = q == r->longest ? 0 : common(r, q);
            r->shared = n > r->shared ? n : r->shared;
        }
    if (r->shared < LEAST_SHARED || r->o->taps)
        r->shared = 0;
}

static int running_init(struct running *r, struct err *e)
{
    if (check_contexts(r, e))
        return -1;
    find_shared(r);
    const int max_len = r->longest->n + r->o->max_new_tokens;
    r->n_lanes = count_lanes(r, max_len);
    const int slots = r->n_lanes * r->n_contexts;
    if (!(r->lanes = mem_alloc((size_t)r->n_lanes, sizeof *r->lanes, e)) ||
        !(r->live = mem_alloc((size_t)r->n_lanes, sizeof *r->live, e)) ||
        !(r->slot = mem_alloc((size_t)slots, sizeof *r->slot, e)) ||
        !(r->seqs = mem_alloc((size_t)slots, sizeof *r->seqs, e)) ||
        !(r->of = mem_alloc((size_t)slots, sizeof *r->of, e)) ||
        !(r->first = mem_alloc((size_t)slots, sizeof *r->first, e)) ||
        (r->o->guidance && !(r->z = r->m->ops->alloc((size_t)r->m->cfg.vocab, e))) ||
        session_init(&r->s, r->m, slots + (r->shared > 0), max_len, e))
        return -1;
    r->s.count_masked = !r->o->mask_positions;
    if (r->o->taps) {
        r->s.taps = r->o->taps->taps;
        r->s.n_taps = r->o->taps->n_taps;
    }
    for (int i = 0; i < r->n_lanes; i++)
        r->live[i] = i;
    struct seq beginning = *r->longest;
    beginning.n = r->shared;
    return r->shared ? session_feed(&r->s, &slots, &beginning, 1, e) : 0;
}

int model_generate(struct generation *out, struct model *m, const struct seq *prompts, int n,
                   const struct generate_options *o, struct progress *bar, struct err *e)
{
    const int samples = o->samples > 0 ? o->samples : 1;
    struct running r = {.m = m,
                        .o = o,
                        .prompts = prompts,
                        .out = out,
                        .n_contexts = o->guidance ? 3 : 1,
                        .n_prompts = n,
                        .samples = samples};
    long done = bar ? bar->done : 0;
    double tokens = bar ? bar->tokens : 0;
    if (n < 1 || o->max_new_tokens < 1)
        return 0;
    if (m->guard && !o->unguarded)
        return m->guard->generate(m->guard->ctx, out, m, prompts, n, o, bar, e);
    if (n > INT32_MAX / samples)
        return err_set(e, "%d answers to each of %d prompts are too many", samples, n);
    r.n_answers = n * samples;
    int rc = running_init(&r, e);
    while (!rc && r.done < r.n_answers) {
        rc = interrupt_check(o->interrupt, e) || step(&r, e) ? -1 : 0;
        tokens += r.n_live;
        if (bar && !rc)
            progress_step(bar, done + r.done, tokens, NULL);
    }
    session_fini(&r.s);
    free(r.lanes);
    free(r.live);
    free(r.slot);
    free(r.seqs);
    free(r.of);
    free(r.first);
    m->ops->free(r.z);
    return rc;
}

void generation_fini(struct generation *g)
{
    free(g->ids);
    free(g->margins);
    *g = (struct generation){0};
}
