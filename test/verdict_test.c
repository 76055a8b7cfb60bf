/* Verdicts: every question at both sides of its threshold, the smallest p, texts that are none, the
 * words, and figures taken from logs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "eval/texts.h"
#include "report/verdict.h"
#include "tap.h"

static struct verdict_limits limits;

static struct verdict_figure figure(enum role role, enum aspect aspect, double value,
                                    double retrained, double before)
{
    return (struct verdict_figure){
        .metric = "m",
        .sense = {role, aspect, role == ROLE_FORGET ? DIRECTION_LOW : DIRECTION_HIGH},
        .value = value,
        .retrained = retrained,
        .before = before,
        .ks = NAN};
}

static struct verdict judged(struct verdict_figure *f, int n)
{
    struct verdict v = {
        .figures = f, .n = n, .p = NAN, .p_least = NAN, .utility = NAN, .utility_before = NAN};
    verdict_judge(&v, &limits);
    return v;
}

static enum ruling forgotten(enum aspect aspect, double value, double retrained, double before)
{
    struct verdict_figure f = figure(ROLE_FORGET, aspect, value, retrained, before);
    return judged(&f, 1).forgotten;
}

static enum ruling kept(double value, double retrained, double before)
{
    struct verdict_figure f = figure(ROLE_NEIGHBOUR, ASPECT_TEXT, value, retrained, before);
    return judged(&f, 1).kept;
}

static void check_forgotten(void)
{
    ok(forgotten(ASPECT_TEXT, 0.59, 0.5, NAN) == RULING_YES &&
           forgotten(ASPECT_TEXT, 0.61, 0.5, NAN) == RULING_NO,
       "forgotten: the retrained model's figure and a margin");
    ok(forgotten(ASPECT_TEXT, 0.5, NAN, NAN) == RULING_YES &&
           forgotten(ASPECT_TEXT, 0.51, NAN, NAN) == RULING_NO &&
           forgotten(ASPECT_PROBABILITY, 0.2, NAN, NAN) == RULING_YES &&
           forgotten(ASPECT_PROBABILITY, 0.21, NAN, NAN) == RULING_NO &&
           forgotten(ASPECT_TOKENS, 0.2, NAN, NAN) == RULING_YES &&
           forgotten(ASPECT_TOKENS, 0.21, NAN, NAN) == RULING_NO,
       "forgotten: fixed thresholds without it");
    ok(forgotten(ASPECT_PROBABILITY, 0.1, NAN, 0.1) == RULING_NO &&
           forgotten(ASPECT_PROBABILITY, 0.08, NAN, 0.1) == RULING_YES,
       "a figure that was low before must fall, too: the target is not forgotten against itself");
    struct verdict_figure f[] = {figure(ROLE_FORGET, ASPECT_TEXT, 0.3, NAN, NAN),
                                 figure(ROLE_FORGET, ASPECT_PROBABILITY, 0.9, NAN, NAN),
                                 figure(ROLE_FORGET, ASPECT_TEXT, 0.7, NAN, NAN)};
    struct verdict v = judged(f, 2);
    ok(v.forgotten == RULING_PARTLY && v.forgotten_by[ASPECT_TEXT] == RULING_YES &&
           v.forgotten_by[ASPECT_PROBABILITY] == RULING_NO &&
           v.forgotten_by[ASPECT_TOKENS] == RULING_UNKNOWN && v.kept == RULING_UNKNOWN,
       "partly: by text, not by probability; nothing is known of tokens and of what is kept");
    v = judged(f, 3);
    ok(v.forgotten_by[ASPECT_TEXT] == RULING_PARTLY, "one of two figures of an aspect");
}

static void check_kept(void)
{
    ok(kept(0.72, NAN, 0.8) == RULING_YES && kept(0.71, NAN, 0.8) == RULING_NO,
       "kept: nine tenths of the figure before");
    ok(kept(0.72, 0.5, 0.8) == RULING_YES && kept(0.5, 0.5, 0.8) == RULING_NO,
       "the model before is the measure, not the retrained one");
    ok(kept(0.46, 0.5, NAN) == RULING_YES && kept(0.44, 0.5, NAN) == RULING_NO,
       "the retrained one without it");
    ok(kept(0.46, NAN, NAN) == RULING_UNKNOWN, "not known without either");
    ok(kept(-1.05, NAN, -1) == RULING_YES && kept(-1.2, NAN, -1) == RULING_NO,
       "of log-probabilities a tenth of the size");
}

static struct verdict like(double p, double least, double own, double retrained, double ks)
{
    static struct verdict_figure f;
    f = figure(ROLE_FORGET, ASPECT_PROBABILITY, own, retrained, NAN);
    f.ks = ks;
    struct verdict v = {
        .figures = &f, .n = 1, .p = p, .p_least = least, .utility = NAN, .utility_before = NAN};
    verdict_judge(&v, &limits);
    return v;
}

static void check_like(void)
{
    ok(like(0.05, 1e-5, 0.1, 0.1, NAN).like == RULING_YES &&
           like(0.049, 1e-5, 0.1, 0.1, NAN).like == RULING_NO,
       "like the retrained model: p at its threshold");
    ok(like(0.1, 0.1, 0.1, 0.1, NAN).like == RULING_UNKNOWN, "too few rows to tell");
    ok(like(0.01, 1e-5, 0.004, 0.06, 1e-3).over_forgotten, "over-forgotten: below the retrained");
    ok(!like(0.01, 1e-5, 0.05, 0.06, 0.7).over_forgotten &&
           !like(0.01, 1e-5, 0.2, 0.06, 1e-3).over_forgotten &&
           !like(0.5, 1e-5, 0.004, 0.06, 1e-3).over_forgotten,
       "not by chance, not above it, not where the models are alike");
    near(ks_least_p(10, 10), 2.0 / 184756, 1e-12, 0, "the smallest p of 10 and 10 rows");
    near(ks_least_p(3, 3), 0.1, 1e-12, 0, "of 3 and 3");
    struct ks ks;
    struct err e;
    const double a[] = {1, 2, 3, 4}, b[] = {5, 6, 7};
    ok(!ks_two_sample(a, 4, b, 3, &ks, &e), "a test of samples that do not overlap");
    near(ks_least_p(4, 3), ks.p, 1e-12, 0, "has the smallest p");
    ok(isnan(ks_least_p(0, 3)), "there is none without rows");
}

static bool broken(struct verdict_texts rest, double utility, bool none)
{
    struct verdict v = {.rest = rest,
                        .p = NAN,
                        .p_least = NAN,
                        .utility = utility,
                        .utility_before = NAN,
                        .no_utility = none};
    verdict_judge(&v, &limits);
    return v.broken == RULING_YES;
}

static void check_broken(void)
{
    const struct verdict_texts fine = {10, 0.5, 0.5};
    ok(!broken(fine, 0.01, false), "at the thresholds it is not broken");
    ok(broken((struct verdict_texts){10, 0.51, 0}, 0.5, false), "it repeats itself");
    ok(broken((struct verdict_texts){10, 0, 0.6}, 0.5, false), "its answers are no text");
    ok(broken(fine, 0.0099, false), "its utility is near 0");
    ok(broken(fine, NAN, true), "its utility is not a number");
    struct verdict v = {.p = NAN, .p_least = NAN, .utility = 0.001, .utility_before = 0.002};
    verdict_judge(&v, &limits);
    ok(v.broken == RULING_NO, "a utility that was near 0 before is not the run's fault");
    v.utility = v.utility_before = NAN;
    verdict_judge(&v, &limits);
    ok(v.broken == RULING_UNKNOWN, "not known without figures");
}

static void check_form(void)
{
    static const struct {
        const char *text;
        bool repeats, is_text;
    } texts[] = {{"The hometown of Oriane Pelkwood is Thornholm, an island town.", false, true},
                 {"the the the the the the the the the the the", true, true},
                 {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true, true},
                 {"!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!", true, false},
                 {"\xE4\xB8\xAD\xE5\x9B\xBD\xE7\x9A\x84\xE9\xA6\x96\xE9\x83\xBD", false, true},
                 {"1912", false, true},
                 {"", false, false},
                 {"a \xEF\xBF\xBD", false, false},
                 {"a \xFF", false, false}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct text_form f;
        struct err e;
        bool fine = !text_form_of(texts[i].text, strlen(texts[i].text), &f, &e);
        ok(fine && (f.repetition > 0.5) == texts[i].repeats && f.is_text == texts[i].is_text,
           "'%s': repetition %.2f, %s", texts[i].text, f.repetition, f.is_text ? "text" : "none");
    }
}

static void check_run(void)
{
    char out[VERDICT_WARNINGS][VERDICT_SENTENCE];
    ok(verdict_run(&(struct nll_change){{1, 1.1}, {0.5, 1}, 10, 9, NULL, NULL}, &limits, out) == 0,
       "a run at the thresholds has no warning");
    ok(verdict_run(&(struct nll_change){{1, 1.09}, {0.5, 1.01}, 10, 10, NULL, NULL}, &limits,
                   out) == 3 &&
           strstr(out[0], "hardly moved") && strstr(out[1], "rose from 0.5 to 1.01") &&
           strstr(out[2], "every one of 10 steps"),
       "beyond them it has three");
    ok(verdict_run(&(struct nll_change){{1, 1}, {1, 9}, 1, 0, "lower lambda", "raise lambda"},
                   &limits, out) == 2 &&
           strstr(out[0], ": lower lambda") && strstr(out[1], ", raise lambda"),
       "a method of one step: the advice names its damping, '%s'", out[1]);
    ok(verdict_run(&(struct nll_change){{NAN, NAN}, {NAN, NAN}, 0, 0, NULL, NULL}, &limits, out) ==
           0,
       "none where nothing is known");
}

static json_t *text(const char *s)
{
    struct err e;
    json_t *j = json_read_text(s, strlen(s), "test", &e);
    ok(j != NULL, "json: %.30s", s);
    return j;
}

#define ROWS(a, b, c, d)                                                                           \
    "{\"agg_value\": " #a ", \"value_by_index\": {\"0\": {\"prob\": " #a                           \
    "}, \"1\": {\"prob\": " #b "}, \"2\": {\"prob\": " #c "}, \"3\": {\"prob\": " #d "}}}"

static int collect_and_write(const struct verdict_logs *logs, struct verdict *v, struct buf *out,
                             struct err *e)
{
    json_t *j = NULL;
    int rc = verdict_collect(v, logs, e);
    if (!rc) {
        verdict_judge(v, &limits);
        rc = verdict_write(v, &limits, 80, out, e) || !(j = verdict_json(v, &limits, e));
    }
    json_decref(j);
    return rc;
}

static void check_collect(void)
{
    json_t *senses = text("{\"p\": {\"role\": \"forget\", \"aspect\": \"probability\", "
                          "\"direction\": \"low\"}, \"r\": {\"role\": \"retain\", \"aspect\": "
                          "\"text\", \"direction\": \"high\"}, \"absent\": {\"role\": \"retain\", "
                          "\"direction\": \"high\"}}");
    json_t *own = text("{\"p\": " ROWS(
        0.9, 0.8, 0.95,
        0.7) ", \"r\": {\"agg_value\": 0.4, "
             "\"value_by_index\": {\"0\": {\"generation\": \"so so so so so so so so "
             "so\"}, \"1\": {\"generation\": \"what it was\"}}}}");
    json_t *gold = text("{\"p\": " ROWS(0.1, 0.05, 0.2, 0.15) ", \"r\": 0.5}");
    json_t *before = text("{\"p\": 0.9, \"r\": 0.42}");
    const struct verdict_logs logs = {own, senses, gold, before};
    struct verdict v;
    struct buf out = {0};
    struct err e;
    ok(!collect_and_write(&logs, &v, &out, &e), "a verdict from logs");
    ok(v.forgotten == RULING_NO && v.kept == RULING_YES && v.like == RULING_NO &&
           !v.over_forgotten && v.broken == RULING_NO,
       "not forgotten, kept, unlike the retrained model, not broken");
    near(v.p, 2.0 / 70, 1e-12, 0, "p of rows that do not overlap");
    near(v.p_least, 2.0 / 70, 1e-12, 0, "is the smallest of 4 and 4 rows");
    near(v.rest.repetition, 5.0 / 6 / 2, 1e-12, 0, "mean repetition of two answers");
    ok(strstr(out.data, "verdict: not forgotten, the rest is kept, unlike the retrained model, not "
                        "broken\n") &&
           strstr(out.data, "p 0.900 > 0.200") && strstr(out.data, "r 0.400 > 0.378") &&
           strstr(out.data, "kept-loss=0.1"),
       "in words, with figures and thresholds");
    int widest = 0;
    for (const char *line = out.data; *line; line += strcspn(line, "\n") + 1)
        widest = (int)strcspn(line, "\n") > widest ? (int)strcspn(line, "\n") : widest;
    ok(widest <= 80, "lines of %d columns at most", widest);
    verdict_fini(&v);
    long n = 0;
    int rc;
    do {
        buf_fini(&out);
        mem_fail_at(n++);
        rc = collect_and_write(&logs, &v, &out, &e);
        mem_fail_at(-1);
        verdict_fini(&v);
    } while (rc && n < 1000);
    ok(!rc && n > 9, "each of %ld allocations may fail", n - 1);
    buf_fini(&out);
    json_decref(senses);
    json_decref(own);
    json_decref(gold);
    json_decref(before);
}

int main(void)
{
    param_defaults(verdict_params, &limits);
    param_defaults(verdict_run_params, &limits);
    check_forgotten();
    check_kept();
    check_like();
    check_broken();
    check_form();
    check_run();
    check_collect();
    return done();
}
