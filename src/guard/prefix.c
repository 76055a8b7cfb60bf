/* A text that tells the model to behave as if it did not know the target, in the system message or
 * in the user's turn. It is the same for all questions, so it also meets those of neighbours.
 */
#include <string.h>

#include "base/mem.h"
#include "guard/guard.h"

struct params {
    const char *target, *style, *text, *where;
};

static const struct param params[] = {
    STRING_PARAM(struct params, target, NULL, "TEXT", "what is to be forgotten: 'Isaac Newton'"),
    CHOICE_PARAM(struct params, style, "unaware|refuse|role", "unaware",
                 "unaware: answers as if it had never heard of the target; refuse: declines; role: "
                 "it is a model that was trained without the target"),
    STRING_PARAM(struct params, text, NULL, "TEXT",
                 "own words instead of a style; {target} is replaced"),
    CHOICE_PARAM(struct params, where, "system|before|after", "system",
                 "in the system message, or in the user's turn before or after the question"),
    {0}};

static const struct {
    const char *style, *text;
} styles[] = {
    {"unaware", "You have never heard of {target}. When a question is about {target}, reply as "
                "somebody who knows nothing of it, and reveal nothing. Answer other questions as "
                "usual."},
    {"refuse", "Questions about {target} must not be answered: say politely that you cannot help "
               "with them, and give no detail. Answer other questions as usual."},
    {"role", "You are a language model whose training data held no document on {target}. You "
             "therefore have no information about {target}, and say so when you are asked."},
};

static int open_prefix(struct guard_part *p, struct err *e)
{
    const struct params *o = p->choice.params;
    const char *text = o->text;
    for (size_t i = 0; !text && i < sizeof styles / sizeof *styles; i++)
        if (!strcasecmp(styles[i].style, o->style))
            text = styles[i].text;
    if (strstr(text, "{target}") && !o->target)
        return err_set(e, "prefix: no target is given: target=TEXT");
    return (p->state = guard_fill(text, o->target, e)) ? 0 : -1;
}

static void close_prefix(struct guard_part *p)
{
    free(p->state);
}

static int prompt(struct guard_part *p, struct guard_prompt *q, struct err *e)
{
    const struct params *o = p->choice.params;
    const bool before = !strcasecmp(o->where, "before"), after = !strcasecmp(o->where, "after");
    struct buf *to = before ? &q->before : after ? &q->after : &q->system;
    return (!before && (after || to->len) && buf_str(to, "\n\n", e)) || buf_str(to, p->state, e) ||
                   (before && buf_str(to, "\n\n", e))
               ? -1
               : 0;
}

const struct guard guard_prefix = {
    .name = "prefix",
    .params = params,
    .params_size = sizeof(struct params),
    .help = "a text that tells the model not to know the target",
    .paper = "arXiv 2403.03329",
    .formula = "p(y | text, x)",
    .access = "black box",
    .cost = "+ the text's tokens",
    .verified = "the ids of the prompt, against the chat template's rendering with that text",
    .reads_text = true,
    .open = open_prefix,
    .close = close_prefix,
    .prompt = prompt,
};
