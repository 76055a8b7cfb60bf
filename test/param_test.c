/* Parameter tables, compatibility switches, the progress bar. */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/param.h"
#include "tap.h"

static struct err e;

struct options {
    int64_t steps;
    double beta, any;
    bool mask, mean;
    const char *file, *loss;
};

#define OPT(field) offsetof(struct options, field)
static const struct param table[] = {
    {"max_steps", PARAM_INT, OPT(steps), 1, 100, NULL, "10", NULL, "how many"},
    {"beta", PARAM_REAL, OPT(beta), 0, INFINITY, NULL, "0.1", NULL, "temperature"},
    {"any", PARAM_REAL, OPT(any), 0, 0, NULL, NULL, NULL, "a number"},
    {"mask", PARAM_BOOL, OPT(mask), 0, 0, NULL, NULL, NULL, "masks"},
    {"mean", PARAM_BOOL, OPT(mean), 0, 0, NULL, "true", NULL, "averages"},
    {"file", PARAM_STRING, OPT(file), 0, 0, NULL, NULL, "FILE", "where"},
    {"loss", PARAM_CHOICE, OPT(loss), 0, 0, "NLL|KL", "NLL", NULL, "which"},
    {0}};

static int set(struct options *o, const char *name, const char *text)
{
    return param_set_text(param_find(table, name), o, text, &e);
}

static int set_json(struct options *o, const char *name, const char *text)
{
    json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
    int rc = param_set_json(param_find(table, name), o, j, &e);
    json_decref(j);
    return rc;
}

static void test_set(void)
{
    struct options o;
    memset(&o, 0xA5, sizeof o);
    param_defaults(table, &o);
    ok(o.steps == 10 && o.beta == 0.1 && o.any == 0 && !o.mask && o.mean && !o.file &&
           !strcmp(o.loss, "NLL"),
       "defaults");
    ok(param_find(table, "Max-Steps") == &table[0] && !param_find(table, "max_step") &&
           !param_find(table, "max_stepss") && !param_find(table, ""),
       "names: dashes, case, whole");
    ok(!set(&o, "max-steps", "100") && o.steps == 100, "an integer");
    static const char *const bad_int[] = {"",   "0", "101", "1.5", "1x", "99999999999999999999",
                                          "nan"};
    for (size_t i = 0; i < sizeof bad_int / sizeof *bad_int; i++)
        ok(set(&o, "max_steps", bad_int[i]) && o.steps == 100, "%s", e.msg);
    ok(!set(&o, "beta", "1e-3") && o.beta == 1e-3 && !set(&o, "any", "-2.5") && o.any == -2.5,
       "reals");
    ok(set(&o, "beta", "-1") && strstr(e.msg, "beta: '-1' is not a number of at least 0"), "%s",
       e.msg);
    ok(set(&o, "any", "inf") && set(&o, "any", "nan") && set(&o, "any", "1,5"), "%s", e.msg);
    ok(!set(&o, "mask", "Yes") && o.mask && !set(&o, "mask", "0") && !o.mask, "bools");
    ok(set(&o, "mask", "2"), "%s", e.msg);
    ok(!set(&o, "loss", "kl") && !strcmp(o.loss, "kl"), "a choice, in any case");
    ok(set(&o, "loss", "k") && set(&o, "loss", "NLL|KL") && !strcmp(o.loss, "kl"), "%s", e.msg);
    ok(param_choice("a|bc|d", "BC") == 1 && param_choice("a|bc|d", "D") == 2 &&
           param_choice("a|bc|d", "b") == -1 && param_choice("a", "") == -1,
       "choices have an index");
}

static void test_json(void)
{
    struct options o;
    param_defaults(table, &o);
    ok(!set_json(&o, "max_steps", "7") && o.steps == 7 && !set_json(&o, "max_steps", "8.0") &&
           o.steps == 8,
       "an integer, also as 8.0");
    ok(set_json(&o, "max_steps", "7.5") && set_json(&o, "max_steps", "1e300") &&
           set_json(&o, "max_steps", "0") && o.steps == 8,
       "%s", e.msg);
    ok(set_json(&o, "max_steps", "\"7\"") &&
           !strcmp(e.msg, "'max_steps' must be an integer from 1 to 100"),
       "%s", e.msg);
    ok(!set_json(&o, "beta", "3") && o.beta == 3, "a real takes an integer");
    ok(!set_json(&o, "mask", "true") && o.mask && set_json(&o, "mask", "1"), "%s", e.msg);
    ok(set_json(&o, "loss", "\"x\"") && set_json(&o, "loss", "3"), "%s", e.msg);
    ok(set_json(&o, "loss", "null") && !strcmp(o.loss, "NLL"), "no null for a choice: %s", e.msg);
    ok(!set_json(&o, "file", "null") && !o.file && set_json(&o, "beta", "null"), "%s", e.msg);

    set(&o, "file", "a \"b\"");
    struct options back;
    param_defaults(table, &back);
    int failed = 0;
    json_t *kept = json_array(); /* strings borrow from it */
    for (const struct param *p = table; p->name; p++) {
        json_t *j = param_get_json(p, &o);
        failed += !j || param_set_json(p, &back, j, &e);
        json_array_append_new(kept, j);
    }
    ok(!failed && back.steps == o.steps && back.beta == o.beta && back.mask == o.mask &&
           back.mean == o.mean && !strcmp(back.file, o.file) && !strcmp(back.loss, o.loss),
       "what is read back sets the same");
    json_decref(kept);
}

static void test_help(void)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    param_help(table, f);
    fclose(f);
    ok(!strcmp(text, "  --max-steps N                 how many (default 10, 1 to 100)\n"
                     "  --beta X                      temperature (default 0.1, 0 to inf)\n"
                     "  --any X                       a number\n"
                     "  --mask                        masks\n"
                     "  --[no-]mean                   averages (default on)\n"
                     "  --file FILE                   where\n"
                     "  --loss NLL|KL                 which (default NLL)\n"),
       "help has two columns");
    free(text);
}

static void test_nearest(void)
{
    static const char *const names[] = {"npo",   "simnpo",      "steering_coeff",
                                        "gamma", "temperature", "kl"};
    static const struct {
        const char *word, *want;
    } cases[] = {{"npo", "npo"},
                 {"nop", "npo"},
                 {"simnop", "simnpo"},
                 {"steering-coef", "steering_coeff"},
                 {"gama", "gamma"},
                 {"temp", "temperature"},
                 {"GAMMA", "gamma"},
                 {"lk", "kl"},
                 {"zzz", NULL},
                 {"undial", NULL},
                 {"", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = param_nearest(cases[i].word, names, 6);
        ok(got == cases[i].want || (got && cases[i].want && !strcmp(got, cases[i].want)),
           "'%s' is near %s", cases[i].word, got ? got : "nothing");
    }
    char longer[5000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    ok(!param_nearest(longer, names, 6), "a very long word is near nothing");
}

static void test_compat(void)
{
    unsigned bits = 99;
    ok(!compat_parse("ou", NULL, 0, &bits, &e) && bits == (1 << 13) - 1, "ou is all of them");
    ok(!compat_parse("none", NULL, 0, &bits, &e) && bits == 0, "none");
    ok(!compat_parse("append_eos,micro_mean", NULL, 0, &bits, &e) &&
           bits == (COMPAT_APPEND_EOS | COMPAT_MICRO_MEAN),
       "two names");
    static const char *const bad[] = {"", "ou,", ",ou", "append_eos micro_mean", "x,ou"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(compat_parse(bad[i], NULL, 0, &bits, &e), "%s", e.msg);
    ok(compat_parse("ou,micro-men", NULL, 0, &bits, &e) &&
           strstr(e.msg, "did you mean 'micro_mean'?"),
       "%s", e.msg);
}

/* Quirks of one term are its parameters: the switch of that name sets them, and ou. */
static void test_compat_params(void)
{
    struct quirks {
        bool first, second, plain;
    };
    static const struct param quirky[] = {COMPAT_PARAM(struct quirks, first, "a quirk"),
                                          COMPAT_PARAM(struct quirks, second, "another"),
                                          BOOL_PARAM(struct quirks, plain, false, "none"),
                                          {0}};
    static const struct {
        const char *text;
        struct quirks want;
    } cases[] = {{NULL, {0}},
                 {"none", {0}},
                 {"micro_mean,second", {.second = true}},
                 {"first,plain", {.first = true}},
                 {"ou", {true, true, false}},
                 {"firs,first_", {0}}};
    const struct param *known[] = {&quirky[0], &quirky[1]};
    unsigned bits = 99;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct quirks q;
        param_defaults(quirky, &q);
        compat_apply(cases[i].text, quirky, &q);
        ok(q.first == cases[i].want.first && q.second == cases[i].want.second && !q.plain,
           "--compat %s: %d %d", cases[i].text ? cases[i].text : "(absent)", q.first, q.second);
    }
    ok(!compat_parse("second,nan", known, 2, &bits, &e) && bits == COMPAT_NAN,
       "names of parameters are known, and have no bits");
    ok(compat_parse("secund", known, 2, &bits, &e) && strstr(e.msg, "did you mean 'second'?"), "%s",
       e.msg);
    ok(compat_parse("plain", known, 2, &bits, &e), "%s", e.msg);
}

/* What `draw` prints on standard error. */
static char *captured(void (*draw)(void))
{
    char *path = file_join(test_dir(), "stderr", &e);
    fflush(stderr);
    int saved = dup(2);
    FILE *f = freopen(path, "w", stderr);
    draw();
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    char *text = f ? file_read(path, NULL, &e) : NULL;
    free(path);
    return text;
}

static void draw_quick(void)
{
    struct progress p;
    progress_start(&p, "train", 200);
    progress_step(&p, 100, 0, NULL);
    progress_end(&p);
}

static void draw_slow(void)
{
    struct progress p;
    progress_start(&p, "train", 200);
    p.start -= 100; /* as if begun then */
    progress_step(&p, 50, 5000, "loss 1.25");
    progress_step(&p, 60, 6000, NULL);
    p.last -= 6;
    progress_step(&p, 100, 20000, NULL);
    progress_step(&p, 200, 40000, NULL);
    progress_end(&p);
}

static void draw_quiet(void)
{
    log_set_quiet(true);
    draw_slow();
    log_note("a note");
    log_warn("a %s", "warning");
    log_set_quiet(false);
    log_note("a note");
}

static void test_log(void)
{
    char *text = captured(draw_quick);
    ok(text && !*text, "quick work shows nothing");
    free(text);
    text = captured(draw_slow);
    static const char want[] =
        "train  [#####...............]  25%  50/200  50 tokens/s  ETA 5:00  loss 1.25\n"
        "train  [##########..........]  50%  100/200  200 tokens/s  ETA 1:40\n"
        "train  [####################]  100%  200/200  400 tokens/s  in 1:40\n";
    ok(text && !strcmp(text, want), "slow work shows a line every five seconds");
    free(text);
    text = captured(draw_quiet);
    ok(text && !strcmp(text, "warning: a warning\na note\n"), "quiet keeps warnings");
    free(text);
}

int main(void)
{
    test_set();
    test_json();
    test_help();
    test_nearest();
    test_compat();
    test_compat_params();
    test_log();
    return done();
}
