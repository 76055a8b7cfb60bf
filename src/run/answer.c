#include "run/answer.h"

#include "base/log.h"
#include "base/mem.h"
#include "eval/answers.h"

int answer_prompts(struct setup *s, const struct rows *rows, const char *question_key,
                   int new_tokens, struct dataset *set, struct err *e)
{
    int rc;
    if (json_object_get(rows->v[0], "prompt_ids"))
        rc = setup_ids(s, ROLE_GENERIC, rows, set, e);
    else if (setup_check_rows(rows, question_key, "rows are a prompt, or {prompt_ids}", e))
        rc = err_subject(e, "prompt_key");
    else
        rc = setup_text(s, e) ||
             dataset_build(set, ROLE_GENERIC, rows, question_key, NULL, &s->encoder, e);
    return rc || dataset_check_room(set, rows, &s->encoder, new_tokens, e) ? -1 : 0;
}

int answer_examples(struct setup *s, const struct rows *rows, const char *question_key,
                    const char *answer_key, struct dataset *set, struct err *e)
{
    if (json_object_get(rows->v[0], "ids"))
        return setup_ids(s, ROLE_GENERIC, rows, set, e);
    if (setup_check_rows(rows, question_key, "rows are a prompt and its answer, or {ids}", e) ||
        setup_text(s, e))
        return -1;
    return dataset_build(set, ROLE_GENERIC, rows, question_key, answer_key, &s->encoder, e);
}

static int decode(void *tokenizer, const int *ids, int n, struct buf *out, struct err *e)
{
    return tokenizer_decode(tokenizer, ids, (size_t)n, true, out, e);
}

/* The same limit for every prompt; owned by the caller. */
static struct answer_limit *limits_of(int max_new_tokens, const char *const *stops, int n,
                                      struct err *e)
{
    struct answer_limit *limits = mem_alloc((size_t)n, sizeof *limits, e);
    for (int i = 0; limits && i < n; i++)
        limits[i] = (struct answer_limit){max_new_tokens, stops};
    return limits;
}

int answer_generate(struct setup *s, const struct dataset *prompts, const char *const *stops,
                    const struct generate_options *how, struct generation **g, struct err *e)
{
    *g = NULL;
    if (prompts->n > INT32_MAX / how->samples)
        return err_set(e, "%d answers to each of %d prompts are too many", how->samples,
                       prompts->n);
    const int n = prompts->n * how->samples;
    struct stops at = {.limits = limits_of(how->max_new_tokens, stops, prompts->n, e),
                       .samples = how->samples,
                       .decode = decode,
                       .ctx = s->tokenizer,
                       .e = e};
    struct generate_options go = *how;
    go.token = stops_reached;
    go.token_ctx = &at;
    go.mask_positions = s->compat & COMPAT_PAD_EOS_MASK;
    struct progress bar;
    int rc = -1;
    if (at.limits && (*g = mem_alloc((size_t)n, sizeof **g, e))) {
        progress_start(&bar, "generate", n);
        rc = model_generate(*g, &s->model, prompts->seqs, prompts->n, &go, &bar, e) || at.failed;
        progress_end(&bar);
    }
    free((void *)(uintptr_t)at.limits);
    return rc;
}

void answer_free(struct generation *g, size_t n)
{
    for (size_t i = 0; g && i < n; i++)
        generation_fini(&g[i]);
    free(g);
}

int answer_text(const struct setup *s, const struct generation *g, const char *const *stops,
                struct buf *text, struct err *e)
{
    const size_t before = text->len;
    if (decode(s->tokenizer, g->ids, g->n, text, e))
        return -1;
    if (text->len > before)
        text->len = before + stops_find(text->data + before, text->len - before, stops);
    return 0;
}
