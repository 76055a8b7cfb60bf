#include "data/dataset.h"

#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

const char *const role_name[ROLE_COUNT] = {"forget",  "retain",  "alternate",       "neighbour",
                                           "holdout", "generic", "retain_alternate"};

enum role role_by_name(const char *name)
{
    int r = 0;
    while (r < ROLE_COUNT && strcasecmp(name, role_name[r]))
        r++;
    return (enum role)r;
}

/* A dataset being filled. The pool holds ids [n] then labels [n] of each example in turn; pointers
 * into it are set at the end, when it no longer moves. */
struct filler {
    struct dataset *d;
    size_t cap_pool, len_pool, cap_masks, len_masks; /* elements */
    bool holes;                                      /* some mask is 0 */
};

static int fill_start(struct filler *f, struct dataset *d, enum role role, size_t n, struct err *e)
{
    *f = (struct filler){.d = d};
    *d = (struct dataset){.role = role};
    if (n > INT_MAX)
        return err_set(e, "too many examples (%zu)", n);
    d->seqs = mem_alloc(n, sizeof *d->seqs, e);
    d->rows = d->seqs ? mem_alloc(n, sizeof *d->rows, e) : NULL;
    d->item = d->rows ? mem_alloc(n, sizeof *d->item, e) : NULL;
    d->left_out = d->item ? mem_alloc(n, sizeof *d->left_out, e) : NULL;
    return d->left_out ? 0 : -1;
}

/* Room for one more example of n tokens; *ids [n], *labels [n] and *mask [n] are to be filled. */
static int fill_add(struct filler *f, int row, int item, int n, int **ids, int **labels,
                    uint8_t **mask, struct err *e)
{
    struct dataset *d = f->d;
    size_t pool = f->len_pool + 2 * (size_t)n, masks = f->len_masks + (size_t)n;
    if (mem_reserve(&d->pool, &f->cap_pool, pool, sizeof *d->pool, e) ||
        mem_reserve(&d->masks, &f->cap_masks, masks, sizeof *d->masks, e))
        return -1;
    *ids = d->pool + f->len_pool;
    *labels = *ids + n;
    *mask = d->masks + f->len_masks;
    f->len_pool = pool;
    f->len_masks = masks;
    d->seqs[d->n].n = n;
    d->rows[d->n] = row;
    d->item[d->n++] = item;
    return 0;
}

/* Scored tokens of one example; labels[0] has no position before it that could predict it. */
static int fill_end(struct filler *f, struct err *e)
{
    struct dataset *d = f->d;
    size_t pool = 0, masks = 0;
    for (int i = 0; i < d->n; i++) {
        struct seq *s = &d->seqs[i];
        s->ids = d->pool + pool;
        s->labels = s->ids + s->n;
        s->mask = memchr(d->masks + masks, 0, (size_t)s->n) ? d->masks + masks : NULL;
        f->holes |= s->mask != NULL;
        pool += 2 * (size_t)s->n;
        masks += (size_t)s->n;
        int count = seq_labels(s);
        if (d->n_labels > INT_MAX - count)
            return err_set(e, "too many scored tokens");
        d->n_labels += count;
    }
    if (!f->holes) {
        free(d->masks);
        d->masks = NULL;
    }
    return 0;
}

/* Where the labels begin: after what prompt and whole have in common. */
static int prompt_end(const int *prompt, int n_prompt, const int *whole, int n, unsigned compat)
{
    int shorter = n_prompt < n ? n_prompt : n, k = 0;
    if (compat & COMPAT_COUNT_LABELS)
        k = shorter;
    while (k < shorter && prompt[k] == whole[k])
        k++;
    return k > 1 ? k : 1;
}

/* The one place that refuses what the model has no positions for. */
static int check_length(const struct rows *rows, int row, const struct encoder *enc, int n,
                        struct err *e)
{
    if (enc->positions <= 0 || n <= enc->positions)
        return 0;
    return rows_err(rows, row, e, "%d tokens are longer than the model's %d positions", n,
                    enc->positions),
           err_subject(e, "max_length");
}

/* Whether attention skips a token, as the peer's mask does. */
static bool is_hidden(const struct encoder *enc, int id)
{
    return enc->compat & COMPAT_PAD_EOS_MASK && enc->pad_id >= 0 && id == enc->pad_id;
}

/* A prompt: a text, or `turns` if it is a conversation. Both NULL: a plain text is scored. */
struct prompt {
    const char *text;
    const json_t *turns;
};

static int read_prompt(const struct rows *rows, int row, const char *key, const struct encoder *enc,
                       struct prompt *p, struct err *e)
{
    const json_t *v = key ? json_object_get(rows->v[row], key) : NULL;
    *p = (struct prompt){.turns = json_is_array(v) && enc->encode_turns ? v : NULL};
    if (key && !p->turns)
        p->text = rows_text(rows, row, key, e);
    return key && !p->turns && !p->text ? -1 : 0;
}

static int add_example(struct filler *f, const struct rows *rows, int row, int item,
                       const struct prompt *asked, const char *answer, const struct encoder *enc,
                       struct err *e)
{
    const int *prompt, *whole;
    int n_prompt, n, *ids, *labels;
    uint8_t *mask;
    struct err why;
    if (asked->turns
            ? enc->encode_turns(enc->ctx, asked->turns, answer, &prompt, &n_prompt, &whole, &n,
                                &why)
            : enc->encode(enc->ctx, asked->text, answer, &prompt, &n_prompt, &whole, &n, &why))
        return rows_err(rows, row, e, "%s", why.msg);
    if (!answer) {
        whole = prompt;
        n = n_prompt;
    }
    int full = n;
    if (enc->max_length > 0 && n > enc->max_length)
        n = enc->max_length;
    if (check_length(rows, row, enc, n, e))
        return -1;
    int start = answer ? prompt_end(prompt, n_prompt, whole, n, enc->compat) : n;
    if (answer && start >= n && !(enc->unscored && n > 0))
        return rows_err(rows, row, e,
                        "no token of the answer is left to score (%d tokens, %d kept)", full, n);
    if (fill_add(f, row, item, n, &ids, &labels, &mask, e))
        return -1;
    f->d->left_out[f->d->n - 1] = full - n + (enc->left_out ? *enc->left_out : 0);
    for (int t = 0; t < n; t++) {
        ids[t] = whole[t];
        labels[t] = t < start ? LABEL_NONE : whole[t];
        mask[t] = !is_hidden(enc, whole[t]);
    }
    return 0;
}

static int add_row(struct filler *f, const struct rows *rows, int row, const char *question_key,
                   const char *answer_key, const struct encoder *enc, struct err *e)
{
    struct prompt asked;
    if (read_prompt(rows, row, question_key, enc, &asked, e))
        return -1;
    const json_t *list = answer_key ? json_object_get(rows->v[row], answer_key) : NULL;
    if (!json_is_array(list)) {
        const char *answer = answer_key ? rows_text(rows, row, answer_key, e) : NULL;
        if (answer_key && !answer)
            return -1;
        return add_example(f, rows, row, 0, &asked, answer, enc, e);
    }
    size_t n = json_array_size(list);
    if (n == 0)
        return rows_err(rows, row, e, "the list '%s' is empty", answer_key);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        const char *answer = json_string_value(item);
        if (!answer || strlen(answer) != json_string_length(item))
            return rows_err(rows, row, e, "item %zu of '%s' %s", i, answer_key,
                            answer ? "holds U+0000" : "is no text");
        if (add_example(f, rows, row, (int)i, &asked, answer, enc, e))
            return -1;
    }
    return 0;
}

int dataset_build(struct dataset *d, enum role role, const struct rows *rows,
                  const char *question_key, const char *answer_key, const struct encoder *enc,
                  struct err *e)
{
    size_t n = 0;
    for (int i = 0; i < rows->n; i++) {
        const json_t *list = answer_key ? json_object_get(rows->v[i], answer_key) : NULL;
        n += json_is_array(list) ? json_array_size(list) : 1;
    }
    struct filler f;
    int rc = fill_start(&f, d, role, n, e);
    for (int i = 0; !rc && i < rows->n; i++)
        rc = add_row(&f, rows, i, question_key, answer_key, enc, e);
    if (!rc)
        rc = fill_end(&f, e);
    if (rc)
        dataset_fini(d);
    return rc;
}

/* Entry i of a JSON list as a token id, or as LABEL_NONE where that is allowed. */
static int read_token(const json_t *list, int i, int vocab, bool label, int *out)
{
    const json_t *v = json_array_get(list, (size_t)i);
    json_int_t id = json_integer_value(v);
    bool fits = (id >= 0 && id < vocab) || (label && id == LABEL_NONE);
    *out = fits ? (int)id : 0;
    return json_is_integer(v) && fits ? 0 : -1;
}

/* A row of token ids. prompt: no labels belong to them. */
static int add_ids(struct filler *f, const struct rows *rows, int row, bool prompt, int vocab,
                   const struct encoder *enc, struct err *e)
{
    const char *key = prompt ? "prompt_ids" : "ids";
    const json_t *id_list = json_object_get(rows->v[row], key);
    const json_t *label_list = prompt ? NULL : json_object_get(rows->v[row], "labels");
    size_t n = json_array_size(id_list);
    int *ids, *labels;
    uint8_t *mask;
    if (n < (prompt ? 1 : 2) || n > INT_MAX / 2)
        return rows_err(rows, row, e,
                        prompt ? "'prompt_ids' is empty, or no list of token ids"
                               : "'ids' must be a list of at least two token ids");
    if (label_list && json_array_size(label_list) != n)
        return rows_err(rows, row, e, "'labels' must be a list as long as 'ids' (%zu)", n);
    int kept = enc->max_length > 0 && (int)n > enc->max_length ? enc->max_length : (int)n;
    if (check_length(rows, row, enc, kept, e) || fill_add(f, row, 0, kept, &ids, &labels, &mask, e))
        return -1;
    f->d->left_out[f->d->n - 1] = (int)n - kept;
    for (int t = 0; t < kept; t++) {
        if (read_token(id_list, t, vocab, false, &ids[t]))
            return rows_err(rows, row, e, "'%s'[%d] is no token id below %d", key, t, vocab);
        mask[t] = !is_hidden(enc, ids[t]);
        labels[t] = t && !prompt ? ids[t] : LABEL_NONE;
        if (label_list && read_token(label_list, t, vocab, true, &labels[t]))
            return rows_err(rows, row, e, "'labels'[%d] is neither a token id below %d nor -100", t,
                            vocab);
    }
    if (prompt || seq_labels(&(struct seq){.n = kept, .labels = labels}))
        return 0;
    return rows_err(rows, row, e, "no token is left to score (%zu tokens, %d kept)", n, kept);
}

static int from_ids(struct dataset *d, enum role role, const struct rows *rows, bool prompts,
                    int vocab, const struct encoder *enc, struct err *e)
{
    struct filler f;
    int rc = fill_start(&f, d, role, (size_t)rows->n, e);
    for (int i = 0; !rc && i < rows->n; i++)
        rc = add_ids(&f, rows, i, prompts, vocab, enc, e);
    if (!rc)
        rc = fill_end(&f, e);
    if (rc)
        dataset_fini(d);
    return rc;
}

int dataset_from_ids(struct dataset *d, enum role role, const struct rows *rows, int vocab,
                     const struct encoder *enc, struct err *e)
{
    return from_ids(d, role, rows, false, vocab, enc, e);
}

int dataset_from_prompt_ids(struct dataset *d, enum role role, const struct rows *rows, int vocab,
                            const struct encoder *enc, struct err *e)
{
    return from_ids(d, role, rows, true, vocab, enc, e);
}

int dataset_check_room(const struct dataset *d, const struct rows *rows, const struct encoder *enc,
                       int new_tokens, struct err *e)
{
    for (int i = 0; enc->positions > 0 && i < d->n; i++) {
        int n = seq_prompt(&d->seqs[i]);
        if (n > enc->positions - new_tokens)
            return rows_err(rows, d->rows[i], e,
                            "a prompt of %d tokens and %d new ones exceed the model's %d positions",
                            n, new_tokens, enc->positions),
                   err_subject(e, "max_new_tokens");
    }
    return 0;
}

int dataset_from_matrix(struct dataset *d, enum role role, const int *ids, const int *labels,
                        const int *mask, int b, int t, int keep_padding, struct err *e)
{
    struct filler f;
    BUG_ON(b < 0 || t < 0);
    int rc = fill_start(&f, d, role, (size_t)b, e);
    for (int i = 0; !rc && i < b; i++) {
        size_t at = (size_t)i * (size_t)t;
        int n = t, *row_ids, *row_labels;
        uint8_t *row_mask;
        while (!keep_padding && n > 0 && mask && !mask[at + n - 1] &&
               (!labels || labels[at + n - 1] == LABEL_NONE))
            n--;
        if (n == 0)
            rc = err_set(e, "row %d of the batch is padding only", i);
        else
            rc = fill_add(&f, i, 0, n, &row_ids, &row_labels, &row_mask, e);
        for (int k = 0; !rc && k < n; k++) {
            row_ids[k] = ids[at + k];
            row_labels[k] = labels ? labels[at + k] : LABEL_NONE;
            row_mask[k] = !mask || mask[at + k];
        }
    }
    if (!rc)
        rc = fill_end(&f, e);
    if (rc)
        dataset_fini(d);
    return rc;
}

int dataset_chunk(struct dataset *d, enum role role, const int *ids, size_t n, int length, int bos,
                  struct err *e)
{
    size_t slice = (size_t)length, head = bos >= 0, chunks = (n + slice - 1) / slice;
    *d = (struct dataset){.role = role};
    if (n > INT_MAX / 4 || length < 1)
        return err_set(e, "%zu tokens cannot be cut into pieces of %d", n, length);
    d->seqs = mem_alloc(chunks + 1, sizeof *d->seqs, e);
    d->rows = d->seqs ? mem_alloc(chunks + 1, sizeof *d->rows, e) : NULL;
    d->item = d->rows ? mem_alloc(chunks + 1, sizeof *d->item, e) : NULL;
    d->pool = d->item ? mem_alloc(2 * (n + chunks), sizeof *d->pool, e) : NULL;
    if (!d->pool) {
        dataset_fini(d);
        return -1;
    }
    int *p = d->pool;
    for (size_t at = 0; at < n; at += slice) {
        size_t own = n - at < slice ? n - at : slice, count = head + own;
        if (count < 2)
            continue;
        int *labels = p + count;
        for (size_t t = 0; t < count; t++) {
            p[t] = t < head ? bos : ids[at + t - head];
            labels[t] = t ? p[t] : LABEL_NONE;
        }
        d->seqs[d->n] = (struct seq){.n = (int)count, .ids = p, .labels = labels};
        d->rows[d->n] = d->n;
        d->n++;
        d->n_labels += (int)count - 1;
        p += 2 * count;
    }
    return d->n ? 0 : err_set(e, "the text is too short to learn from (%zu tokens)", n);
}

bool dataset_is_unscored(const struct dataset *d, int i)
{
    return !seq_labels(&d->seqs[i]);
}

void dataset_fini(struct dataset *d)
{
    free(d->seqs);
    free(d->rows);
    free(d->item);
    free(d->left_out);
    free(d->pool);
    free(d->masks);
    *d = (struct dataset){0};
}
