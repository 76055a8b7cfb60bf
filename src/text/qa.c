#include "text/qa.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"

static int encode(const struct qa_format *q, const struct chat_text *t, struct ids *out,
                  struct err *e)
{
    const struct buf *text = &t->text;
    const int front = tokenizer_front(q->tok);
    out->n = 0;
    if (front >= 0 && !(q->chat && (q->chat->own || chat_end_token(q->chat))) &&
        tokenizer_append(q->tok, front, out, e))
        return -1;
    const char *s = text->data ? text->data : "";
    return q->chat ? tokenizer_encode_around(q->tok, s, text->len, t->spans, t->n, out, e)
                   : tokenizer_encode(q->tok, s, text->len, true, out, e);
}

static int append_eos(const struct qa_format *q, struct ids *out, struct err *e)
{
    int eos = tokenizer_eos(q->tok);
    if (eos < 0)
        return err_set(e, "the tokenizer names no end-of-text token, which must follow an answer");
    return out->n && out->v[out->n - 1] == eos ? 0 : tokenizer_append(q->tok, eos, out, e);
}

/* What is asked: a text, or with a chat template its turns, the last of them unanswered. */
struct asked {
    const char *text;
    struct message *m; /* [n], with room for the answer */
    int n;
};

/* Appends the conversation; answer NULL: up to where the answer begins. */
static int render(const struct qa_format *q, const struct asked *a, const char *answer,
                  struct chat_text *text, struct err *e)
{
    if (a->n && !strcmp(a->m[0].role, "system") && answer && q->chat->system_unlearnt)
        return err_about(
            e, "system",
            "chat template '%s' shows a system text in front of an unanswered question "
            "only, so it cannot be learnt with an answer",
            q->chat->name);
    if (answer)
        a->m[a->n] = (struct message){"assistant", answer};
    return chat_render(q->chat, a->m, a->n + !!answer, !answer, text, e);
}

/* The last end-of-turn token closes the answer; text after it belongs to the template. */
static int close_turn(const struct qa_format *q, const char *end_token, struct ids *ids,
                      struct err *e)
{
    if (q->compat & COMPAT_APPEND_EOS)
        return append_eos(q, ids, e);
    int end = tokenizer_id(q->tok, end_token);
    for (size_t n = ids->n; n > 0; n--)
        if (ids->v[n - 1] == end) {
            ids->n = n;
            return 0;
        }
    return err_set(e, "chat template '%s' ends a turn with '%s', which the tokenizer does not know",
                   q->chat->name, end_token);
}

static int cut_and_end(struct qa_format *q, bool end, struct ids *ids, struct err *e)
{
    q->left_out = 0;
    if (q->max_length > 0 && ids->n > (size_t)q->max_length) {
        q->left_out = (int)ids->n - q->max_length;
        ids->n = (size_t)q->max_length;
    }
    return end ? append_eos(q, ids, e) : 0;
}

static int encode_pair(struct qa_format *q, const struct asked *a, const char *answer,
                       struct chat_text *text, struct err *e)
{
    const char *end = q->chat ? chat_end_token(q->chat) : NULL;
    if ((q->chat ? render(q, a, NULL, text, e) : chat_text_add(text, a->text, e)) ||
        encode(q, text, &q->prompt, e) || (!end && cut_and_end(q, false, &q->prompt, e)))
        return -1;
    if (!answer)
        return 0;
    if (!end)
        return chat_text_add(text, answer, e) || encode(q, text, &q->whole, e) ||
               cut_and_end(q, true, &q->whole, e);
    chat_text_clear(text);
    return render(q, a, answer, text, e) || encode(q, text, &q->whole, e) ||
           close_turn(q, end, &q->whole, e);
}

static int encode_text_prompt(struct qa_format *q, const char *prompt, const char *answer,
                              struct chat_text *text, struct err *e)
{
    struct message m[3];
    struct asked a = {.text = prompt, .m = m};
    if (q->system)
        m[a.n++] = (struct message){"system", q->system};
    m[a.n++] = (struct message){"user", prompt};
    return encode_pair(q, &a, answer, text, e);
}

static int encode_turns(struct qa_format *q, const json_t *turns, const char *answer,
                        struct chat_text *text, struct err *e)
{
    const size_t n = json_array_size(turns);
    const json_t *one;
    size_t i;
    if (!q->chat)
        return err_set(e, "a conversation needs a chat template, and this is 'none'");
    struct asked a = {.m = mem_alloc(n + 2, sizeof *a.m, e)};
    int rc = a.m ? 0 : -1;
    const char *first = json_string_value(json_object_get(json_array_get(turns, 0), "role"));
    if (!rc && q->system && first && strcmp(first, "system"))
        a.m[a.n++] = (struct message){"system", q->system};
    json_array_foreach(turns, i, one)
    {
        struct message *m = a.m ? &a.m[a.n] : NULL;
        const json_t *content = json_object_get(one, "content");
        rc = rc || json_need_str(one, "role", &m->role, e) ||
             json_need_str(one, "content", &m->content, e);
        if (!rc && strlen(m->content) != json_string_length(content))
            rc = err_set(e, "message %zu: a turn cannot hold the character NUL", i);
        a.n++;
    }
    rc = rc || encode_pair(q, &a, answer, text, e);
    free(a.m);
    return rc;
}

/* A text that answers nothing: scored whole, but for the token it starts with; with what the
 * tokenizer's post-processor appends. */
static int encode_text(struct qa_format *q, const char *answer, struct err *e)
{
    const int front = tokenizer_front(q->tok), back = tokenizer_back(q->tok);
    q->prompt.n = q->whole.n = 0;
    if (front >= 0 && (tokenizer_append(q->tok, front, &q->prompt, e) ||
                       tokenizer_append(q->tok, front, &q->whole, e)))
        return -1;
    if (tokenizer_encode(q->tok, answer, strlen(answer), true, &q->whole, e) ||
        (back >= 0 && tokenizer_append(q->tok, back, &q->whole, e)))
        return -1;
    return cut_and_end(q, false, &q->whole, e);
}

/* The results of a call. */
static void give(struct qa_format *q, bool answered, const int **prompt_ids, int *n_prompt,
                 const int **whole_ids, int *n_whole)
{
    const struct ids *whole = answered ? &q->whole : &q->prompt;
    *prompt_ids = q->prompt.v;
    *n_prompt = (int)q->prompt.n;
    *whole_ids = whole->v;
    *n_whole = (int)whole->n;
}

int qa_encode(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
              int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    struct qa_format *q = ctx;
    struct chat_text text = {0};
    q->left_out = 0;
    int rc = prompt ? encode_text_prompt(q, prompt, answer, &text, e) : encode_text(q, answer, e);
    chat_text_fini(&text);
    give(q, answer, prompt_ids, n_prompt, whole_ids, n_whole);
    return rc;
}

int qa_encode_turns(void *ctx, const json_t *turns, const char *answer, const int **prompt_ids,
                    int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    struct qa_format *q = ctx;
    struct chat_text text = {0};
    q->left_out = 0;
    int rc = encode_turns(q, turns, answer, &text, e);
    chat_text_fini(&text);
    give(q, answer, prompt_ids, n_prompt, whole_ids, n_whole);
    return rc;
}

void qa_fini(struct qa_format *q)
{
    free(q->prompt.v);
    free(q->whole.v);
    q->prompt = q->whole = (struct ids){0};
}
