/* The hidden states of frozen models, run with the micro-batch or kept. */
#include "base/mem.h"
#include "base/sizes.h"
#include "train/pass.h"

enum { CHUNK_TOKENS = SIZE(1024, 6) }; /* computed at once */

/* One frozen model that an objective uses: the reference or a helper. */
struct frozen {
    struct model *m;
    const struct dataset *set; /* its input for each example of the objective's role */
    struct kept_states *kept;
    int layers, n_states; /* layers run; states after the last n_states of them are kept */
    bool rows;            /* at the rows of a term on logits only, not at every token: */
    enum row_set set_of_rows;
    int skip;
};

/* Model k of the objective; false: it has no such model. */
static bool frozen_of(struct engine *g, int obj, int k, struct frozen *f)
{
    const struct objective *o = &g->obj[obj];
    const struct term *t = o->term;
    const bool logits = t->kind == VIEW_LOGITS;
    *f = (struct frozen){.set = g->sets[o->role[0]],
                         .kept = &g->kept[obj][k],
                         .layers = objective_layers(g, o),
                         .n_states = 1,
                         .rows = logits,
                         .set_of_rows = term_rows(t, o->params),
                         .skip = term_skip(t, o->params)};
    if (t->kind == VIEW_HIDDEN && t->hidden.all_layers)
        f->n_states = f->layers;
    if (!k) {
        f->m = g->ref;
        return t->needs_ref && t->kind != VIEW_LOGP;
    }
    if (!logits || !t->logits.helpers[k - 1])
        return false;
    const struct helper_model *h = engine_helper(g, t->logits.helpers[k - 1]);
    f->m = h->model;
    f->set = h->set ? h->set : f->set;
    return true;
}

/* --- keeping --- */

static int rows_of(const struct frozen *f, const struct seq *s)
{
    const int n = f->rows ? seq_labels(s) - f->skip : s->n;
    return n > 0 ? n : 0;
}

/* Marks the examples of the order; kept: examples that any micro-batch has, those it has again,
 * and the rows of all. */
static void count_used(const struct frozen *f, enum role role, const struct order *o, int first,
                       int n, long *again, size_t *rows)
{
    *again = 0;
    *rows = 0;
    for (int i = 0; i < f->set->n; i++)
        f->kept->at[i] = -1;
    for (int k = first; k < first + n; k++)
        for (int i = 0; i < o->micro[k].n[role]; i++) {
            const int row = o->micro[k].rows[role][i];
            if (f->kept->at[row] >= 0) {
                ++*again;
                continue;
            }
            f->kept->at[row] = 0;
            *rows += (size_t)rows_of(f, &f->set->seqs[row]);
        }
}

static void copy_states(void *ctx, const struct pass *p, device float *x)
{
    device float *const *states = ctx;
    const struct batch *b = p->batch;
    const size_t c = (size_t)p->m->cfg.width;
    if (b->path)
        p->m->ops->gather(*states, x, b->path, b->place[b->n_seqs], (int)c);
    else
        p->m->ops->copy(*states, x, (size_t)b->n_tokens * c);
}

/* states[i] [places,C], of every token after layers first..f->layers, in the order of the tokens.
 */
static int run_taps(const struct frozen *f, const struct batch *b, device float **states,
                    struct arena *a, struct err *e)
{
    const int n = f->n_states;
    struct tap *taps = arena_take(a, (size_t)n, sizeof *taps, e);
    struct pass pass;
    for (int i = 0; taps && i < n; i++)
        taps[i] = (struct tap){.place = PLACE_RESID,
                               .layer = f->layers - n + i,
                               .forward = copy_states,
                               .ctx = &states[i]};
    const struct forward how = {.layers = f->layers, .taps = taps, .n_taps = n};
    return taps ? model_forward(f->m, b, &how, &pass, a, e) : -1;
}

/* What the model must compute of the sequences: of label rows nothing after the last of them. */
static int pack(struct engine *g, const struct frozen *f, const struct seq *seqs, int n,
                struct batch *b, struct arena *a, struct err *e)
{
    struct seq *needed = arena_take(a, (size_t)n + 1, sizeof *needed, e);
    double tokens = 0;
    for (int i = 0; needed && i < n; i++) {
        needed[i] = seqs[i];
        tokens += seqs[i].n;
        if (f->rows && f->set_of_rows == ROWS_SCORED)
            needed[i].n = seq_needed(&seqs[i]);
    }
    if (!needed || pack_seqs(b, needed, n, f->m, !g->alone, a, e))
        return -1;
    g->tokens.forward += tokens;
    return 0;
}

/* states[0] [R,C], of the rows that predict a label. */
static int run_rows(const struct frozen *f, const struct batch *b, const struct seq *seqs, int n,
                    device float **states, struct arena *a, struct err *e)
{
    const struct forward how = {.layers = f->layers};
    struct pass pass;
    struct label_rows rows;
    if (rows_of_seqs(seqs, n, ROWS_SCORED, f->skip, b, 0, &rows, a, e) ||
        model_forward(f->m, b, &how, &pass, a, e))
        return -1;
    f->m->ops->gather(states[0], pass.x, rows.token, rows.n, f->m->cfg.width);
    return 0;
}

/* Runs n of the examples, whose rows begin at row `at` of what is kept. */
static int keep_chunk(struct engine *g, const struct frozen *f, const struct seq *seqs, int n,
                      size_t at, struct err *e)
{
    struct arena *a = &g->arena;
    const size_t c = (size_t)f->m->cfg.width;
    struct batch b;
    arena_reset(a);
    device float **states = arena_zeros(a, (size_t)f->n_states, sizeof *states, e);
    if (!states || pack(g, f, seqs, n, &b, a, e))
        return -1;
    for (int i = 0; i < f->n_states; i++)
        states[i] = f->kept->states + ((size_t)i * f->kept->rows + at) * c;
    return f->rows ? run_rows(f, &b, seqs, n, states, a, e) : run_taps(f, &b, states, a, e);
}

static int keep_all(struct engine *g, const struct frozen *f, struct seq *seqs,
                    struct progress *bar, struct err *e)
{
    int n = 0, tokens = 0, rc = 0;
    size_t done = 0, rows = 0;
    for (int i = 0; i <= f->set->n && !rc; i++) {
        const bool ends = i == f->set->n;
        if (!ends && f->kept->at[i] < 0)
            continue;
        if (n && (ends || tokens + f->set->seqs[i].n > CHUNK_TOKENS)) {
            rc = keep_chunk(g, f, seqs, n, done, e);
            progress_step(bar, bar->done + n, 0, NULL);
            done = rows;
            n = tokens = 0;
        }
        if (ends)
            break;
        seqs[n++] = f->set->seqs[i];
        tokens += f->set->seqs[i].n;
        f->kept->at[i] = (int)rows;
        rows += (size_t)rows_of(f, &f->set->seqs[i]);
    }
    return rc;
}

/* Marks what the order has of the examples, if it is worth keeping: *floats, 0 if it is not. */
static int mark(const struct frozen *f, enum role role, const struct order *o, int first, int n,
                size_t most, size_t *floats, struct err *e)
{
    struct kept_states *kept = f->kept;
    long again;
    size_t rows;
    if (!(kept->at = mem_alloc((size_t)f->set->n, sizeof *kept->at, e)))
        return -1;
    count_used(f, role, o, first, n, &again, &rows);
    *floats = rows * (size_t)f->m->cfg.width * (size_t)f->n_states;
    if (!again || rows > INT32_MAX || *floats * sizeof(float) > most)
        *floats = 0;
    kept->rows = rows;
    return 0;
}

static void unmark(struct kept_states *kept)
{
    free(kept->at);
    kept->at = NULL;
}

static int keep_states(struct engine *g, const struct frozen *f, size_t floats,
                       struct progress *bar, struct err *e)
{
    struct kept_states *kept = f->kept;
    struct seq *seqs = mem_alloc((size_t)f->set->n, sizeof *seqs, e);
    int rc = seqs && (kept->states = f->m->ops->alloc(floats, e)) ? 0 : -1;
    for (int i = 0; i < f->set->n && !rc; i++)
        bar->total += kept->at[i] >= 0;
    rc = rc ? rc : keep_all(g, f, seqs, bar, e);
    free(seqs);
    return rc;
}

/* bar: NULL to plan only. */
static int each_frozen(struct engine *g, const struct order *o, int first, int n, size_t most,
                       size_t *bytes, struct progress *bar, struct err *e)
{
    *bytes = 0;
    for (int i = 0; i < g->n_obj; i++)
        for (int k = 0; k <= TERM_MAX_HELPERS; k++) {
            const struct objective *obj = &g->obj[i];
            struct frozen f;
            size_t floats;
            if (!engine_counts(g, obj) || !frozen_of(g, i, k, &f) || !f.m || !f.set->seqs ||
                f.set_of_rows != ROWS_SCORED)
                continue;
            if (f.kept->states) { /* planned once more, after they were kept */
                *bytes +=
                    f.kept->rows * (size_t)f.n_states * (size_t)f.m->cfg.width * sizeof(float);
                continue;
            }
            if (mark(&f, obj->role[0], o, first, n, most - *bytes, &floats, e) ||
                (floats && bar && keep_states(g, &f, floats, bar, e)))
                return -1;
            *bytes += floats * sizeof(float);
            if (!floats || !bar)
                unmark(f.kept);
        }
    return 0;
}

int frozen_keep(struct engine *g, const struct order *o, int first, int n, struct progress *bar,
                struct err *e)
{
    size_t bytes;
    return each_frozen(g, o, first, n, g->keep_bytes, &bytes, bar, e);
}

int frozen_plan(struct engine *g, const struct order *o, size_t most, size_t *bytes, struct err *e)
{
    return each_frozen(g, o, 0, o->n, most, bytes, NULL, e);
}

const struct model *frozen_model(struct engine *g, int i, int k, int *states)
{
    struct frozen f;
    if (!frozen_of(g, i, k, &f))
        return NULL;
    *states = f.n_states;
    return f.m;
}

size_t frozen_bytes_kept(const struct engine *g)
{
    size_t bytes = 0;
    for (int i = 0; i < g->n_obj; i++)
        for (int k = 0; k <= TERM_MAX_HELPERS; k++) {
            struct frozen f;
            struct engine *own = (struct engine *)g;
            if (g->kept[i][k].states && frozen_of(own, i, k, &f))
                bytes += f.kept->rows * (size_t)f.n_states * (size_t)f.m->cfg.width * sizeof(float);
        }
    return bytes;
}

void frozen_fini(struct engine *g)
{
    for (int i = 0; i < ENGINE_MAX_OBJECTIVES; i++)
        for (int k = 0; k <= TERM_MAX_HELPERS; k++) {
            if (g->kept[i][k].states)
                g->model->ops->free(g->kept[i][k].states);
            free(g->kept[i][k].at);
        }
}

/* --- a micro-batch --- */

/* Everything that the micro-batch wants is kept. */
static bool holds(const struct micro_pass *w, const struct frozen *f, enum role role)
{
    if (!f->kept->states || (!f->rows && w->plan.padded & ROLE_BIT(role)))
        return false;
    for (int i = 0; i < w->mb->n[role]; i++)
        if (f->kept->at[w->mb->rows[role][i]] < 0)
            return false;
    return true;
}

int frozen_states(struct micro_pass *w, int obj, device float **states)
{
    const enum role role = w->g->obj[obj].role[0];
    const struct part *p = &w->part[role];
    struct frozen f;
    BUG_ON(!frozen_of(w->g, obj, 0, &f));
    const size_t c = (size_t)f.m->cfg.width;
    for (int i = 0; i < f.n_states; i++)
        if (!(states[i] = pass_floats(w, (size_t)p->n_tokens * c)))
            return -1;
    if (!holds(w, &f, role)) {
        struct batch b;
        BUG_ON(!f.m);
        return pack(w->g, &f, w->seqs + p->first_seq, p->n_seqs, &b, w->a, w->e) ||
               run_taps(&f, &b, states, w->a, w->e);
    }
    for (int i = 0; i < f.n_states; i++)
        for (int s = 0, at = 0; s < p->n_seqs; at += w->seqs[p->first_seq + s++].n) {
            const size_t row = (size_t)i * f.kept->rows + (size_t)f.kept->at[w->mb->rows[role][s]];
            f.m->ops->copy(states[i] + (size_t)at * c, f.kept->states + row * c,
                           (size_t)w->seqs[p->first_seq + s].n * c);
        }
    return 0;
}

static int run_inputs(struct micro_pass *w, const struct frozen *f, enum role role,
                      struct pass *pass, struct label_rows *own)
{
    const struct part *p = &w->part[role];
    const bool others = f->set != w->g->sets[role];
    const struct forward how = {.layers = f->layers};
    struct seq *seqs = w->seqs + p->first_seq;
    struct batch *b = pass_take(w, 1, sizeof *b);
    if (!b || (others && !(seqs = pass_take(w, (size_t)p->n_seqs, sizeof *seqs))))
        return -1;
    for (int s = 0; others && s < p->n_seqs; s++)
        seqs[s] = f->set->seqs[w->mb->rows[role][s]];
    BUG_ON(!f->m);
    return pack(w->g, f, seqs, p->n_seqs, b, w->a, w->e) ||
           rows_of_seqs(seqs, p->n_seqs, f->set_of_rows, f->skip, b, 0, own, w->a, w->e) ||
           model_forward(f->m, b, &how, pass, w->a, w->e);
}

int frozen_head(struct micro_pass *w, int obj, int k, const struct label_rows *rows, struct head *h)
{
    const enum role role = w->g->obj[obj].role[0];
    struct label_rows *own = pass_take(w, 1, sizeof *own);
    struct pass *pass = pass_take(w, 1, sizeof *pass);
    struct frozen f;
    if (!own || !pass)
        return -1;
    BUG_ON(!frozen_of(w->g, obj, k, &f));
    *own = *rows;
    if (holds(w, &f, role)) {
        if (!(own->token = pass_take(w, (size_t)rows->n, sizeof(int))))
            return -1;
        *pass = (struct pass){.m = f.m, .x = f.kept->states};
        for (int i = 0; i < rows->n; i++)
            own->token[i] = i && rows->seq[i] == rows->seq[i - 1]
                                ? own->token[i - 1] + 1
                                : f.kept->at[w->mb->rows[role][rows->seq[i]]];
    } else if (run_inputs(w, &f, role, pass, own)) {
        return -1;
    }
    BUG_ON(own->n != rows->n);
    return head_init(h, pass, own, false, w->a, w->e);
}
