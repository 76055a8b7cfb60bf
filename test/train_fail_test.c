/* Training when memory runs out: any allocation may fail, from opening the model to the last
 * checkpoint. Each failure is an error that says so, nothing leaks (the sanitizers see it) and no
 * file is left half-written. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "data/rows.h"
#include "methods/method.h"
#include "model/store.h"
#include "optim/optims.h"
#include "tap.h"
#include "train/helpers.h"
#include "train/loop.h"

/* What a training job holds. */
struct job {
    struct model m, ref;
    struct engine g;
    struct dataset sets[ROLE_COUNT];
    struct recipe r;
    struct order order;
    struct wrapping wrap;
    void *optim;
};

struct plan {
    const char *method, *retain;
    unsigned compat;
    bool resume;
    const char *wrapper, *setting, *value; /* and one of its parameters */
    const struct optim *optim;
};

static char *cur, *ref;

static int read_rows(struct job *j, enum role role, const char *text, struct err *e)
{
    struct rows rows;
    if (rows_read(&rows, role_name[role], text, strlen(text), e))
        return -1;
    const struct encoder enc = {.pad_id = -1};
    int rc = dataset_from_ids(&j->sets[role], role, &rows, j->m.cfg.vocab, &enc, e);
    rows_close(&rows);
    j->g.sets[role] = &j->sets[role];
    return rc;
}

static int choose(struct job *j, const struct plan *p, struct err *e)
{
    j->r.method = method_by_name(p->method, e);
    param_defaults(method_params, &j->r.p);
    j->r.p.retain_loss_type = p->retain;
    if (recipe_choose_terms(&j->r, e))
        return -1;
    recipe_apply_compat(&j->r, p->compat ? "ou" : "none");
    if (recipe_bind(&j->r, &j->g, e) ||
        wrapping_choose(&j->wrap, p->wrapper ? p->wrapper : "none", e) ||
        wrapping_bind(&j->wrap, &j->g, e) || !(j->optim = mem_alloc(1, p->optim->params_size, e)))
        return -1;
    param_defaults(p->optim->params, j->optim);
    if (!p->wrapper)
        return 0;
    param_defaults(choice_params(&j->wrap.chosen), j->wrap.chosen.params);
    return param_set_text(param_find(choice_params(&j->wrap.chosen), p->setting),
                          j->wrap.chosen.params, p->value, e);
}

static int prepare(struct job *j, const struct plan *p, struct err *e)
{
    if (model_open(&j->m, cur, true, e) || model_open(&j->ref, ref, false, e))
        return -1;
    engine_init(&j->g, &j->m);
    j->g.ref = engine_helper(&j->g, "reinforced")->model = &j->ref;
    j->g.compat = p->compat;
    if (read_rows(j, ROLE_FORGET, "{\"ids\":[3,4,5]}\n{\"ids\":[6,7,8,9,3]}\n", e) ||
        read_rows(j, ROLE_RETAIN, "{\"ids\":[30,4]}\n{\"ids\":[60,7,8,90]}\n", e))
        return -1;
    return choose(j, p, e);
}

static int train(struct job *j, const struct plan *p, const char *out, struct err *e)
{
    struct train_options o;
    struct train_report rep;
    const int counts[ROLE_COUNT] = {[ROLE_FORGET] = 2, [ROLE_RETAIN] = 2};
    param_defaults(train_params, &o);
    o.batch = p->wrapper ? 1 : 2; /* an attacker takes the other row */
    o.epochs = p->wrapper ? 1 : 2;
    o.save_every = 1;
    o.resume = p->resume;
    if (order_draw(&j->order, counts, ROLE_FORGET, NULL, (int)o.batch, (int)o.epochs, 0, 0, e) ||
        engine_cache_reference(&j->g, &j->ref, &j->order, 0, j->order.n, e) ||
        (engine_uses_helper(&j->g, "new") &&
         gap_measure(&j->g.gap, &j->ref, &j->m, &j->sets[ROLE_RETAIN], e)))
        return -1;
    struct trainer t = {.engine = &j->g,
                        .optim = {p->optim, j->optim},
                        .wrapper = j->wrap.chosen,
                        .o = &o,
                        .order = &j->order,
                        .out = out,
                        .what = "test"};
    const struct save_options so = {.dtype = DT_BF16, .shard_bytes = SAVE_SHARD_BYTES};
    return train_run(&t, &rep, e) || model_save(&j->m, out, &so, e) ? -1 : 0;
}

static int run(const struct plan *p, const char *out, struct err *e)
{
    struct job j = {0};
    int rc = prepare(&j, p, e);
    if (!rc)
        rc = train(&j, p, out, e);
    order_fini(&j.order);
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&j.sets[i]);
    recipe_fini(&j.r);
    engine_fini(&j.g);
    model_close(&j.ref);
    model_close(&j.m);
    wrapping_fini(&j.wrap);
    free(j.optim);
    return rc;
}

static bool has_temporary(const char *dir)
{
    char pattern[600];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/*.tmp.*", dir);
    bool some = !glob(pattern, 0, NULL, &found);
    globfree(&found);
    return some;
}

static void walk(const struct plan *p, const char *what)
{
    struct err e;
    char out[512], other[sizeof e.msg] = "";
    long n = 0, wrong = 0, files = 0;
    int rc = -1;
    snprintf(out, sizeof out, "%s/out", test_dir());
    for (; rc && n < 5000; n++) {
        e.msg[0] = 0;
        mem_fail_at(n);
        rc = run(p, out, &e);
        mem_fail_at(-1);
        files += has_temporary(out);
        if (rc && !strstr(e.msg, "out of memory")) {
            wrong++;
            memcpy(other, e.msg, sizeof other);
        }
    }
    ok(!rc && n > 100, "%s: each of %ld allocations may fail", what, n - 1);
    ok(!wrong, "%s: and is told as what it is, but for %ld: '%s'", what, wrong, other);
    ok(!files, "%s: leaving no temporary file", what);
}

int main(void)
{
    cur = test_data("models/m_cur");
    ref = test_data("models/m_ref");
    BUG_ON(!cur || !ref);
    log_set_quiet(true);
    ops_set_threads(1);
    walk(&(struct plan){"NPO", "NLL", .optim = &optim_adamw}, "NPO");
    walk(&(struct plan){"GradDiff", "KL", COMPAT_MICRO_MEAN, .optim = &optim_adamw},
         "GradDiff and KL, padded");
    walk(&(struct plan){"NPO", "KL", 0, true, .optim = &optim_adamw}, "NPO and KL, resumed");
    walk(&(struct plan){"NPO", "NLL", 0, false, "cr", "cr_rho", "0.1", &optim_sophia},
         "NPO, cr and sophia");
    walk(&(struct plan){"NPO", "NLL", 0, false, "lat", "lat_layer", "1", &optim_lion},
         "NPO, lat and lion");
    walk(&(struct plan){"FT", "NLL", 0, false, "tar", "tar_steps", "4", &optim_adamw}, "TAR");
    walk(&(struct plan){"RandomMapping", "NLL", .optim = &optim_adamw}, "random mapping");
    walk(&(struct plan){"KGA", "KL", .optim = &optim_adamw}, "KGA, its gap measured");
    free(cur);
    free(ref);
    return done();
}
