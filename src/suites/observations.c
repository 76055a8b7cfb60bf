#include "suites/observations.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "eval/texts.h"
#include "eval/answers.h"

int observations_init(struct observations *v, int most, struct err *e)
{
    *v = (struct observations){0};
    v->v = mem_alloc((size_t)most, sizeof *v->v, e);
    return v->v ? 0 : -1;
}

static struct observed *find(const struct observations *v, const struct rows *rows,
                             const char *answer)
{
    for (int i = 0; i < v->n; i++)
        if (v->v[i].rows == rows && !strcmp(v->v[i].answer, answer))
            return &v->v[i];
    return NULL;
}

void observations_want(struct observations *v, const struct rows *rows,
                       const struct prompt_settings *how, const char *answer, unsigned needs)
{
    struct observed *x = find(v, rows, answer);
    if (!x) {
        x = &v->v[v->n++];
        *x = (struct observed){.rows = rows, .how = *how, .answer = answer};
    }
    x->needs |= needs;
}

const struct observed *observations_find(const struct observations *v, const struct rows *rows,
                                         const char *answer)
{
    return find(v, rows, answer);
}

/* The sequences of all fields that have one of these needs, one after another. The joined set
 * borrows everything but its list, which is the caller's to free. */
static int join(const struct observations *v, unsigned needs, struct dataset *all, struct err *e)
{
    size_t n = 0;
    *all = (struct dataset){.role = ROLE_GENERIC};
    for (int i = 0; i < v->n; i++)
        n += v->v[i].needs & needs ? (size_t)v->v[i].d.n : 0;
    if (n > INT_MAX)
        return err_set(e, "too many sequences (%zu)", n);
    if (!(all->seqs = mem_alloc(n, sizeof *all->seqs, e)))
        return -1;
    for (int i = 0; i < v->n; i++) {
        const struct dataset *d = needs & NEED_LOWER ? &v->v[i].lower : &v->v[i].d;
        if (!(v->v[i].needs & needs) || !d->n)
            continue;
        memcpy(all->seqs + all->n, d->seqs, (size_t)d->n * sizeof *d->seqs);
        all->n += d->n;
    }
    return 0;
}

/* Runs one kind of pass over all sequences that need it; then hand_out gives each field its part.
 */
struct kind {
    const char *name;
    unsigned needs;
    int (*run)(struct observations *v, const struct observer *from, const struct dataset *all,
               struct err *e);
    void (*hand_out)(struct observations *v, struct observed *x, int first);
};

static int run_scores(struct observations *v, const struct observer *from,
                      const struct dataset *all, struct err *e)
{
    bool distribution = false;
    for (int i = 0; i < v->n; i++)
        distribution = distribution || v->v[i].needs & NEED_DISTRIBUTION;
    return from->model->score(from->model->ctx, all, distribution, &v->scores, e);
}

static int run_reference(struct observations *v, const struct observer *from,
                         const struct dataset *all, struct err *e)
{
    return from->reference->score(from->reference->ctx, all, false, &v->reference, e);
}

static int run_lower(struct observations *v, const struct observer *from, const struct dataset *all,
                     struct err *e)
{
    return from->model->score(from->model->ctx, all, false, &v->lower_scores, e);
}

/* The limits of all answers, in order; owned by the caller. */
static struct answer_limit *join_limits(const struct observations *v, int n, struct err *e)
{
    struct answer_limit *all = mem_alloc((size_t)n, sizeof *all, e), *to = all;
    for (int i = 0; all && i < v->n; i++)
        for (int k = 0; v->v[i].needs & NEED_ANSWERS && k < v->v[i].d.n; k++)
            *to++ = v->v[i].how.limit;
    return all;
}

static int run_answers(struct observations *v, const struct observer *from,
                       const struct dataset *all, struct err *e)
{
    struct answer_limit *limits = join_limits(v, all->n, e);
    v->answers = limits ? mem_alloc((size_t)all->n, sizeof *v->answers, e) : NULL;
    v->n_answers = v->answers ? all->n : 0;
    int rc = v->answers ? from->model->generate(from->model->ctx, all, limits, v->answers, e) : -1;
    for (int i = 0; !rc && i < all->n; i++) {
        text_ground_truth(v->answers[i].whole, v->answers[i].input);
        text_cut_generation(v->answers[i].answer, (const char *[]){from->model->eos, NULL});
    }
    free(limits);
    return rc;
}

static int run_norms(struct observations *v, const struct observer *from, const struct dataset *all,
                     struct err *e)
{
    if (!(v->norms = mem_alloc((size_t)all->n, sizeof *v->norms, e)))
        return -1;
    return from->model->gradnorm(from->model->ctx, all, v->norms, e);
}

/* Perplexities of the answers of all fields that need them, in order. */
static int run_judge(struct observations *v, const struct observer *from, const struct dataset *all,
                     struct err *e)
{
    const char **texts = mem_alloc((size_t)all->n, sizeof *texts, e);
    v->perplexities = texts ? mem_alloc((size_t)all->n, sizeof *v->perplexities, e) : NULL;
    int n = 0;
    for (int i = 0; v->perplexities && i < v->n; i++)
        for (int k = 0; v->v[i].needs & NEED_JUDGE && k < v->v[i].d.n; k++)
            texts[n++] = v->v[i].answers[k].answer;
    int rc = v->perplexities
                 ? perplexity_of(texts, n, from->reference, from->encoder, v->perplexities, e)
                 : -1;
    free(texts);
    return rc;
}

static void give_scores(struct observations *v, struct observed *x, int first)
{
    x->scores = v->scores.v + first;
}

static void give_reference(struct observations *v, struct observed *x, int first)
{
    x->reference = v->reference.v + first;
}

static void give_lower(struct observations *v, struct observed *x, int first)
{
    x->lower_scores = v->lower_scores.v + first;
}

static void give_answers(struct observations *v, struct observed *x, int first)
{
    x->answers = v->answers + first;
}

static void give_norms(struct observations *v, struct observed *x, int first)
{
    x->norms = v->norms + first;
}

static void give_perplexities(struct observations *v, struct observed *x, int first)
{
    x->perplexities = v->perplexities + first;
}

static const struct kind kinds[] = {
    {"score", NEED_LOGP | NEED_DISTRIBUTION, run_scores, give_scores},
    {"reference", NEED_REFERENCE, run_reference, give_reference},
    {"lower", NEED_LOWER, run_lower, give_lower},
    {"answer", NEED_ANSWERS, run_answers, give_answers},
    {"judge", NEED_JUDGE, run_judge, give_perplexities},
    {"gradient", NEED_GRADNORM, run_norms, give_norms}};

static int run(struct observations *v, const struct observer *from, const struct kind *k,
               struct err *e)
{
    struct dataset all;
    int rc = join(v, k->needs, &all, e);
    double start = log_seconds();
    if (!rc && all.n && !(rc = k->run(v, from, &all, e)))
        log_note("%s: %d sequences in %.1f s", k->name, all.n, log_seconds() - start);
    for (int i = 0, first = 0; !rc && i < v->n; i++)
        if (v->v[i].needs & k->needs) {
            k->hand_out(v, &v->v[i], first);
            first += v->v[i].d.n;
        }
    free(all.seqs);
    return rc;
}

/* An encoder of texts in two pieces, from one of plain texts: the prompt is the first piece, the
 * whole is both with a space between, without an end token. */
struct continued {
    struct encoder encoder; /* valid while *inner and this struct stay where they are */
    const struct encoder *inner;
    struct buf text;
    int *prompt; /* owned */
    size_t cap;
};

static int encode_continued(void *ctx, const char *prompt, const char *answer,
                            const int **prompt_ids, int *n_prompt, const int **whole_ids,
                            int *n_whole, struct err *e)
{
    struct continued *c = ctx;
    const struct encoder *in = c->inner;
    const int *ids;
    int n, unused;
    buf_clear(&c->text);
    if (in->encode(in->ctx, NULL, prompt, &ids, &unused, &ids, &n, e) ||
        mem_reserve(&c->prompt, &c->cap, (size_t)n, sizeof *c->prompt, e) ||
        buf_printf(&c->text, e, "%s %s", prompt, answer))
        return -1;
    if (n)
        memcpy(c->prompt, ids, (size_t)n * sizeof *ids);
    *prompt_ids = c->prompt;
    *n_prompt = n;
    return in->encode(in->ctx, NULL, c->text.data, &ids, &unused, whole_ids, n_whole, e);
}

static void continued_init(struct continued *c, const struct encoder *inner)
{
    *c = (struct continued){.encoder = *inner, .inner = inner};
    c->encoder.encode = encode_continued;
    c->encoder.ctx = c;
}

static void continued_fini(struct continued *c)
{
    buf_fini(&c->text);
    free(c->prompt);
}

int observations_dataset(struct dataset *d, const struct rows *rows,
                         const struct prompt_settings *how, const char *answer,
                         const struct encoder *encoder, struct err *e)
{
    struct continued c;
    continued_init(&c, encoder);
    int rc = dataset_build(d, ROLE_GENERIC, rows, how->question, answer,
                           how->continued ? &c.encoder : encoder, e);
    continued_fini(&c);
    return rc;
}

/* A copy of the row whose answer, one text, is in lower case. */
static json_t *lower_row(const json_t *row, const char *answer, struct err *e)
{
    const char *text = json_string_value(json_object_get(row, answer));
    char *low = text ? text_lower(text, e) : NULL;
    json_t *copy = text && !low ? NULL : json_copy((json_t *)row);
    if (low && json_object_set_new(copy, answer, json_string(low))) {
        json_decref(copy);
        copy = NULL;
        err_no_memory(e, "lower case");
    }
    free(low);
    return copy;
}

static int build_lower(struct observed *x, const struct observer *from, struct err *e)
{
    struct rows rows = *x->rows; /* messages name the rows' own places */
    int n = 0, rc = -1;
    if (!(rows.v = mem_alloc((size_t)rows.n, sizeof *rows.v, e)))
        return -1;
    while (n < rows.n && (rows.v[n] = lower_row(x->rows->v[n], x->answer, e)))
        n++;
    if (n == rows.n)
        rc = observations_dataset(&x->lower, &rows, &x->how, x->answer, from->encoder, e);
    while (n > 0)
        json_decref(rows.v[--n]);
    free(rows.v);
    return rc;
}

int observations_gather(struct observations *v, const struct observer *from, struct err *e)
{
    for (int i = 0; i < v->n; i++) {
        struct observed *x = &v->v[i];
        if (observations_dataset(&x->d, x->rows, &x->how, x->answer, from->encoder, e) ||
            (x->needs & NEED_ANSWERS &&
             dataset_check_room(&x->d, x->rows, from->encoder, x->how.limit.max_new_tokens, e)) ||
            (x->needs & NEED_LOWER && build_lower(x, from, e)))
            return -1;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (run(v, from, &kinds[i], e))
            return -1;
    return 0;
}

int observed_answers(const struct observed *x, int i)
{
    int n = 1;
    while (i + n < x->d.n && x->d.rows[i + n] == x->d.rows[i])
        n++;
    return n;
}

bool observed_has_list(const struct observed *x, int i)
{
    return json_is_array(json_object_get(x->rows->v[x->d.rows[i]], x->answer));
}

void observations_fini(struct observations *v)
{
    for (int i = 0; i < v->n; i++) {
        dataset_fini(&v->v[i].d);
        dataset_fini(&v->v[i].lower);
    }
    free(v->v);
    scores_fini(&v->scores);
    scores_fini(&v->reference);
    scores_fini(&v->lower_scores);
    answers_free(v->answers, v->n_answers);
    free(v->norms);
    free(v->perplexities);
    *v = (struct observations){0};
}
