#include "train/pass.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

void engine_init(struct engine *g, struct model *m)
{
    *g =
        (struct engine){.model = m, .goals = GOALS_ALL, .pad_id = m->cfg.pad >= 0 ? m->cfg.pad : 0};
    arena_init(&g->arena);
}

void engine_fini(struct engine *g)
{
    for (int r = 0; r < ROLE_COUNT; r++) {
        scores_fini(&g->ref_logp[r].scores);
        free(g->ref_logp[r].at);
    }
    frozen_fini(g);
    if (g->grads)
        g->model->ops->free(g->grads);
    free(g->unset);
    arena_fini(&g->arena);
    *g = (struct engine){0};
}

int engine_reserve_grads(struct engine *g, struct err *e)
{
    size_t n = g->model->table.grads;
    if (g->n_unset < g->model->table.n) {
        free(g->unset);
        g->n_unset = g->model->table.n;
        if (!(g->unset = mem_alloc((size_t)g->n_unset, sizeof *g->unset, e)))
            return g->n_unset = 0, -1;
    }
    if (g->grads && n <= g->grads_room)
        return 0;
    g->model->ops->free(g->grads);
    g->grads = g->model->ops->alloc(n, e);
    g->grads_room = n;
    engine_drop_grads(g);
    return g->grads ? 0 : -1;
}

void engine_zero_grads(struct engine *g)
{
    if (!g->grads)
        return;
    g->model->ops->fill(g->grads, 0, g->grads_room);
    memset(g->unset, 0, (size_t)g->n_unset * sizeof *g->unset);
}

/* Vectors are small, and products with adapters come in parts: these are cleared at once. */
void engine_drop_grads(struct engine *g)
{
    const struct weight_table *t = &g->model->table;
    BUG_ON(g->grads && t->n > g->n_unset);
    for (int i = 0; g->grads && i < t->n; i++) {
        const struct weight *w = &t->v[i];
        g->unset[i] = w->wants_grad && i < t->n_model && w->n_dims == 2;
        if (w->wants_grad && !g->unset[i])
            g->model->ops->fill(g->grads + w->at, 0, w->count);
    }
}

void engine_settle_grads(struct engine *g)
{
    const struct weight_table *t = &g->model->table;
    for (int i = 0; g->grads && i < t->n; i++) {
        if (g->unset[i])
            g->model->ops->fill(g->grads + t->v[i].at, 0, t->v[i].count);
        g->unset[i] = false;
    }
}

int engine_add(struct engine *g, const struct objective *o, struct err *e)
{
    BUG_ON(g->n_obj == ENGINE_MAX_OBJECTIVES);
    for (int i = 0; i < o->term->n_views; i++)
        if (o->weight != 0 && !g->sets[o->role[i]]) {
            const char *role = role_name[o->role[i]];
            return err_about(e, role, "term '%s' needs %s data", o->term->name, role);
        }
    if (term_check(o->term, o->params, g->model->cfg.layers, g->model->cfg.vocab, e))
        return -1;
    struct dual d;
    g->obj[g->n_obj] = *o;
    g->obj[g->n_obj].factor = 1;
    g->obj[g->n_obj++].dual = o->weight != 0 && o->term->dual && o->term->dual(o->params, &d);
    return 0;
}

bool engine_counts(const struct engine *g, const struct objective *o)
{
    return (o->weight != 0 || o->dual) && o->factor != 0 && g->goals & GOAL_BIT(o->goal);
}

double objective_weight(const struct objective *o)
{
    return o->weight * o->factor;
}

int objective_layers(const struct engine *g, const struct objective *o)
{
    int all = g->model->cfg.layers;
    int layers = o->term->kind == VIEW_HIDDEN ? o->term->hidden.layer(o->params) + 1 : all;
    return layers < all ? layers : all;
}

struct engine_plan engine_plan(const struct engine *g)
{
    struct engine_plan p = {.layers = 0};
    for (int i = 0; i < g->n_obj; i++) {
        const struct objective *o = &g->obj[i];
        const struct term *t = o->term;
        int layers = objective_layers(g, o);
        if (!engine_counts(g, o))
            continue;
        p.kinds |= 1u << t->kind;
        p.layers = layers > p.layers ? layers : p.layers;
        for (int v = 0; v < t->n_views; v++) {
            unsigned role = ROLE_BIT(o->role[v]);
            p.roles |= role;
            p.logp |= t->kind == VIEW_LOGP ? role : 0;
            p.ref_logp |= t->kind == VIEW_LOGP && t->needs_ref ? role : 0;
        }
        p.padded |= term_rows(t, o->params) != ROWS_SCORED ? ROLE_BIT(o->role[0]) : 0;
        p.ref_model |= t->needs_ref && t->kind != VIEW_LOGP;
        if (term_direction(t, o->params) > p.direction) {
            p.direction = term_direction(t, o->params);
            p.directed = o;
        }
    }
    return p;
}

int engine_hold_unreached(const struct engine *g, struct err *e)
{
    struct weight_table *t = &g->model->table;
    const struct engine_plan p = engine_plan(g);
    const bool head = p.kinds & ~(1u << VIEW_HIDDEN);
    int moving = 0;
    for (int i = 0; i < t->n; i++) {
        struct weight *w = &t->v[i];
        bool of_head = slot_of_head(w->slot);
        if (of_head ? !head : w->layer >= p.layers)
            w->trainable = w->wants_grad = false;
        moving += w->trainable;
    }
    weight_table_place(t);
    return moving
               ? 0
               : err_set(
                     e,
                     "no trainable weight gets a gradient: the terms use the states after layer %d",
                     p.layers - 1);
}

bool engine_uses_helper(const struct engine *g, const char *name)
{
    bool uses = false;
    for (int i = 0; i < g->n_obj && !uses; i++)
        uses = engine_counts(g, &g->obj[i]) &&
               term_uses_helper(g->obj[i].term, g->obj[i].params, name);
    return uses;
}

struct helper_model *engine_helper(struct engine *g, const char *name)
{
    int k = 0;
    while (g->helper[k].name && strcmp(g->helper[k].name, name))
        BUG_ON(++k == ENGINE_MAX_HELPERS);
    g->helper[k].name = name;
    return &g->helper[k];
}

int engine_check_helpers(struct engine *g, struct err *e)
{
    for (int i = 0; i < g->n_obj; i++) {
        const struct objective *o = &g->obj[i];
        const bool logits = o->term->kind == VIEW_LOGITS && engine_counts(g, o);
        for (int k = 0; k <= TERM_MAX_HELPERS && logits; k++) {
            const bool gap = term_uses_helper(o->term, o->params, "new");
            const char *name = k < TERM_MAX_HELPERS ? o->term->logits.helpers[k]
                               : gap                ? "new"
                                                    : NULL;
            const struct helper_model *h = name ? engine_helper(g, name) : NULL;
            if (h && !h->model && !h->set)
                return err_about(e, name, "the method needs the helper model '%s'", name);
        }
    }
    return 0;
}

double engine_add_penalty(struct engine *g)
{
    const struct weight_table *t = &g->model->table;
    double sum = 0;
    for (int i = 0; g->l1 > 0 && i < t->n; i++) {
        const struct weight *w = &t->v[i];
        if (!w->trainable)
            continue;
        const struct ops *o = g->model->ops;
        const float *x = o->map_read(g->model->w[i], w->count);
        float *dx = o->map(g->grads + w->at, w->count);
        for (size_t k = 0; k < w->count; k++) {
            if (!weight_may_move(t, w->offset + k))
                continue;
            sum += fabs((double)x[k]);
            dx[k] += (float)g->l1 * (float)((x[k] > 0) - (x[k] < 0));
        }
        o->unmap(g->model->w[i]);
        o->unmap(g->grads + w->at);
    }
    return g->l1 * sum;
}

/* Scores the examples of one role that the order contains. */
static int cache_role(struct engine *g, enum role role, struct model *m, const struct order *o,
                      int first, int n, struct progress *bar, struct err *e)
{
    const struct dataset *set = g->sets[role];
    struct ref_cache *c = &g->ref_logp[role];
    struct seq *seqs = mem_alloc((size_t)set->n, sizeof *seqs, e);
    int used = 0, rc = -1;
    if (!seqs || !(c->at = mem_alloc((size_t)set->n, sizeof *c->at, e)))
        goto out;
    memset(c->at, -1, (size_t)set->n * sizeof *c->at);
    for (int k = first; k < first + n; k++)
        for (int i = 0; i < o->micro[k].n[role]; i++) {
            int row = o->micro[k].rows[role][i];
            if (c->at[row] < 0) {
                seqs[used] = set->seqs[row];
                g->tokens.forward += set->seqs[row].n;
                c->at[row] = used++;
            }
        }
    bar->total += used;
    rc = model_score(&c->scores, m, seqs, used, NULL, bar, e);
out:
    free(seqs);
    return rc;
}

int engine_cache_reference(struct engine *g, struct model *m, const struct order *o, int first,
                           int n, struct err *e)
{
    const struct engine_plan p = engine_plan(g);
    struct progress bar;
    progress_start(&bar, "reference", 0);
    int rc = 0;
    for (int r = 0; r < ROLE_COUNT && !rc; r++)
        if (p.ref_logp & ROLE_BIT(r))
            rc = cache_role(g, (enum role)r, m, o, first, n, &bar, e);
    if (!rc)
        rc = frozen_keep(g, o, first, n, &bar, e);
    progress_end(&bar);
    return rc;
}

static void count_seq(const struct engine *g, enum role role, const struct seq *s,
                      struct norm *norm)
{
    int n = seq_labels(s);
    struct means *m = &norm->role[role];
    m->rows += n;
    m->seqs++;
    m->tokens += s->n;
    m->prompts += seq_prompt(s);
    for (int i = 0; i < g->n_obj; i++) {
        int skip = term_skip(g->obj[i].term, g->obj[i].params);
        if (g->obj[i].role[0] == role && n > skip)
            norm->kept[i] += n - skip;
    }
}

void engine_count(const struct engine *g, const struct order *o, int first, int n,
                  struct norm *norm)
{
    *norm = (struct norm){.micros = n};
    for (int k = first; k < first + n; k++)
        for (int r = 0; r < ROLE_COUNT; r++) {
            const struct micro *mb = &o->micro[k];
            for (int i = 0; g->sets[r] && i < mb->n[r]; i++)
                count_seq(g, (enum role)r, &g->sets[r]->seqs[mb->rows[r][i]], norm);
        }
}
