/* Guards that put texts before the question which are like it: a memory of instructions, and
 * in-context unlearning. Likeness is the cosine of the sets of words, each weighted by the
 * logarithm of how rare it is among the rows.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/rows.h"
#include "base/rng.h"
#include "guard/guard.h"
#include "guard/match.h"

/* --- rows by likeness --- */

struct word_set {
    uint64_t *v; /* owned, ascending, each once */
    size_t n;
};

struct recall {
    struct rows rows;
    struct word_set *set; /* owned [rows.n] */
    struct word_set all;  /* words of all rows, and in how many rows each is */
    int *df;              /* owned [all.n] */
};

static int compare(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_unique(struct word_set *s)
{
    size_t kept = 0;
    if (s->n)
        qsort(s->v, s->n, sizeof *s->v, compare);
    for (size_t i = 0; i < s->n; i++)
        if (!kept || s->v[kept - 1] != s->v[i])
            s->v[kept++] = s->v[i];
    s->n = kept;
}

static int words_of(struct word_set *s, const char *text, struct err *e)
{
    struct buf b = {0};
    int rc = match_words(text, &b, e) || match_grams(b.data, 1, &s->v, &s->n, e);
    buf_fini(&b);
    if (!rc)
        sort_unique(s);
    return rc ? -1 : 0;
}

static size_t place(const struct word_set *s, uint64_t word)
{
    const uint64_t *at = s->n ? bsearch(&word, s->v, s->n, sizeof word, compare) : NULL;
    return at ? (size_t)(at - s->v) : s->n;
}

static int recall_open(struct recall *r, const char *file, const char *key, struct err *e)
{
    size_t total = 0;
    if (rows_open(&r->rows, file, e) || !(r->set = mem_alloc((size_t)r->rows.n, sizeof *r->set, e)))
        return -1;
    for (int i = 0; i < r->rows.n; i++) {
        const char *text = rows_text(&r->rows, i, key, e);
        if (!text || words_of(&r->set[i], text, e))
            return -1;
        total += r->set[i].n;
    }
    if (!(r->all.v = mem_alloc(total, sizeof *r->all.v, e)))
        return -1;
    for (int i = 0; i < r->rows.n; i++) {
        if (r->set[i].n)
            memcpy(r->all.v + r->all.n, r->set[i].v, r->set[i].n * sizeof *r->all.v);
        r->all.n += r->set[i].n;
    }
    sort_unique(&r->all);
    if (!(r->df = mem_alloc(r->all.n, sizeof *r->df, e)))
        return -1;
    for (int i = 0; i < r->rows.n; i++)
        for (size_t k = 0; k < r->set[i].n; k++)
            r->df[place(&r->all, r->set[i].v[k])]++;
    return 0;
}

static void recall_close(struct recall *r)
{
    for (int i = 0; r->set && i < r->rows.n; i++)
        free(r->set[i].v);
    free(r->set);
    free(r->all.v);
    free(r->df);
    rows_close(&r->rows);
}

/* Squared weight of a word; one that no row has is as rare as can be. */
static double weight(const struct recall *r, uint64_t word)
{
    const size_t at = place(&r->all, word);
    const double rare = log((1.0 + r->rows.n) / (1.0 + (at < r->all.n ? r->df[at] : 0))) + 1;
    return rare * rare;
}

static double squares(const struct recall *r, const struct word_set *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += weight(r, s->v[i]);
    return sum;
}

/* The rows that are most like the text, likest first, at most `most` whose cosine is at least
 * `least`: their number, or -1. */
static int recall_find(const struct recall *r, const char *text, int most, double least, int *row,
                       double *cosine, struct err *e)
{
    struct word_set q = {0};
    int n = 0;
    if (words_of(&q, text, e))
        return -1;
    const double own = squares(r, &q);
    for (int i = 0; i < r->rows.n; i++) {
        double common = 0;
        for (size_t k = 0; k < q.n; k++)
            if (place(&r->set[i], q.v[k]) < r->set[i].n)
                common += weight(r, q.v[k]);
        const double c = common > 0 ? common / sqrt(own * squares(r, &r->set[i])) : 0;
        if (c < least || (n == most && c <= cosine[n - 1]))
            continue;
        int at = n < most ? n++ : n - 1;
        for (; at > 0 && cosine[at - 1] < c; at--) {
            row[at] = row[at - 1];
            cosine[at] = cosine[at - 1];
        }
        row[at] = i;
        cosine[at] = c;
    }
    free(q.v);
    return n;
}

enum { MOST = 64 };

/* --- memory --- */

struct memory_params {
    const char *entries, *key, *target_key, *text;
    int64_t k;
    double least;
};

static const struct param memory_params[] = {
    STRING_PARAM(struct memory_params, entries, NULL, "FILE",
                 "the memory: rows of texts; to unlearn, add or take out a row"),
    STRING_PARAM(struct memory_params, key, "text", "KEY",
                 "field that is compared with the question"),
    STRING_PARAM(struct memory_params, target_key, "target", "KEY",
                 "field of an entry that names what is not to be told; entries without it are put "
                 "in as they are"),
    STRING_PARAM(struct memory_params, text,
                 "You have no knowledge of {target}. Say that you do not know.", "TEXT",
                 "what stands for an entry with a target"),
    INT_PARAM(struct memory_params, k, 1, MOST, 1, "entries at most"),
    REAL_PARAM(struct memory_params, least, 0, 1, 0.3, "cosine from which an entry is put in"),
    {0}};

static int open_memory(struct guard_part *p, struct err *e)
{
    const struct memory_params *o = p->choice.params;
    struct recall *r = p->state = mem_alloc(1, sizeof *r, e);
    if (!r)
        return -1;
    return o->entries ? recall_open(r, o->entries, o->key, e)
                      : err_set(e, "no entries are given: entries=FILE");
}

static void close_memory(struct guard_part *p)
{
    if (p->state)
        recall_close(p->state);
    free(p->state);
}

static int memory_prompt(struct guard_part *p, struct guard_prompt *q, struct err *e)
{
    const struct memory_params *o = p->choice.params;
    const struct recall *r = p->state;
    int row[MOST], n;
    double cosine[MOST];
    if ((n = recall_find(r, q->text, (int)o->k, o->least, row, cosine, e)) < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        const char *target = json_string_value(json_object_get(r->rows.v[row[i]], o->target_key));
        char *text = target ? guard_fill(o->text, target, e)
                            : mem_strdup(rows_text(&r->rows, row[i], o->key, e), e);
        int rc = !text || buf_str(&q->before, text, e) || buf_str(&q->before, "\n\n", e) ||
                 guard_note(p, q, "recalled", e, "entry %d, cosine %.2f", row[i], cosine[i]);
        free(text);
        if (rc)
            return -1;
    }
    return 0;
}

const struct guard guard_memory = {
    .name = "memory",
    .params = memory_params,
    .params_size = sizeof(struct memory_params),
    .help = "puts in entries of a memory that are like the question",
    .formula = "p(y | entries with cos(entry, x) >= least, x)",
    .access = "black box",
    .cost = "+ the entries' tokens",
    .verified =
        "scores of the prompt as the user would write it; without an entry, the model's own",
    .reads_text = true,
    .open = open_memory,
    .close = close_memory,
    .prompt = memory_prompt,
};

/* --- in-context unlearning --- */

struct icul_params {
    const char *forget, *retain, *question_key, *answer_key;
    int64_t k, l, seed;
    double least;
    bool flip;
};

static const struct param icul_params[] = {
    STRING_PARAM(struct icul_params, forget, NULL, "FILE", "rows that are to be forgotten"),
    STRING_PARAM(struct icul_params, retain, NULL, "FILE", "rows with right answers"),
    INT_PARAM(struct icul_params, k, 1, MOST, 1,
              "rows to be forgotten, those most like the question"),
    INT_PARAM(struct icul_params, l, 0, MOST, 4, "rows with right answers: 2, 4 or 6 in the paper"),
    REAL_PARAM(struct icul_params, least, 0, 1, 0,
               "cosine from which a row is like the question; without one, nothing is put in"),
    BOOL_PARAM(struct icul_params, flip, true, "the answer of another row; false: the control"),
    STRING_PARAM(struct icul_params, question_key, "question", "KEY", "field of the question"),
    STRING_PARAM(struct icul_params, answer_key, "answer", "KEY", "field of the answer"),
    INT_PARAM(struct icul_params, seed, 0, UINT32_MAX, 0, "of which rows are taken"),
    {0}};

struct icul {
    struct recall forget;
    struct rows retain;
    int *order; /* owned [retain.n] */
};

static int open_icul(struct guard_part *p, struct err *e)
{
    const struct icul_params *o = p->choice.params;
    struct icul *s = p->state = mem_alloc(1, sizeof *s, e);
    struct rng r;
    if (!s)
        return -1;
    if (!o->forget || (o->l && !o->retain))
        return err_set(e, "it needs forget=FILE, and retain=FILE unless l=0");
    if (recall_open(&s->forget, o->forget, o->question_key, e) ||
        (o->retain && rows_open(&s->retain, o->retain, e)))
        return -1;
    if (o->l > s->retain.n)
        return err_set(e, "l is %d, and '%s' has %d rows", (int)o->l, o->retain, s->retain.n);
    if (o->flip && s->forget.rows.n < 2)
        return err_set(e, "'%s' has one row: there is no other answer", o->forget);
    if (!(s->order = mem_alloc((size_t)s->retain.n, sizeof *s->order, e)))
        return -1;
    for (int i = 0; i < s->retain.n; i++)
        s->order[i] = i;
    rng_stream(&r, (uint32_t)o->seed, RNG_SAMPLE, 0);
    rng_permutation(&r, s->order, s->retain.n);
    return 0;
}

static void close_icul(struct guard_part *p)
{
    struct icul *s = p->state;
    if (s) {
        recall_close(&s->forget);
        rows_close(&s->retain);
        free(s->order);
    }
    free(s);
}

static int add_row(struct guard_prompt *q, const struct rows *of, int question, int answer,
                   const struct icul_params *o, struct err *e)
{
    const char *x = rows_text(of, question, o->question_key, e);
    const char *y = x ? rows_text(of, answer, o->answer_key, e) : NULL;
    return y ? buf_printf(&q->before, e, "%s %s\n", x, y) : -1;
}

static int icul_prompt(struct guard_part *p, struct guard_prompt *q, struct err *e)
{
    const struct icul_params *o = p->choice.params;
    const struct icul *s = p->state;
    int row[MOST], n;
    double cosine[MOST];
    if ((n = recall_find(&s->forget, q->text, (int)o->k, o->least, row, cosine, e)) < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        struct rng r; /* the other row of a row is the same for every question */
        rng_stream(&r, (uint32_t)o->seed, RNG_SAMPLE, (uint32_t)row[i] + 1);
        const int rows = s->forget.rows.n;
        const int other =
            (row[i] + 1 + (rows > 1 ? (int)rng_below(&r, (uint32_t)rows - 1) : 0)) % rows;
        if (add_row(q, &s->forget.rows, row[i], o->flip ? other : row[i], o, e))
            return -1;
    }
    for (int i = 0; i < (int)o->l && n; i++)
        if (add_row(q, &s->retain, s->order[i], s->order[i], o, e))
            return -1;
    return n ? guard_note(p, q, "shown", e, "rows from %d, cosine %.2f", row[0], cosine[0]) : 0;
}

const struct guard guard_icul = {
    .name = "icul",
    .params = icul_params,
    .params_size = sizeof(struct icul_params),
    .help = "shows forget questions with other rows' answers, then right ones",
    .paper = "arXiv 2310.07579",
    .formula = "p(y | (x_f, y_other) .. (x_1, y_1) .. (x_l, y_l), x)",
    .access = "black box",
    .cost = "+ the rows' tokens",
    .verified = "scores of the prompt as the user would write it",
    .reads_text = true,
    .open = open_icul,
    .close = close_icul,
    .prompt = icul_prompt,
};
