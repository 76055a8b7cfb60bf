/* Generation and scoring through the guards. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "guard/private.h"
#include "model/generate.h"
#include "model/score.h"

/* --- generation --- */

struct guarded_run {
    struct guards *g;
    const struct generate_options *o;
    struct generation *out;
    struct guard_prompt *q; /* owned [kept]: prompts that the model answers */
    struct seq *seqs;       /* owned [kept] */
    struct generation *own; /* owned [kept * samples]: its answers */
    int kept, samples;
};

/* The number of an answer among all. */
static int number(const struct guarded_run *r, int answer)
{
    return r->q[answer / r->samples].index * r->samples + answer % r->samples;
}

static int logits(void *ctx, int answer, const int *ids, int n, float *z, struct err *e)
{
    const struct guarded_run *r = ctx;
    if (guard_logits(r->g, &r->q[answer / r->samples], ids, n, z, e))
        return -1;
    return r->o->logits ? r->o->logits(r->o->logits_ctx, number(r, answer), ids, n, z, e) : 0;
}

static bool token(void *ctx, int answer, const int *ids, int n)
{
    const struct guarded_run *r = ctx;
    return r->o->token && r->o->token(r->o->token_ctx, number(r, answer), ids, n);
}

static int say(struct guarded_run *r, const char *text, struct generation *g, struct err *e)
{
    struct ids ids = {0};
    int rc = guard_answer_ids(r->g, text, r->o->max_new_tokens, &ids, e);
    generation_fini(g);
    if (!rc && (!(g->ids = mem_alloc(ids.n, sizeof *g->ids, e)) ||
                !(g->margins = mem_alloc(ids.n, sizeof *g->margins, e))))
        rc = -1;
    if (!rc) {
        g->n = (int)ids.n;
        if (g->n)
            memcpy(g->ids, ids.v, ids.n * sizeof *ids.v);
        g->ended = g->n && config_is_eos(&r->g->host.model->cfg, g->ids[g->n - 1]);
    }
    free(ids.v);
    return rc;
}

/* All prompts through the guards: those that the model answers are kept. */
static int begin(struct guarded_run *r, const struct seq *prompts, int n, struct err *e)
{
    for (int i = 0; i < n; i++) {
        struct guard_prompt *q = &r->q[r->kept];
        int rc = guard_begin(r->g, &prompts[i], i, q, e);
        for (int k = 0; q->answer && k < r->samples && !rc; k++)
            rc = say(r, q->answer, &r->out[i * r->samples + k], e);
        if (!rc && json_array_append(r->g->notes, q->notes))
            rc = err_no_memory(e, "guard");
        if (rc || q->answer)
            guard_end(q);
        else
            r->seqs[r->kept] = guard_prompt_seq(q), r->kept++;
        if (rc)
            return -1;
    }
    return 0;
}

static bool has_output(const struct guards *g)
{
    for (int i = 0; i < g->n; i++)
        if (g->part[i].row->output)
            return true;
    return false;
}

/* The model's answers, or what is said instead. */
static int end(struct guarded_run *r, struct err *e)
{
    struct buf text = {0};
    int rc = 0;
    for (int i = 0; i < r->kept * r->samples && !rc; i++) {
        struct guard_prompt *q = &r->q[i / r->samples];
        struct generation *to = &r->out[number(r, i)];
        bool held = false;
        *to = r->own[i];
        r->own[i] = (struct generation){0};
        if (!has_output(r->g))
            continue;
        buf_clear(&text);
        const bool had = q->fired;
        rc = tokenizer_decode(r->g->host.tok, to->ids, (size_t)(to->n - to->ended), true, &text,
                              e) ||
             buf_add(&text, "", 0, e) || guard_output(r->g, q, text.data, &held, e) ||
             (held && say(r, q->answer, to, e));
        r->g->hook.fired += held && !had;
    }
    buf_fini(&text);
    return rc ? -1 : 0;
}

int guards_generate(void *ctx, struct generation *out, struct model *m, const struct seq *prompts,
                    int n, const struct generate_options *o, struct progress *bar, struct err *e)
{
    struct guarded_run r = {
        .g = ctx, .o = o, .out = out, .samples = o->samples > 0 ? o->samples : 1};
    struct generate_options own = *o;
    if (o->guidance)
        return err_set(e, "guidance of three contexts does not go through a guard");
    own.unguarded = true;
    own.token = token;
    own.token_ctx = &r;
    own.logits = o->logits || guards_change_logits(r.g) ? logits : NULL;
    own.logits_ctx = &r;
    json_array_clear(r.g->notes);
    int rc = -1;
    if ((r.q = mem_alloc((size_t)n + 1, sizeof *r.q, e)) &&
        (r.seqs = mem_alloc((size_t)n, sizeof *r.seqs, e)) && !begin(&r, prompts, n, e) &&
        (r.own = mem_alloc((size_t)r.kept * (size_t)r.samples, sizeof *r.own, e))) {
        own.taps = guards_taps(r.g, r.q, false);
        rc = model_generate(r.own, m, r.seqs, r.kept, &own, bar, e) || guards_tapped(r.g, e) ||
             end(&r, e);
    }
    for (int i = 0; r.own && i < r.kept * r.samples; i++)
        generation_fini(&r.own[i]);
    for (int i = 0; i < r.kept; i++)
        guard_end(&r.q[i]);
    free(r.own);
    free(r.q);
    free(r.seqs);
    return rc;
}

/* --- scoring --- */

static struct seq prompt_of(const struct seq *s)
{
    return (struct seq){.n = seq_prompt(s), .ids = s->ids, .mask = s->mask};
}

/* The sequence with its prompt as the model reads it; ids and labels owned by the caller, in one
 * piece: ids is its start. */
static int rebuild(struct seq *to, const struct seq *from, const struct guard_prompt *q,
                   int n_prompt, uint8_t **mask, struct err *e)
{
    const int rest = from->n - n_prompt, n = (int)q->ids.n + rest;
    int *ids = mem_alloc((size_t)n, 2 * sizeof *ids, e);
    *to = (struct seq){.n = n, .ids = ids, .labels = ids ? ids + n : NULL};
    if (!ids || (from->mask && !(*mask = mem_alloc((size_t)n, 1, e))))
        return -1;
    memcpy(ids, q->ids.v, q->ids.n * sizeof *ids);
    memcpy(ids + q->ids.n, from->ids + n_prompt, (size_t)rest * sizeof *ids);
    for (int t = 0; t < n; t++)
        ids[n + t] = t < (int)q->ids.n || !from->labels
                         ? LABEL_NONE
                         : from->labels[n_prompt + t - (int)q->ids.n];
    if (from->mask) {
        memcpy(*mask, q->mask, q->ids.n);
        memcpy(*mask + q->ids.n, from->mask + n_prompt, (size_t)rest);
        to->mask = *mask;
    }
    return 0;
}

/* What is answered without the model tells nothing of the labels: each is as likely as any token.
 */
static void make_uniform(struct score *s, int vocab)
{
    const float logp = (float)-log(vocab);
    for (int k = 0; k < s->n; k++) {
        s->logp[k] = logp;
        s->best[k] = 0;
        if (s->rank) {
            s->mean[k] = logp;
            s->variance[k] = 0;
            s->rank[k] = 0;
        }
    }
    s->nll = s->n * log(vocab);
}

/* Whether the answer that is scored would be withheld. */
static int check_answer(struct guards *g, struct guard_prompt *q, const struct seq *s,
                        struct err *e)
{
    struct ids ids = {0};
    struct buf text = {0};
    bool held = false;
    const bool had = q->fired;
    int rc = 0;
    for (int t = 1; s->labels && t < s->n && !rc; t++)
        if (s->labels[t] != LABEL_NONE)
            rc = ids_add(&ids, s->labels[t], e);
    rc = rc || (ids.n && tokenizer_decode(g->host.tok, ids.v, ids.n, true, &text, e)) ||
         buf_add(&text, "", 0, e) || guard_output(g, q, text.data, &held, e);
    g->hook.fired += held && !had;
    free(ids.v);
    buf_fini(&text);
    return rc ? -1 : 0;
}

int guards_count(struct guards *g, const struct seq *seqs, int n, struct guard_count *out,
                 struct err *e)
{
    *out = (struct guard_count){.prompts = n};
    for (int i = 0; i < n; i++) {
        struct guard_prompt q;
        const struct seq prompt = prompt_of(&seqs[i]);
        int rc = guard_begin(g, &prompt, i, &q, e);
        const bool fired = q.fired;
        rc = rc || (has_output(g) && !q.answer && check_answer(g, &q, &seqs[i], e));
        out->fired += fired;
        out->withheld += q.fired && !fired;
        guard_end(&q);
        if (rc)
            return -1;
    }
    return 0;
}

/* What is scored, for guards that change logits. */
struct scored {
    struct guards *g;
    struct guard_prompt *q;
    const struct seq *seqs;
};

static int scored_logits(void *ctx, int sequence, int n, float *z, struct err *e)
{
    const struct scored *s = ctx;
    struct guard_prompt *q = &s->q[sequence];
    const int first = q->answer ? n : (int)q->ids.n;
    return guard_logits(s->g, q, s->seqs[sequence].ids + first, n - first, z, e);
}

static int score_all(struct guards *g, struct scores *out, struct model *m, const struct seq *seqs,
                     struct seq *own, uint8_t **masks, struct guard_prompt *q, int n,
                     const struct score_options *o, struct progress *bar, struct err *e)
{
    struct score_options how = *o;
    for (int i = 0; i < n; i++) {
        const struct seq prompt = prompt_of(&seqs[i]);
        if (guard_begin(g, &prompt, i, &q[i], e) ||
            (has_output(g) && !q[i].answer && check_answer(g, &q[i], &seqs[i], e)) ||
            json_array_append(g->notes, q[i].notes))
            return -1;
        own[i] = seqs[i];
        if (!q[i].answer && rebuild(&own[i], &seqs[i], &q[i], prompt.n, &masks[i], e))
            return -1;
    }
    how.unguarded = true;
    how.taps = guards_taps(g, q, true);
    struct scored scored = {g, q, own};
    if (guards_change_logits(g)) {
        how.logits = scored_logits;
        how.logits_ctx = &scored;
    }
    if (model_score(out, m, own, n, &how, bar, e) || guards_tapped(g, e))
        return -1;
    for (int i = 0; i < n; i++)
        if (q[i].answer)
            make_uniform(&out->v[i], m->cfg.vocab);
    return 0;
}

int guards_score(void *ctx, struct scores *out, struct model *m, const struct seq *seqs, int n,
                 const struct score_options *o, struct progress *bar, struct err *e)
{
    struct guards *g = ctx;
    struct guard_prompt *q = mem_alloc((size_t)n, sizeof *q, e);
    struct seq *own = q ? mem_alloc((size_t)n, sizeof *own, e) : NULL;
    uint8_t **masks = own ? mem_alloc((size_t)n, sizeof *masks, e) : NULL;
    json_array_clear(g->notes);
    int rc = masks ? score_all(g, out, m, seqs, own, masks, q, n, o, bar, e) : -1;
    for (int i = 0; masks && i < n; i++) {
        if (own[i].ids && own[i].ids != seqs[i].ids)
            free((void *)own[i].ids);
        free(masks[i]);
        guard_end(&q[i]);
    }
    free(masks);
    free(own);
    free(q);
    return rc;
}
