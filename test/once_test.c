/* Every method: what is computed once and used again gives what computing it each time gives. */
#include "survey.h"

enum { MICROS = 3 };

/* One way to make the gradient of three micro-batches. */
struct way {
    struct engine g;
    double loss;
    double forward; /* tokens read by frozen models in the micro-batches */
};

/* Micro-batch k: the first and the last have the same rows in another order. */
static void take(const struct dataset *const *sets, int k, struct micro *mb)
{
    static int rows[MICROS][ROLE_COUNT][64];
    *mb = (struct micro){0};
    for (int r = 0; r < ROLE_COUNT; r++) {
        const int n = sets[r] ? sets[r]->n < 4 ? sets[r]->n : 4 : 0;
        mb->n[r] = n - (k == 1 && n > 1);
        for (int i = 0; i < mb->n[r]; i++)
            rows[k][r][i] = k == 2 ? n - 1 - i : i;
        mb->rows[r] = rows[k][r];
    }
}

/* Rows of a role begin alike: with 3 to 6 tokens that all roles share. */
static void begin_alike(struct bench *b)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        for (int i = 0; b->has[r] && i < b->sets[r].n; i++) {
            const struct seq *s = &b->sets[r].seqs[i];
            int *ids = (int *)s->ids; /* the set's own */
            for (int t = 0; t < 3 + (i + r) % 4 && t < seq_prompt(s) - 1; t++)
                ids[t] = 5 + 7 * t;
        }
}

static void run(struct way *w, struct bench *b, struct recipe *r, const float *direction,
                size_t keep, bool alone)
{
    static const char *const helpers[] = {"reinforced", "expert", "novice", "new"};
    struct micro mb[MICROS];
    struct order o = {.micro = mb, .n = MICROS, .per_epoch = 1};
    struct norm norm;
    struct err e;
    engine_init(&w->g, &b->m);
    w->g.ref = &b->ref;
    w->g.direction = direction;
    w->g.keep_bytes = keep;
    w->g.alone = alone;
    for (int k = 0; k < 4; k++)
        engine_helper(&w->g, helpers[k])->model = &b->reinforced;
    for (int i = 0; i < ROLE_COUNT; i++)
        w->g.sets[i] = b->has[i] ? &b->sets[i] : NULL;
    w->g.sets[ROLE_GENERIC] = w->g.sets[ROLE_RETAIN];
    for (int k = 0; k < MICROS; k++)
        take(w->g.sets, k, &mb[k]);
    BUG_ON(recipe_bind(r, &w->g, &e) || engine_cache_reference(&w->g, &b->ref, &o, 0, o.n, &e));
    engine_count(&w->g, &o, 0, o.n, &norm);
    w->forward = -w->g.tokens.forward;
    for (int k = 0; k < MICROS; k++) {
        struct micro_result res;
        BUG_ON(engine_micro(&w->g, &mb[k], &norm, &res, &e));
        for (int i = 0; i < w->g.n_obj; i++)
            w->loss += w->g.obj[i].weight * res.loss[i];
    }
    w->forward += w->g.tokens.forward;
}

static void compare(const struct way *a, const struct way *b, const char *what, const char *name)
{
    double off = 0, top = 0;
    for (size_t i = 0; i < a->g.model->table.total; i++) {
        double d = fabs((double)b->g.grads[i] - (double)a->g.grads[i]);
        off = d <= off ? off : d;
        top = fmax(top, fabs((double)a->g.grads[i]));
    }
    near(b->loss, a->loss, 2e-6, 1e-7, "%s: %s, same loss", name, what);
    near(off, 0, 0, 2.5e-6 * top, "%s: %s, same gradient", name, what);
}

static void check_method(struct bench *b, const struct method *m, const float *direction)
{
    struct way each = {.loss = 0}, kept = {.loss = 0}, shared = {.loss = 0}, both = {.loss = 0};
    struct recipe r;
    struct err e;
    const struct term *t = term_by_name(m->forget ? m->forget : "nll", &e);
    const bool layer = t->params && param_find(t->params, "layer");
    open_recipe(&r, &(struct figure){NULL, m->name, layer ? "layer=1" : ""});
    run(&each, b, &r, direction, 0, true);
    run(&kept, b, &r, direction, 1 << 30, true);
    run(&shared, b, &r, direction, 0, false);
    run(&both, b, &r, direction, 1 << 30, false);
    compare(&each, &shared, "shared prefixes once", m->name);
    compare(&each, &both, "and both", m->name);
    compare(&each, &kept, "states of frozen models kept", m->name);
    const bool padded = engine_plan(&kept.g).padded;
    ok(padded || kept.forward == 0, "%s: and no frozen model is run again", m->name);
    recipe_fini(&r);
    engine_fini(&each.g);
    engine_fini(&kept.g);
    engine_fini(&shared.g);
    engine_fini(&both.g);
}

int main(void)
{
    char *root = test_data("");
    struct bench b;
    bench_open(&b, root, "survey", "m_cur", "m_ref");
    float *direction = mem_alloc((size_t)b.m.cfg.width, sizeof *direction, NULL);
    begin_alike(&b);
    direction_draw(direction, b.m.cfg.width, 7, NULL);
    for (const struct method *m = methods; m->name; m++)
        check_method(&b, m, direction);
    free(direction);
    bench_close(&b);
    free(root);
    return done();
}
