#include "text/qa.h"

#include <string.h>

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

/* Appends the conversation; answer NULL: up to where the answer begins. */
static int render(const struct qa_format *q, const char *prompt, const char *answer,
                  struct chat_text *text, struct err *e)
{
    struct message m[3];
    int n = 0;
    if (q->system && answer && q->chat->system_unlearnt)
        return err_about(
            e, "system",
            "chat template '%s' shows a system text in front of an unanswered question "
            "only, so it cannot be learnt with an answer",
            q->chat->name);
    if (q->system)
        m[n++] = (struct message){"system", q->system};
    m[n++] = (struct message){"user", prompt};
    if (answer)
        m[n++] = (struct message){"assistant", answer};
    return chat_render(q->chat, m, n, !answer, text, e);
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

static int encode_pair(struct qa_format *q, const char *prompt, const char *answer,
                       struct chat_text *text, struct err *e)
{
    const char *end = q->chat ? chat_end_token(q->chat) : NULL;
    if ((q->chat ? render(q, prompt, NULL, text, e) : chat_text_add(text, prompt, e)) ||
        encode(q, text, &q->prompt, e) || (!end && cut_and_end(q, false, &q->prompt, e)))
        return -1;
    if (!answer)
        return 0;
    if (!end)
        return chat_text_add(text, answer, e) || encode(q, text, &q->whole, e) ||
               cut_and_end(q, true, &q->whole, e);
    chat_text_clear(text);
    return render(q, prompt, answer, text, e) || encode(q, text, &q->whole, e) ||
           close_turn(q, end, &q->whole, e);
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

int qa_encode(void *ctx, const char *prompt, const char *answer, const int **prompt_ids,
              int *n_prompt, const int **whole_ids, int *n_whole, struct err *e)
{
    struct qa_format *q = ctx;
    struct chat_text text = {0};
    q->left_out = 0;
    int rc = prompt ? encode_pair(q, prompt, answer, &text, e) : encode_text(q, answer, e);
    chat_text_fini(&text);
    const struct ids *whole = answer ? &q->whole : &q->prompt;
    *prompt_ids = q->prompt.v;
    *n_prompt = (int)q->prompt.n;
    *whole_ids = whole->v;
    *n_whole = (int)whole->n;
    return rc;
}

void qa_fini(struct qa_format *q)
{
    free(q->prompt.v);
    free(q->whole.v);
    q->prompt = q->whole = (struct ids){0};
}
