#include "eval/backend.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sizes.h"
#include "eval/example.h"
#include "eval/answers.h"
#include "model/model.h"
#include "model/label_batches.h"
#include "text/rendered.h"

/* Prompts that are generated and cached together: each group starts with an empty batch, so that
 * its answers depend on nothing outside of it. For a thousand answers of some fifty tokens that is
 * 3 to 7 % more work than refilling the batch across groups. */
enum { GROUP = SIZE(128, 3) };

void answers_free(struct answer *a, int n)
{
    for (int i = 0; a && i < n; i++) {
        free(a[i].input);
        free(a[i].whole);
        free(a[i].answer);
    }
    free(a);
}

static void add_scored(struct model_effort *f, const struct dataset *d, int times)
{
    f->sequences += (double)times * d->n;
    for (int i = 0; i < d->n; i++)
        f->tokens += (double)times * d->seqs[i].n;
}

/* Once, before anything is computed. */
static int show_first_row(struct model_backend *s, const struct dataset *d, struct err *e)
{
    if (!s->shows || s->first_row || !d->n)
        return 0;
    return !(s->first_row = rendered_row(s->tok, &d->seqs[0], e)) ||
                   rendered_note(s->first_row, NULL, e)
               ? -1
               : 0;
}

static int score(void *ctx, const struct dataset *d, bool distribution, struct scores *out,
                 struct err *e)
{
    struct model_backend *s = ctx;
    struct eval_cache_pass c = {.cache = &s->cache, .distribution = distribution};
    const struct batch_store store = {eval_cache_find_scores, eval_cache_add_scores, &c};
    struct score_options o = {.distribution = distribution,
                              .store = s->cache.file ? &store : NULL,
                              .interrupt = s->interrupt};
    struct progress bar;
    if (show_first_row(s, d, e))
        return -1;
    progress_start(&bar, "scoring", d->n);
    add_scored(&s->effort, d, 1);
    int rc = model_score(out, s->model, d->seqs, d->n, &o, &bar, e);
    progress_end(&bar);
    return rc;
}

/* The tokens before the first scored one. */
static struct seq prompt_of(const struct seq *q)
{
    return (struct seq){.n = seq_prompt(q), .ids = q->ids, .mask = q->mask};
}

/* A number for each sequence, computed one at a time: of(ctx, sequence, how). */
struct number {
    const char *name; /* for the progress bar */
    enum eval_cache_number what;
    int how;
    int (*of)(void *ctx, const struct seq *q, int how, double *out, struct err *e);
    void *ctx;
};

static int run_numbers(struct model_backend *s, const struct number *k, const struct dataset *d,
                       double *out, struct err *e)
{
    struct progress bar;
    int rc = show_first_row(s, d, e);
    progress_start(&bar, k->name, d->n);
    for (int i = 0; i < d->n && !rc; i++) {
        const struct seq *q = &d->seqs[i];
        if (eval_cache_find_number(&s->cache, k->what, k->how, q, &out[i])) {
            progress_skip(&bar, i + 1);
            continue;
        }
        rc = interrupt_check(s->interrupt, e) || k->of(k->ctx, q, k->how, &out[i], e) ||
             eval_cache_add_number(&s->cache, k->what, k->how, q, out[i], e);
        progress_step(&bar, i + 1, bar.tokens + q->n, NULL);
    }
    progress_end(&bar);
    return rc;
}

static int norm_of(void *ctx, const struct seq *q, int drop_last, double *out, struct err *e)
{
    (void)drop_last; /* in the context */
    return gradnorm_of(ctx, q, out, e);
}

static int gradnorm(void *ctx, const struct dataset *d, double *out, struct err *e)
{
    struct model_backend *s = ctx;
    struct gradnorm g;
    bool drop_last = s->compat & COMPAT_DROP_LAST_TOKEN;
    const struct number k = {"gradients", CACHED_NORM, drop_last, norm_of, &g};
    add_scored(&s->effort, d, 1);
    int rc = gradnorm_init(&g, s->model, drop_last, e) || run_numbers(s, &k, d, out, e);
    gradnorm_fini(&g);
    return rc;
}

static int extract_of(void *ctx, const struct seq *q, int n, double *out, struct err *e)
{
    return extract_likelihood(ctx, q->ids, q->n, seq_prompt(q), n, out, e);
}

static int extract(void *ctx, const struct dataset *d, int n, double *out, struct err *e)
{
    struct model_backend *s = ctx;
    const struct number k = {"extraction", CACHED_EXTRACT, n, extract_of, s->model};
    add_scored(&s->effort, d, 1);
    return run_numbers(s, &k, d, out, e);
}

/* Decodes without special tokens into an empty buffer, removes NUL, tidies spaces. */
static int decode_into(void *ctx, const int *ids, int n, struct buf *out, struct err *e)
{
    const struct model_backend *s = ctx;
    size_t kept = 0;
    if (tokenizer_decode(s->tok, ids, (size_t)n, true, out, e) || buf_add(out, "", 0, e))
        return -1;
    for (size_t i = 0; i < out->len; i++)
        if (out->data[i])
            out->data[kept++] = out->data[i];
    out->data[kept] = 0;
    text_tidy_spaces(out->data);
    out->len = strlen(out->data);
    return 0;
}

/* The same, owned by the caller. */
static char *decode(void *ctx, const int *ids, int n, struct err *e)
{
    struct buf b = {0};
    if (!decode_into(ctx, ids, n, &b, e))
        return b.data;
    buf_fini(&b);
    return NULL;
}

static int decode_all(struct model_backend *s, const struct dataset *d, const struct seq *prompts,
                      const struct answer_limit *limits, const struct generation *g,
                      struct answer *out, struct err *e)
{
    s->effort.answers += d->n;
    for (int i = 0; i < d->n; i++) {
        s->effort.new_tokens += g[i].n;
        int n = g[i].n - g[i].ended; /* an end token may be no special token of the tokenizer */
        if (!(out[i].input = decode(s, prompts[i].ids, prompts[i].n, e)) ||
            !(out[i].whole = decode(s, d->seqs[i].ids, d->seqs[i].n, e)) ||
            !(out[i].answer = decode(s, g[i].ids, n, e)))
            return -1;
        out[i].answer[stops_find(out[i].answer, strlen(out[i].answer), limits[i].stops)] = 0;
    }
    return 0;
}

static int longest(const struct answer_limit *limits, int n)
{
    int most = 0;
    for (int i = 0; i < n; i++)
        most = limits[i].max_new_tokens > most ? limits[i].max_new_tokens : most;
    return most;
}

/* prompts[n] and their limits, generated or from the cache. */
static int answer_group(struct model_backend *s, const struct seq *prompts,
                        const struct answer_limit *limits, int n, struct generation *out,
                        struct progress *bar, struct err *e)
{
    struct stops stops = {.limits = limits, .decode = decode_into, .ctx = s, .e = e};
    struct generate_options o = {.max_new_tokens = longest(limits, n),
                                 .batch = s->batch,
                                 .token = stops_reached,
                                 .token_ctx = &stops,
                                 .interrupt = s->interrupt,
                                 .mask_positions = s->compat & COMPAT_PAD_EOS_MASK};
    const struct eval_cache_answers a = {prompts, limits, &o, n};
    if (eval_cache_find_answers(&s->cache, &a, out)) {
        progress_skip(bar, bar->done + n);
        return 0;
    }
    if (model_generate(out, s->model, prompts, n, &o, bar, e) || stops.failed)
        return -1;
    return eval_cache_add_answers(&s->cache, &a, out, e);
}

static int generate(void *ctx, const struct dataset *d, const struct answer_limit *limits,
                    struct answer *out, struct err *e)
{
    struct model_backend *s = ctx;
    struct seq *prompts = mem_alloc((size_t)d->n, sizeof *prompts, e);
    struct generation *g = mem_alloc((size_t)d->n, sizeof *g, e);
    struct progress bar;
    int rc = prompts && g ? show_first_row(s, d, e) : -1;
    for (int i = 0; i < d->n && !rc; i++)
        prompts[i] = prompt_of(&d->seqs[i]);
    progress_start(&bar, "answering", d->n);
    for (int i = 0; i < d->n && !rc; i += GROUP) {
        int n = d->n - i < GROUP ? d->n - i : GROUP;
        rc = answer_group(s, prompts + i, limits + i, n, g + i, &bar, e);
    }
    progress_end(&bar);
    if (!rc)
        rc = decode_all(s, d, prompts, limits, g, out, e);
    for (int i = 0; g && i < d->n; i++)
        generation_fini(&g[i]);
    free(g);
    free(prompts);
    return rc;
}

int model_backend_set_cache(struct model_backend *s, struct cache_file *file, struct err *e)
{
    s->cache.file = file;
    return model_fingerprint(s->model, &s->cache.model, e);
}

int model_backend_init(struct model_backend *s, struct model *m, const struct tokenizer *tok,
                       unsigned compat, struct err *e)
{
    struct buf b = {0};
    int eos = tokenizer_eos(tok);
    *s = (struct model_backend){.model = m, .tok = tok, .compat = compat};
    if (eos >= 0 && tokenizer_decode(tok, &eos, 1, false, &b, e)) {
        buf_fini(&b);
        return -1;
    }
    s->eos = b.data;
    s->backend = (struct backend){.ctx = s,
                                  .score = score,
                                  .generate = generate,
                                  .gradnorm = gradnorm,
                                  .extract = extract,
                                  .decode = decode,
                                  .eos = s->eos};
    return 0;
}

void model_backend_fini(struct model_backend *s)
{
    free(s->eos);
    json_decref(s->first_row);
    *s = (struct model_backend){0};
}

static int compare(void *ctx, const struct dataset *d, struct divergence *out, struct err *e)
{
    struct model_pair *p = ctx;
    const struct eval_cache *r = &p->model->cache;
    struct eval_cache_pass c = {.cache = r, .other = p->retrained->cache.model};
    const struct batch_store store = {eval_cache_find_distances, eval_cache_add_distances, &c};
    const struct divergence_options o = {r->file ? &store : NULL, p->model->interrupt};
    struct progress bar;
    add_scored(&p->effort, d, 2);
    progress_start(&bar, "comparing", d->n);
    int rc =
        model_divergence(out, p->model->model, p->retrained->model, d->seqs, d->n, &o, &bar, e);
    progress_end(&bar);
    return rc;
}

struct comparer model_comparer(struct model_pair *p)
{
    return (struct comparer){p, compare};
}
