#include "eval/choice.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Collected sequences: ids and labels of all, concatenated. */
struct pool {
    struct ids ids, labels;
    struct dataset *d;
};

static int add_sequence(struct pool *p, const struct ids *context, const struct ids *whole,
                        int positions, int row, int item, struct err *e)
{
    size_t n_choice = whole->n > context->n ? whole->n - context->n : 0;
    size_t n = context->n + n_choice, cut = 0;
    size_t most = (size_t)positions + 1; /* the last token is scored, but not an input */
    if (!n_choice || !context->n)
        return err_set(e, "a context or a choice has no tokens");
    if (n > most)
        cut = n - most;
    if (cut >= context->n)
        return err_set(e, "a choice of %zu tokens is longer than the model's %d positions",
                       n_choice, positions);
    struct dataset *d = p->d;
    for (size_t i = cut; i < n; i++) {
        bool scored = i >= context->n;
        int id = scored ? whole->v[i] : context->v[i];
        if (ids_add(&p->ids, id, e) || ids_add(&p->labels, scored ? id : LABEL_NONE, e))
            return -1;
    }
    d->seqs[d->n].n = (int)(n - cut);
    d->rows[d->n] = row;
    d->item[d->n++] = item;
    d->n_labels += (int)n_choice;
    return 0;
}

static int encode(const struct tokenizer *tok, const char *text, size_t n, struct ids *out,
                  struct err *e)
{
    out->n = 0;
    return tokenizer_encode(tok, text, n, true, out, e);
}

/* Moves spaces at the end of a context to the choice. */
static size_t context_length(const char *context)
{
    size_t n = strlen(context);
    while (n && strchr(" \t\n\v\f\r", context[n - 1]))
        n--;
    return n;
}

static int add_question(struct pool *p, const struct question *q, int number,
                        const struct tokenizer *tok, int positions, struct err *e)
{
    struct ids context = {0}, whole = {0};
    struct buf both = {0};
    int rc = 0;
    for (int i = 0; i < q->n && !rc; i++) {
        if (!i || q->context[i] != q->context[0])
            rc = encode(tok, q->context[i], context_length(q->context[i]), &context, e);
        buf_clear(&both);
        if (!rc)
            rc = buf_printf(&both, e, "%s %s", q->context[i], q->choice[i]) ||
                 encode(tok, both.data, both.len, &whole, e) ||
                 add_sequence(p, &context, &whole, positions, number, i, e);
    }
    buf_fini(&both);
    free(context.v);
    free(whole.v);
    return rc;
}

/* All sequences of all questions, in order: row is the question, item the choice. */
static int collect(struct dataset *d, const struct questions *q, const struct tokenizer *tok,
                   int positions, struct err *e)
{
    struct pool p = {.d = d};
    size_t all = 0;
    int rc = 0;
    *d = (struct dataset){.n = 0};
    for (int i = 0; i < q->n; i++)
        all += (size_t)q->v[i].n;
    if (!(d->seqs = mem_alloc(all, sizeof *d->seqs, e)) ||
        !(d->rows = mem_alloc(all, sizeof *d->rows, e)) ||
        !(d->item = mem_alloc(all, sizeof *d->item, e)))
        rc = -1;
    for (int i = 0; i < q->n && !rc; i++)
        rc = add_question(&p, &q->v[i], i, tok, positions, e);
    if (!rc && !(d->pool = mem_alloc(2 * p.ids.n, sizeof(int), e)))
        rc = -1;
    if (!rc) {
        memcpy(d->pool, p.ids.v, p.ids.n * sizeof(int));
        memcpy(d->pool + p.ids.n, p.labels.v, p.ids.n * sizeof(int));
        int *at = d->pool;
        for (int i = 0; i < d->n; at += d->seqs[i++].n) {
            d->seqs[i].ids = at;
            d->seqs[i].labels = at + p.ids.n;
        }
    }
    free(p.ids.v);
    free(p.labels.v);
    if (rc)
        dataset_fini(d);
    return rc;
}

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void choice_judge(struct choice_score *s, const struct question *q)
{
    double share[2] = {0, 0}, per_letter = -INFINITY;
    s->best = s->best_letter = 0;
    for (int i = 0; i < q->n; i++) {
        double by_letter = s->logp[i] / (double)characters(q->choice[i]);
        if (s->logp[i] > s->logp[s->best])
            s->best = i;
        if (by_letter > per_letter) {
            per_letter = by_letter;
            s->best_letter = i;
        }
    }
    /* relative to the most likely: exp of log-probabilities of long texts underflows */
    for (int i = 0; i < q->n; i++)
        share[i < q->n_right] += exp(s->logp[i] - s->logp[s->best]);
    s->acc = s->best == q->gold;
    s->acc_norm = s->best_letter == q->gold;
    if (q->n_right)
        s->acc = s->acc_norm = share[1] / (share[0] + share[1]);
}

static int judge_all(struct choice_score *out, const struct questions *q, const struct score *score,
                     struct err *e)
{
    for (int i = 0; i < q->n; i++) {
        out[i].n = q->v[i].n;
        if (!(out[i].logp = mem_alloc((size_t)out[i].n, sizeof *out[i].logp, e)))
            return -1;
        for (int c = 0; c < out[i].n; c++)
            out[i].logp[c] = -score++->nll;
        choice_judge(&out[i], &q->v[i]);
    }
    return 0;
}

int choice_score(struct choice_score *out, const struct questions *q, const struct tokenizer *tok,
                 const struct backend *model, int positions, struct err *e)
{
    struct dataset d;
    struct scores scores;
    memset(out, 0, (size_t)q->n * sizeof *out);
    if (collect(&d, q, tok, positions, e))
        return -1;
    int rc = model->score(model->ctx, &d, false, &scores, e);
    dataset_fini(&d);
    if (rc)
        return -1;
    rc = judge_all(out, q, scores.v, e);
    scores_fini(&scores);
    return rc;
}

void choice_scores_free(struct choice_score *s, int n)
{
    for (int i = 0; i < n; i++)
        free(s[i].logp);
}
