/* From a metric's rows to its value, its row of the table and its entry of the log: number of rows,
 * confidence interval, warnings, comparison with the retrained model's log. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/stats.h"
#include "suites/metrics.h"
#include "suites/recipe.h"

static unsigned columns_of(const struct metric_kind *k)
{
    return k->columns ? k->columns : COLUMN_BIT(COLUMN_SCORE);
}

void result_fini(struct result *r)
{
    for (int i = 0; i < 2; i++) {
        records_fini(&r->side[i]);
        json_decref(r->logged[i]);
    }
    json_decref(r->kept);
    free(r->values);
    *r = (struct result){0};
}

static int take_mean(struct result *r, const struct metric *m, unsigned compat, struct err *e)
{
    struct records *rows = &r->side[0];
    r->n = rows->n;
    if (!(r->values = mem_alloc((size_t)rows->n, sizeof *r->values, e)))
        return -1;
    for (int i = 0; i < rows->n; i++) {
        r->values[i] = records_cell(rows, i)->x[COLUMN_SCORE];
        if (m->kind->value && m->kind->value(m, compat, rows, i, &r->values[i], e))
            return err_prefix(e, "row %s: ", rows->v[i].name);
        if (isnan(r->values[i]))
            warnings_add(&r->warnings, WARN_MISSING, r->n, "", rows->v[i].name);
    }
    r->figure = stats_mean(r->values, r->n);
    r->there = true;
    return 0;
}

static int take_auc(struct result *r, struct err *e)
{
    int n = r->side[0].n, n_other = r->side[1].n;
    r->n = n + n_other;
    double *a = metric_scores(&r->side[0], "", WARN_MISSING, r, e);
    double *b = a ? metric_scores(&r->side[1], "holdout ", WARN_MISSING, r, e) : NULL;
    int rc =
        !b || stats_auc(a, n, b, n_other, &r->figure, e) ||
        interval_of_auc(a, n, b, n_other, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED, &r->interval, e);
    free(a);
    free(b);
    r->there = r->has_interval = !rc;
    return rc ? -1 : 0;
}

int result_aggregate(struct result *r, const struct metric *m, unsigned compat, struct err *e)
{
    return m->kind->flags & METRIC_ATTACK ? take_auc(r, e) : take_mean(r, m, compat, e);
}

int result_from_log(struct result *r, const struct metric *m, unsigned compat, json_t *logged,
                    struct err *e)
{
    static const char *const sides[] = {"forget", "holdout"};
    bool attack = m->kind->flags & METRIC_ATTACK;
    for (int i = 0; i < 1 + attack; i++) {
        json_t *rows = peer_rows(attack ? logged : NULL, sides[i]);
        if (!attack)
            rows = json_object_get(logged, "value_by_index");
        if (!json_object_size(rows))
            return attack ? err_set(e, "'%s': it has no rows in 'value_by_index'", sides[i])
                          : err_set(e, "it has no rows in 'value_by_index'");
        r->n_sides++;
        r->logged[i] = json_incref(rows);
        if (peer_read_rows(rows, columns_of(m->kind), m->kind->texts, &r->side[i], e))
            return -1;
    }
    return result_aggregate(r, m, compat, e);
}

/* {"agg_value": mean, "value_by_index": rows} of one side. */
static json_t *side_json(const struct result *r, const struct metric *m, int i, double figure,
                         struct err *e)
{
    json_t *rows = r->logged[i]
                       ? json_incref(r->logged[i])
                       : peer_write_rows(&r->side[i], columns_of(m->kind), m->kind->texts, e);
    json_t *out =
        rows ? json_pack("{s:o, s:o}", "agg_value", peer_number(figure), "value_by_index", rows)
             : NULL;
    if (rows && !out)
        suite_no_memory(e);
    return out;
}

static double mean_score(const struct records *r)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        double x = records_cell(r, i)->x[COLUMN_SCORE];
        sum += isnan(x) ? 0 : x;
        n += !isnan(x);
    }
    return n ? sum / n : NAN;
}

json_t *result_json(const struct result *r, const struct metric *m, struct err *e)
{
    json_t *out, *sides[2] = {NULL, NULL};
    if (r->kept)
        return json_incref(r->kept);
    if (!r->n_sides)
        out = json_pack("{s:o}", "agg_value", peer_number(r->figure));
    else if (r->n_sides == 1)
        return side_json(r, m, 0, r->figure, e);
    else {
        for (int i = 0; i < 2; i++)
            if (!(sides[i] = side_json(r, m, i, mean_score(&r->side[i]), e))) {
                json_decref(sides[0]);
                return NULL;
            }
        out = json_pack("{s:o, s:o, s:o, s:o}", "forget", sides[0], "holdout", sides[1], "auc",
                        peer_number(r->figure), "agg_value", peer_number(r->figure));
    }
    if (!out)
        suite_no_memory(e);
    return out;
}

static int find_interval(const struct result *r, const struct metric *m, struct interval *out,
                         struct err *e)
{
    int ones = 0, there = 0;
    *out = r->interval;
    if (r->has_interval)
        return 0;
    if (!(m->kind->flags & METRIC_RATE))
        return interval_of_mean(r->values, r->n, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED, out, e);
    for (int i = 0; i < r->n; i++) {
        ones += r->values[i] == 1;
        there += !isnan(r->values[i]);
    }
    *out = interval_of_rate(ones, there, SUITE_LEVEL);
    return 0;
}

static int fill_line(json_t *line, const struct result *r, const struct metric *m, struct err *e)
{
    int missing = r->warnings.kind[WARN_MISSING].count;
    json_t *held = json_object_get(r->kept, "agg_value");
    int rc = json_object_set_new(line, "value",
                                 held       ? json_incref(held)
                                 : r->there ? peer_number(r->figure)
                                            : json_null());
    if (r->n && r->there)
        rc |= json_object_set_new(line, "rows", json_integer(r->n - missing)) |
              json_object_set_new(line, "missing", json_integer(missing));
    if (r->values || r->has_interval) {
        struct interval ci;
        if (find_interval(r, m, &ci, e))
            return -1;
        rc |= json_object_set_new(line, "low", peer_number(ci.low)) |
              json_object_set_new(line, "high", peer_number(ci.high));
    }
    return rc ? suite_no_memory(e) : 0;
}

/* The p-value of the Kolmogorov-Smirnov test between the rows of two means. */
static int test_rows(const struct result *own, struct result *gold, double *p, struct err *e)
{
    struct ks ks;
    double *a = mem_alloc((size_t)own->n, sizeof *a, e);
    if (!a)
        return -1;
    memcpy(a, own->values, (size_t)own->n * sizeof *a);
    int rc = ks_two_sample(a, stats_present(a, own->n), gold->values,
                           stats_present(gold->values, gold->n), &ks, e);
    free(a);
    *p = ks.p;
    return rc;
}

/* Adds the retrained model's value to the row of the table. */
static int compare(struct result *own, const struct suite *s, const struct metric *m, json_t *line,
                   struct err *e)
{
    json_t *logged = json_object_get(s->retain_log, m->name);
    struct result gold = {0};
    double p = NAN;
    int rc = 0;
    if (!logged)
        return 0;
    if (own->values && json_object_size(peer_rows(s->retain_log, m->name)))
        rc = result_from_log(&gold, m, s->compat, logged, e);
    if (!rc && gold.values && gold.n != own->n && !*own->note)
        snprintf(own->note, sizeof own->note, "the retrained model's log has %d rows, this one %d",
                 gold.n, own->n);
    if (!rc && gold.values)
        rc = test_rows(own, &gold, &p, e);
    result_fini(&gold);
    if (rc)
        return err_prefix(e, "the retrained model's log: ");
    if (json_object_set_new(line, "retrained",
                            peer_number(peer_aggregate(s->retain_log, m->name))) ||
        (!isnan(p) && json_object_set_new(line, "ks", peer_number(p))))
        return suite_no_memory(e);
    return 0;
}

int result_tabulate(struct result *r, struct suite *s, const struct metric *m, struct err *e)
{
    json_t *line = json_object();
    if (!s->table)
        s->table = json_object();
    const struct sense x = metric_sense(s->recipe, m);
    int rc = !line || !s->table ? suite_no_memory(e)
                                : sense_to_json(&x, line, e) || result_warn(r, s, m, e) ||
                                      fill_line(line, r, m, e) || compare(r, s, m, line, e) ||
                                      warnings_to_json(&r->warnings, line, e);
    if (!rc && *r->note && json_object_set_new(line, "note", json_string(r->note)))
        rc = suite_no_memory(e);
    if (!rc)
        return json_object_set_new(s->table, m->name, line) ? suite_no_memory(e) : 0;
    json_decref(line);
    return -1;
}
