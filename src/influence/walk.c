#include "influence/walk.h"

#include <math.h>

#include "base/log.h"
#include "base/sizes.h"

/* Tokens of a batch of rows: more do not make the products faster. */
enum { BATCH_TOKENS = SIZE(512, 8) };

static void see(void *ctx, const struct product *y)
{
    struct walk *w = ctx;
    for (int i = w->k->lo; i < w->k->hi && !w->failed; i++)
        if (w->k->maps[i].weight == y->weight && w->k->maps[i].first == y->first)
            w->see(w, i, y);
}

device float *walk_room(struct walk *w, device float **buffer, size_t *room, size_t n)
{
    const struct ops *o = w->k->m->ops;
    if (n > *room) {
        o->free(*buffer);
        *buffer = o->alloc(n, w->e);
        *room = *buffer ? n : 0;
        w->failed |= !*buffer;
    }
    return *buffer;
}

bool walk_outer(struct walk *w, int i, const struct product *y, bool projected, struct outer *g)
{
    const struct kfac *k = w->k;
    const struct kfac_map *at = &k->maps[i];
    const struct ops *o = k->m->ops;
    *g = (struct outer){y->dy, y->x, y->start, y->n_seqs, y->in, y->out, NULL};
    g->room = walk_room(w, &w->outer, &w->outer_room, outer_room(y->in));
    if (!projected || !kfac_has_basis(k))
        return g->room != NULL;
    device float *x = walk_room(w, &w->x, &w->x_room, (size_t)y->n * (size_t)y->in),
                 *s = walk_room(w, &w->s, &w->s_room, (size_t)y->n * (size_t)y->out);
    if (w->failed)
        return false;
    if (w->input != at->input)
        o->linear(x, y->x, k->maps[at->input].a, y->n, y->in, y->in, 0);
    w->input = at->input;
    o->linear(s, y->dy, at->s, y->n, y->out, y->out, 0);
    g->x = x;
    g->s = s;
    return true;
}

/* Rows whose tokens fit a batch, at least one. */
static int batch_of(const struct seq *rows, int n)
{
    int k = 1, tokens = rows[0].n;
    while (k < n && (tokens += rows[k].n) <= BATCH_TOKENS)
        k++;
    return k;
}

/* Labels of rows first.. as they were given. */
static int give_labels(struct walk *w, const struct fisher_labels *l, int first, struct err *e)
{
    const struct model *m = w->k->m;
    for (int r = 0; r < w->pass.rows.n; r++) {
        const int seq = w->pass.rows.seq[r], at = w->pass.rows.token[r] - w->pass.batch.start[seq];
        const int label = at + 1 < l->width ? l->given[(first + seq) * l->width + at + 1] : -1;
        if (label < 0 || label >= m->cfg.vocab)
            return err_about(e, "labels", "row %d, token %d: no label from 0 to %d is given",
                             first + seq, at + 1, m->cfg.vocab - 1);
        w->pass.rows.label[r] = label;
    }
    return 0;
}

static int pass_over(struct walk *w, const struct seq *rows, int first, int n,
                     const struct linear_tap *tap, struct rng *draws, struct err *e)
{
    const struct fisher_labels *l = w->labels;
    double loss;
    w->row = first;
    w->input = -1;
    if (row_pass_forward(&w->pass, w->k->m, rows + first, n, true, tap, e) ||
        (l && l->given && give_labels(w, l, first, e)))
        return -1;
    if (l && l->drawn && !l->given)
        row_pass_draw(&w->pass, draws);
    if (row_pass_back_nll(&w->pass, NULL, &loss, e) || w->failed)
        return -1;
    return isfinite(loss) ? 0
                          : err_code(e, ERR_NOT_FINITE, "row %d: the loss is not finite (%g)",
                                     first, fabs(loss));
}

int walk_rows(struct walk *w, const struct seq *rows, int n, struct err *e)
{
    const struct linear_tap tap = {.backward = see, .ctx = w, .lowest = w->k->maps[w->k->lo].layer};
    struct progress bar;
    struct rng draws;
    double tokens = 0;
    int rc = 0;
    w->e = e;
    rng_stream(&draws, w->labels ? w->labels->seed : 0, RNG_SAMPLE, 0);
    progress_start(&bar, w->what, n);
    for (int i = 0, many; i < n && !rc; i += many) {
        many = w->one ? 1 : batch_of(rows + i, n - i);
        rc = interrupt_check(w->k->stop, e) || pass_over(w, rows, i, many, &tap, &draws, e);
        tokens += w->pass.batch.n_tokens;
        progress_step(&bar, i + many, tokens, NULL);
    }
    progress_end(&bar);
    row_pass_fini(&w->pass);
    w->k->m->ops->free(w->x);
    w->k->m->ops->free(w->s);
    w->k->m->ops->free(w->g);
    w->k->m->ops->free(w->outer);
    return rc;
}
