#include "eval/choice.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/template.h"

/* A filled template, as a string that the caller owns. */
static char *text_of(const char *form, const struct choice_task *t, const struct template_source *s,
                     struct err *e)
{
    struct buf out = {0}, whole = {0};
    int rc = template_fill(&out, form, s, e);
    if (!rc && t->wikihow) {
        rc = template_strip(&whole, out.data, out.len, e) || template_tidy_wikihow(&whole, e);
        buf_fini(&out);
        out = whole;
    }
    if (!rc && out.len != strlen(out.data))
        rc = err_set(e, "a text holds U+0000");
    if (!rc)
        return out.data;
    buf_fini(&out);
    return NULL;
}

static size_t list_size(const json_t *list)
{
    return json_is_array(list) ? json_array_size(list) : json_object_size(list);
}

/* Item i of an array; of an object, its i-th value and key. */
static const json_t *list_item(const json_t *list, size_t i, const char **key)
{
    if (json_is_array(list))
        return json_array_get(list, i);
    void *at = json_object_iter((json_t *)list);
    while (i-- && at)
        at = json_object_iter_next((json_t *)list, at);
    *key = at ? json_object_iter_key(at) : NULL;
    return at ? json_object_iter_value(at) : NULL;
}

static int add_choice(struct question *q, const char *form, const struct choice_task *t,
                      const struct template_source *s, struct err *e)
{
    q->choice[q->n] = text_of(form, t, s, e);
    return q->choice[q->n] ? (q->n++, 0) : -1;
}

static int listed_choices(struct question *q, const struct choice_task *t,
                          const struct template_source *s, struct err *e)
{
    const json_t *list = template_field(s->row, t->choices);
    size_t n = list_size(list);
    if (n > QUESTION_CHOICES)
        return err_set(e, "%zu choices, the maximum is %d", n, QUESTION_CHOICES);
    for (size_t i = 0; i < n; i++) {
        const char *key = NULL;
        const json_t *item = list_item(list, i, &key);
        json_t *one =
            json_pack("{s:o*}", "choice", key ? json_string(key) : json_incref((json_t *)item));
        struct template_source of_choice = {.row = one};
        int rc = one ? add_choice(q, "{choice}", t, &of_choice, e) : err_no_memory(e, NULL);
        json_decref(one);
        if (rc)
            return -1;
    }
    return 0;
}

static int find_choices(struct question *q, const struct choice_task *t,
                        const struct template_source *s, struct err *e)
{
    if (t->choices && listed_choices(q, t, s, e))
        return -1;
    for (int i = 0; t->options[i]; i++)
        if (add_choice(q, t->options[i], t, s, e))
            return -1;
    for (int i = 0; t->contexts[i]; i++)
        if (add_choice(q, t->ending, t, s, e))
            return -1;
    return q->n >= 2 ? 0 : err_set(e, "%d choices, a question needs at least two", q->n);
}

/* An integer, also in quotes or as a boolean; -1: not one. */
static int number(const json_t *v)
{
    const char *text = json_string_value(v);
    if (json_is_boolean(v))
        return json_is_true(v);
    if (json_is_integer(v))
        return json_integer_value(v) < QUESTION_CHOICES ? (int)json_integer_value(v) : -1;
    return text && text[0] >= '0' && text[0] <= '9' && json_string_length(v) < 3 ? atoi(text) : -1;
}

/* A text, or an integer as text, stripped. */
static int label_text(const json_t *v, struct buf *out, struct err *e)
{
    if (json_is_integer(v))
        return buf_printf(out, e, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    return json_is_string(v) ? template_strip(out, json_string_value(v), json_string_length(v), e)
                             : -1;
}

static int label_of(const json_t *labels, const json_t *answer)
{
    const char *key = NULL;
    struct buf name = {0};
    struct err ignored;
    int found = -1;
    if (!label_text(answer, &name, &ignored))
        for (size_t i = 0; i < list_size(labels) && found < 0; i++) {
            const json_t *label = list_item(labels, i, &key);
            if (json_is_string(label) && json_string_length(label) == name.len &&
                (!name.len || !memcmp(json_string_value(label), name.data, name.len)))
                found = (int)i;
        }
    buf_fini(&name);
    return found;
}

/* The number of 1s in a list of 1s, then 0s, one per choice. */
static int truths(const json_t *labels, int n)
{
    const char *key = NULL;
    int right = 0;
    for (int i = 0; i < n; i++) {
        int v = number(list_item(labels, (size_t)i, &key));
        if (v != 0 && (v != 1 || right != i))
            return -1;
        right += v;
    }
    return right;
}

static int find_gold(struct question *q, const struct choice_task *t, const json_t *row,
                     struct err *e)
{
    const json_t *answer = template_field(row, t->answer);
    const json_t *labels = t->classes  ? t->classes
                           : t->labels ? template_field(row, t->labels)
                                       : NULL;
    if (!answer)
        return err_set(e, "the row has no field '%s'", t->answer);
    switch (t->answer_is) {
    case ANSWER_INDEX:
        q->gold = number(answer);
        break;
    case ANSWER_NUMBER:
        q->gold = number(answer) - 1;
        break;
    case ANSWER_LABEL:
        q->gold = label_of(labels, answer);
        break;
    case ANSWER_TRUTHS:
    case ANSWER_FIRST:
        q->n_right = truths(labels, q->n);
        if (q->n_right <= 0 || q->n_right == q->n)
            return err_set(e, "'%s' must list correct answers, then wrong ones", t->answer);
        if (t->answer_is == ANSWER_FIRST)
            q->n_right = 0;
        return 0;
    }
    return q->gold >= 0 && q->gold < q->n
               ? 0
               : err_set(e, "'%s' names none of the %d choices", t->answer, q->n);
}

/* The prompt: the question, and the choices if they have letters. */
static char *prompt_of(const struct question *q, const struct choice_task *t,
                       const struct template_source *s, struct err *e)
{
    char *text = text_of(t->prompt, t, s, e);
    if (!text || !t->letters)
        return text;
    struct buf out = {0};
    int rc = buf_str(&out, text, e);
    free(text);
    for (int i = 0; i < q->n && !rc; i++)
        rc = buf_printf(&out, e, "\n%c. %s", 'A' + i, q->choice[i]);
    if (!rc && !buf_str(&out, "\nAnswer:", e))
        return out.data;
    buf_fini(&out);
    return NULL;
}

/* After the prompt is built, replaces the choices by their letters. */
static int take_letters(struct question *q, struct err *e)
{
    for (int i = 0; i < q->n; i++) {
        char letter[2] = {(char)('A' + i), 0};
        free(q->choice[i]);
        if (!(q->choice[i] = mem_strdup(letter, e)))
            return -1;
    }
    return 0;
}

static int make_contexts(struct question *q, const struct choice_task *t,
                         const struct template_source *s, const char *before, struct err *e)
{
    for (int i = 0; i < q->n; i++) {
        if (i && !t->contexts[0]) {
            q->context[i] = q->context[0];
            continue;
        }
        char *prompt = t->contexts[0] ? text_of(t->contexts[i], t, s, e) : prompt_of(q, t, s, e);
        struct buf whole = {0};
        int rc = prompt ? buf_str(&whole, before, e) || buf_str(&whole, prompt, e) : -1;
        free(prompt);
        q->context[i] = whole.data;
        if (rc)
            return -1;
    }
    return 0;
}

static void question_fini(struct question *q)
{
    for (int i = 0; i < q->n; i++) {
        if (q->context && (!i || q->context[i] != q->context[0]))
            free(q->context[i]);
        free(q->choice[i]);
    }
    free(q->context);
    free(q->choice);
    *q = (struct question){0};
}

static int question_read(struct question *q, const struct choice_task *t,
                         const struct template_source *s, const char *before, struct err *e)
{
    *q = (struct question){.n = 0};
    if (!(q->context = mem_alloc(QUESTION_CHOICES, sizeof *q->context, e)) ||
        !(q->choice = mem_alloc(QUESTION_CHOICES, sizeof *q->choice, e)) ||
        find_choices(q, t, s, e) || find_gold(q, t, s->row, e) ||
        (t->letters && q->n > 26 ? err_set(e, "%d choices, the maximum with letters is 26", q->n)
                                 : 0) ||
        make_contexts(q, t, s, before, e) || (t->letters && take_letters(q, e))) {
        question_fini(q);
        return -1;
    }
    return 0;
}

const struct choice_task *choice_task_find(const struct choice_task *task, const struct rows *rows,
                                           int row, struct err *e)
{
    char wanted[128] = "";
    for (const struct choice_task *t = task; t->name; t++) {
        if (!t->has || template_field(rows->v[row], t->has))
            return t;
        size_t at = strlen(wanted);
        snprintf(wanted + at, sizeof wanted - at, "%s'%s'", at ? " nor " : "", t->has);
    }
    rows_err(rows, row, e, "a row of %s needs the field %s", task->name, wanted);
    return NULL;
}

/* The description and the worked examples before every question. */
static int make_preamble(struct buf *out, const struct choice_task *task, const char *subject,
                         const struct rows *shots, int n_shots, struct err *e)
{
    struct template_source s = {.subject = subject};
    if (buf_str(out, "", e) || (task->description && template_fill(out, task->description, &s, e)))
        return -1;
    if (n_shots > (shots ? shots->n : 0))
        return err_set(e, "%d worked examples requested, %d available", n_shots,
                       shots ? shots->n : 0);
    for (int i = 0; i < n_shots; i++) {
        struct question q;
        struct err why;
        const struct choice_task *own = choice_task_find(task, shots, i, e);
        s.row = shots->v[i];
        if (!own)
            return -1;
        if (question_read(&q, own, &s, "", &why))
            return rows_err(shots, i, e, "%s", why.msg);
        int rc = buf_printf(out, e, "%s %s\n\n", q.context[q.gold], q.choice[q.gold]);
        question_fini(&q);
        if (rc)
            return -1;
    }
    return 0;
}

int questions_build(struct questions *q, const struct choice_task *task, const char *subject,
                    const struct rows *rows, const struct rows *shots, int n_shots, struct err *e)
{
    *q = (struct questions){.task = choice_task_find(task, rows, 0, e)};
    struct buf before = {0}, spoken = {0};
    int rc = q->task ? buf_str(&spoken, subject ? subject : "", e) : -1;
    for (size_t i = 0; !rc && i < spoken.len; i++)
        if (spoken.data[i] == '_')
            spoken.data[i] = ' ';
    if (!rc)
        rc = make_preamble(&before, task, subject ? spoken.data : NULL, shots, n_shots, e);
    if (!rc && !(q->v = mem_alloc((size_t)rows->n, sizeof *q->v, e)))
        rc = -1;
    for (int i = 0; i < rows->n && !rc; i++) {
        struct err why = {0};
        struct template_source s = {rows->v[i], subject ? spoken.data : NULL};
        if (!question_read(&q->v[q->n], q->task, &s, before.data, &why))
            q->v[q->n++].row = i;
        else if (!q->bad++)
            rows_err(rows, i, &q->first, "%s", why.msg);
    }
    if (!rc && !q->n)
        rc = err_set(e, "no row is a question of %s: %s", task->name, q->first.msg);
    buf_fini(&spoken);
    buf_fini(&before);
    if (rc)
        questions_fini(q);
    return rc;
}

void questions_fini(struct questions *q)
{
    for (int i = 0; i < q->n; i++)
        question_fini(&q->v[i]);
    free(q->v);
    *q = (struct questions){0};
}
