/* Models that are open for reading (unlearn.h): tokens, log-probabilities, generated answers. */
#include <string.h>

#include "api/engine.h"
#include "base/mem.h"
#include "eval/answers.h"
#include "model/score.h"
#include "run/answer.h"
#include "text/ids.h"

/* --- open and close --- */

static int configure(struct unlearn_engine *g, const char *model, const char *const *options,
                     struct err *e)
{
    struct param_table tables[] = {{"model and text", setup_params, &g->o},
                                   {"conversations", chat_params, &g->o.chat},
                                   {"guards", guard_params, &g->o.guard}};
    enum { TABLES = sizeof tables / sizeof *tables };
    if (api_options_init(&g->options, e) || api_options_set(&g->options, "model", model, e))
        return -1;
    for (; options && *options; options += 2)
        if (api_options_set(&g->options, options[0], options[1], e))
            return -1;
    for (int k = 0; k < TABLES; k++)
        if (api_options_take(&g->options, &tables[k], NULL, e))
            return -1;
    return api_options_check(&g->options, tables, TABLES, e);
}

int unlearn_engine_open(struct unlearn_engine **out, const char *model, const char *const *options,
                        const struct unlearn_hooks *h, struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct api_call call;
    *out = NULL;
    api_begin(&call, h);
    struct unlearn_engine *g = mem_alloc(1, sizeof *g, &own);
    int rc = !g || configure(g, model, options, &own) || setup_open_ensemble(&g->s, &g->o, &own);
    if (!rc) {
        g->open = true;
        setup_has_tokenizer(&g->s); /* ids without a token are not chosen */
        *out = g;
    } else {
        unlearn_engine_close(g);
    }
    return api_end(&call, rc, e, &own);
}

void unlearn_engine_close(struct unlearn_engine *g)
{
    if (g && g->open)
        setup_close(&g->s);
    if (g)
        api_options_fini(&g->options);
    free(g);
}

int unlearn_engine_vocab(const struct unlearn_engine *g)
{
    return g->s.model.cfg.vocab;
}

int unlearn_engine_positions(const struct unlearn_engine *g)
{
    return g->s.model.cfg.positions;
}

void engine_begin(struct api_call *c, const struct unlearn_engine *g, const struct unlearn_hooks *h)
{
    api_begin(c, h);
    if (g->o.threads)
        ops_set_threads((int)g->o.threads);
}

/* --- tokens --- */

int unlearn_engine_encode(struct unlearn_engine *g, const char *text, int **ids, int *n,
                          struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct api_call call;
    struct ids list = {0};
    api_begin(&call, NULL);
    const int rc = setup_tokenizer(&g->s, &own) ||
                   tokenizer_encode(g->s.tokenizer, text, strlen(text), true, &list, &own);
    if (rc)
        free(list.v), list = (struct ids){0};
    *ids = list.v;
    *n = (int)list.n;
    return api_end(&call, rc, e, &own);
}

int unlearn_engine_decode(struct unlearn_engine *g, const int *ids, int n, char **text,
                          struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct api_call call;
    struct buf out = {0};
    api_begin(&call, NULL);
    const int rc = setup_tokenizer(&g->s, &own) || buf_str(&out, "", &own) ||
                   tokenizer_decode(g->s.tokenizer, ids, n > 0 ? (size_t)n : 0, true, &out, &own);
    if (rc)
        buf_fini(&out);
    *text = out.data;
    return api_end(&call, rc, e, &own);
}

/* --- log-probabilities --- */

struct unlearn_scores {
    struct dataset set;
    struct scores scores;
};

void unlearn_scores_free(struct unlearn_scores *s)
{
    if (s) {
        scores_fini(&s->scores);
        dataset_fini(&s->set);
    }
    free(s);
}

static int score(struct unlearn_engine *g, const struct rows *rows, struct unlearn_scores *s,
                 const struct unlearn_hooks *h, struct err *e)
{
    const struct score_options how = {.interrupt = h->interrupt};
    struct progress bar;
    if (answer_examples(&g->s, rows, "question", "answer", &s->set, e))
        return -1;
    progress_start(&bar, "score", s->set.n);
    const int rc = model_score(&s->scores, &g->s.model, s->set.seqs, s->set.n, &how, &bar, e);
    progress_end(&bar);
    return rc;
}

int unlearn_score(struct unlearn_engine *g, const char *text, size_t n,
                  const struct unlearn_hooks *h, struct unlearn_scores **out,
                  struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct api_call call;
    struct rows rows = {0};
    engine_begin(&call, g, h);
    struct unlearn_scores *s = mem_alloc(1, sizeof *s, &own);
    const int rc =
        !s || rows_read(&rows, "rows", text, n, &own) || score(g, &rows, s, &call.hooks, &own);
    rows_close(&rows);
    if (rc)
        unlearn_scores_free(s);
    *out = rc ? NULL : s;
    return api_end(&call, rc, e, &own);
}

int unlearn_scores_count(const struct unlearn_scores *s)
{
    return s ? s->set.n : 0;
}

void unlearn_scores_get(const struct unlearn_scores *s, int i, struct unlearn_scored *out)
{
    *out = (struct unlearn_scored){0};
    if (i < 0 || i >= unlearn_scores_count(s))
        return;
    const struct score *c = &s->scores.v[i];
    *out = (struct unlearn_scored){.row = s->set.rows[i],
                                   .n_ids = s->set.seqs[i].n,
                                   .ids = s->set.seqs[i].ids,
                                   .n = c->n,
                                   .labels = c->label,
                                   .logprobs = c->logp};
}

/* --- generated answers --- */

struct unlearn_answers {
    struct dataset prompts;
    struct generation *v; /* owned [n] */
    char **text;          /* owned [n]; NULL: the model has no tokenizer */
    int n, samples;
};

void unlearn_answers_free(struct unlearn_answers *a)
{
    if (!a)
        return;
    for (int i = 0; a->text && i < a->n; i++)
        free(a->text[i]);
    free(a->text);
    answer_free(a->v, (size_t)a->n);
    dataset_fini(&a->prompts);
    free(a);
}

static int check_generation(const struct generate_options *o, struct err *e)
{
    if (o->max_new_tokens < 1)
        return err_about(e, "max_new_tokens", "an answer of %d tokens is none", o->max_new_tokens);
    if (o->samples < 1 || (o->samples > 1 && o->temperature == 0))
        return err_about(e, "samples",
                         o->samples < 1
                             ? "%d answers of each prompt were asked for: 1 is the least"
                             : "%d greedy answers would be the same: give a temperature above 0",
                         o->samples);
    if (!(o->temperature >= 0 && o->temperature <= 1e6))
        return err_about(e, "temperature", "a temperature of %g is out of range: 0 to 1e6",
                         o->temperature);
    return o->top_p > 0 && o->top_p <= 1
               ? 0
               : err_about(e, "top_p", "top_p %g is out of range: above 0, up to 1", o->top_p);
}

/* The texts of all answers. */
static int decode_answers(const struct setup *s, struct unlearn_answers *a,
                          const char *const *stops, struct err *e)
{
    if (!(a->text = mem_alloc((size_t)a->n, sizeof *a->text, e)))
        return -1;
    for (int i = 0; i < a->n; i++) {
        struct buf text = {0};
        int rc = buf_str(&text, "", e) || answer_text(s, &a->v[i], stops, &text, e);
        if (!rc)
            text.data[text.len] = 0;
        a->text[i] = text.data;
        if (rc)
            return -1;
    }
    return 0;
}

static int generate(struct unlearn_engine *g, const struct rows *rows, const char *stop,
                    const struct generate_options *how, struct unlearn_answers *a, struct err *e)
{
    struct stop_list stops = {0};
    const bool has_text = setup_has_tokenizer(&g->s);
    int rc = check_generation(how, e) || (stop && stop_list_parse(&stops, stop, e)) ||
             (stop && setup_tokenizer(&g->s, e)) ||
             answer_prompts(&g->s, rows, "question", how->max_new_tokens, &a->prompts, e);
    if (!rc) {
        const char *const *list = (const char *const *)stops.v;
        a->samples = how->samples;
        rc = answer_generate(&g->s, &a->prompts, list, how, &a->v, e);
        a->n = a->v ? a->prompts.n * how->samples : 0;
        rc = rc || (has_text && decode_answers(&g->s, a, list, e));
    }
    stop_list_fini(&stops);
    return rc;
}

int unlearn_generate(struct unlearn_engine *g, const char *text, size_t n,
                     const struct unlearn_generation *o, const struct unlearn_hooks *h,
                     struct unlearn_answers **out, struct unlearn_error *e)
{
    struct err own = {.msg = ""};
    struct api_call call;
    struct rows rows = {0};
    const struct unlearn_generation asked = o ? *o : (struct unlearn_generation){0};
    engine_begin(&call, g, h);
    const struct generate_options how = {.max_new_tokens =
                                             asked.max_new_tokens ? asked.max_new_tokens : 200,
                                         .samples = asked.samples ? asked.samples : 1,
                                         .temperature = asked.temperature,
                                         .top_p = asked.top_p == 0 ? 1 : asked.top_p,
                                         .seed = asked.seed,
                                         .interrupt = call.hooks.interrupt};
    struct unlearn_answers *a = mem_alloc(1, sizeof *a, &own);
    const int rc = !a || rows_read(&rows, "rows", text, n, &own) ||
                   generate(g, &rows, asked.stop, &how, a, &own);
    rows_close(&rows);
    if (rc)
        unlearn_answers_free(a);
    *out = rc ? NULL : a;
    return api_end(&call, rc, e, &own);
}

int unlearn_answers_count(const struct unlearn_answers *a)
{
    return a ? a->n : 0;
}

void unlearn_answers_get(const struct unlearn_answers *a, int i, struct unlearn_answer *out)
{
    *out = (struct unlearn_answer){0};
    if (i < 0 || i >= unlearn_answers_count(a))
        return;
    *out = (struct unlearn_answer){.row = i / a->samples,
                                   .sample = i % a->samples,
                                   .n = a->v[i].n,
                                   .ids = a->v[i].ids,
                                   .text = a->text ? a->text[i] : NULL};
}
