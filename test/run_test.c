/* A run from typed options, without a command line: its hooks, its result, an interrupt and the
 * resumed run, whose weights have the bits of a run that was not stopped. */
#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "run/run.h"
#include "tap.h"

static const char *model_path;
static char data_path[600];

static void write_rows(void)
{
    struct err e;
    struct buf text = {0};
    snprintf(data_path, sizeof data_path, "%s/rows.jsonl", test_dir());
    for (int i = 0; i < 7; i++)
        BUG_ON(buf_printf(&text, &e, "{\"ids\": [%d, %d, %d, 5], \"labels\": [-100, %d, %d, 5]}\n",
                          i + 3, i + 11, 2 * i + 7, i + 11, 2 * i + 7));
    BUG_ON(file_write(data_path, text.data, text.len, &e));
    buf_fini(&text);
}

static void config(struct run_config *c, const char *name)
{
    struct err e;
    static char out[4][600];
    static int turn;
    char *dir = out[turn++ % 4];
    snprintf(dir, sizeof out[0], "%s/%s", test_dir(), name);
    run_config_init(c, &run_kind_train);
    BUG_ON(run_config_choose(c, NULL, &e));
    c->command = "test";
    c->setup.model = model_path;
    c->run.files[ROLE_RETAIN] = data_path;
    c->run.out = dir;
    c->train.batch = 2;
    c->train.lr = 1e-2;
    c->train.epochs = 2;
}

/* What the hooks were told. */
struct told {
    int lines, progress, ended, asked;
    volatile sig_atomic_t stop;
};

static void on_line(void *ctx, bool warning, const char *text)
{
    (void)warning, (void)text;
    ((struct told *)ctx)->lines++;
}

static void on_progress(void *ctx, const struct progress *p, bool ended)
{
    struct told *t = ctx;
    if (strcmp(p->what, "test"))
        return; /* hashing and saving have bars of their own */
    t->progress++;
    t->ended += ended;
    t->stop = t->stop || (t->asked > 1 && p->done == 3);
}

static const volatile sig_atomic_t *on_ask(void *ctx)
{
    struct told *t = ctx;
    t->asked++;
    return &t->stop;
}

static char *saved(const struct run_config *c, size_t *n)
{
    struct err e;
    struct file_map f;
    char *path = file_join(c->run.out, "model.safetensors", &e);
    if (!path || file_map_open(&f, path, &e)) {
        free(path);
        return NULL;
    }
    char *copy = mem_alloc(f.size, 1, &e);
    memcpy(copy, f.data, *n = f.size);
    file_map_close(&f);
    free(path);
    return copy;
}

static void check_runs(void)
{
    struct err e = {.msg = ""};
    struct run_config whole, part, before;
    struct run_result r;
    struct told told = {0};
    const struct log log = {.line = on_line, .progress = on_progress, .ctx = &told};
    const struct run_hooks h = {.log = &log, .interrupt = on_ask, .ctx = &told};
    config(&whole, "whole");
    before = whole;
    ok(!run_train(&whole, &h, &r, &e), "run: trains: %s", e.msg);
    ok(r.report.steps == 8 && !r.finished && !r.interrupted, "run: %ld steps", r.report.steps);
    ok(!memcmp(&before, &whole, sizeof whole), "run: the config stays");
    ok(told.asked == 1 && told.progress == 9 && told.ended == 1, "run: progress, %d times",
       told.progress);
    ok(run_train(&whole, &h, &r, &e) && told.asked == 1, "run: refuses what is there: %s", e.msg);

    config(&part, "part");
    told.asked = 1;
    ok(run_train(&part, &h, &r, &e) && r.interrupted && !strcmp(e.msg, "interrupted"),
       "run: an interrupt: %s", e.msg);
    ok(e.code == ERR_INTERRUPTED, "run: which has a code");
    part.train.resume = true;
    told = (struct told){0};
    ok(!run_train(&part, &h, &r, &e) && !r.interrupted, "run: resumes: %s", e.msg);
    size_t n = 0, m = 0;
    char *a = saved(&whole, &n), *b = saved(&part, &m);
    ok(a && b && n == m && !memcmp(a, b, n), "run: the bits of a run that was not stopped");
    free(a);
    free(b);
    ok(!run_train(&part, &h, &r, &e) && r.finished && told.lines > 0,
       "run: nothing is left to do, and the log gets a line");
    part.train.lr = 1;
    ok(run_train(&part, NULL, &r, &e) && strstr(e.msg, "cannot resume"), "run: other options: %s",
       e.msg);
    run_config_fini(&whole);
    run_config_fini(&part);
}

/* --- two runs of a process --- */

/* Counts progress of its own run, and of any other. */
struct own {
    struct run_config c;
    struct run_result r;
    int mine, others;
};

static void count_own(void *ctx, const struct progress *p, bool ended)
{
    struct own *o = ctx;
    (void)ended;
    if (!strcmp(p->what, "one") || !strcmp(p->what, "two"))
        *(strcmp(p->what, o->c.command) ? &o->others : &o->mine) += 1;
}

static void on_own_line(void *ctx, bool warning, const char *text)
{
    (void)ctx, (void)warning, (void)text;
}

static void *run_own(void *ctx)
{
    struct own *o = ctx;
    struct err e = {.msg = ""};
    const struct log log = {.line = on_own_line, .progress = count_own, .ctx = o};
    const struct run_hooks h = {.log = &log};
    return run_train(&o->c, &h, &o->r, &e) ? NULL : o;
}

static void check_threads(void)
{
    struct own own[2] = {0};
    pthread_t thread[2];
    for (int k = 0; k < 2; k++) {
        config(&own[k].c, k ? "two" : "one");
        own[k].c.command = k ? "two" : "one";
        own[k].c.train.epochs = 20;
        BUG_ON(pthread_create(&thread[k], NULL, run_own, &own[k]));
    }
    for (int k = 0; k < 2; k++) {
        void *fine;
        BUG_ON(pthread_join(thread[k], &fine));
        ok(fine && own[k].mine == 81 && !own[k].others,
           "run: %d of two at once: its own progress only, %d and %d", k + 1, own[k].mine,
           own[k].others);
    }
    size_t n = 0, m = 0;
    char *a = saved(&own[0].c, &n), *b = saved(&own[1].c, &m);
    ok(a && b && n == m && !memcmp(a, b, n), "run: two at once: the same bits");
    free(a);
    free(b);
    run_config_fini(&own[0].c);
    run_config_fini(&own[1].c);
}

/* A method with a step, from typed options; the same run by the command line is in stages.t. */
static void check_procedure(void)
{
    struct err e = {.msg = ""};
    struct run_config c, wrong;
    struct run_result r;
    char step[700];
    for (int way = 0; way < 2; way++) {
        config(&c, "unused");
        const char *out = c.run.out;
        run_config_fini(&c);
        run_config_init(&c, &run_kind_forget);
        c.names.method = "RKLD";
        ok(!run_config_choose(&c, NULL, &e) && c.procedure.n == 1, "procedure: RKLD has one step");
        c.setup.model = model_path;
        c.run.files[ROLE_FORGET] = way ? data_path : NULL;
        c.run.files[ROLE_RETAIN] = data_path;
        c.run.out = out;
        c.train.max_steps = 2;
        snprintf(step, sizeof step, "%s/reinforced/stage.json", out);
        if (way)
            ok(!run_train(&c, NULL, &r, &e) && file_exists(step), "procedure: runs: %s", e.msg);
        else
            ok(run_train(&c, NULL, &r, &e) && e.subject && !strcmp(e.subject, "reinforced_data"),
               "procedure: its data are missing: %s", e.msg);
        json_t *values = run_config_values(&c);
        ok(json_real_value(json_object_get(values, "reinforced_lr")) == 3e-6 &&
               json_integer_value(json_object_get(values, "max_steps")) == 2,
           "procedure: its options are among all");
        json_decref(values);
        run_config_fini(&c);
    }
    run_config_init(&wrong, &run_kind_forget);
    wrong.names.first = "mopping";
    wrong.names.method = "RKLD";
    ok(run_config_choose(&wrong, NULL, &e) && !strcmp(e.subject, "first"), "config: %s", e.msg);
    run_config_fini(&wrong);
    run_config_init(&wrong, &run_kind_train);
    wrong.names.optimiser = "adam";
    ok(run_config_choose(&wrong, NULL, &e), "config: %s", e.msg);
    run_config_fini(&wrong);
    run_config_init(&wrong, &run_kind_forget);
    wrong.names.locate = "lora";
    ok(!run_config_choose(&wrong, NULL, &e) && run_keeps_base(&wrong) &&
           run_config_check(&wrong, &e) && !strcmp(e.subject, "no_out"),
       "config: %s", e.msg);
    run_config_fini(&wrong);
}

static void check_failure(void)
{
    struct err e = {.msg = ""};
    struct run_config c;
    struct run_result r;
    config(&c, "stage");
    c.run.files[ROLE_RETAIN] = "no_such_file";
    ok(run_train(&c, NULL, &r, &e) && e.code == ERR_NO_FILE && !file_is_dir(c.run.out),
       "run: fails with a code, and leaves nothing: %s", e.msg);
    run_config_fini(&c);
}

int main(void)
{
    model_path = "test/data/models/m_cur";
    write_rows();
    check_runs();
    check_threads();
    check_procedure();
    check_failure();
    return done();
}
