/* Expressions over metrics: values, names and their parts, bounds at their limits, what was not
 * measured, and errors with their places; where the search goes next; Pareto fronts. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "run/expression.h"
#include "run/search.h"
#include "run/sweep.h"
#include "tap.h"

/* a = 2, tofu.b = 3, '0.1' is of an attack; of the target ten times as much, of the retrained model
 * a hundred times; the interval is one less and one more. */
static double look_up(void *ctx, const struct expression_name *n)
{
    static const double factor[WHOSE_COUNT] = {1, 10, 100};
    static const double shift[FIGURE_PARTS] = {0, -1, 1};
    const double v = !strcmp(n->metric, "a")                  ? 2
                     : !strcmp(n->metric, "tofu.b")           ? 3
                     : !strcmp(n->metric, "prune.0.1.nll")    ? 5
                     : !strcmp(n->metric, "of \"two\" words") ? 7
                                                              : NAN;
    (void)ctx;
    return v * factor[n->whose] + shift[n->part];
}

static double value(const char *text)
{
    struct expression x;
    struct err e;
    const double v = expression_read(&x, text, EXPRESSION_VALUE, &e)
                         ? -1e9
                         : expression_value(&x, look_up, NULL);
    expression_fini(&x);
    return v;
}

static void check_values(void)
{
    static const struct {
        const char *text;
        double value;
    } cases[] = {{"a", 2},
                 {"a+tofu.b*2", 8},
                 {"(a + tofu.b) * 2", 10},
                 {"a - 1 - 1", 0},
                 {"12 / a / 3", 2},
                 {"--a", 2},
                 {"-a * -3", 6},
                 {"2 * -a", -4},
                 {".5 * a + 1e1", 11},
                 {"target.a", 20},
                 {"retrained.tofu.b.high", 301},
                 {"a.low", 1},
                 {"unlearned.a.value", 2},
                 {"prune.'0.1'.nll", 5},
                 {"prune.0.1.nll", 5},
                 {"'of \"two\" words'", 7},
                 {"min(a, tofu.b) + max(a, tofu.b)", 5},
                 {"abs(0 - a) + sqrt(a * 2) + log(exp(a))", 6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ok(fabs(value(cases[i].text) - cases[i].value) < 1e-12, "%s = %g, not %g", cases[i].text,
           cases[i].value, value(cases[i].text));
    ok(isnan(value("max(a, c)")) && isnan(value("min(c, a)")) && isnan(value("0 * c")),
       "what was not measured stays so");
}

static struct bound_state bound(const char *text)
{
    struct expression x;
    struct err e;
    struct bound_state s = {.left = NAN};
    if (!expression_read(&x, text, EXPRESSION_BOUND, &e))
        s = expression_bound(&x, look_up, NULL);
    expression_fini(&x);
    return s;
}

static void check_bounds(void)
{
    ok(bound("a <= 2").held && bound("a >= 2").held && !bound("a < 2").held && !bound("a > 2").held,
       "at the limit");
    ok(bound("a < 3").held && !bound("a > 3").held && bound("a - 1 > 0.5").held, "beyond it");
    ok(bound("a <= 0.1 * target").held && !bound("a <= 0.09 * target").held &&
           bound("tofu.b >= 0.01 * retrained").held,
       "a model alone is the bound's first metric of that model");
    ok(bound("a <= target.low - 17").held && !bound("a <= target.low - 17.1").held,
       "and an end of its interval");
    ok(!bound("c <= 3").known && !bound("c <= 3").held && isinf(bound("c <= 3").excess),
       "what was not measured does not hold");
    ok(fabs(bound("a <= 1").excess - 1) < 1e-6 && bound("a <= 2").excess == 0, "excess");
}

static void check_errors(void)
{
    static const struct {
        enum expression_kind kind;
        const char *text, *like;
    } cases[] = {{EXPRESSION_BOUND, "a", "<=, >=, < or > expected at the end"},
                 {EXPRESSION_BOUND, "a <= ", "a metric expected at the end"},
                 {EXPRESSION_BOUND, "a <= 1 1", "expected at '1' (character 8)"},
                 {EXPRESSION_BOUND, "a == 1", "a metric"},
                 {EXPRESSION_BOUND, "1 <= 2", "names no metric"},
                 {EXPRESSION_BOUND, "target <= 2", "'target' alone has no metric"},
                 {EXPRESSION_VALUE, "a + target", "'target' alone has no metric"},
                 {EXPRESSION_VALUE, "a < 1", "the end expected at '< 1'"},
                 {EXPRESSION_VALUE, "sin(a)", "unknown function 'sin'"},
                 {EXPRESSION_VALUE, "min(a)", "',' expected"},
                 {EXPRESSION_VALUE, "(a", "')' expected at the end"},
                 {EXPRESSION_VALUE, "1e999 * a", "a finite number"},
                 {EXPRESSION_VALUE, "a.", "a metric expected"},
                 {EXPRESSION_VALUE, "'a", "a name in single quotes"},
                 {EXPRESSION_VALUE, "", "a metric expected at the end"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct expression x;
        struct err e = {.msg = ""};
        const int rc = expression_read(&x, cases[i].text, cases[i].kind, &e);
        if (!strcmp(cases[i].text, "a == 1"))
            ok(rc, "%s: refused", cases[i].text);
        else
            ok(rc && strstr(e.msg, cases[i].like), "%s: %s", cases[i].text, e.msg);
        expression_fini(&x);
    }
    char deep[300] = "";
    struct expression x;
    struct err e;
    memset(deep, '(', 200);
    ok(expression_read(&x, deep, EXPRESSION_VALUE, &e), "too many brackets");
    expression_fini(&x);
    memset(deep, '-', 298);
    deep[298] = 'a';
    ok(expression_read(&x, deep, EXPRESSION_VALUE, &e), "too many signs");
    expression_fini(&x);
}

static void check_memory(void)
{
    struct expression x;
    struct err e;
    int n = 0, rc = -1;
    for (; rc && n < 100; n++) {
        mem_fail_at(n);
        rc = expression_read(&x, "max(a, 'b'.c) - 1 <= target + retrained.d.low", EXPRESSION_BOUND,
                             &e);
        expression_fini(&x);
    }
    mem_fail_at(-1);
    ok(!rc && n > 3, "every allocation may fail");
}

/* --- the search --- */

/* A rate of r or more reaches at one epoch, half of it at four times the epochs; one above k is too
 * much. The number of tries until both hold, or -n if it gives up after n. */
static int tries(double r, double k, double epochs_most)
{
    const struct search_space s = {1e-6, 1e-2, 1e-4, 1, epochs_most};
    struct search_point p[64];
    const char *why = NULL;
    int n = 0;
    while (n < 64 && search_next(&s, p, n, &p[n], &why)) {
        p[n].reached = p[n].lr * sqrt(p[n].epochs) >= r;
        p[n].kept = p[n].lr <= k;
        n++;
    }
    return why && !strcmp(why, "all bounds hold") ? n : -n;
}

static void check_search(void)
{
    ok(tries(5e-5, 2e-4, 1) == 1, "the first rate");
    ok(tries(2e-3, 3e-3, 1) == 4, "tripled until it is reached: %d", tries(2e-3, 3e-3, 1));
    ok(tries(2e-5, 3e-5, 1) > 1 && tries(2e-5, 3e-5, 1) < 6, "divided until it is kept: %d",
       tries(2e-5, 3e-5, 1));
    ok(tries(3e-4, 2e-4, 1) < 0 && tries(3e-4, 2e-4, 8) > 0, "more epochs: %d and %d",
       tries(3e-4, 2e-4, 1), tries(3e-4, 2e-4, 8));
    ok(tries(1e-4, 1e-7, 8) < 0 && tries(1e-4, 1e-7, 8) > -8, "the least rate is too much: %d",
       tries(1e-4, 1e-7, 8));
    ok(tries(1, 2, 4) < 0 && tries(1, 2, 4) > -24, "the highest rate is too little: %d",
       tries(1, 2, 4));
    ok(search_start(135e6) == 4e-5 && fabs(search_start(7e9) / 1.07e-5 - 1) < 0.01,
       "where it starts");
}

/* --- Pareto fronts --- */

static void check_pareto(void)
{
    struct pareto_point p[] = {{1, 3, false}, {2, 2, false},   {3, 1, false},  {1, 1, false},
                               {2, 2, false}, {4, NAN, false}, {0.5, 3, false}};
    static const bool front[] = {true, true, true, false, true, false, false};
    double volume;
    struct err e;
    bool same = !pareto_front(p, 7, 0, 0, &volume, &e);
    for (int i = 0; i < 7; i++)
        same &= p[i].front == front[i];
    ok(same, "those that no other one beats; equal ones all");
    ok(fabs(volume - 6) < 1e-12, "the area that they dominate: %g", volume);
    ok(!pareto_front(p, 7, 1, 1, &volume, &e) && fabs(volume - 1) < 1e-12, "above a reference: %g",
       volume);
    ok(!pareto_front(p, 0, 0, 0, &volume, &e) && volume == 0, "of none");
}

int main(void)
{
    check_values();
    check_bounds();
    check_errors();
    check_memory();
    check_search();
    check_pareto();
    return done();
}
