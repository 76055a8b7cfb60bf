/* One search of GCG: the derivative, candidates, their losses, and what the next step starts from.
 */
#include <math.h>
#include <string.h>

#include "attack/gcg.h"
#include "base/json.h"
#include "base/mem.h"
#include "tensor/file.h"

/* A suffix that was tried, and its loss. */
struct tried {
    int *ids; /* owned [n] */
    double loss;
    bool elicits; /* the greedy answer is the target, in every row */
};

/* The search over rows[n] for one target. */
struct search {
    struct gcg *g;
    enum input_target target;
    const int *rows;
    int n_rows;
    struct rng rng;
    struct arena a;
    struct latent at;            /* no perturbation; its derivative */
    int *of;                     /* [longest row] */
    device float *grad, *onehot; /* [n,C], [n,V] */
    struct tried *held;          /* owned [held_most], the least loss first */
    int n_held, held_most;
    struct tried best; /* of all */
    double *loss;      /* [rows, steps+1] of the suffix that was current after each step */
    struct gcg_trace trace;
    struct tensor_file replayed;
    bool replays;
};

static struct seq *row_of(const struct search *c, int i)
{
    return &c->g->slots[c->target].seqs[c->rows[i]];
}

/* Puts a suffix into all rows. */
static void place_suffix(struct search *c, const int *ids)
{
    const struct input_slots *s = &c->g->slots[c->target];
    for (int i = 0; i < c->n_rows; i++)
        memcpy((int *)s->seqs[c->rows[i]].ids + s->at[c->rows[i]], ids,
               (size_t)s->width * sizeof *ids);
}

/* --- the derivative --- */

/* onehot [n,V] at the suffix in place, of the mean over the rows' labels. */
static int differentiate(struct search *c, struct err *e)
{
    const struct model *m = &c->g->in->a->s.model;
    const size_t floats = (size_t)c->g->n * (size_t)m->cfg.width;
    device float *d = c->at.ddelta;
    double labels = 0;
    for (int i = 0; i < c->n_rows; i++)
        labels += seq_labels(row_of(c, i));
    m->ops->fill(c->grad, 0, floats);
    for (int i = 0; i < c->n_rows; i++) {
        const struct seq *q = row_of(c, i);
        const int at = c->g->slots[c->target].at[c->rows[i]];
        double loss;
        for (int t = 0; t < q->n; t++)
            c->of[t] = t >= at && t < at + c->g->n ? t - at : -1;
        if (input_loss(c->g->in, q, &c->at, &loss, e))
            return -1;
        m->ops->axpy(c->grad, (float)(seq_labels(q) / labels), d, floats);
    }
    gcg_onehot(m, c->grad, c->g->n, c->onehot);
    return 0;
}

/* --- candidates --- */

/* Those that keep their tokens in every row; returns how many, or -1. */
static int filter(struct search *c, const int *sampled, int width, int *kept, struct err *e)
{
    int n = 0;
    for (int w = 0; w < width; w++) {
        bool same = true;
        for (int i = 0; same && i < c->n_rows; i++)
            if (gcg_retokenises(c->g, c->target, c->rows[i], sampled + (size_t)w * (size_t)c->g->n,
                                &same, e))
                return -1;
        if (same)
            kept[n++] = w;
    }
    return n ? n
             : err_about(e, "filter",
                         "none of %d candidates keeps its tokens when its text is tokenised again",
                         width);
}

/* The rows with suffix `ids` in them, into seqs[n_rows] in the arena. */
static int build(struct search *c, const int *ids, struct seq *seqs, struct err *e)
{
    const struct input_slots *s = &c->g->slots[c->target];
    for (int i = 0; i < c->n_rows; i++) {
        int *own = arena_take(&c->a, (size_t)row_of(c, i)->n, sizeof *own, e);
        if (!own)
            return -1;
        seqs[i] = *row_of(c, i);
        memcpy(own, seqs[i].ids, (size_t)seqs[i].n * sizeof *own);
        memcpy(own + s->at[c->rows[i]], ids, (size_t)s->width * sizeof *ids);
        seqs[i].ids = own;
    }
    return 0;
}

/* Losses of suffixes at ids + which[k] * n (which NULL: k * n): of every row into by_row [count,
 * rows], and whether each is elicited in all rows. What they share is computed once. */
static int score(struct search *c, const int *ids, const int *which, int count, double *by_row,
                 bool *elicits, struct err *e)
{
    struct attack_run *a = c->g->in->a;
    const size_t rows = (size_t)c->n_rows;
    const struct score_options how = {.interrupt = a->stop};
    struct scores scores = {0};
    arena_reset(&c->a);
    struct seq *seqs = arena_take(&c->a, (size_t)count * rows + 1, sizeof *seqs, e);
    int rc = !seqs;
    for (int k = 0; !rc && k < count; k++)
        rc = build(c, ids + (size_t)(which ? which[k] : k) * (size_t)c->g->n,
                   seqs + (size_t)k * rows, e);
    rc = rc || model_score(&scores, &a->s.model, seqs, count * c->n_rows, &how, NULL, e);
    for (int k = 0; !rc && k < count; k++) {
        elicits[k] = true;
        for (size_t i = 0; i < rows; i++) {
            const struct score *s = &scores.v[(size_t)k * rows + i];
            by_row[(size_t)k * rows + i] = s->nll / s->n;
            for (int l = 0; l < s->n; l++)
                elicits[k] &= s->best[l] == s->label[l];
            a->spent.forward_tokens += seqs[(size_t)k * rows + i].n;
        }
    }
    a->spent.candidates += rc ? 0 : count;
    scores_fini(&scores);
    return rc;
}

/* The mean over labels of the rows' losses. */
static double mean(const struct search *c, const double *by_row)
{
    double sum = 0, labels = 0;
    for (int i = 0; i < c->n_rows; i++) {
        sum += seq_labels(row_of(c, i)) * by_row[i];
        labels += seq_labels(row_of(c, i));
    }
    return sum / labels;
}

/* --- what is held --- */

static int keep(const struct search *c, struct tried *t, const int *ids, double loss, bool elicits,
                struct err *e)
{
    if (!t->ids && !(t->ids = mem_alloc((size_t)c->g->n, sizeof *t->ids, e)))
        return -1;
    memcpy(t->ids, ids, (size_t)c->g->n * sizeof *ids);
    t->loss = loss;
    t->elicits = elicits;
    return 0;
}

/* Into the held ones: in place of the worst where it is better than that, or where only one is. */
static int hold(struct search *c, const int *ids, double loss, bool elicits, struct err *e)
{
    const bool always = !c->g->p->buffer;
    int at = c->n_held < c->held_most ? c->n_held : c->held_most - 1;
    if (c->n_held == c->held_most && !always && !(loss < c->held[at].loss))
        return 0;
    if (keep(c, &c->held[at], ids, loss, elicits, e))
        return -1;
    c->n_held += at == c->n_held;
    for (; at > 0 && c->held[at].loss < c->held[at - 1].loss; at--) {
        const struct tried t = c->held[at];
        c->held[at] = c->held[at - 1];
        c->held[at - 1] = t;
    }
    return 0;
}

/* Records the loss after `step` steps; [rows] by_row is of the suffix that is tried next. */
static int note(struct search *c, long step, const int *ids, const double *by_row, bool elicits,
                struct err *e)
{
    const double loss = mean(c, by_row);
    for (int i = 0; i < c->n_rows; i++)
        c->loss[(size_t)i * ((size_t)c->g->p->steps + 1) + (size_t)step] = by_row[i];
    return !c->best.ids || loss < c->best.loss ? keep(c, &c->best, ids, loss, elicits, e) : 0;
}

/* --- a step --- */

static int trace_step(struct search *c, const struct gcg_step *s, long step, struct err *e)
{
    struct gcg_trace *t = &c->trace;
    const size_t n = (size_t)c->g->n, vocab = (size_t)c->g->in->a->s.model.cfg.vocab;
    const bool whole = step == 0 || step + 1 == c->g->p->steps;
    const struct {
        const int *from;
        size_t count;
    } ints[] = {{s->ids, n},
                {s->top, n * (size_t)c->g->p->topk},
                {s->sampled, n * (size_t)c->g->p->width},
                {s->kept, (size_t)s->n_kept}};
    if (mem_reserve(&t->v, &t->cap, (size_t)t->n + 1, sizeof *t->v, e))
        return -1;
    struct gcg_step *to = &t->v[t->n++];
    *to = (struct gcg_step){.n_kept = s->n_kept, .best = s->best};
    int **const own[] = {&to->ids, &to->top, &to->sampled, &to->kept};
    for (int i = 0; i < 4; i++) {
        if (!(*own[i] = mem_alloc(ints[i].count, sizeof(int), e)))
            return -1;
        memcpy(*own[i], ints[i].from, ints[i].count * sizeof(int));
    }
    if (!(to->loss = mem_alloc((size_t)s->n_kept, sizeof(float), e)) ||
        (whole && !(to->onehot = mem_alloc(n * vocab, sizeof(float), e))))
        return -1;
    memcpy(to->loss, s->loss, (size_t)s->n_kept * sizeof(float));
    if (whole)
        ops_read(c->g->in->a->s.model.ops, to->onehot, c->onehot, n * vocab);
    return 0;
}

/* The candidates: replayed ones, of which no more steps may be there, or drawn ones. */
static int sample(struct search *c, long step, const int *top, int **sampled, int *width,
                  struct err *e)
{
    const struct gcg_params *p = c->g->p;
    if (c->replays)
        return gcg_replay(c->g, &c->replayed, step, sampled, width, e);
    if (!(*sampled = mem_alloc((size_t)p->width * (size_t)c->g->n, sizeof **sampled, e)))
        return -1;
    gcg_sample(c->g, c->held[0].ids, top, &c->rng, *sampled);
    *width = (int)p->width;
    return 0;
}

/* Losses of the kept ones, the best of them, and what follows for the next step. */
static int choose(struct search *c, long step, struct gcg_step *s, struct err *e)
{
    const size_t rows = (size_t)c->n_rows, kept = (size_t)s->n_kept;
    double *by_row = mem_alloc(kept * rows, sizeof *by_row, e);
    bool *elicits = mem_alloc(kept, sizeof *elicits, e);
    s->loss = mem_alloc(kept, sizeof *s->loss, e);
    int rc = !by_row || !elicits || !s->loss ||
             score(c, s->sampled, s->kept, s->n_kept, by_row, elicits, e);
    for (size_t k = 0; !rc && k < kept; k++) {
        s->loss[k] = (float)mean(c, by_row + k * rows);
        if (!(s->loss[s->best] <= s->loss[k])) /* also where the first is not a number */
            s->best = (int)k;
    }
    if (!rc) {
        const int *ids = s->sampled + (size_t)s->kept[s->best] * (size_t)c->g->n;
        const double *own = by_row + (size_t)s->best * rows;
        rc = note(c, step + 1, ids, own, elicits[s->best], e) ||
             (c->g->p->trace && c->g->in->a->o->out && trace_step(c, s, step, e)) ||
             hold(c, ids, mean(c, own), elicits[s->best], e);
    }
    free(by_row);
    free(elicits);
    free(s->loss);
    return rc;
}

/* *more: candidates were there to try. */
static int step(struct search *c, long number, bool *more, struct err *e)
{
    const struct gcg_params *p = c->g->p;
    struct gcg_step s = {.ids = c->held[0].ids};
    int width = 0;
    place_suffix(c, s.ids);
    s.top = mem_alloc((size_t)c->g->n * (size_t)p->topk, sizeof *s.top, e);
    int rc = !s.top || differentiate(c, e) || gcg_top(c->g, c->onehot, s.top, e) ||
             sample(c, number, s.top, &s.sampled, &width, e);
    *more = !rc && width;
    if (*more && !(s.kept = mem_alloc((size_t)width, sizeof *s.kept, e)))
        rc = -1;
    if (!rc && *more && (s.n_kept = filter(c, s.sampled, width, s.kept, e)) < 0)
        rc = -1;
    rc = rc || (*more && choose(c, number, &s, e));
    free(s.top);
    free(s.sampled);
    free(s.kept);
    return rc;
}

/* --- a search --- */

static int open_search(struct search *c, struct err *e)
{
    struct gcg *g = c->g;
    const struct model *m = &g->in->a->s.model;
    const size_t n = (size_t)g->n, floats = n * (size_t)m->cfg.width;
    int longest = 0;
    char *path;
    for (int i = 0; i < c->n_rows; i++)
        longest = row_of(c, i)->n > longest ? row_of(c, i)->n : longest;
    rng_stream(&c->rng, (uint32_t)g->in->a->o->seed, RNG_SAMPLE,
               (uint32_t)(2 * c->rows[0] + (int)c->target));
    c->held_most = g->p->buffer > 1 ? (int)g->p->buffer : 1;
    c->at = (struct latent){.place = PLACE_EMBED, .n = g->n};
    device float *zero = m->ops->alloc(floats, e);
    c->at.delta = zero;
    if (!zero || !(c->at.ddelta = m->ops->alloc(floats, e)) ||
        !(c->grad = m->ops->alloc(floats, e)) ||
        !(c->onehot = m->ops->alloc(n * (size_t)m->cfg.vocab, e)) ||
        !(c->of = mem_alloc((size_t)longest, sizeof *c->of, e)) ||
        !(c->held = mem_alloc((size_t)c->held_most, sizeof *c->held, e)) ||
        !(c->loss = mem_alloc((size_t)c->n_rows * ((size_t)g->p->steps + 1), sizeof *c->loss, e)) ||
        gcg_replay_path(g, c->target, c->rows[0], &path, e))
        return -1;
    c->at.of = c->of;
    for (size_t i = 0; i < (size_t)c->n_rows * ((size_t)g->p->steps + 1); i++)
        c->loss[i] = NAN;
    const int rc = path && tensor_file_open(&c->replayed, path, e);
    c->replays = path && !rc;
    free(path);
    return rc;
}

static void close_search(struct search *c)
{
    const struct ops *o = c->g->in->a->s.model.ops;
    o->free((device float *)c->at.delta);
    o->free(c->at.ddelta);
    o->free(c->grad);
    o->free(c->onehot);
    free(c->of);
    for (int i = 0; c->held && i < c->held_most; i++)
        free(c->held[i].ids);
    free(c->held);
    free(c->best.ids);
    free(c->loss);
    gcg_trace_fini(&c->trace);
    if (c->replays)
        tensor_file_close(&c->replayed);
    arena_fini(&c->a);
}

/* The suffixes to start from: the first, and with a buffer random printable ones. */
static int start(struct search *c, struct err *e)
{
    struct gcg *g = c->g;
    const uint32_t vocab = (uint32_t)g->in->a->s.model.cfg.vocab;
    double *by_row = mem_alloc((size_t)c->n_rows, sizeof *by_row, e);
    int *ids = mem_alloc((size_t)g->n, sizeof *ids, e), rc = !by_row || !ids;
    for (int k = 0; !rc && k < c->held_most; k++) {
        bool elicits;
        for (int i = 0; i < g->n; i++) {
            do
                ids[i] = k ? (int)rng_below(&c->rng, vocab) : g->start[i];
            while (k && g->banned[ids[i]]);
        }
        rc = score(c, ids, NULL, 1, by_row, &elicits, e) ||
             hold(c, ids, mean(c, by_row), elicits, e) ||
             (!k && note(c, 0, ids, by_row, elicits, e));
    }
    free(by_row);
    free(ids);
    return rc;
}

/* Rows that a universal suffix was not made for, with the best one. */
static int score_rest(struct search *c, struct err *e)
{
    struct input *in = c->g->in;
    const size_t each = (size_t)in->steps + 1;
    int rc = 0;
    for (int i = 0; !rc && i < in->n; i++) {
        struct search one = {.g = c->g, .target = c->target, .rows = &i, .n_rows = 1};
        bool elicits;
        if (!in->attacked[i])
            rc = score(&one, c->best.ids, NULL, 1,
                       &in->reached[c->target][(size_t)i * each + each - 1], &elicits, e);
        arena_fini(&one.a);
    }
    return rc;
}

/* A line of the results by row: the best suffix, its text where there is one, and its loss. */
static json_t *describe(struct search *c, struct err *e)
{
    json_t *j = json_pack("{s:i, s:s}", "row", c->rows[0] + 1, "target",
                          c->target == INPUT_TRUE ? "forget" : "control"),
           *ids = json_array();
    struct buf text = {0};
    for (int i = 0; i < c->g->n; i++)
        json_array_append_new(ids, json_integer(c->best.ids[i]));
    if (c->g->in->a->s.tokenizer && !gcg_text(c->g, c->best.ids, &text, e))
        json_object_set_new(j, "suffix", json_stringn(text.data ? text.data : "", text.len));
    json_object_set_new(j, "ids", ids);
    json_put_real(j, "loss", c->best.loss);
    json_object_set_new(j, "elicited", json_boolean(c->best.elicits));
    buf_fini(&text);
    return j;
}

int gcg_search(struct gcg *g, enum input_target target, const int *rows, int n, json_t *lines,
               struct err *e)
{
    struct search c = {.g = g, .target = target, .rows = rows, .n_rows = n};
    bool more = true;
    int rc = open_search(&c, e) || start(&c, e);
    for (long s = 0; !rc && more && s < g->p->steps; s++) {
        if (g->p->early_stop && c.best.elicits)
            break;
        if (!(rc = step(&c, s, &more, e)) && more)
            input_count(g->in);
    }
    if (c.best.ids) {
        const bool won = g->p->steps && input_record(g->in, target, rows, n, c.loss);
        json_array_append_new(lines, describe(&c, e));
        rc = rc || (won && g->p->universal && score_rest(&c, e)) ||
             gcg_trace_write(g, &c.trace, target, rows[0], e);
    }
    close_search(&c);
    return rc;
}
