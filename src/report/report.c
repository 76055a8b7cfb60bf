#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "report/cost.h"

/* The column of the first of these names that there is; -1: none. */
static int find_model(const struct report *r, const char *const *names)
{
    for (; *names; names++)
        for (int i = 0; i < r->n; i++)
            if (!strcmp(r->v[i].name, *names))
                return i;
    return -1;
}

static int find_measure(const struct report *r, const char *given, const char *const *usual,
                        int *column, struct err *e)
{
    const char *const own[] = {given, NULL};
    *column = find_model(r, given ? own : usual);
    return given && *column < 0 ? err_set(e, "no model of the report is called '%s'", given) : 0;
}

int report_judge(struct report *r, const char *before, const char *retrained, struct err *e)
{
    static const char *const befores[] = {"before", "target", NULL};
    static const char *const retraineds[] = {"retrained", "retain", "gold", NULL};
    if (find_measure(r, before, befores, &r->before, e) ||
        find_measure(r, retrained, retraineds, &r->retrained, e))
        return -1;
    for (int i = 0; i < r->n; i++) {
        const struct verdict_logs logs = {r->v[i].log, r->senses,
                                          r->retrained < 0 ? NULL : r->v[r->retrained].log,
                                          r->before < 0 ? NULL : r->v[r->before].log};
        if (verdict_collect(&r->v[i].verdict, &logs, e))
            return -1;
        verdict_judge(&r->v[i].verdict, &r->limits);
    }
    return 0;
}

double report_value(const struct report_model *m, const char *metric)
{
    const json_t *x = json_object_get(m->log, metric);
    return json_is_number(x) ? peer_value(x) : peer_aggregate(m->log, metric);
}

/* The line of the table that a metric is of: its own, or that of the task of "task/acc". */
static const json_t *line_of(const struct report_model *m, const char *metric)
{
    char task[128];
    const size_t n = strcspn(metric, "/");
    if (!metric[n])
        return json_object_get(m->table, metric);
    snprintf(task, sizeof task, "%.*s", (int)n, metric);
    return strcmp(metric + n, "/acc") ? NULL : json_object_get(m->table, task);
}

bool report_interval(const struct report_model *m, const char *metric, struct interval *out)
{
    const json_t *line = line_of(m, metric);
    *out = (struct interval){peer_value(json_object_get(line, "low")),
                             peer_value(json_object_get(line, "high"))};
    return !isnan(out->low) && !isnan(out->high);
}

bool report_shows(const struct report *r, const char *metric, const json_t *sense)
{
    bool any = false;
    for (int i = 0; i < r->n; i++)
        any = any || json_object_get(r->v[i].log, metric);
    return any && (json_object_get(sense, "summary") || json_object_get(sense, "direction"));
}

/* How good a value is: the higher, the better. NaN: there is no better and worse. */
static double merit(const struct report *r, double x, const char *metric, enum direction d)
{
    if (d == DIRECTION_RETRAINED)
        return r->retrained < 0 ? NAN : -fabs(x - report_value(&r->v[r->retrained], metric));
    return d == DIRECTION_HIGH ? x : d == DIRECTION_LOW ? -x : NAN;
}

static bool competes(const struct report *r, int i)
{
    return i != r->before && i != r->retrained && r->v[i].verdict.broken != RULING_YES;
}

bool report_is_best(const struct report *r, int model, const char *metric, const struct sense *x)
{
    const double own = merit(r, report_value(&r->v[model], metric), metric, x->direction);
    int others = 0;
    if (!competes(r, model) || isnan(own))
        return false;
    for (int i = 0; i < r->n; i++) {
        const double other = merit(r, report_value(&r->v[i], metric), metric, x->direction);
        if (i == model || !competes(r, i) || isnan(other))
            continue;
        if (other > own)
            return false;
        others++;
    }
    return others > 0;
}

/* "*0.145 [0.112, 0.172]", "0.145 (-0.541)", "0.98 (broken)" */
static int fill_cell(struct table *t, int row, int i, const char *metric, const struct sense *x,
                     const struct report *r, const struct report_style *s, struct err *e)
{
    const struct report_model *m = &r->v[i];
    const double value = report_value(m, metric), first = report_value(&r->v[0], metric);
    char text[DIGITS_MOST], a[DIGITS_MOST], b[DIGITS_MOST];
    const char *best = report_is_best(r, i, metric, x) ? "*" : "";
    struct interval ci;
    digits_of(value, text);
    if (m->verdict.broken == RULING_YES && !strcmp(metric, "forget_quality") && !isnan(value))
        return table_set(t, row, i + 2, e, "%s (broken)", text);
    if (s->difference && i && !isnan(value - first))
        return table_set(t, row, i + 2, e, "%s%s (%s%s)", best, text, value < first ? "" : "+",
                         digits_of(value - first, a));
    if (report_interval(m, metric, &ci) && (!s->difference || !i))
        return table_set(t, row, i + 2, e, "%s%s [%s, %s]", best, text, digits_of(ci.low, a),
                         digits_of(ci.high, b));
    return table_set(t, row, i + 2, e, "%s%s", best, text);
}

/* The chance level of a task, from any model's table; NaN: unknown. */
static double chance_of(const struct report *r, const char *metric)
{
    double chance = NAN;
    for (int i = 0; i < r->n && isnan(chance); i++)
        chance = peer_value(json_object_get(line_of(&r->v[i], metric), "chance"));
    return chance;
}

static int fill_row(struct table *t, int row, const char *metric, const json_t *sense,
                    const struct report *r, const struct report_style *s, struct err *e)
{
    const struct sense x = sense_of_json(sense);
    const double chance = chance_of(r, metric);
    char digits[DIGITS_MOST];
    int rc = isnan(chance)
                 ? table_set(t, row, 0, e, "%s", metric)
                 : table_set(t, row, 0, e, "%s (chance %s)", metric, digits_of(chance, digits));
    rc = rc || table_set(t, row, 1, e, "%s", direction_name[x.direction]);
    for (int i = 0; i < r->n && !rc; i++)
        rc = fill_cell(t, row, i, metric, &x, r, s, e);
    return rc;
}

/* The last rows: the verdicts. */
static const struct {
    const char *name;
    size_t offset;
} questions[] = {{"forgotten", offsetof(struct verdict, forgotten)},
                 {"kept", offsetof(struct verdict, kept)},
                 {"like the retrained", offsetof(struct verdict, like)},
                 {"broken", offsetof(struct verdict, broken)}};

enum { QUESTIONS = sizeof questions / sizeof *questions };

static enum ruling ruling_of(const struct verdict *v, int question)
{
    return *(const enum ruling *)((const char *)v + questions[question].offset);
}

static int fill_verdicts(struct table *t, int row, const struct report *r, struct err *e)
{
    int rc = 0;
    for (int q = 0; q < QUESTIONS && !rc; q++, row++) {
        rc = table_set(t, row, 0, e, "%s", questions[q].name) || table_set(t, row, 1, e, "-");
        for (int i = 0; i < r->n && !rc; i++) {
            const enum ruling x = ruling_of(&r->v[i].verdict, q);
            rc = table_set(t, row, i + 2, e, "%s", x ? ruling_name[x] : "-");
        }
    }
    return rc;
}

static int count_rows(const struct report *r)
{
    const char *metric;
    json_t *sense;
    int n = 0;
    json_object_foreach(r->senses, metric, sense) n += report_shows(r, metric, sense);
    return n;
}

static int write_table(const struct report *r, const struct report_style *s, struct buf *out,
                       struct err *e)
{
    struct table t;
    const char *metric;
    json_t *sense;
    int row = 1;
    if (table_init(&t, 1 + count_rows(r) + QUESTIONS, r->n + 2, e))
        return -1;
    t.width = s->width;
    int rc = table_set(&t, 0, 0, e, "metric") || table_set(&t, 0, 1, e, "direction");
    for (int i = 0; i < r->n && !rc; i++)
        rc = table_set(&t, 0, i + 2, e, "%s", r->v[i].name);
    json_object_foreach(r->senses, metric, sense) if (!rc && report_shows(r, metric, sense)) rc =
        fill_row(&t, row++, metric, sense, r, s, e);
    rc = rc || fill_verdicts(&t, row, r, e) || table_write(&t, s->table, out, e);
    table_fini(&t);
    return rc ? -1 : 0;
}

/* "NAME: not forgotten, ..." of each model, and the thresholds. */
static int write_verdicts(const struct report *r, const struct report_style *s, struct buf *out,
                          struct err *e)
{
    struct buf text = {0};
    const int width = s->width ? s->width : 1000;
    int rc = buf_str(out, "\n", e);
    for (int i = 0; i < r->n && !rc; i++) {
        buf_clear(&text);
        rc = buf_printf(&text, e, "%s: ", r->v[i].name) ||
             verdict_write_line(&r->v[i].verdict, &text, e) ||
             buf_wrap(out, text.data, 2, width, e) || buf_str(out, "\n", e);
    }
    buf_clear(&text);
    rc = rc ||
         buf_printf(&text, e,
                    "measured against: the model before: %s; the retrained model: %s; thresholds: ",
                    r->before < 0 ? "none" : r->v[r->before].name,
                    r->retrained < 0 ? "none" : r->v[r->retrained].name) ||
         verdict_write_limits(&r->limits, &text, e) || buf_wrap(out, text.data, 2, width, e) ||
         buf_str(out, "\n", e);
    buf_fini(&text);
    return rc ? -1 : 0;
}

static int write_costs(const struct report *r, const struct report_style *s, struct buf *out,
                       struct err *e)
{
    struct buf text = {0};
    int rc = 0;
    for (int i = 0; i < r->n && !rc; i++) {
        if (!r->v[i].cost)
            continue;
        buf_clear(&text);
        rc = buf_printf(&text, e, "cost of %s: ", r->v[i].name) ||
             cost_write_line(r->v[i].cost, &text, e) ||
             buf_wrap(out, text.data, 2, s->width ? s->width : 1000, e) || buf_str(out, "\n", e);
    }
    buf_fini(&text);
    return rc ? -1 : 0;
}

int report_write(const struct report *r, const struct report_style *s, struct buf *out,
                 struct err *e)
{
    const int rc = write_table(r, s, out, e);
    if (rc || s->table == TABLE_LATEX)
        return rc;
    return write_verdicts(r, s, out, e) || write_costs(r, s, out, e);
}

/* --- for programs --- */

/* ",x" with as many digits as give the same number, nothing of NaN. */
static int csv_number(struct buf *out, double x, struct err *e)
{
    char text[32] = "";
    for (int digits = 15; !isnan(x) && digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return buf_printf(out, e, ",%s", text);
}

static int csv_head(const struct report *r, struct buf *out, struct err *e)
{
    static const char *const parts[] = {"", " low", " high"};
    int rc = buf_str(out, "metric,direction", e);
    for (int i = 0; i < 3 * r->n && !rc; i++) {
        struct buf name = {0};
        rc = buf_printf(&name, e, "%s%s", r->v[i / 3].name, parts[i % 3]) || buf_str(out, ",", e) ||
             csv_field(out, name.data, e);
        buf_fini(&name);
    }
    return rc || buf_str(out, "\n", e);
}

static int csv_row(const struct report *r, const char *metric, const json_t *sense, struct buf *out,
                   struct err *e)
{
    int rc = csv_field(out, metric, e) ||
             buf_printf(out, e, ",%s", direction_name[sense_of_json(sense).direction]);
    for (int i = 0; i < r->n && !rc; i++) {
        struct interval ci;
        report_interval(&r->v[i], metric, &ci);
        rc = csv_number(out, report_value(&r->v[i], metric), e) || csv_number(out, ci.low, e) ||
             csv_number(out, ci.high, e);
    }
    return rc || buf_str(out, "\n", e);
}

int report_write_csv(const struct report *r, struct buf *out, struct err *e)
{
    static const char *const costs[] = {"seconds", "flops", "tokens", "peak_bytes", "touched"};
    const char *metric;
    json_t *sense;
    int rc = csv_head(r, out, e);
    json_object_foreach(r->senses, metric, sense) if (!rc && report_shows(r, metric, sense)) rc =
        csv_row(r, metric, sense, out, e);
    for (int q = 0; q < QUESTIONS && !rc; q++) {
        rc = buf_printf(out, e, "%s,-", questions[q].name);
        for (int i = 0; i < r->n && !rc; i++)
            rc = buf_printf(out, e, ",%s,,", ruling_name[ruling_of(&r->v[i].verdict, q)]);
        rc = rc || buf_str(out, "\n", e);
    }
    for (size_t k = 0; k < sizeof costs / sizeof *costs && !rc; k++) {
        rc = buf_printf(out, e, "cost_%s,-", costs[k]);
        for (int i = 0; i < r->n && !rc; i++)
            rc = csv_number(out, peer_value(json_object_get(r->v[i].cost, costs[k])), e) ||
                 buf_str(out, ",,", e);
        rc = rc || buf_str(out, "\n", e);
    }
    return rc ? -1 : 0;
}

static int json_row(const struct report *r, const char *metric, const json_t *sense,
                    json_t *metrics, json_t *intervals, json_t *directions)
{
    json_t *values = json_array(), *both = json_array();
    bool any = false;
    for (int i = 0; i < r->n; i++) {
        struct interval ci;
        const bool has = report_interval(&r->v[i], metric, &ci);
        any = any || has;
        json_array_append_new(values, peer_number(report_value(&r->v[i], metric)));
        json_array_append_new(both,
                              has ? json_pack("[o, o]", peer_number(ci.low), peer_number(ci.high))
                                  : json_null());
    }
    int rc = json_object_set_new(metrics, metric, values);
    if (any)
        rc |= json_object_set(intervals, metric, both);
    json_decref(both);
    return rc | json_object_set_new(directions, metric,
                                    json_string(direction_name[sense_of_json(sense).direction]));
}

int report_write_json(const struct report *r, struct buf *out, struct err *e)
{
    json_t *names = json_array(), *metrics = json_object(), *intervals = json_object(),
           *directions = json_object(), *verdicts = json_object(), *costs = json_array(), *sense;
    const char *metric;
    int rc = 0;
    json_object_foreach(r->senses, metric, sense) if (report_shows(r, metric, sense)) rc |=
        json_row(r, metric, sense, metrics, intervals, directions);
    for (int i = 0; i < r->n && !rc; i++) {
        json_t *cost = r->v[i].cost;
        json_array_append_new(names, json_string(r->v[i].name));
        json_array_append_new(costs, cost ? json_incref(cost) : json_null());
        rc |= json_object_set_new(verdicts, r->v[i].name,
                                  verdict_json(&r->v[i].verdict, &r->limits, e));
    }
    json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "models", names, "metrics", metrics,
                            "intervals", intervals, "directions", directions, "verdicts", verdicts,
                            "cost", costs);
    rc = rc || !all ? err_no_memory(e, "report")
                    : json_write_buf(all, out, JSON_INDENT(4) | JSON_ENSURE_ASCII, e) ||
                          buf_str(out, "\n", e);
    json_decref(all);
    return rc ? -1 : 0;
}
