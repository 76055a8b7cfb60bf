/* Generation against transformers' generate() on a small llama: ids and margins, also with masked
 * tokens inside the prompts; then what must hold of any sampler. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "figures.h"
#include "model/forward.h"
#include "model/generate.h"
#include "model/head.h"

#define MARGIN_TOL 1e-3

enum { PROMPTS = 4 };

/* The prompts of a golden file: `llama.json` names ids, the mask of each is 0 where `masked` is. */
struct golden {
    json_t *rows;
    struct seq prompts[PROMPTS];
    int *ids[PROMPTS];
    uint8_t *mask[PROMPTS];
};

static int *ints(const json_t *list, int *n)
{
    *n = (int)json_array_size(list);
    int *v = calloc((size_t)*n + 1, sizeof *v);
    for (int i = 0; i < *n; i++)
        v[i] = (int)json_integer_value(json_array_get(list, (size_t)i));
    return v;
}

static bool golden_open(struct golden *g, const char *name, int masked)
{
    char file[64];
    snprintf(file, sizeof file, "generate/%s.json", name);
    *g = (struct golden){.rows = load(test_data(file))};
    if (!ok(json_array_size(g->rows) == PROMPTS, "%s: %d prompts", name, PROMPTS))
        return false;
    for (int i = 0; i < PROMPTS; i++) {
        struct seq *s = &g->prompts[i];
        g->ids[i] = ints(json_object_get(json_array_get(g->rows, (size_t)i), "prompt"), &s->n);
        g->mask[i] = calloc((size_t)s->n, 1);
        for (int t = 0; t < s->n; t++)
            g->mask[i][t] = g->ids[i][t] != masked;
        s->ids = g->ids[i];
        s->mask = g->mask[i];
    }
    return true;
}

static void golden_close(struct golden *g)
{
    for (int i = 0; i < PROMPTS; i++) {
        free(g->ids[i]);
        free(g->mask[i]);
    }
    json_decref(g->rows);
}

static void free_all(struct generation *g, int n)
{
    for (int i = 0; i < n; i++)
        generation_fini(&g[i]);
}

static void check_row(const char *name, int i, const struct generation *g, const json_t *row)
{
    const json_t *new_tokens = json_object_get(row, "new_tokens");
    const json_t *margins = json_object_get(row, "margins");
    int n, same = 0;
    int *want = ints(new_tokens, &n);
    double worst = 0;
    for (int k = 0; k < n && k < g->n; k++) {
        double off =
            fabs((double)g->margins[k] - json_number_value(json_array_get(margins, (size_t)k)));
        same += g->ids[k] == want[k];
        worst = off <= worst ? worst : off;
    }
    ok(g->n == n && same == n, "%s, prompt %d: the same %d ids", name, i, n);
    near(worst, 0, 0, MARGIN_TOL, "%s, prompt %d: margins", name, i);
    free(want);
}

static void check_golden(struct model *m, const char *name, int masked, int steps, bool move)
{
    struct err e;
    struct golden g;
    if (!golden_open(&g, name, masked))
        return;
    /* By 2 and 3 a prompt takes the place of one that is done while others go on. */
    for (int batch = 1; batch <= PROMPTS; batch++) {
        struct generation out[PROMPTS] = {{0}};
        struct generate_options o = {
            .max_new_tokens = steps, .batch = batch, .mask_positions = move};
        char what[64];
        snprintf(what, sizeof what, "%s by %d", name, batch);
        if (ok(!model_generate(out, m, g.prompts, PROMPTS, &o, NULL, &e), "%s", what))
            for (int i = 0; i < PROMPTS; i++)
                check_row(what, i, &out[i], json_array_get(g.rows, (size_t)i));
        else
            note("%s", e.msg);
        free_all(out, PROMPTS);
    }
    golden_close(&g);
}

/* With an end token that does come up: it is the last id, and what follows it is never computed. */
static void check_end(struct model *m)
{
    struct err e;
    struct golden g;
    if (!golden_open(&g, "llama", -1))
        return;
    struct generation whole[PROMPTS] = {{0}}, cut[PROMPTS] = {{0}}, full[PROMPTS] = {{0}};
    struct generate_options o = {.max_new_tokens = 24, .ignore_eos = true};
    model_generate(whole, m, g.prompts, PROMPTS, &o, NULL, &e);
    struct model_config kept = m->cfg;
    m->cfg.eos[0] = whole[0].ids[6];
    m->cfg.n_eos = 1;
    o.ignore_eos = false;
    model_generate(cut, m, g.prompts, PROMPTS, &o, NULL, &e);
    o.ignore_eos = true;
    model_generate(full, m, g.prompts, PROMPTS, &o, NULL, &e);
    for (int i = 0; i < PROMPTS; i++) {
        int n = 0;
        while (n < whole[i].n && whole[i].ids[n] != m->cfg.eos[0])
            n++;
        bool ends = n < whole[i].n;
        ok(cut[i].n == n + ends && cut[i].ended == ends &&
               !memcmp(cut[i].ids, whole[i].ids, (size_t)cut[i].n * sizeof(int)),
           "prompt %d: %s after %d ids", i, ends ? "the end token" : "no end", cut[i].n);
        ok(full[i].n == 24 && !full[i].ended &&
               !memcmp(full[i].ids, whole[i].ids, 24 * sizeof(int)),
           "prompt %d: ignore_eos goes on", i);
    }
    m->cfg = kept;
    free_all(whole, PROMPTS);
    free_all(cut, PROMPTS);
    free_all(full, PROMPTS);
    golden_close(&g);
}

/* The draws of a prompt depend on the seed and its number, not on who shares its batch. */
static void check_batches(struct model *m)
{
    struct err e;
    struct golden g;
    if (!golden_open(&g, "llama", -1))
        return;
    struct generation one[PROMPTS] = {{0}}, all[PROMPTS] = {{0}}, other[PROMPTS] = {{0}};
    struct generate_options o = {
        .max_new_tokens = 24, .batch = 1, .temperature = 1.5, .top_p = 0.95, .seed = 7};
    model_generate(one, m, g.prompts, PROMPTS, &o, NULL, &e);
    o.batch = PROMPTS;
    model_generate(all, m, g.prompts, PROMPTS, &o, NULL, &e);
    o.seed = 8;
    model_generate(other, m, g.prompts, PROMPTS, &o, NULL, &e);
    int same = 0, differ = 0;
    for (int i = 0; i < PROMPTS; i++) {
        same +=
            one[i].n == all[i].n && !memcmp(one[i].ids, all[i].ids, (size_t)one[i].n * sizeof(int));
        differ += one[i].n != other[i].n ||
                  memcmp(one[i].ids, other[i].ids, (size_t)one[i].n * sizeof(int)) != 0;
    }
    ok(same == PROMPTS, "sampling: a batch of 1 and of %d draw the same ids", PROMPTS);
    ok(differ == PROMPTS, "sampling: another seed, other ids");
    free_all(one, PROMPTS);
    free_all(all, PROMPTS);
    free_all(other, PROMPTS);
    golden_close(&g);
}

enum { FAMILY = 11, FAMILY_ROOM = 48 };

/* Prompts that begin like the first one, the more the later, among them one that is its beginning,
 * one that is nothing like it and a copy of that one. */
static void make_family(struct seq *prompts, int ids[][FAMILY_ROOM], uint8_t mask[][FAMILY_ROOM],
                        bool masked)
{
    enum { BEGINNING = 2, OTHER = 3, COPY = 4, LEN = 30 };
    struct rng r;
    rng_seed(&r, 11);
    for (int i = 0; i < FAMILY; i++) {
        int like = i == COPY ? OTHER : 0, n = i > COPY ? LEN + i : LEN;
        int shared = i == 0 || i == OTHER ? 0 : i == BEGINNING || i == COPY ? LEN : 10 + 2 * i;
        for (int t = 0; t < n; t++) {
            bool alike = t < shared;
            ids[i][t] = alike ? ids[like][t] : 1 + (int)rng_below(&r, 300);
            mask[i][t] = alike ? mask[like][t] : t % 7 != 3;
        }
        prompts[i] =
            (struct seq){.n = i ? n : n + 5, .ids = ids[i], .mask = masked ? mask[i] : NULL};
    }
    for (int t = LEN; t < LEN + 5; t++) {
        ids[0][t] = t;
        mask[0][t] = 1;
    }
}

/* Prompts that share their beginning, in any order and number at once, against one by one. */
static void check_shared(struct model *m, bool masked, bool move)
{
    static int ids[FAMILY][FAMILY_ROOM];
    static uint8_t mask[FAMILY][FAMILY_ROOM];
    struct seq prompts[FAMILY], turned[FAMILY];
    struct generation one[FAMILY] = {{0}};
    struct err e;
    struct generate_options o = {.max_new_tokens = 12, .mask_positions = move};
    double worst = 0;
    int same = 0, n = 0;
    make_family(prompts, ids, mask, masked);
    for (int i = 0; i < FAMILY; i++) {
        turned[FAMILY - 1 - i] = prompts[i];
        model_generate(&one[i], m, &prompts[i], 1, &o, NULL, &e);
    }
    for (o.batch = 1; o.batch <= FAMILY; o.batch += 5)
        for (int turn = 0; turn < 2; turn++) {
            struct generation all[FAMILY] = {{0}};
            model_generate(all, m, turn ? turned : prompts, FAMILY, &o, NULL, &e);
            for (int i = 0; i < FAMILY; i++, n++) {
                const struct generation *g = &all[turn ? FAMILY - 1 - i : i];
                same += g->n == one[i].n && !memcmp(g->ids, one[i].ids, (size_t)g->n * sizeof(int));
                for (int k = 0; k < g->n && k < one[i].n; k++)
                    worst = fmax(worst, fabs((double)g->margins[k] - (double)one[i].margins[k]));
            }
            free_all(all, FAMILY);
        }
    ok(same == n, "prompts that begin alike%s: %d of %d as one by one",
       move     ? ", positions counting masked tokens"
       : masked ? ", with masked tokens"
                : "",
       same, n);
    near(worst, 0, 0, 1e-4, "their margins");
    free_all(one, FAMILY);
}

/* Several answers to a prompt: the first is the one that a single answer is, each is its own draw
 * and the same whatever the batch, and the prompt itself is computed once. */
static void check_samples(struct model *m)
{
    enum { SAMPLES = 5, ALL = PROMPTS * SAMPLES };
    struct golden g;
    struct err e;
    struct generate_options o = {
        .max_new_tokens = 12, .temperature = 1.5, .top_p = 0.95, .seed = 7, .batch = 1};
    struct generation one[PROMPTS] = {{0}}, first[ALL] = {{0}};
    int same = 0, begins = 0, equal = 0;
    if (!golden_open(&g, "llama", -1))
        return;
    model_generate(one, m, g.prompts, PROMPTS, &o, NULL, &e);
    o.samples = SAMPLES;
    model_generate(first, m, g.prompts, PROMPTS, &o, NULL, &e);
    for (o.batch = 2; o.batch <= ALL; o.batch += 3) {
        struct generation all[ALL] = {{0}};
        model_generate(all, m, g.prompts, PROMPTS, &o, NULL, &e);
        for (int i = 0; i < ALL; i++)
            same += all[i].n != first[i].n ||
                    memcmp(all[i].ids, first[i].ids, (size_t)all[i].n * sizeof(int)) != 0;
        free_all(all, ALL);
    }
    for (int i = 0; i < ALL; i++) {
        const struct generation *a = &first[i], *b = &one[i / SAMPLES];
        bool is = a->n == b->n && !memcmp(a->ids, b->ids, (size_t)a->n * sizeof(int));
        begins += i % SAMPLES == 0 && is;
        equal += i % SAMPLES != 0 && is;
    }
    ok(!same, "%d answers a prompt are the same whatever the batch: %d differ", SAMPLES, same);
    ok(begins == PROMPTS && !equal, "the first is that of one answer, the others are not");
    free_all(one, PROMPTS);
    free_all(first, ALL);
    golden_close(&g);
}

/* Forbids the tokens it is told to, and counts the calls. */
struct hook {
    int forbidden, logits, tokens, last[PROMPTS];
    bool right;
};

static int forbid(void *ctx, int answer, const int *ids, int n, float *z, struct err *e)
{
    struct hook *h = ctx;
    h->logits++;
    h->right &= n == 0 || ids[n - 1] == h->last[answer];
    if (n == 3 && h->forbidden < 0)
        return err_set(e, "no more");
    if (h->forbidden >= 0)
        z[h->forbidden] = -INFINITY;
    return 0;
}

static bool count(void *ctx, int answer, const int *ids, int n)
{
    struct hook *h = ctx;
    h->tokens++;
    h->last[answer] = ids[n - 1];
    return false;
}

static void check_hooks(struct model *m)
{
    struct golden g;
    struct err e;
    struct generation free_to[PROMPTS] = {{0}}, held[PROMPTS] = {{0}};
    struct generate_options o = {.max_new_tokens = 8, .ignore_eos = true, .batch = 3};
    if (!golden_open(&g, "llama", -1))
        return;
    model_generate(free_to, m, g.prompts, PROMPTS, &o, NULL, &e);
    struct hook h = {.forbidden = free_to[0].ids[2], .right = true};
    o.logits = forbid;
    o.token = count;
    o.logits_ctx = o.token_ctx = &h;
    model_generate(held, m, g.prompts, PROMPTS, &o, NULL, &e);
    int said = 0;
    for (int i = 0; i < PROMPTS; i++)
        for (int t = 0; t < held[i].n; t++)
            said += held[i].ids[t] == h.forbidden;
    ok(!said && !memcmp(held[0].ids, free_to[0].ids, 2 * sizeof(int)) &&
           held[0].ids[2] != free_to[0].ids[2],
       "a hook on the logits forbids a token");
    ok(h.right && h.logits == 8 * PROMPTS && h.tokens == h.logits,
       "hooks see every token: %d of logits, %d of tokens", h.logits, h.tokens);
    free_all(held, PROMPTS);
    h.forbidden = -1;
    ok(model_generate(held, m, g.prompts, PROMPTS, &o, NULL, &e) && !strcmp(e.msg, "no more"),
       "a hook that fails ends it: %s", e.msg);
    free_all(held, PROMPTS);
    free_all(free_to, PROMPTS);
    golden_close(&g);
}

static bool stop_at(void *ctx, int prompt, const int *ids, int n)
{
    const int *limit = ctx;
    return n == limit[prompt] && ids[n - 1] >= 0;
}

static void check_stop(struct model *m)
{
    int limit[PROMPTS] = {3, 1, 100, 7}, right = 0;
    struct generation whole[PROMPTS] = {{0}}, cut[PROMPTS] = {{0}};
    struct generate_options o = {.max_new_tokens = 9, .ignore_eos = true, .batch = 2};
    struct golden g;
    struct err e;
    if (!golden_open(&g, "llama", -1))
        return;
    model_generate(whole, m, g.prompts, PROMPTS, &o, NULL, &e);
    o.token = stop_at;
    o.token_ctx = limit;
    model_generate(cut, m, g.prompts, PROMPTS, &o, NULL, &e);
    for (int i = 0; i < PROMPTS; i++)
        right += cut[i].n == (limit[i] < 9 ? limit[i] : 9) && !cut[i].ended &&
                 !memcmp(cut[i].ids, whole[i].ids, (size_t)cut[i].n * sizeof(int));
    ok(right == PROMPTS, "each prompt stops where it is told to");
    free_all(whole, PROMPTS);
    free_all(cut, PROMPTS);
    golden_close(&g);
}

static void check_refusals(struct model *m)
{
    struct err e;
    struct generation out = {0};
    struct generate_options o = {.max_new_tokens = 510};
    struct seq s = {.n = 3, .ids = (int[]){1, 2, 3}};
    ok(model_generate(&out, m, &s, 1, &o, NULL, &e) && strstr(e.msg, "512 positions"), "%s", e.msg);
    generation_fini(&out);
    s.n = 0;
    ok(model_generate(&out, m, &s, 1, &o, NULL, &e) && strstr(e.msg, "is empty"), "%s", e.msg);
    s = (struct seq){.n = 1, .ids = (int[]){320}};
    o.max_new_tokens = 1;
    ok(model_generate(&out, m, &s, 1, &o, NULL, &e) && strstr(e.msg, "320 is outside"), "%s",
       e.msg);
    generation_fini(&out);
}

/* Every allocation on the way may fail: an error, and nothing is left (the sanitizer tells). */
static void check_memory(struct model *m)
{
    struct err e;
    struct golden g;
    if (!golden_open(&g, "llama", -1))
        return;
    int failed = 0;
    for (long nth = 0, rc = -1; rc; nth++) {
        struct generation out[PROMPTS] = {{0}};
        struct generate_options o = {
            .max_new_tokens = 3, .batch = 2, .temperature = 1, .top_p = 0.9};
        mem_fail_at(nth);
        rc = model_generate(out, m, g.prompts, PROMPTS, &o, NULL, &e);
        mem_fail_at(-1);
        failed += rc != 0;
        free_all(out, PROMPTS);
    }
    ok(failed > 20, "%d allocations failed, each with an error", failed);
    golden_close(&g);
}

/* What the planning functions foretell is what a pass takes, but for the batch's own small arrays.
 */
static void check_plan(struct model *m)
{
    enum { N = 200, C = 64 };
    struct err e;
    struct batch b;
    struct label_rows rows;
    struct pass p;
    struct head h;
    struct arena a;
    int ids[N];
    static float dx[N * C];
    for (int i = 0; i < N; i++)
        ids[i] = i + 1;
    struct seq s = {.n = N, .ids = ids, .labels = ids};
    float *grads = mem_alloc(m->table.total, sizeof *grads, &e);
    for (int keep = 0; keep < 2; keep++) {
        arena_init(&a);
        bool fine = !batch_pack(&b, &s, 1, m->cfg.vocab, N, &a, &e) &&
                    !batch_label_rows(&rows, &b, &s, &a, &e) &&
                    !model_forward(m, &b, &(struct forward){.keep = keep}, &p, &a, &e) &&
                    !head_init(&h, &p, &rows, keep, &a, &e);
        if (keep)
            fine = fine && !head_finish_back(&h, dx, grads, &a, &e) &&
                   !pass_backward(&p, dx, grads, &a, &e);
        ok(fine, "%s: done", keep ? "both" : "forward");
        size_t want = forward_bytes(&m->cfg, N, keep) + head_bytes(&m->cfg, N, keep);
        want += keep ? backward_bytes(&m->cfg, N) - sizeof dx : 0; /* dx is ours */
        near((double)a.high, (double)want, 0.02, 0, "bytes of %s", keep ? "both" : "a forward");
        arena_fini(&a);
    }
    free(grads);
}

int main(void)
{
    struct err e;
    struct model m;
    char *path = test_data("models/llama");
    if (!ok(!model_open(&m, path, false, &e), "open"))
        return note("%s", e.msg), done();
    free(path);
    check_golden(&m, "llama", -1, 24, false);
    check_golden(&m, "llama_pad_eos", 2, 12, true);
    check_end(&m);
    check_batches(&m);
    check_shared(&m, false, false);
    check_shared(&m, true, false);
    check_shared(&m, true, true);
    check_stop(&m);
    check_samples(&m);
    check_hooks(&m);
    check_refusals(&m);
    check_memory(&m);
    check_plan(&m);
    model_close(&m);
    return done();
}
