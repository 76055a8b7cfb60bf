#include "edit/requests.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

void edit_requests_fini(struct edit_requests *r)
{
    for (int i = 0; r->v && i < r->n; i++)
        edit_request_fini(&r->v[i]);
    free(r->v);
    *r = (struct edit_requests){.v = NULL};
}

/* --- the subject --- */

static bool is_word(char c)
{
    const unsigned char u = (unsigned char)c;
    return isalnum(u) || u >= 0x80 || c == '-' || c == '\'' || c == '.';
}

/* Upper case, of ASCII or of a letter outside it, whose case is not told: names in other scripts
 * count as capitalised. */
static bool is_capital(char c)
{
    return isupper((unsigned char)c) || (unsigned char)c >= 0x80;
}

static bool find_quoted(const char *q, size_t *from, size_t *to)
{
    const char *open = strchr(q, '"'), *close = open ? strchr(open + 1, '"') : NULL;
    if (!close || close == open + 1)
        return false;
    *from = (size_t)(open + 1 - q);
    *to = (size_t)(close - q);
    return true;
}

/* A word's end; a full stop or an apostrophe at its end is none of it. */
static size_t word_end(const char *q, size_t i)
{
    size_t end = i;
    while (is_word(q[end]))
        end++;
    while (end > i && (q[end - 1] == '.' || q[end - 1] == '\'' || q[end - 1] == '-'))
        end--;
    if (end > i + 2 && q[end - 1] == 's' && q[end - 2] == '\'')
        end -= 2;
    return end;
}

bool subject_guess(const char *q, size_t *from, size_t *to)
{
    size_t best = 0, last[2] = {0, 0}, run = 0, end = 0;
    bool in_run = false, starts = true; /* starts: the next word is a sentence's first */
    if (find_quoted(q, from, to))
        return true;
    for (size_t i = 0; q[i];) {
        if (!is_word(q[i])) {
            in_run &= (bool)(q[i] == ' ');
            starts |= (bool)(q[i] == '?' || q[i] == '!' || q[i] == ':');
            i++;
            continue;
        }
        const size_t stop = word_end(q, i);
        const bool dot = q[stop] == '.' && stop > i + 2;
        const bool capital = is_capital(q[i]) && !starts;
        if (stop > i) {
            last[0] = i;
            last[1] = stop;
        }
        if (capital && !in_run)
            run = i;
        in_run = capital;
        if (capital && stop - run > best) {
            best = stop - run;
            *from = run;
            end = stop;
        }
        starts = dot;
        in_run &= !dot && stop > i;
        for (i = stop > i ? stop : i + 1; is_word(q[i]); i++)
            in_run = false;
    }
    if (!best) {
        *from = last[0];
        end = last[1];
    }
    *to = end;
    return end > *from;
}

/* --- tokens --- */

struct maker {
    const struct edit_texts *o;
    const struct encoder *enc;
    const struct tokenizer *t;
    int eos;
    struct buf text, decoded; /* owned */
};

static int copy_ids(int **to, int *n_to, const int *ids, int n, struct err *e)
{
    if (!(*to = mem_alloc((size_t)n + 1, sizeof **to, e)))
        return -1;
    memcpy(*to, ids, (size_t)n * sizeof *ids);
    *n_to = n;
    return 0;
}

static int count_of(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}

/* The token with which the subject is complete for the time `at` times from the last. */
static int find_lookup(struct maker *k, const int *ids, int n, const char *subject, int from_end,
                       struct err *e)
{
    int all = 0;
    for (int len = n; len > 0; len--) {
        buf_clear(&k->decoded);
        if (tokenizer_decode(k->t, ids, (size_t)len, false, &k->decoded, e) ||
            buf_add(&k->decoded, "", 1, e))
            return -1;
        const int found = count_of(k->decoded.data, subject);
        if (len == n)
            all = found;
        if (all < from_end)
            return err_set(e, "the subject '%s' is not in the prompt as the tokenizer reads it",
                           subject);
        if (found <= all - from_end)
            return len;
    }
    return 0;
}

/* Prompt ids of a text, with its lookup. */
static int make_prompt(struct maker *k, struct edit_prompt *p, const char *text,
                       const char *subject, int from_end, struct err *e)
{
    const int *prompt, *whole;
    int n, n_whole;
    if (k->enc->encode(k->enc->ctx, text, NULL, &prompt, &n, &whole, &n_whole, e) ||
        copy_ids(&p->ids, &p->n, prompt, n, e))
        return -1;
    p->lookup = find_lookup(k, p->ids, p->n, subject, from_end, e);
    return p->lookup < 0 ? -1 : 0;
}

/* The ids that an answer adds to the prompt; "": the end of the answer. */
static int make_answer(struct maker *k, const char *text, const char *answer, int **ids, int *n,
                       struct err *e)
{
    const int *prompt, *whole;
    int n_prompt, n_whole, at = 0;
    if (k->enc->encode(k->enc->ctx, text, answer, &prompt, &n_prompt, &whole, &n_whole, e))
        return -1;
    while (at < n_prompt && at < n_whole && prompt[at] == whole[at])
        at++;
    if (!*answer) /* a template may end an answer with more than the end token */
        return copy_ids(ids, n, &k->eos, k->eos >= 0, e);
    return copy_ids(ids, n, whole + at, n_whole - at, e);
}

/* --- a row --- */

/* The question with the subject in place of {}, into k->text; the subject's place in it. */
static int read_question(struct maker *k, const struct rows *rows, int row, struct edit_request *r,
                         int *from_end, struct err *e)
{
    const char *q = rows_text(rows, row, k->o->question_key, e), *hole, *found;
    const json_t *given = json_object_get(rows->v[row], k->o->subject_key);
    size_t from, to;
    if (!q)
        return -1;
    if (given && (!json_is_string(given) || !*json_string_value(given)))
        return rows_err(rows, row, e, "'%s' is no text", k->o->subject_key);
    hole = strstr(q, "{}");
    r->guessed = !given;
    if (hole && !given)
        return rows_err(rows, row, e, "the question has {}, but there is no '%s'",
                        k->o->subject_key);
    if (!given && !subject_guess(q, &from, &to))
        return rows_err(rows, row, e, "no subject is found in '%s': give '%s'", q,
                        k->o->subject_key);
    r->subject =
        given ? mem_strdup(json_string_value(given), e) : mem_strndup(q + from, to - from, e);
    buf_clear(&k->text);
    if (!r->subject)
        return -1;
    if (hole) {
        if (buf_add(&k->text, q, (size_t)(hole - q), e) || buf_str(&k->text, r->subject, e) ||
            buf_str(&k->text, hole + 2, e))
            return -1;
        found = k->text.data + (hole - q);
    } else {
        if (buf_str(&k->text, q, e))
            return -1;
        found = given ? strstr(k->text.data, r->subject) : k->text.data + from;
        if (!found)
            return rows_err(rows, row, e, "the subject '%s' is not in '%s'", r->subject, q);
    }
    *from_end = count_of(found, r->subject);
    return 0;
}

static int make_target(struct maker *k, const struct rows *rows, int row, const char *question,
                       struct edit_request *r, struct err *e)
{
    const char *target = "";
    if (!strcmp(k->o->target, "refusal"))
        target = k->o->refusal;
    else if (!strcmp(k->o->target, "own") && !(target = rows_text(rows, row, "target", e)))
        return -1;
    const json_t *answer = json_object_get(rows->v[row], k->o->answer_key);
    if (make_answer(k, question, target, &r->target, &r->n_target, e) ||
        (json_is_string(answer) &&
         make_answer(k, question, json_string_value(answer), &r->answer, &r->n_answer, e)))
        return -1;
    return r->n_target ? 0
                       : rows_err(rows, row, e,
                                  "the target is empty, and the model has no end "
                                  "token");
}

/* Prompt, target and answer alone, for measuring. */
static int make_plain(struct maker *k, const struct rows *rows, int row, struct edit_request *r,
                      struct err *e)
{
    const int *prompt, *whole;
    int n, n_whole;
    const char *q = rows_text(rows, row, k->o->question_key, e);
    r->row = row;
    if (!q || !(r->prompts = mem_alloc(1, sizeof *r->prompts, e)))
        return -1;
    r->n_prompts = 1;
    return k->enc->encode(k->enc->ctx, q, NULL, &prompt, &n, &whole, &n_whole, e) ||
                   copy_ids(&r->prompts[0].ids, &r->prompts[0].n, prompt, n, e) ||
                   make_target(k, rows, row, q, r, e)
               ? -1
               : 0;
}

/* In contexts: "TEXT. QUESTION". */
static int make_request(struct maker *k, const struct rows *rows, int row, struct edit_request *r,
                        struct err *e)
{
    struct buf whole = {0};
    int from_end = 0, rc;
    r->row = row;
    if (read_question(k, rows, row, r, &from_end, e) ||
        !(r->prompts = mem_alloc((size_t)k->o->n_contexts + 1, sizeof *r->prompts, e)))
        return -1;
    rc = make_target(k, rows, row, k->text.data, r, e);
    for (int i = 0; i <= k->o->n_contexts && !rc; i++) {
        buf_clear(&whole);
        rc = (i && buf_printf(&whole, e, "%s. ", k->o->contexts[i - 1])) ||
             buf_str(&whole, k->text.data, e) ||
             make_prompt(k, &r->prompts[i], whole.data, r->subject, from_end, e);
        r->n_prompts = i + 1;
    }
    buf_clear(&whole);
    rc = rc || buf_printf(&whole, e, "%s is a", r->subject) ||
         make_prompt(k, &r->kl, whole.data, r->subject, count_of(whole.data, r->subject), e);
    if (!rc && r->kl.lookup + 1 >= r->kl.n)
        rc = err_set(e, "nothing follows the subject in '%s'", whole.data);
    buf_fini(&whole);
    return rc ? -1 : 0;
}

int edit_requests_from_rows(struct edit_requests *r, const struct rows *rows,
                            const struct edit_texts *o, const struct encoder *enc,
                            const struct tokenizer *t, int eos, struct err *e)
{
    struct maker k = {.o = o, .enc = enc, .t = t, .eos = eos};
    *r = (struct edit_requests){.v = mem_alloc((size_t)rows->n, sizeof *r->v, e)};
    int rc = r->v ? 0 : -1;
    for (int i = 0; i < rows->n && !rc; i++) {
        struct edit_request *to = &r->v[r->n];
        if (o->optional && !json_object_get(rows->v[i], o->question_key))
            continue;
        r->n++;
        rc = o->no_subject ? make_plain(&k, rows, i, to, e) : make_request(&k, rows, i, to, e);
        r->guessed += to->guessed;
    }
    buf_fini(&k.text);
    buf_fini(&k.decoded);
    if (rc)
        edit_requests_fini(r);
    return rc ? -1 : 0;
}

/* --- token ids --- */

static int check_ids(const int *ids, int n, int vocab, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return err_set(e, "token id %d is outside the vocabulary of %d", ids[i], vocab);
    return 0;
}

static int read_ids(const json_t *j, const char *key, int vocab, int **ids, int *n, struct err *e)
{
    return json_need_ids(j, key, ids, n, e) || check_ids(*ids, *n, vocab, e) ? -1 : 0;
}

static int read_place(const json_t *j, const char *ids, const char *lookup, int after, int vocab,
                      struct edit_prompt *p, struct err *e)
{
    int64_t at;
    if (read_ids(j, ids, vocab, &p->ids, &p->n, e) ||
        json_need_int(j, lookup, 0, p->n - 1 - after, &at, e))
        return -1;
    p->lookup = (int)at;
    return 0;
}

/* The ids of a context before those of the clean prompt. */
static int add_context(struct edit_request *r, const json_t *context, int vocab, struct err *e)
{
    const int n = (int)json_array_size(context);
    const struct edit_prompt *clean = &r->prompts[0];
    struct edit_prompt *p = &r->prompts[r->n_prompts];
    if (!json_is_array(context))
        return err_set(e, "a context is no list of token ids");
    *p = (struct edit_prompt){.ids = mem_alloc((size_t)(n + clean->n), sizeof *p->ids, e),
                              .n = n + clean->n,
                              .lookup = n + clean->lookup};
    if (!p->ids)
        return -1;
    r->n_prompts++;
    for (int i = 0; i < n; i++) {
        const json_t *id = json_array_get(context, (size_t)i);
        p->ids[i] = json_is_integer(id) ? (int)json_integer_value(id) : -1;
    }
    memcpy(p->ids + n, clean->ids, (size_t)clean->n * sizeof *p->ids);
    return check_ids(p->ids, n, vocab, e);
}

static int read_request(struct edit_request *r, const json_t *j, const json_t *contexts,
                        const json_t *targets, const char *target, int vocab, struct err *e)
{
    const size_t n = json_array_size(contexts);
    if (!(r->prompts = mem_alloc(n + 1, sizeof *r->prompts, e)))
        return -1;
    r->n_prompts = 1;
    if (read_place(j, "ids", "lookup", 0, vocab, &r->prompts[0], e) ||
        read_place(j, "kl_ids", "kl_lookup", 1, vocab, &r->kl, e) ||
        read_ids(targets, target, vocab, &r->target, &r->n_target, e) ||
        (json_object_get(j, "answer") && read_ids(j, "answer", vocab, &r->answer, &r->n_answer, e)))
        return -1;
    for (size_t i = 0; i < n; i++) {
        const json_t *context = json_array_get(contexts, i);
        if (json_array_size(context) && add_context(r, context, vocab, e))
            return -1;
    }
    return 0;
}

int edit_requests_from_ids(struct edit_requests *r, const json_t *j, const char *target, int vocab,
                           struct err *e)
{
    const json_t *all = json_object_get(j, "requests"), *contexts = json_object_get(j, "contexts"),
                 *targets = json_object_get(j, "targets");
    const size_t n = json_array_size(all);
    *r = (struct edit_requests){.v = NULL};
    if (!n || n > 1 << 20 || !json_is_object(targets))
        return err_set(e, "a request by ids needs 'requests', a list, and 'targets', an object");
    if (!json_object_get(targets, target))
        return err_about(e, "target", "there is no target '%s' among 'targets'", target);
    if (!(r->v = mem_alloc(n, sizeof *r->v, e)))
        return -1;
    for (int i = 0; i < (int)n; i++) {
        r->v[i].row = i;
        r->n = i + 1;
        if (read_request(&r->v[i], json_array_get(all, (size_t)i), contexts, targets, target, vocab,
                         e)) {
            edit_requests_fini(r);
            return err_prefix(e, "request %d: ", i);
        }
    }
    return 0;
}
