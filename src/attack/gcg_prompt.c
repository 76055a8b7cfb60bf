/* Where a suffix stands in each row, and whether a row's text gives the same tokens again. */
#include <string.h>

#include "attack/gcg.h"
#include "base/mem.h"

static const json_t *row_of(const struct gcg *g, int i)
{
    const struct attack_run *a = g->in->a;
    return a->rows[ATTACK_FORGET].v[a->sets[ATTACK_FORGET].rows[i]];
}

/* The question of row i, one text; NULL: it is of another kind, or there is no text at all. */
static const char *question_of(const struct gcg *g, int i)
{
    const struct attack_run *a = g->in->a;
    return a->s.encoder.encode
               ? json_string_value(json_object_get(row_of(g, i), a->o->question_key))
               : NULL;
}

/* Its slot, "{}" or nanoGCG's "{optim_str}"; NULL: the suffix is appended. */
static const char *find_slot(const char *question, size_t *len)
{
    static const char *const marks[] = {"{optim_str}", "{}"};
    for (int i = 0; i < 2; i++) {
        const char *at = strstr(question, marks[i]);
        *len = strlen(marks[i]);
        if (at)
            return at;
    }
    *len = 0;
    return NULL;
}

static int put_text(struct buf *out, const char *question, const char *suffix, struct err *e)
{
    size_t len;
    const char *slot = find_slot(question, &len);
    const size_t before = slot ? (size_t)(slot - question) : strlen(question);
    buf_clear(out);
    return buf_add(out, question, before, e) || buf_str(out, suffix, e) ||
           buf_str(out, question + before + len, e);
}

/* The ids of a prompt, or with an answer those of both, owned by the encoder. */
static int encode_row(struct gcg *g, int i, const char *suffix, const char *answer,
                      struct seq *whole, struct err *e)
{
    struct attack_run *a = g->in->a;
    struct buf text = {0};
    const int *prompt;
    int n;
    *whole = (struct seq){0};
    const int rc = put_text(&text, question_of(g, i), suffix, e) ||
                   a->s.encoder.encode(a->s.encoder.ctx, text.data ? text.data : "", answer,
                                       &prompt, &n, &whole->ids, &whole->n, e);
    buf_fini(&text);
    return rc;
}

/* The text of a target's answer; NULL: it is another row's, or one of several. */
static const char *answer_of(const struct gcg *g, enum input_target t, int i)
{
    const char *key = t == INPUT_TRUE ? g->in->a->o->answer_key : g->p->control_key;
    const json_t *v = json_object_get(row_of(g, i), key);
    if (t == INPUT_CONTROL && json_is_array(v))
        v = json_array_get(v, 0);
    return g->in->named_controls || t == INPUT_TRUE ? json_string_value(v) : NULL;
}

/* What ids[from..to) add to the text of ids[0..from). */
static int text_between(const struct tokenizer *t, const int *ids, int from, int to,
                        struct buf *text, struct err *e)
{
    struct buf before = {0};
    buf_clear(text);
    int rc = tokenizer_decode(t, ids, (size_t)from, false, &before, e) ||
             tokenizer_decode(t, ids, (size_t)to, false, text, e);
    if (!rc && before.len <= text->len && !memcmp(before.data, text->data, before.len)) {
        memmove(text->data, text->data + before.len, text->len - before.len + 1);
        text->len -= before.len;
    }
    buf_fini(&before);
    return rc;
}

/* Which tokens of a prompt have exactly the text of the suffix: from..to; to = 0: none, since a
 * token covers a part of the suffix and of what is next to it. `most`: where they begin at the
 * latest. */
static int find_suffix(const struct gcg *g, const struct seq *prompt, int most, const char *suffix,
                       int *from, int *to, struct err *e)
{
    struct buf text = {0};
    int rc = 0;
    *to = 0;
    for (int at = most; !rc && !*to && at >= 0 && at > most - 8; at--)
        for (int end = at + 1; !rc && end <= prompt->n; end++) {
            rc = text_between(g->in->a->s.tokenizer, prompt->ids, at, end, &text, e);
            if (!rc && text.len > strlen(suffix))
                break;
            if (!rc && text.data && !strcmp(text.data, suffix)) {
                *from = at;
                *to = end;
                break;
            }
        }
    buf_fini(&text);
    return rc;
}

/* A row anew: the prompt, then the answer's tokens of the row as it is. */
static int put_row(struct gcg *g, struct seq *row, const int *prompt, int n_prompt,
                   const int *answer, const int *labels, int n, struct err *e)
{
    const size_t all = (size_t)(n_prompt + n);
    int *ids = arena_take(&g->texts, 2 * all + 1, sizeof *ids, e);
    if (!ids)
        return -1;
    memcpy(ids, prompt, (size_t)n_prompt * sizeof *ids);
    memcpy(ids + n_prompt, answer, (size_t)n * sizeof *ids);
    for (size_t t = 0; t < all; t++)
        ids[all + t] = t < (size_t)n_prompt ? LABEL_NONE : labels[t - (size_t)n_prompt];
    *row = (struct seq){.n = (int)all, .ids = ids, .labels = ids + all};
    return 0;
}

static int replace_prompt(struct gcg *g, int i, const int *prompt, int n, struct err *e)
{
    for (int t = 0; t < INPUT_TARGETS; t++) {
        struct seq *row = g->in->rows[t] ? &g->in->rows[t][i] : NULL;
        const int own = row ? seq_prompt(row) : 0;
        if (row && put_row(g, row, prompt, n, row->ids + own, row->labels + own, row->n - own, e))
            return -1;
    }
    return 0;
}

/* --- rows whose text is tokenised as a whole --- */

static int place_whole(struct gcg *g, int i, int *at, struct err *e)
{
    struct seq plain, with;
    int from = 0, to = 0;
    if (!question_of(g, i))
        return err_about(e, "filter",
                         "row %d has no question of one text, in which a suffix could be tokenised",
                         i + 1);
    if (encode_row(g, i, "", NULL, &plain, e))
        return -1;
    int *without = arena_take(&g->texts, (size_t)plain.n + 1, sizeof(int), e);
    if (!without)
        return -1;
    memcpy(without, plain.ids, (size_t)plain.n * sizeof *without);
    plain.ids = without;
    if (encode_row(g, i, g->p->init, NULL, &with, e) ||
        find_suffix(g, &with, seq_common(&plain, &with), g->p->init, &from, &to, e))
        return -1;
    if (!to)
        return err_about(e, "init",
                         "the suffix '%s' does not keep its tokens in the prompt of row %d: it "
                         "merges with the text next to it",
                         g->p->init, i + 1);
    if (!g->start) {
        g->n = to - from;
        if (!(g->start = mem_alloc((size_t)g->n, sizeof *g->start, e)))
            return -1;
        memcpy(g->start, with.ids + from, (size_t)g->n * sizeof *g->start);
    } else if (to - from != g->n ||
               memcmp(g->start, with.ids + from, (size_t)g->n * sizeof *g->start)) {
        return err_about(e, "init", "the suffix '%s' has other tokens in row %d than in the first",
                         g->p->init, i + 1);
    }
    int *prompt = arena_take(&g->texts, (size_t)with.n + 1, sizeof *prompt, e);
    if (!prompt)
        return -1;
    memcpy(prompt, with.ids, (size_t)from * sizeof *prompt);
    memcpy(prompt + from, with.ids + to, (size_t)(with.n - to) * sizeof *prompt);
    *at = from;
    return replace_prompt(g, i, prompt, with.n - g->n, e);
}

/* --- parts that are tokenised one by one, as nanoGCG does --- */

static int encode_part(struct gcg *g, const char *text, size_t n, struct ids *out, struct err *e)
{
    return tokenizer_encode(g->in->a->s.tokenizer, text, n, true, out, e);
}

/* A text with a slot, without a template: what is before it, after it, and the answer. */
static int place_parts(struct gcg *g, int i, int *at, struct err *e)
{
    const struct tokenizer *t = g->in->a->s.tokenizer;
    const char *question = question_of(g, i);
    struct ids prompt = {0};
    size_t len;
    const char *slot = find_slot(question, &len);
    const int front = tokenizer_front(t);
    int rc = (front >= 0 && tokenizer_append(t, front, &prompt, e)) ||
             encode_part(g, question, (size_t)(slot - question), &prompt, e);
    *at = (int)prompt.n;
    rc = rc || encode_part(g, slot + len, strlen(slot + len), &prompt, e) ||
         replace_prompt(g, i, prompt.v, (int)prompt.n, e);
    free(prompt.v);
    return rc;
}

static int place(struct gcg *g, int i, int *at, struct err *e)
{
    size_t len;
    const char *question = question_of(g, i);
    if (g->filter == GCG_WHOLE)
        return place_whole(g, i, at, e);
    if (question && find_slot(question, &len) && !g->in->a->s.qa.chat)
        return place_parts(g, i, at, e);
    return input_question_end(g->in, i, at, e);
}

/* The row of a message: its answer is what the model is to begin with, without an end. */
static int open_message(struct gcg *g, struct err *e)
{
    const char *const answers[] = {g->p->answer, g->p->control};
    for (int t = 0; t < INPUT_TARGETS; t++) {
        struct seq *row = g->in->rows[t] ? &g->in->rows[t][0] : NULL;
        struct ids answer = {0};
        while (row && tokenizer_is_special(g->in->a->s.tokenizer, row->ids[row->n - 1]))
            row->n--;
        if (!row || g->filter == GCG_WHOLE)
            continue;
        const int rc =
            encode_part(g, answers[t], strlen(answers[t]), &answer, e) ||
            put_row(g, row, row->ids, seq_prompt(row), answer.v, answer.v, (int)answer.n, e);
        free(answer.v);
        if (rc)
            return -1;
    }
    return 0;
}

/* The first suffix is a candidate, too. */
static int check_start(struct gcg *g, struct err *e)
{
    for (int t = 0; t < INPUT_TARGETS; t++)
        for (int i = 0; g->in->rows[t] && i < g->in->n; i++) {
            bool same;
            if (gcg_retokenises(g, (enum input_target)t, i, g->start, &same, e))
                return -1;
            if (!same)
                return err_about(e, "init",
                                 "the suffix '%s' does not keep its tokens in row %d, in which it "
                                 "merges with the text next to it",
                                 g->p->init, i + 1);
        }
    return 0;
}

int gcg_prompts(struct gcg *g, struct err *e)
{
    struct input *in = g->in;
    if (g->filter == GCG_WHOLE && !in->a->s.encoder.encode)
        g->filter = in->a->s.tokenizer ? GCG_SUFFIX : GCG_NONE; /* ids have no prompt as a text */
    int *at = mem_alloc((size_t)in->n, sizeof *at, e);
    int rc = !at || (g->p->message && open_message(g, e)) ||
             (g->filter != GCG_WHOLE &&
              input_start(in, g->p->init, (int)g->p->tokens, &g->start, &g->n, e));
    for (int i = 0; !rc && i < in->n; i++)
        rc = place(g, i, &at[i], e);
    for (int t = 0; !rc && t < INPUT_TARGETS; t++)
        rc = in->rows[t] &&
             input_slots_init(&g->slots[t], in->rows[t], in->n, at, g->start, g->n, e);
    free(at);
    return rc || check_start(g, e);
}

/* --- the filter --- */

int gcg_text(struct gcg *g, const int *ids, struct buf *text, struct err *e)
{
    const struct tokenizer *t = g->in->a->s.tokenizer;
    const struct input_slots *s = &g->slots[INPUT_TRUE];
    const int at = s->at[0];
    int *own = mem_alloc((size_t)(at + g->n), sizeof *own, e);
    if (!own)
        return -1;
    memcpy(own, s->seqs[0].ids, (size_t)at * sizeof *own);
    memcpy(own + at, ids, (size_t)g->n * sizeof *own);
    const int rc = text_between(t, own, at, at + g->n, text, e);
    free(own);
    return rc;
}

static int same_alone(struct gcg *g, const int *ids, bool *same, struct err *e)
{
    struct buf text = {0};
    struct ids again = {0};
    const int rc = tokenizer_decode(g->in->a->s.tokenizer, ids, (size_t)g->n, false, &text, e) ||
                   encode_part(g, text.data ? text.data : "", text.len, &again, e);
    *same = !rc && again.n == (size_t)g->n && !memcmp(again.v, ids, again.n * sizeof *ids);
    buf_fini(&text);
    free(again.v);
    return rc;
}

int gcg_retokenises(struct gcg *g, enum input_target t, int i, const int *ids, bool *same,
                    struct err *e)
{
    *same = true;
    if (g->filter != GCG_WHOLE)
        return g->filter == GCG_SUFFIX ? same_alone(g, ids, same, e) : 0;
    const struct input_slots *s = &g->slots[t];
    const struct seq *q = &s->seqs[i];
    const char *answer = answer_of(g, t, i);
    const int at = s->at[i], n = answer ? q->n : seq_prompt(q);
    struct buf text = {0};
    struct seq again;
    int rc = gcg_text(g, ids, &text, e);
    if (!rc && text.data && memchr(text.data, 0, text.len))
        *same = false; /* a question is one C string */
    rc = rc || (*same && encode_row(g, i, text.data ? text.data : "", answer, &again, e));
    if (!rc && *same)
        *same = again.n >= n && !memcmp(again.ids, q->ids, (size_t)at * sizeof *ids) &&
                !memcmp(again.ids + at, ids, (size_t)g->n * sizeof *ids) &&
                !memcmp(again.ids + at + g->n, q->ids + at + g->n,
                        (size_t)(n - at - g->n) * sizeof *ids);
    buf_fini(&text);
    return rc;
}
