/* Filters of prompts and of answers by what they contain (match.h). */
#include <string.h>

#include "base/mem.h"
#include "guard/guard.h"
#include "guard/match.h"

struct params {
    struct match_params match;
    const char *refusal;
};

#define REFUSAL_PARAM                                                                              \
    STRING_PARAM(struct params, refusal, GUARD_REFUSAL, "TEXT", "what is answered instead")

static const struct param prompt_params[] = {
    MATCH_PARAMS(struct params, "question"), REFUSAL_PARAM, {0}};
static const struct param output_params[] = {
    MATCH_PARAMS(struct params, "answer"), REFUSAL_PARAM, {0}};

static int open_filter(struct guard_part *p, struct err *e)
{
    const struct params *o = p->choice.params;
    struct matcher *m = p->state = mem_alloc(1, sizeof *m, e);
    return m && !matcher_init(m, &o->match, e) ? 0 : -1;
}

static void close_filter(struct guard_part *p)
{
    if (p->state)
        matcher_fini(p->state);
    free(p->state);
}

static int find(struct guard_part *p, struct guard_prompt *q, const char *text, const char *action,
                bool *yes, struct err *e)
{
    const struct params *o = p->choice.params;
    struct match_hit hit;
    if (matcher_find(p->state, text, &hit, e))
        return -1;
    *yes = hit.found;
    if (!hit.found)
        return 0;
    free(q->answer);
    return (q->answer = mem_strdup(o->refusal, e)) ? guard_note(p, q, action, e, "%s", hit.why)
                                                   : -1;
}

static int filter_prompt(struct guard_part *p, struct guard_prompt *q, struct err *e)
{
    bool ignored;
    return find(p, q, q->text, "refused", &ignored, e);
}

static int filter_output(struct guard_part *p, struct guard_prompt *q, const char *text, bool *held,
                         struct err *e)
{
    return find(p, q, text, "withheld", held, e);
}

const struct guard guard_prompt_filter = {
    .name = "prompt-filter",
    .params = prompt_params,
    .params_size = sizeof(struct params),
    .help = "refuses prompts that have something of the forget texts",
    .formula = "refusal if match(x) else p(y | x)",
    .access = "black box",
    .cost = "x1",
    .verified = "texts in other case, without spaces, backwards",
    .reads_text = true,
    .open = open_filter,
    .close = close_filter,
    .prompt = filter_prompt,
};

const struct guard guard_output_filter = {
    .name = "output-filter",
    .params = output_params,
    .params_size = sizeof(struct params),
    .help = "withholds answers that have something of the forget texts",
    .paper = "arXiv 2403.03329",
    .formula = "refusal if match(y) else y, y ~ p(. | x)",
    .access = "black box",
    .cost = "x1",
    .verified = "texts in other case, without spaces, backwards",
    .reads_text = true,
    .open = open_filter,
    .close = close_filter,
    .output = filter_output,
};
