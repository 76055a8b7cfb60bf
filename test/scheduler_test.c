/* The scheduler of the server against model_generate: the same ids whatever shares the batch, from
 * greedy and from seeded sampling; log-probabilities against a whole pass; what cancelling,
 * stopping and lack of room do. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/score.h"
#include "serve/scheduler.h"
#include "tap.h"

enum { JOBS = 14, ROOM = 40, NEW = 12 };

/* What a job gave, and its prompt. */
struct heard {
    struct serve_job job;
    int prompt[ROOM], ids[ROOM];
    double logp[ROOM];
    struct likely top[ROOM][JOB_TOP];
    int n, n_ids, n_top, scored;
    int enough; /* new tokens after which it wants no more; 0: never */
    int cancel; /* likewise it is cancelled */
    enum job_end end;
    int ended; /* calls of done */
    char message[200];
};

static bool hear(void *ctx, const struct job_token *t)
{
    struct heard *h = ctx;
    const int at = h->n_ids++;
    BUG_ON(at >= ROOM || (t->prompt && t->id != h->prompt[at + 1]));
    h->scored += t->prompt;
    h->ids[at] = t->id;
    h->logp[at] = t->logp;
    h->n_top = t->n_top;
    memcpy(h->top[at], t->top, (size_t)t->n_top * sizeof *t->top);
    const int made = h->n_ids - h->scored;
    if (h->cancel && made == h->cancel)
        h->job.cancelled = true;
    return h->enough && made == h->enough;
}

static void done_with(void *ctx, enum job_end end, const struct err *e)
{
    struct heard *h = ctx;
    h->end = end;
    h->ended++;
    snprintf(h->message, sizeof h->message, "%.100s", e ? e->msg : "");
}

/* Prompts of some length, most of which begin like the first. */
static void ask(struct heard *h, int i, const struct sampling *how)
{
    struct rng r;
    memset(h, 0, sizeof *h);
    rng_seed(&r, (uint32_t)(i % 5 == 4 ? 99 + i : 3));
    h->n = 3 + (i * 7) % 19;
    for (int t = 0; t < h->n; t++)
        h->prompt[t] = 1 + (int)rng_below(&r, 300);
    if (h->n > 2)
        h->prompt[h->n - 1] = 1 + i;
    h->job.ids = h->prompt;
    h->job.n = h->n;
    h->job.how = *how;
    h->job.token = hear;
    h->job.done = done_with;
    h->job.ctx = h;
}

static bool same_ids(const struct heard *h, const struct generation *g)
{
    return h->n_ids == g->n && !memcmp(h->ids, g->ids, (size_t)g->n * sizeof *g->ids);
}

/* Jobs that arrive one after another, some steps apart. */
static void run_all(struct scheduler *s, struct heard *h, int n, int every)
{
    struct err e;
    int left = 0;
    for (int i = 0, step = 0; i < n || left; step++) {
        while (i < n && (!every || step >= i * every)) {
            if (scheduler_add(s, &h[i].job, &e))
                note("%s", e.msg);
            i++;
        }
        left = scheduler_step(s);
    }
}

static void check_like_generate(struct model *m, double temperature, int slots, int every)
{
    const struct sampling how = {
        .max_new_tokens = NEW, .temperature = temperature, .top_p = 0.9, .seed = 5};
    const struct generate_options o = {
        .max_new_tokens = NEW, .temperature = temperature, .top_p = 0.9, .seed = 5, .batch = 1};
    const struct scheduler_options so = {.slots = slots, .context = ROOM, .waiting = JOBS};
    struct heard h[JOBS];
    struct scheduler s;
    struct err e;
    int same = 0, ended = 0;
    for (int i = 0; i < JOBS; i++)
        ask(&h[i], i, &how);
    if (!ok(!scheduler_init(&s, m, &so, &e), "a scheduler of %d slots", slots))
        return;
    run_all(&s, h, JOBS, every);
    for (int i = 0; i < JOBS; i++) {
        struct generation g = {0};
        const struct seq q = {.n = h[i].n, .ids = h[i].prompt};
        model_generate(&g, m, &q, 1, &o, NULL, &e);
        same += same_ids(&h[i], &g);
        ended += h[i].ended == 1 && h[i].end == (g.ended ? JOB_STOP : JOB_LENGTH);
        generation_fini(&g);
    }
    ok(same == JOBS && ended == JOBS,
       "temperature %g, %d slots, one every %d steps: %d of %d have the ids of generate",
       temperature, slots, every, same, JOBS);
    ok(s.shared_tokens > 0 && s.shared_tokens < s.prompt_tokens && !s.running && !s.waiting,
       "%d of %d tokens of prompts were copied", (int)s.shared_tokens, (int)s.prompt_tokens);
    scheduler_fini(&s);
}

/* Several answers to a prompt are those of generate's samples. */
static void check_samples(struct model *m)
{
    enum { SAMPLES = 4 };
    struct heard h[SAMPLES];
    struct scheduler s;
    struct err e;
    struct generation g[SAMPLES] = {{0}};
    const struct generate_options o = {
        .max_new_tokens = NEW, .temperature = 1.2, .top_p = 1, .seed = 9, .samples = SAMPLES};
    int same = 0;
    for (int i = 0; i < SAMPLES; i++) {
        ask(&h[i], 2,
            &(struct sampling){
                .max_new_tokens = NEW, .temperature = 1.2, .top_p = 1, .seed = 9, .sample = i});
    }
    const struct seq q = {.n = h[0].n, .ids = h[0].prompt};
    BUG_ON(scheduler_init(
        &s, m, &(struct scheduler_options){.slots = 3, .context = ROOM, .waiting = 9}, &e));
    run_all(&s, h, SAMPLES, 0);
    model_generate(g, m, &q, 1, &o, NULL, &e);
    for (int i = 0; i < SAMPLES; i++)
        same += same_ids(&h[i], &g[i]);
    ok(same == SAMPLES, "%d samples of a prompt: %d are those of generate", SAMPLES, same);
    ok(s.shared_tokens >= (uint64_t)(SAMPLES - 1) * (uint64_t)(h[0].n - 3),
       "and the prompt was read once, but for the last tokens of pieces of it");
    for (int i = 0; i < SAMPLES; i++)
        generation_fini(&g[i]);
    scheduler_fini(&s);
}

/* Log-probabilities of a prompt and its answer, read in pieces among others, against one pass. */
static void check_logps(struct model *m)
{
    struct heard h[3];
    struct scheduler s;
    struct err e;
    struct scores c;
    double worst = 0;
    bool ordered = true;
    for (int i = 0; i < 3; i++)
        ask(&h[i], i + 1,
            &(struct sampling){.max_new_tokens = 4 * (i != 1),
                               .top_p = 1,
                               .logp = true,
                               .top = 3,
                               .score_prompt = true});
    BUG_ON(scheduler_init(
        &s, m, &(struct scheduler_options){.slots = 2, .context = ROOM, .waiting = 9}, &e));
    run_all(&s, h, 3, 0);
    for (int i = 0; i < 3; i++) {
        int ids[2 * ROOM], n = h[i].n_ids + 1;
        ids[0] = h[i].prompt[0];
        memcpy(ids + 1, h[i].ids, (size_t)h[i].n_ids * sizeof(int));
        const struct seq q = {.n = n, .ids = ids, .labels = ids};
        BUG_ON(model_score(&c, m, &q, 1, &(struct score_options){0}, NULL, &e));
        for (int k = 0; k < n - 1; k++) {
            worst = fmax(worst, fabs(h[i].logp[k] - (double)c.v[0].logp[k]));
            const struct likely *top = h[i].top[k];
            ordered &= top[0].logp >= top[1].logp && top[1].logp >= top[2].logp &&
                       h[i].logp[k] <= top[0].logp && (k + 1 < h[i].n || top[0].id == h[i].ids[k]);
        }
        scores_fini(&c);
        ok(h[i].scored == h[i].n - 1 && h[i].n_ids == h[i].n - 1 + 4 * (i != 1) &&
               h[i].end == JOB_LENGTH,
           "prompt %d: %d tokens scored, %d in all", i, h[i].scored, h[i].n_ids);
    }
    near(worst, 0, 0, 2e-5, "log-probabilities are those of a whole pass");
    ok(ordered, "alternatives are in order; a greedy token is the first");
    scheduler_fini(&s);
}

/* What ends early leaves its slot to the next; what does not fit is refused. */
static void check_ends(struct model *m)
{
    struct heard h[5];
    struct scheduler s;
    struct err e = {.msg = ""};
    const struct sampling how = {.max_new_tokens = NEW, .top_p = 1, .ignore_eos = true};
    for (int i = 0; i < 5; i++)
        ask(&h[i], i, &how);
    BUG_ON(scheduler_init(
        &s, m, &(struct scheduler_options){.slots = 1, .context = ROOM, .waiting = 3}, &e));
    h[0].cancel = 2;
    h[1].enough = 3;
    BUG_ON(scheduler_add(&s, &h[0].job, &e) || scheduler_add(&s, &h[1].job, &e) ||
           scheduler_add(&s, &h[2].job, &e));
    ok(scheduler_add(&s, &h[3].job, &e) && e.code == ERR_BUSY, "a full queue: %s", e.msg);
    h[2].job.cancelled = true;
    while (scheduler_step(&s))
        ;
    ok(h[0].end == JOB_CANCELLED && h[0].n_ids == 2, "cancelled after %d tokens", h[0].n_ids);
    ok(h[1].end == JOB_ENOUGH && h[1].n_ids == 3, "ended by its user after %d", h[1].n_ids);
    ok(h[2].end == JOB_CANCELLED && h[2].n_ids == 0, "cancelled while it waited");
    h[3].job.how.max_new_tokens = ROOM;
    ok(scheduler_add(&s, &h[3].job, &e) && e.code == ERR_ARGUMENT, "too long: %s", e.msg);
    h[3].job.how.max_new_tokens = 1;
    h[3].prompt[1] = m->cfg.vocab;
    ok(scheduler_add(&s, &h[3].job, &e), "an unknown id: %s", e.msg);
    BUG_ON(scheduler_add(&s, &h[4].job, &e));
    scheduler_step(&s);
    scheduler_fini(&s);
    ok(h[4].end == JOB_CANCELLED && h[4].ended == 1, "the end of the scheduler cancels the rest");
}

/* Every allocation of a run fails in turn: each job still ends once. */
static void check_memory(struct model *m)
{
    struct err e;
    int wrong = 0, failed = 0;
    for (long at = 0; at < 60; at++) {
        struct heard h[2];
        struct scheduler s;
        for (int i = 0; i < 2; i++)
            ask(&h[i], i, &(struct sampling){.max_new_tokens = 3, .temperature = 1, .top_p = 0.5});
        mem_fail_at(at);
        if (!scheduler_init(&s, m,
                            &(struct scheduler_options){.slots = 2, .context = ROOM, .waiting = 2},
                            &e)) {
            run_all(&s, h, 2, 0);
            for (int i = 0; i < 2; i++) {
                wrong += h[i].ended != 1 || (h[i].end == JOB_FAILED) != (h[i].message[0] != 0);
                failed += h[i].end == JOB_FAILED;
            }
            scheduler_fini(&s);
        }
        mem_fail_at(-1);
    }
    ok(!wrong && failed > 2, "lack of memory ends the jobs it meets, %d of them", failed);
}

int main(void)
{
    struct model m;
    struct err e;
    char *path = test_data("models/llama");
    if (!path || !ok(!model_open(&m, path, MODEL_READ, &e), "the model"))
        return done();
    for (int slots = 1; slots <= 7; slots += 3)
        for (int every = 0; every < 3; every += 2) {
            check_like_generate(&m, 0, slots, every);
            check_like_generate(&m, 1.5, slots, every);
        }
    check_samples(&m);
    check_logps(&m);
    check_ends(&m);
    check_memory(&m);
    model_close(&m);
    free(path);
    return done();
}
