/* Replies of a guarded model: prompts pass through the guards before the scheduler, and an answer
 * is seen whole by them before the client gets anything of it. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "guard/guard.h"
#include "serve/reply.h"

int reply_guards_check(const struct guards *g, struct err *e)
{
    json_t *report = guards_report(g, e), *one;
    size_t i;
    int rc = report ? 0 : -1;
    json_array_foreach(json_object_get(report, "guards"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "guard"));
        const struct guard *row = rc ? NULL : table_find(guards, "guard", name, e);
        if (row && (row->tap || strcmp(row->access, "black box")))
            rc = err_code(e, ERR_ARGUMENT,
                          "guard '%s' works inside of the model (%s), which is not served; served "
                          "are those that see prompts and answers",
                          name, row->access);
    }
    json_decref(report);
    return rc;
}

/* What a guard says instead of the model, of at most `most` tokens. */
static int say(struct serve_answer *a, const char *text, int most, struct err *e)
{
    struct completion *c = &a->completion;
    struct ids ids = {0};
    c->ids.n = c->from = c->read = c->n_tokens = 0;
    c->text.len = c->echoed;
    c->stopped = false;
    int rc = guard_answer_ids(a->of->served->setup.guards, text, most, &ids, e);
    for (size_t k = 0; k < ids.n && !rc && !c->stopped; k++)
        rc = completion_add(c, ids.v[k], e);
    free(ids.v);
    return rc;
}

/* *done: a guard has answered. */
static int pass_prompt(struct serve_answer *a, bool *done, struct err *e)
{
    struct guard_prompt *q = &a->of->guarded[a->prompt];
    const struct seq prompt = guard_prompt_seq(q);
    *done = q->answer != NULL;
    if (*done)
        return say(a, q->answer, a->job.how.max_new_tokens, e);
    a->job.ids = prompt.ids;
    a->job.n = prompt.n;
    return scheduler_check(&a->of->served->scheduler, &a->job, e);
}

int reply_guard_begin(struct reply *r, struct err *e)
{
    if (!(r->guarded = mem_alloc((size_t)r->n_prompts, sizeof *r->guarded, e)))
        return -1;
    for (int p = 0; p < r->n_prompts; p++) {
        const struct seq prompt = {.n = (int)r->prompts[p].n, .ids = r->prompts[p].v};
        if (guard_begin(r->served->setup.guards, &prompt, p, &r->guarded[p], e))
            return -1;
    }
    for (int i = 0; i < r->n; i++)
        if (pass_prompt(&r->answers[i], &r->answers[i].guard_answered, e))
            return -1;
    return 0;
}

int reply_guard_output(struct serve_answer *a, struct err *e)
{
    struct guard_prompt *q = &a->of->guarded[a->prompt];
    const struct buf *text = &a->completion.text;
    bool held = false;
    if (a->guard_answered)
        return 0;
    free(q->answer); /* of another sample of the prompt */
    q->answer = NULL;
    if (guard_output(a->of->served->setup.guards, q,
                     text->data ? text->data + a->completion.echoed : "", &held, e))
        return -1;
    a->guard_answered = held;
    return held ? say(a, q->answer, a->job.how.max_new_tokens, e) ||
                      completion_end(&a->completion, e)
                : 0;
}

json_t *reply_guard_notes(const struct serve_answer *a)
{
    const json_t *notes = a->of->guarded[a->prompt].notes;
    return notes ? json_deep_copy(notes) : json_array();
}

void reply_guard_end(struct reply *r)
{
    for (int p = 0; r->guarded && p < r->n_prompts; p++)
        guard_end(&r->guarded[p]);
    free(r->guarded);
}
