/* Second tier: methods on SmolLM2, which first learns 8 questions of TOFU to forget and 16 to keep,
 * then forgets for 4 steps: figures stay finite, and the loss on what is to be forgotten rises
 * where the method means it to. One method of each family; UNLEARN_ALL=1 runs every row of the
 * table. Where a method lets all weights move, here only the feed-forward matrices of the upper
 * layers do, which costs a third. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "locate/locators.h"
#include "methods/method.h"
#include "model/score.h"
#include "optim/optims.h"
#include "tap.h"
#include "text/qa.h"
#include "train/helpers.h"
#include "train/loop.h"

#ifdef __SANITIZE_ADDRESS__
enum { TOO_SLOW = 1 };
#else
enum { TOO_SLOW = 0 };
#endif

/* The row of each family that is run by default. */
static const char *const few[] = {"FT", "GradDiff", "NPO", "UNDIAL", "PDU", "RMU", "TAR"};

/* Methods whose retain part, at its default weight, outweighs the rest in so few steps: here it
 * weighs a hundredth. */
static const char *const patient[] = {"SatImp", "SCRUB"};

/* What all methods share. `ref` is where each begins. */
struct world {
    struct tokenizer *tok;
    struct chat chat;
    struct qa_format qa;
    struct encoder encoder;
    struct model model, ref, reinforced;
    struct dataset sets[ROLE_COUNT], expert, novice;
    double before; /* mean loss of a forget token */
};

/* One method made ready. */
struct job {
    struct engine g;
    struct recipe r;
    struct wrapping w;
    struct order order;
    const struct locator *locator;
    void *locator_params;
    float *direction;
};

/* The words of a text that end within its first 60 bytes. */
static json_t *first_words(const char *text)
{
    size_t n = strlen(text);
    if (n > 60)
        for (n = 60; n > 1 && text[n] != ' '; n--)
            ;
    return json_stringn(text, n);
}

/* Rows of TOFU's table: the question after `before`, and the first words of the row's answer, or of
 * that of `answers`, another range. */
static void build(struct world *w, struct dataset *d, enum role role, const char *range,
                  const char *before, const char *answers)
{
    struct err e;
    struct rows rows, other;
    char *path = test_shared("data/tofu/full.json"), name[600], text[2000];
    snprintf(name, sizeof name, "%s[%s]", path, range);
    BUG_ON(rows_open(&rows, name, &e));
    snprintf(name, sizeof name, "%s[%s]", path, answers ? answers : range);
    BUG_ON(rows_open(&other, name, &e));
    for (int i = 0; i < rows.n; i++) {
        snprintf(text, sizeof text, "%s%s", before, rows_text(&rows, i, "question", &e));
        json_object_set_new(rows.v[i], "question", json_string(text));
        json_object_set_new(rows.v[i], "answer", first_words(rows_text(&other, i, "answer", &e)));
    }
    BUG_ON(dataset_build(d, role, &rows, "question", "answer", &w->encoder, &e));
    rows_close(&other);
    rows_close(&rows);
    free(path);
}

static double loss_of(struct model *m, const struct dataset *d)
{
    struct err e;
    struct scores s;
    double sum = 0;
    BUG_ON(model_score(&s, m, d->seqs, d->n, NULL, NULL, &e));
    for (int i = 0; i < s.n; i++)
        sum += s.v[i].nll;
    scores_fini(&s);
    return sum / d->n_labels;
}

static void world_open(struct world *w, const char *path)
{
    static const struct chat_choice plain = {.template = "plain"};
    struct err e;
    *w = (struct world){0};
    w->tok = tokenizer_open(path, &e);
    BUG_ON(!w->tok || chat_open(&w->chat, w->tok, &plain, &e));
    BUG_ON(model_open(&w->model, path, true, &e) || model_open(&w->ref, path, true, &e));
    w->qa = (struct qa_format){.tok = w->tok, .chat = &w->chat};
    w->encoder = (struct encoder){.encode = qa_encode, .ctx = &w->qa, .pad_id = -1};
    build(w, &w->sets[ROLE_FORGET], ROLE_FORGET, "0:8", "", NULL);
    build(w, &w->sets[ROLE_RETAIN], ROLE_RETAIN, "400:416", "", NULL);
    build(w, &w->sets[ROLE_ALTERNATE], ROLE_ALTERNATE, "0:8", "", "800:808");
    build(w, &w->sets[ROLE_RETAIN_ALTERNATE], ROLE_RETAIN_ALTERNATE, "400:416", "", "800:816");
    build(w, &w->sets[ROLE_GENERIC], ROLE_GENERIC, "1600:1608", "", NULL);
}

static void world_close(struct world *w)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        dataset_fini(&w->sets[i]);
    dataset_fini(&w->expert);
    dataset_fini(&w->novice);
    model_close(&w->model);
    model_close(&w->ref);
    model_close(&w->reinforced);
    qa_fini(&w->qa);
    chat_close(&w->chat);
    tokenizer_close(w->tok);
}

static void weights_copy(struct model *to, const struct model *from)
{
    memcpy(to->own, from->own, from->table.total * sizeof(float));
}

/* What the row presets, beyond the tables of its terms. */
static const char *preset(const struct method *m, const char *name, const char *otherwise)
{
    for (const struct param_preset *p = m->presets; p && p->name; p++)
        if (!strcmp(p->name, name))
            return p->value;
    return otherwise;
}

/* If the table has it. */
static void set(const struct param *table, void *params, const char *name, const char *value)
{
    struct err e;
    const struct param *p = param_find(table, name);
    BUG_ON(p && param_set_text(p, params, value, &e));
}

static void set_defaults(const struct param *table, void *params, const struct method *m)
{
    struct err e;
    if (!table)
        return;
    param_defaults(table, params);
    BUG_ON(param_apply_presets(table, params, m->presets, &e));
    set(table, params, "tar_steps", "2");
    set(table, params, "tar_every", "1");
    set(table, params, "lat_steps", "2");
}

static void choose(struct job *j, const struct method *m, const char *forget_term)
{
    struct err e;
    *j = (struct job){.r.method = m};
    set_defaults(method_params, &j->r.p, m);
    j->r.p.forget_term = forget_term;
    for (size_t i = 0; i < sizeof patient / sizeof patient[0]; i++)
        if (!strcmp(m->name, patient[i]))
            j->r.p.alpha *= 0.01;
    BUG_ON(recipe_choose_terms(&j->r, &e));
    /* As far from a model that knows the forget data as if the data were new. */
    const struct choice *forget = &j->r.part[PART_FORGET];
    if (choice_params(forget))
        set(choice_params(forget), forget->params, "gap", "5");
    BUG_ON(!(j->locator = locator_by_name("regex", &e)));
    BUG_ON(wrapping_choose(&j->w, preset(m, "wrapper", "none"), &e));
    j->locator_params = mem_alloc(1, j->locator->params_size, &e);
    set_defaults(j->locator->params, j->locator_params, m);
    if (!strcmp(preset(m, "locate", "all"), "all"))
        set(j->locator->params, j->locator_params, "trainable_params_regex",
            "model\\.layers\\.2.\\.mlp\\..*");
    if (j->w.chosen.row)
        set_defaults(choice_params(&j->w.chosen), j->w.chosen.params, m);
}

static void draw_order(struct job *j)
{
    static const struct pairing pairs[ROLE_COUNT] = {
        [ROLE_ALTERNATE] = {ROLE_FORGET, 1, 1}, [ROLE_RETAIN_ALTERNATE] = {ROLE_RETAIN, 1, 1}};
    struct err e;
    int counts[ROLE_COUNT] = {0};
    enum role anchor = recipe_anchor(&j->r) == ROLE_RETAIN ? ROLE_RETAIN : ROLE_FORGET;
    for (int i = 0; i < ROLE_COUNT; i++)
        counts[i] =
            i == (int)anchor || engine_plan(&j->g).roles & ROLE_BIT(i) ? j->g.sets[i]->n : 0;
    BUG_ON(order_draw(&j->order, counts, anchor, pairs, 2, 8, 0, 0, &e));
}

static void bind(struct job *j, struct world *w, struct model *m)
{
    struct err e;
    struct engine *g = &j->g;
    engine_init(g, m);
    g->ref = &w->ref;
    for (int i = 0; i < ROLE_COUNT; i++)
        g->sets[i] = w->sets[i].n ? &w->sets[i] : NULL;
    engine_helper(g, "reinforced")->model = &w->reinforced;
    *engine_helper(g, "expert") = (struct helper_model){"expert", &w->ref, &w->expert};
    *engine_helper(g, "novice") = (struct helper_model){"novice", &w->ref, &w->novice};
    BUG_ON(recipe_bind(&j->r, g, &e) || wrapping_bind(&j->w, g, &e));
    draw_order(j);
    g->goals = wrapping_goals(&j->w);
    BUG_ON(locate_weights(j->locator, j->locator_params, false, m, 0, &e) ||
           engine_hold_unreached(g, &e));
    BUG_ON(!(j->direction = mem_alloc((size_t)m->cfg.width, sizeof(float), &e)));
    g->direction = j->direction;
    direction_draw(j->direction, m->cfg.width, 0, NULL);
    const struct engine_plan plan = engine_plan(g);
    const struct objective *o = plan.directed;
    BUG_ON(plan.direction == STEER_REFUSAL &&
           direction_to_refusal(j->direction, &w->ref, &w->sets[ROLE_RETAIN_ALTERNATE],
                                &w->sets[ROLE_FORGET], o->term->hidden.layer(o->params), &e));
    BUG_ON(engine_cache_reference(g, &w->ref, &j->order, 0, 4, &e));
}

static int train(struct job *j, int steps, struct train_report *rep, struct err *e)
{
    struct train_options o;
    void *params = mem_alloc(1, optim_adamw.params_size, e);
    param_defaults(train_params, &o);
    param_defaults(optim_adamw.params, params);
    o.batch = 2;
    o.max_steps = steps;
    o.lr = 2e-4;
    o.schedule = "constant";
    struct trainer t = {.engine = &j->g,
                        .optim = {&optim_adamw, params},
                        .wrapper = j->w.chosen,
                        .o = &o,
                        .order = &j->order,
                        .out = test_dir(),
                        .what = "methods"};
    int rc = train_run(&t, rep, e);
    free(params);
    return rc;
}

static void job_close(struct job *j)
{
    engine_fini(&j->g);
    recipe_fini(&j->r);
    wrapping_fini(&j->w);
    order_fini(&j->order);
    free(j->locator_params);
    free(j->direction);
}

/* Ordinary training on the rows of one role, with a forget term those to forget too. */
static void learn(struct world *w, struct model *m, const char *retain_role,
                  const char *forget_term, int steps)
{
    struct err e;
    struct job j;
    struct train_report rep;
    choose(&j, method_by_name("FT", &e), forget_term);
    j.r.p.retain_role = retain_role;
    bind(&j, w, m);
    BUG_ON(train(&j, steps, &rep, &e));
    job_close(&j);
}

/* What only some look at: a model that learnt the forget rows by heart, prompts of two kinds. */
static void make_helpers(struct world *w, const char *path)
{
    struct err e;
    build(w, &w->expert, ROLE_FORGET, "0:8", "You know these authors well. ", NULL);
    build(w, &w->novice, ROLE_FORGET, "0:8", "You have never read a book. ", NULL);
    BUG_ON(model_open(&w->reinforced, path, true, &e));
    weights_copy(&w->reinforced, &w->ref);
    learn(w, &w->reinforced, "forget", NULL, 4);
}

static void check(struct world *w, const struct method *m)
{
    struct err e;
    struct job j;
    struct train_report rep;
    choose(&j, m, NULL);
    bind(&j, w, &w->model);
    bool fine = !train(&j, 4, &rep, &e);
    double rise = fine ? loss_of(&w->model, &w->sets[ROLE_FORGET]) - w->before : NAN;
    ok(fine && isfinite(rise) && rep.steps == 4, "%s: 4 steps%s%s", m->name, fine ? "" : ": ",
       fine ? "" : e.msg);
    ok(rise > 0 || !method_forgets(m), "%s: loss on forget %+.4f (from %.4f), %.0f s", m->name,
       rise, w->before, rep.seconds);
    job_close(&j);
    weights_copy(&w->model, &w->ref);
}

static bool is_one_of_few(const char *name)
{
    for (size_t i = 0; i < sizeof few / sizeof *few; i++)
        if (!strcmp(name, few[i]))
            return true;
    return false;
}

int main(void)
{
    char *path = test_smollm2(), *tofu = test_shared("data/tofu/full.json");
    bool all = getenv("UNLEARN_ALL");
    if (TOO_SLOW) {
        skip("methods on SmolLM2: the sanitizers make this run too slow");
    } else if (!path || !tofu) {
        skip("methods on SmolLM2: the model or TOFU is not there");
    } else {
        struct world w;
        log_set_quiet(true);
        world_open(&w, path);
        learn(&w, &w.ref, "retain", "nll", 16);
        weights_copy(&w.model, &w.ref);
        w.before = loss_of(&w.ref, &w.sets[ROLE_FORGET]);
        note("loss on forget rows: %.4f", w.before);
        if (all)
            make_helpers(&w, path);
        for (const struct method *m = methods; m->name; m++) {
            if (all || is_one_of_few(m->name))
                check(&w, m);
            else
                note("left out without UNLEARN_ALL=1: %s", m->name);
        }
        world_close(&w);
    }
    free(path);
    free(tofu);
    return done();
}
