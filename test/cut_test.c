/* Every method: a step does not depend on how it is cut into micro-batches. */
#include "survey.h"

/* By default a step does not depend on how it is cut into micro-batches. */
static void check_cut(struct bench *b, const struct method *m)
{
    struct engine g[2];
    struct recipe r;
    struct err e;
    double loss[2] = {0}, off = 0, top = 0;
    open_recipe(&r, &(struct figure){NULL, m->name, ""});
    for (int way = 0; way < 2; way++) {
        struct micro mb[2];
        struct order o = {.micro = mb, .n = 1 + way, .per_epoch = 1};
        struct norm norm;
        struct micro_result res;
        engine_init(&g[way], &b->m);
        g[way].ref = &b->ref;
        static const char *const helpers[] = {"reinforced", "expert", "novice", "new"};
        for (int k = 0; k < 4; k++)
            engine_helper(&g[way], helpers[k])->model = &b->reinforced;
        for (int i = 0; i < ROLE_COUNT; i++)
            g[way].sets[i] = b->has[i] ? &b->sets[i] : NULL;
        g[way].sets[ROLE_GENERIC] = g[way].sets[ROLE_RETAIN];
        for (int part = 0; part < o.n; part++)
            take_rows(g[way].sets, part, way == 1, &mb[part]);
        BUG_ON(recipe_bind(&r, &g[way], &e));
        BUG_ON(engine_cache_reference(&g[way], &b->ref, &o, 0, o.n, &e));
        engine_count(&g[way], &o, 0, o.n, &norm);
        for (int part = 0; part < o.n; part++) {
            BUG_ON(engine_micro(&g[way], &mb[part], &norm, &res, &e));
            for (int i = 0; i < g[way].n_obj; i++)
                loss[way] += g[way].obj[i].weight * res.loss[i];
        }
    }
    for (size_t i = 0; i < b->m.table.total; i++) {
        double d = fabs((double)g[1].grads[i] - (double)g[0].grads[i]);
        off = d <= off ? off : d;
        top = fmax(top, fabs((double)g[0].grads[i]));
    }
    near(loss[1], loss[0], 1e-5, 1e-6, "%s: two micro-batches lose what one does", m->name);
    near(off, 0, 0, 1e-5 * top, "%s: with the same gradient", m->name);
    recipe_fini(&r);
    engine_fini(&g[0]);
    engine_fini(&g[1]);
}

static void check_cuts(const char *root)
{
    struct bench b;
    bench_open(&b, root, "survey", "m_cur", "m_ref");
    for (const struct method *m = methods; m->name; m++) {
        struct err e;
        const struct term *t = m->forget ? term_by_name(m->forget, &e) : NULL;
        /* KTO's and KGA's constants are the micro-batch's, as is RepNoise's kernel; layers are the
         * business of other tests.
         */
        if (t != &term_kto && t != &term_kga && (!t || t->kind != VIEW_HIDDEN) &&
            strcmp(m->name, "RepNoise"))
            check_cut(&b, m);
    }
    bench_close(&b);
}

int main(void)
{
    char *root = test_data("");
    check_cuts(root);
    free(root);
    return done();
}
