#include "model/guided.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/head.h"
#include "model/kv.h"
#include "model/sample.h"

enum { PROMPTS = 8, VOICES = 3 }; /* prompts at once; contexts of each */

/* Some prompts under way; voice v of prompt i has slot VOICES i + v. */
struct running {
    struct model *m;
    const struct generate_options *o;
    double guidance;
    struct generation *out; /* of these prompts */
    struct kv_cache kv;
    struct rng rng[PROMPTS];
    struct seq next[PROMPTS * VOICES]; /* what goes into each slot: the context, then the token */
    int live[PROMPTS], n_live;
    float *z; /* owned [PROMPTS,V] what the voices of each live prompt say together */
};

/* Feeds all slots of live prompts; the last row of each into r->z. */
static int listen(struct running *r, struct arena *a, struct err *e)
{
    const struct model_config *c = &r->m->cfg;
    const double share[VOICES] = {1, -r->guidance, r->guidance};
    const size_t v = (size_t)c->vocab;
    struct seq seqs[PROMPTS * VOICES];
    int slots[PROMPTS * VOICES], token[PROMPTS * VOICES], n = 0, block;
    struct label_rows rows = {.token = token};
    struct batch b;
    struct head h;
    struct pass p;
    arena_reset(a);
    for (int i = 0; i < r->n_live; i++)
        for (int k = 0; k < VOICES; k++, n++)
            seqs[n] = r->next[slots[n] = VOICES * r->live[i] + k];
    if (batch_pack(&b, seqs, n, c->vocab, c->positions, a, e))
        return -1;
    for (int s = 0; s < n; s++) {
        for (int t = b.start[s]; t < b.start[s + 1]; t++)
            b.pos[t] = r->kv.len[slots[s]] + t - b.start[s];
        token[rows.n++] = b.start[s + 1] - 1;
    }
    if (kv_extend(r->m, &b, slots, &r->kv, &p, a, e) || head_init(&h, &p, &rows, false, a, e))
        return -1;
    memset(r->z, 0, (size_t)r->n_live * v * sizeof *r->z);
    for (int first = 0; first < n; first += block) {
        const float *z = head_logits(&h, first, &block);
        for (int s = first; s < first + block; s++, z += v)
            r->m->ops->axpy(r->z + (size_t)(s / VOICES) * v, (float)share[s % VOICES], z, v);
    }
    return 0;
}

static bool is_end(const struct model_config *c, int id)
{
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

/* Draws a token for every live prompt, and takes out those that are done. */
static int speak(struct running *r, struct err *e)
{
    const struct model_config *c = &r->m->cfg;
    int kept = 0;
    for (int i = 0; i < r->n_live; i++) {
        int p = r->live[i];
        struct generation *g = &r->out[p];
        int *id = &g->ids[g->n];
        float *z = r->z + (size_t)i * (size_t)c->vocab;
        sample_ban(z, r->m->banned, r->m->n_banned);
        *id = sample_token(z, c->vocab, r->o->temperature, r->o->top_p, &r->rng[p],
                           &g->margins[g->n], e);
        if (*id < 0)
            return -1;
        for (int k = 0; k < VOICES; k++)
            r->next[VOICES * p + k] = (struct seq){.n = 1, .ids = id};
        g->n++;
        g->ended = is_end(c, *id);
        if (!g->ended && g->n < r->o->max_new_tokens)
            r->live[kept++] = p;
    }
    r->n_live = kept;
    return 0;
}

/* The prompts from..from+n-1 of all. */
static int begin(struct running *r, const struct guided_prompt *p, int from, int n, struct err *e)
{
    const int most = r->m->cfg.positions - r->o->max_new_tokens;
    const size_t room = (size_t)r->o->max_new_tokens;
    int longest = 0;
    r->n_live = 0;
    for (int i = 0; i < n; i++) {
        const struct seq *voices[VOICES] = {&p[i].base, &p[i].away, &p[i].towards};
        for (int k = 0; k < VOICES; k++) {
            r->next[VOICES * i + k] = *voices[k];
            longest = voices[k]->n > longest ? voices[k]->n : longest;
            if (voices[k]->n < 1 || voices[k]->n > most)
                return err_set(e,
                               "prompt %d has %d tokens, which with %d new ones must be 1 to the "
                               "model's %d positions",
                               from + i, voices[k]->n, r->o->max_new_tokens, r->m->cfg.positions);
        }
        if (!(r->out[i].ids = mem_alloc(room, sizeof(int), e)) ||
            !(r->out[i].margins = mem_alloc(room, sizeof(float), e)))
            return -1;
        rng_stream(&r->rng[i], r->o->seed, RNG_SAMPLE, (uint32_t)(from + i));
        r->live[r->n_live++] = i;
    }
    return kv_cache_init(&r->kv, r->m, VOICES * n, longest + r->o->max_new_tokens, e);
}

int model_generate_guided(struct generation *out, struct model *m, const struct guided_prompt *p,
                          int n, double guidance, const struct generate_options *o,
                          struct progress *bar, struct err *e)
{
    struct running *r = mem_alloc(1, sizeof *r, e);
    struct arena a;
    double tokens = 0;
    int rc = r ? 0 : -1;
    arena_init(&a);
    if (r)
        *r = (struct running){.m = m, .o = o, .guidance = guidance};
    if (r && !(r->z = mem_alloc(PROMPTS * (size_t)m->cfg.vocab, sizeof *r->z, e)))
        rc = -1;
    for (int first = 0; first < n && !rc; first += PROMPTS) {
        int now = n - first < PROMPTS ? n - first : PROMPTS;
        r->out = out + first;
        rc = begin(r, p + first, first, now, e);
        while (!rc && r->n_live) {
            tokens += r->n_live;
            rc = listen(r, &a, e) || speak(r, e) ? -1 : 0;
        }
        kv_cache_fini(&r->kv);
        if (bar && !rc)
            progress_step(bar, first + now, tokens, NULL);
    }
    arena_fini(&a);
    if (r)
        free(r->z);
    free(r);
    return rc;
}
