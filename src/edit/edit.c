/* The weights that are edited: which layers, their updates, what becomes of them. */
#include "edit/edit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/lora.h"
#include "tensor/file.h"
#include "tensor/matrix.h"

const struct edit *const edits[] = {&edit_rome, &edit_memit, &edit_alphaedit, NULL};

/* --- layers --- */

static int add_layer(struct editing *g, int layer, struct err *e)
{
    const struct model *m = g->m;
    if (m->cfg.experts || !weight_has(&m->table, W_DOWN))
        return err_set(e,
                       "layer %d has no down projection of an MLP: models with experts are not "
                       "edited",
                       layer);
    if (weight_has(&m->table, W_NORM_MLP_POST) || m->cfg.residual_scale != 1)
        return err_set(e, "the output of an MLP is normalised or scaled before it is added to the "
                          "residual: such models are not edited");
    const int weight = weight_index(&m->table, W_DOWN, layer);
    const size_t count = m->table.v[weight].count;
    const float *w = m->ops->map_read(m->w[weight], count);
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)w[i] * (double)w[i];
    m->ops->unmap(m->w[weight]);
    g->layers[g->n_layers++] =
        (struct edit_layer){.layer = layer, .weight = weight, .before = sqrt(sum)};
    return 0;
}

int edit_read_layers(const char *text, int n, int *list, const char *subject, struct err *e)
{
    int count = 0;
    for (const char *at = text; *at;) {
        char *end = NULL;
        const long first = strtol(at, &end, 10);
        long last = first;
        bool good = end > at && first >= 0;
        if (good && *end == '-') {
            at = end + 1;
            last = strtol(at, &end, 10);
            good = end > at && last >= first;
        }
        if (!good || last >= n || (*end && *end != ',') || (count && list[count - 1] >= first))
            return err_about(e, subject, "layers '%s' are no ascending list of 0 to %d, as 3,5-7",
                             text, n - 1);
        for (long i = first; i <= last; i++)
            list[count++] = (int)i;
        at = *end ? end + 1 : end;
    }
    return count ? count : err_about(e, subject, "no layers are given");
}

static int add_named(struct editing *g, const char *text, struct err *e)
{
    int *list = mem_alloc((size_t)g->m->cfg.layers, sizeof *list, e);
    int n = list ? edit_read_layers(text, g->m->cfg.layers, list, "layers", e) : -1;
    for (int i = 0; i < n; i++)
        if (add_layer(g, list[i], e)) {
            n = -1;
            break;
        }
    free(list);
    return n < 0 ? -1 : 0;
}

int editing_init(struct editing *g, struct model *m, const struct choice *method, struct err *e)
{
    const struct edit *row = method->row;
    const struct value_options *o = method->params;
    *g = (struct editing){.m = m, .method = method};
    if (!(g->layers = mem_alloc((size_t)m->cfg.layers, sizeof *g->layers, e)))
        return -1;
    if (o->layers)
        return add_named(g, o->layers, e);
    const int last = m->cfg.layers - 1, first = (int)lround(row->from * m->cfg.layers);
    for (int i = first; i <= lround(row->to * m->cfg.layers) && i <= last; i++)
        if (add_layer(g, i, e))
            return -1;
    return g->n_layers ? 0 : add_layer(g, last, e);
}

void editing_fini(struct editing *g)
{
    for (int i = 0; i < g->n_layers; i++) {
        free(g->layers[i].a);
        free(g->layers[i].b);
        free(g->layers[i].past);
        free(g->layers[i].basis);
    }
    free(g->layers);
    *g = (struct editing){.m = NULL};
}

void edit_request_fini(struct edit_request *r)
{
    for (int i = 0; r->prompts && i < r->n_prompts; i++)
        free(r->prompts[i].ids);
    free(r->prompts);
    free(r->kl.ids);
    free(r->target);
    free(r->answer);
    free(r->subject);
    *r = (struct edit_request){.row = r->row};
}

bool edit_wants_moments(const struct editing *g)
{
    const struct edit *row = g->method->row;
    return !row->moments || *(const bool *)((const char *)g->method->params + row->moments);
}

/* --- updates --- */

static int keep_factor(double **all, size_t *room, const double *more, int rank, int r, int width,
                       struct err *e)
{
    const size_t had = (size_t)rank * (size_t)width, count = (size_t)r * (size_t)width;
    if (mem_reserve(all, room, had + count, sizeof **all, e))
        return -1;
    memcpy(*all + had, more, count * sizeof *more);
    return 0;
}

int edit_update(struct editing *g, struct edit_layer *l, const double *b, const double *a, int r,
                struct err *e)
{
    struct model *m = g->m;
    const int out = m->cfg.width, in = m->cfg.ff;
    const size_t count = (size_t)out * (size_t)in;
    double *flipped = mem_alloc((size_t)out * (size_t)r, sizeof *flipped, e);
    double *change = flipped ? mem_alloc(count, sizeof *change, e) : NULL;
    char name[64];
    int rc = change && !keep_factor(&l->a, &l->a_room, a, l->rank, r, in, e) &&
                     !keep_factor(&l->b, &l->b_room, b, l->rank, r, out, e)
                 ? 0
                 : -1;
    if (!rc) {
        for (int i = 0; i < r; i++)
            for (int k = 0; k < out; k++)
                flipped[(size_t)k * (size_t)r + (size_t)i] = b[(size_t)i * (size_t)out + (size_t)k];
        matrix_times(change, flipped, a, out, r, in);
        l->rank += r;
        device float *w = m->own + m->table.v[l->weight].offset;
        float *host = m->ops->map(w, count);
        for (size_t i = 0; i < count; i++) {
            host[i] = (float)((double)host[i] + change[i]);
            rc |= !isfinite(host[i]);
        }
        m->ops->unmap(w);
        if (rc)
            err_code(e, ERR_NOT_FINITE, "layer %d: the update is not finite", l->layer);
    }
    if (g->method->row == &edit_memit && !g->done)
        snprintf(name, sizeof name, "dW.%d", l->layer);
    else
        snprintf(name, sizeof name, "dW%d.%d", g->done, l->layer);
    rc = rc || edit_note(g, name, change, out, in, e);
    free(flipped);
    free(change);
    return rc ? -1 : 0;
}

int editing_run(struct editing *g, const struct edit_request *r, int n, int batch, struct err *e)
{
    const struct edit *row = g->method->row;
    const int most = row->one ? 1 : batch > 0 ? batch : n;
    const struct value_options *o = g->method->params;
    int rc = 0;
    progress_start(&g->bar, row->name, n * o->steps);
    for (int i = 0; i < n && !rc; i += most) {
        const int some = n - i < most ? n - i : most;
        rc = row->apply(g, r + i, some, e);
        g->done += some;
    }
    progress_end(&g->bar);
    return rc;
}

/* |b^T a|^2 = trace of (b b^T) (a a^T), both of rank x rank. */
double editing_growth(const struct editing *g, int i)
{
    const struct edit_layer *l = &g->layers[i];
    const size_t rank = (size_t)l->rank, count = rank * rank;
    struct err e;
    double sum = 0, *bb = mem_alloc(count + 1, sizeof *bb, &e),
           *aa = bb ? mem_alloc(count + 1, sizeof *aa, &e) : NULL;
    if (aa && rank) {
        matrix_times_transposed(bb, l->b, l->b, l->rank, g->m->cfg.width, l->rank);
        matrix_times_transposed(aa, l->a, l->a, l->rank, g->m->cfg.ff, l->rank);
    }
    for (size_t k = 0; aa && k < count; k++)
        sum += bb[k] * aa[k];
    const double growth = aa ? sqrt(fmax(sum, 0)) / l->before : NAN;
    free(aa);
    free(bb);
    return growth;
}

/* --- the delta as an adapter --- */

static int make_pair(const struct editing *g, const struct edit_layer *l, int rank,
                     struct lora_pair *p, struct err *e)
{
    const size_t out = (size_t)g->m->cfg.width, in = (size_t)g->m->cfg.ff, r = (size_t)rank;
    *p = (struct lora_pair){.w = &g->m->table.v[l->weight]};
    if (!(p->a = mem_alloc(r * in, sizeof *p->a, e)) ||
        !(p->b = mem_alloc(out * r, sizeof *p->b, e)))
        return -1;
    for (size_t i = 0; i < (size_t)l->rank; i++) {
        for (size_t k = 0; k < in; k++)
            p->a[i * in + k] = (float)l->a[i * in + k];
        for (size_t k = 0; k < out; k++)
            p->b[k * r + i] = (float)l->b[i * out + k];
    }
    return 0;
}

int editing_save_delta(const struct editing *g, const char *dir, struct err *e)
{
    struct lora_pair *pairs = mem_alloc((size_t)g->n_layers, sizeof *pairs, e);
    int rc = pairs ? 0 : -1, rank = 0;
    for (int i = 0; i < g->n_layers; i++)
        rank = g->layers[i].rank > rank ? g->layers[i].rank : rank;
    for (int i = 0; i < g->n_layers && !rc; i++)
        rc = make_pair(g, &g->layers[i], rank, &pairs[i], e);
    rc = rc || lora_save_pairs(g->m, rank, pairs, g->n_layers, dir, e);
    for (int i = 0; pairs && i < g->n_layers; i++) {
        free(pairs[i].a);
        free(pairs[i].b);
    }
    free(pairs);
    return rc ? -1 : 0;
}

/* --- the trace --- */

struct noted {
    char name[64];
    double *v; /* owned [rows,cols] */
    int rows, cols;
};

struct edit_trace {
    struct noted *v; /* owned [n] */
    size_t room;
    int n;
};

struct edit_trace *edit_trace_new(struct err *e)
{
    return mem_alloc(1, sizeof(struct edit_trace), e);
}

int edit_note(const struct editing *g, const char *name, const double *v, int rows, int cols,
              struct err *e)
{
    struct edit_trace *t = g->trace;
    const size_t count = (size_t)rows * (size_t)cols;
    if (!t)
        return 0;
    if (mem_reserve(&t->v, &t->room, (size_t)t->n + 1, sizeof *t->v, e))
        return -1;
    struct noted *to = &t->v[t->n];
    *to = (struct noted){.v = mem_alloc(count, sizeof *v, e), .rows = rows, .cols = cols};
    if (!to->v)
        return -1;
    snprintf(to->name, sizeof to->name, "%s", name);
    memcpy(to->v, v, count * sizeof *v);
    t->n++;
    return 0;
}

int edit_note_numbered(const struct editing *g, const char *what, int number, const double *v,
                       int rows, int cols, struct err *e)
{
    char name[80];
    if (number < 0)
        snprintf(name, sizeof name, "%s", what);
    else
        snprintf(name, sizeof name, "%.64s%d", what, number);
    return edit_note(g, name, v, rows, cols, e);
}

int edit_trace_write(const struct edit_trace *t, const char *path, struct err *e)
{
    struct tensor_out *out = tensor_out_open(path, e);
    int rc = out ? 0 : -1;
    for (int i = 0; i < t->n && !rc; i++) {
        const struct noted *v = &t->v[i];
        const int64_t two[2] = {v->rows, v->cols}, *shape = v->rows == 1 ? two + 1 : two;
        rc = tensor_out_add(out, v->name, DT_F64, v->rows == 1 ? 1 : 2, shape, e);
    }
    for (int i = 0; i < t->n && !rc; i++)
        rc = tensor_out_write_raw(out, t->v[i].v, e);
    if (rc) {
        tensor_out_abort(out);
        return -1;
    }
    return tensor_out_commit(out, e);
}

void edit_trace_free(struct edit_trace *t)
{
    for (int i = 0; t && i < t->n; i++)
        free(t->v[i].v);
    if (t)
        free(t->v);
    free(t);
}
