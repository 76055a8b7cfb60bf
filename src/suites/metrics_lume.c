/* LUME, SemEval-2025 Task 4: rows of several tasks and of two kinds in one file. A row's id ends in
 * sc and a number, a text to be continued, or in qa and a number, a question; its task is "Task1"
 * and so on. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/robustness.h"
#include "suites/metrics.h"
#include "suites/recipe.h"

/* Whether row i is of task `n` and its id ends in `kind` and digits; -1 where it has no such keys.
 */
static int is_of(const struct rows *rows, int i, int n, const char *kind, struct err *e)
{
    const char *id = rows_text(rows, i, "id", e), *task = id ? rows_text(rows, i, "task", e) : NULL;
    if (!task)
        return -1;
    size_t end = strlen(id);
    while (end && isdigit((unsigned char)id[end - 1]))
        end--;
    return end >= 2 && end < strlen(id) && !memcmp(id + end - 2, kind, 2) &&
           !strncmp(task, "Task", 4) && strtol(task + 4, NULL, 10) == n;
}

static int fill(const struct metric *m, const struct observed *x, const char *kind,
                struct records *out, struct err *e)
{
    for (int i = 0; i < x->d.n; i++) {
        const struct answer *a = &x->answers[i];
        char name[16];
        const int of = is_of(x->rows, x->d.rows[i], m->n, kind, e);
        if (of < 0)
            return -1;
        if (!of)
            continue;
        snprintf(name, sizeof name, "%d", x->d.rows[i]);
        struct cell *c = records_add(out, name, 1, false, e);
        if (!c || cell_set_text(c, TEXT_INPUT, a->input, strlen(a->input), e) ||
            cell_set_text(c, TEXT_TRUTH, a->whole, strlen(a->whole), e) ||
            cell_set_text(c, TEXT_ANSWER, a->answer, strlen(a->answer), e))
            return -1;
    }
    return 0;
}

static int fill_texts(const struct metric *m, const struct suite *s, const struct observed *x,
                      struct records *out, struct err *e)
{
    (void)s;
    return fill(m, x, "sc", out, e);
}

static int fill_questions(const struct metric *m, const struct suite *s, const struct observed *x,
                          struct records *out, struct err *e)
{
    (void)s;
    return fill(m, x, "qa", out, e);
}

static int recall(const struct metric *m, unsigned compat, struct records *r, int i, double *out,
                  struct err *e)
{
    struct rouge rouge;
    (void)m, (void)compat;
    const int rc = metric_rouge(r, i, ROUGE_STEMMED, &rouge, e);
    if (!rc)
        records_cell(r, i)->x[COLUMN_ROUGE_L] = rouge.recall_l;
    *out = records_cell(r, i)->x[COLUMN_ROUGE_L];
    return rc < 0 ? -1 : 0;
}

/* Equal but for case (of ASCII) and white space around. */
static bool same_answer(const struct record_text *a, const struct record_text *b)
{
    const char *s[] = {a->s, b->s};
    size_t n[] = {a->n, b->n};
    for (int k = 0; k < 2; k++) {
        for (; n[k] && isspace((unsigned char)*s[k]); n[k]--)
            s[k]++;
        while (n[k] && isspace((unsigned char)s[k][n[k] - 1]))
            n[k]--;
    }
    return n[0] == n[1] && !strncasecmp(s[0], s[1], n[0]);
}

static int match(const struct metric *m, unsigned compat, struct records *r, int i, double *out,
                 struct err *e)
{
    struct cell *c = records_cell(r, i);
    (void)m, (void)compat, (void)e;
    if (c->text[TEXT_TRUTH].s && c->text[TEXT_ANSWER].s)
        c->x[COLUMN_SCORE] = same_answer(&c->text[TEXT_TRUTH], &c->text[TEXT_ANSWER]);
    *out = c->x[COLUMN_SCORE];
    return 0;
}

/* Whether the metric is of forget rows. */
static bool is_forget(const struct suite *s, const char *name)
{
    for (const struct metric *m = s->recipe->metrics; m->name; m++)
        if (!strcmp(m->name, name))
            return s->recipe->sets[m->set].role == ROLE_FORGET;
    return false;
}

/* Harmonic mean of the inputs, of forget rows of 1 - value; all must be there. */
static int aggregate(const struct metric *m, const struct suite *s, struct result *out,
                     struct err *e)
{
    double v[SUITE_INPUTS];
    int n = 0;
    (void)e;
    for (; n < SUITE_INPUTS && m->inputs[n]; n++) {
        const struct result *of = suite_result(s, m->inputs[n]);
        if (!of || isnan(of->figure))
            return 0;
        v[n] = is_forget(s, m->inputs[n]) ? 1 - of->figure : of->figure;
    }
    bool none = false;
    for (int i = 0; i < n; i++)
        none = none || v[i] <= 0;
    out->figure = none ? 0 : aggregate_hm(v, n);
    out->there = true;
    return 0;
}

/* 1 - 2 |AUC - 0.5|: 1 if members cannot be told from others. */
static int distance(const struct metric *m, const struct suite *s, struct result *out,
                    struct err *e)
{
    const struct result *of = suite_result(s, m->inputs[0]);
    (void)e;
    if (!of || isnan(of->figure))
        return 0;
    out->figure = 1 - 2 * fabs(of->figure - 0.5);
    out->there = true;
    return 0;
}

#define TEXTS TEXT_BIT(TEXT_INPUT) | TEXT_BIT(TEXT_TRUTH) | TEXT_BIT(TEXT_ANSWER)
#define ROWS                                                                                       \
    .direction = DIRECTION_LOW, .forgotten = "low on forget", .aspect = ASPECT_TEXT,               \
    .needs = NEED_ANSWERS, .texts = TEXTS

const struct metric_kind metrics_lume[] = {
    {.name = "lume_text",
     .help =
         "ROUGE-L recall (stemmed) of the continuations of LUME's task n: rows whose id ends in "
         "sc and a number",
     .verified = "rouge_score",
     .columns = COLUMN_BIT(COLUMN_ROUGE_L),
     .fill = fill_texts,
     .value = recall,
     ROWS},
    {.name = "lume_question",
     .help =
         "share of exact matches, but for case and white space around, of the answers of LUME's "
         "task n: rows whose id ends in qa and a number",
     .verified = "its definition",
     .flags = METRIC_RATE,
     .fill = fill_questions,
     .value = match,
     ROWS},
    {.name = "lume",
     .help = "LUME's task aggregate: harmonic mean of the inputs, of forget rows of 1 - value",
     .forgotten = "high",
     .direction = DIRECTION_HIGH,
     .verified = "its definition",
     .flags = METRIC_FORGETTING,
     .figure = aggregate,
     .inputs_least = 1,
     .inputs_most = SUITE_INPUTS},
    {.name = "mia_distance",
     .help = "1 - 2 abs(AUC - 0.5) of an attack, LUME's score of membership inference; input: an "
             "attack",
     .forgotten = "1: members cannot be told from others",
     .direction = DIRECTION_HIGH,
     .verified = "its definition",
     .flags = METRIC_PRIVACY,
     .figure = distance,
     .inputs_least = 1,
     .inputs_most = 1},
    {0}};
