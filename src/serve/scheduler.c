#include "serve/scheduler.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"

enum {
    MOST_SLOTS = 16,
    USUAL_CONTEXT = 2048,
    PROMPT_TOKENS = SIZE(512, 5), /* of prompts that one step takes */
    LEAST_SHARED = SIZE(8, 2)     /* tokens that are worth waiting for */
};
#define USUAL_CACHE ((size_t)1 << 30) /* bytes that the usual number of slots may take */

static void choose_sizes(struct scheduler *s)
{
    const struct model_config *c = &s->m->cfg;
    if (s->o.context <= 0)
        s->o.context = c->positions < USUAL_CONTEXT ? c->positions : USUAL_CONTEXT;
    size_t row = 2 * sizeof(float) * (size_t)c->layers * (size_t)(c->kv_heads * c->head_dim);
    size_t fit = USUAL_CACHE / (row * (size_t)s->o.context * (size_t)(1 + s->m->n_others)) + 1;
    if (s->o.slots <= 0)
        s->o.slots = fit < MOST_SLOTS ? (int)fit : MOST_SLOTS;
}

int scheduler_init(struct scheduler *s, struct model *m, const struct scheduler_options *o,
                   struct err *e)
{
    *s = (struct scheduler){.m = m, .o = *o};
    s->last = &s->first;
    choose_sizes(s);
    const size_t n = (size_t)s->o.slots;
    if (s->o.context > m->cfg.positions)
        err_about(e, "context", "%d tokens exceed the model's %d positions", s->o.context,
                  m->cfg.positions);
    else if ((s->lanes = mem_alloc(n, sizeof *s->lanes, e)) &&
             (s->slot = mem_alloc(n, sizeof *s->slot, e)) &&
             (s->rows = mem_alloc(n, sizeof *s->rows, e)) &&
             (s->seqs = mem_alloc(n, sizeof *s->seqs, e)) &&
             !session_init(&s->s, m, s->o.slots, s->o.context, e))
        return 0;
    scheduler_fini(s);
    return -1;
}

int scheduler_check(const struct scheduler *s, const struct serve_job *j, struct err *e)
{
    const int room = j->how.max_new_tokens;
    if (j->n < 1)
        return err_code(e, ERR_ARGUMENT, "the prompt is empty");
    if (j->n > s->o.context || room > s->o.context - j->n)
        return err_code(e, ERR_ARGUMENT,
                        "the prompt has %d tokens, which with %d new ones exceed the context of %d",
                        j->n, room, s->o.context);
    for (int t = 0; t < j->n; t++)
        if (j->ids[t] < 0 || j->ids[t] >= s->m->cfg.vocab)
            return err_code(e, ERR_ARGUMENT, "token id %d is outside the vocabulary of %d",
                            j->ids[t], s->m->cfg.vocab);
    return 0;
}

int scheduler_add(struct scheduler *s, struct serve_job *j, struct err *e)
{
    if (scheduler_check(s, j, e))
        return -1;
    if (s->waiting >= s->o.waiting)
        return err_code(e, ERR_BUSY, "%d requests are waiting already", s->waiting);
    rng_stream(&j->rng, j->how.seed + (unsigned)j->how.sample * 0x9e3779b9u, RNG_SAMPLE,
               (uint32_t)j->how.prompt);
    j->next = NULL;
    *s->last = j;
    s->last = &j->next;
    s->waiting++;
    return 0;
}

/* --- a job ends --- */

static void finish(struct serve_job *j, enum job_end end, const struct err *e)
{
    if (j->done)
        j->done(j->ctx, end, e);
}

/* The lane is free; what its slot holds stays for prompts that begin alike. */
static void leave(struct scheduler *s, int lane, enum job_end end, const struct err *e)
{
    struct serve_job *j = s->lanes[lane].job;
    s->lanes[lane].job = NULL;
    s->running--;
    finish(j, end, e);
}

/* Takes the job at *at out of those that wait. */
static struct serve_job *take_waiting(struct scheduler *s, struct serve_job **at)
{
    struct serve_job *j = *at;
    *at = j->next;
    if (!j->next)
        s->last = at;
    s->waiting--;
    return j;
}

static void end_jobs(struct scheduler *s, bool all)
{
    for (int i = 0; i < s->o.slots; i++)
        if (s->lanes && s->lanes[i].job && (all || s->lanes[i].job->cancelled))
            leave(s, i, JOB_CANCELLED, NULL);
    for (struct serve_job **at = &s->first; *at;)
        if (all || (*at)->cancelled)
            finish(take_waiting(s, at), JOB_CANCELLED, NULL);
        else
            at = &(*at)->next;
}

void scheduler_fini(struct scheduler *s)
{
    if (s->last)
        end_jobs(s, true);
    session_fini(&s->s);
    free(s->lanes);
    free(s->slot);
    free(s->rows);
    free(s->seqs);
    *s = (struct scheduler){0};
}

/* --- prompts take slots --- */

/* Tokens of the job's prompt that the sequence begins with, all but the last one at most. A prompt
 * that is scored has nothing in common with any: the logits after each of its tokens are wanted. */
static int common(const struct serve_job *j, const int *ids, int n)
{
    const struct seq mine = {.n = j->n, .ids = j->ids}, other = {.n = n, .ids = ids};
    const int shared = j->how.score_prompt ? 0 : seq_common(&mine, &other);
    return shared < j->n ? shared : j->n - 1;
}

static int shared_with(const struct scheduler *s, const struct serve_job *j, int lane)
{
    return common(j, s->s.ids + (size_t)lane * (size_t)s->o.context, s->s.len[lane]);
}

/* The free lane that was used longest ago, but for `kept`, if there is another; -1: none. */
static int oldest_free(const struct scheduler *s, int kept)
{
    int best = -1;
    for (int i = 0; i < s->o.slots; i++)
        if (!s->lanes[i].job && i != kept && (best < 0 || s->lanes[i].used < s->lanes[best].used))
            best = i;
    return best < 0 && kept >= 0 && !s->lanes[kept].job ? kept : best;
}

/* Whether a prompt that is being read now will give more than `held` tokens that this one needs. */
static bool worth_waiting(const struct scheduler *s, const struct serve_job *j, int held)
{
    for (int i = 0; i < s->o.slots; i++) {
        const struct serve_job *other = s->lanes[i].job;
        if (other && other->held < other->n &&
            common(j, other->ids, other->n) >= held + LEAST_SHARED)
            return true;
    }
    return false;
}

/* A lane for the job, with what any slot holds of its prompt; -1: it waits. */
static int place(struct scheduler *s, struct serve_job *j)
{
    int from = 0, most = 0;
    for (int i = 0; i < s->o.slots; i++) {
        const int n = shared_with(s, j, i);
        if (n > most) {
            most = n;
            from = i;
        }
    }
    if (worth_waiting(s, j, most))
        return -1;
    /* A slot that holds more than the prompt's beginning is kept, if there is another. */
    const bool whole = most > 0 && !s->lanes[from].job && s->s.len[from] <= most + LEAST_SHARED;
    const int lane = whole ? from : oldest_free(s, most > 0 ? from : -1);
    s->s.len[lane] = lane == from ? s->s.len[lane] : 0;
    session_fork(&s->s, from, lane, most);
    j->held = most;
    s->shared_tokens += (uint64_t)most;
    return lane;
}

static void admit(struct scheduler *s)
{
    for (struct serve_job **at = &s->first; *at && s->running < s->o.slots;) {
        const int lane = place(s, *at);
        if (lane < 0) {
            at = &(*at)->next;
            continue;
        }
        struct serve_job *j = take_waiting(s, at);
        s->lanes[lane].job = j;
        s->running++;
        s->prompt_tokens += (uint64_t)j->n;
    }
}

/* --- a pass --- */

/* What is fed of each lane: lanes [n], their slots. Returns n. */
static int gather(struct scheduler *s)
{
    int n = 0, room = PROMPT_TOKENS;
    for (int i = 0; i < s->o.slots; i++) {
        struct serve_job *j = s->lanes[i].job;
        if (!j)
            continue;
        const int rest = j->n - j->held, take = rest < room ? rest : room;
        if (rest && !take)
            continue; /* in a later step */
        s->slot[n] = i;
        s->seqs[n] = rest ? (struct seq){.n = take, .ids = j->ids + j->held}
                          : (struct seq){.n = 1, .ids = &j->last};
        s->rows[n] = j->how.score_prompt && rest ? take : take == rest;
        s->lanes[i].used = s->steps;
        room -= take;
        j->held += take;
        n++;
    }
    return n;
}

/* Row z [V] after token `at` of the sequence: the next one of the prompt is scored, or the next of
 * the answer chosen. Returns JOB_OPEN if it continues. */
static enum job_end use_row(struct scheduler *s, struct serve_job *j, int at, float *z,
                            struct err *e)
{
    const int vocab = s->m->cfg.vocab, n_top = j->how.top < vocab ? j->how.top : vocab;
    const double lse = j->how.logp ? sample_lse(z, vocab) : 0;
    struct likely top[JOB_TOP];
    struct job_token t = {.prompt = at + 1 < j->n, .top = top, .n_top = j->how.logp ? n_top : 0};
    float margin;
    if (j->how.logp && !isfinite(lse)) {
        err_set(e, "the model gives no finite logit; its weights are damaged");
        return JOB_FAILED;
    }
    if (j->how.logp)
        sample_top(z, vocab, lse, top, n_top);
    if (t.prompt) {
        t.id = j->ids[at + 1];
    } else if (j->made == j->how.max_new_tokens) {
        return JOB_LENGTH;
    } else {
        sample_ban(z, s->m->banned, s->m->n_banned);
        t.id = sample_token(z, vocab, j->how.temperature, j->how.top_p, &j->rng, &margin, e);
        if (t.id < 0)
            return JOB_FAILED;
        j->last = t.id;
        j->made++;
        s->new_tokens++;
        t.end = !j->how.ignore_eos && config_is_eos(&s->m->cfg, t.id);
    }
    t.logp = j->how.logp ? (double)z[t.id] - lse : 0;
    if (j->token && j->token(j->ctx, &t))
        return t.end ? JOB_STOP : JOB_ENOUGH;
    return t.end ? JOB_STOP : !t.prompt && j->made == j->how.max_new_tokens ? JOB_LENGTH : JOB_OPEN;
}

/* The rows of the i-th sequence of the pass, of which `row` is the first. */
static void use_rows(struct scheduler *s, int i, int row)
{
    const struct ops *o = s->m->ops;
    struct serve_job *j = s->lanes[s->slot[i]].job;
    const int rows = s->rows[i];
    enum job_end end = JOB_OPEN;
    struct err e = {.msg = ""};
    for (int k = 0; k < rows && end == JOB_OPEN; k++) {
        /* The token after which this row is: of the prompt, or the last one of the answer. */
        const int at = j->held - rows + k;
        device float *z = session_logits(&s->s, row + k);
        end = use_row(s, j, at, o->map(z, (size_t)s->m->cfg.vocab), &e);
        o->unmap(z);
    }
    if (end != JOB_OPEN)
        leave(s, s->slot[i], end, end == JOB_FAILED ? &e : NULL);
}

int scheduler_step(struct scheduler *s)
{
    struct err e = {.msg = ""};
    end_jobs(s, false);
    admit(s);
    const int n = gather(s);
    s->steps++;
    s->s.rows = s->rows;
    if (n && session_feed(&s->s, s->slot, s->seqs, n, &e)) {
        for (int i = 0; i < n; i++) {
            s->s.len[s->slot[i]] = 0;
            leave(s, s->slot[i], JOB_FAILED, &e);
        }
        return s->running + s->waiting;
    }
    for (int i = 0, row = 0; i < n; row += s->rows[i++])
        use_rows(s, i, row);
    return s->running + s->waiting;
}
