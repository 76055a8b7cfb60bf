/* The page's charts: the forget-utility plane, figures by metric, curves over steps, distributions
 * over rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/chart.h"
#include "report/page.h"

/* --- the plane --- */

struct plane {
    const char *forget, *keep; /* metrics; NULL: there is none */
};

/* How many models have the metric. */
static int models_with(const struct report *r, const char *metric)
{
    int n = 0;
    for (int i = 0; i < r->n; i++)
        n += !isnan(report_value(&r->v[i], metric));
    return n;
}

/* The axes: the metric of forgotten text, else probability, that most models have; model utility,
 * else the first metric of what is kept. */
static struct plane plane_of(const struct report *r)
{
    struct plane p = {NULL, NULL};
    int best_forget = 1, best_keep = 1;
    const char *metric;
    json_t *sense;
    json_object_foreach(r->senses, metric, sense)
    {
        const struct sense x = sense_of_json(sense);
        const int n = 4 * models_with(r, metric);
        const int forget = n + (x.aspect == ASPECT_TEXT ? 2 : x.aspect == ASPECT_PROBABILITY);
        const int keep = n + (!strcmp(metric, "model_utility") ? 2 : x.role == ROLE_RETAIN);
        if (!report_shows(r, metric, sense) || n < 8)
            continue;
        if (x.role == ROLE_FORGET && x.direction == DIRECTION_LOW && forget > best_forget &&
            report_group_of(sense) == GROUP_EFFECTIVENESS)
            p.forget = metric, best_forget = forget;
        if (x.role != ROLE_FORGET && x.direction == DIRECTION_HIGH && keep > best_keep &&
            report_group_of(sense) == GROUP_UTILITY)
            p.keep = metric, best_keep = keep;
    }
    return p;
}

static bool has_plane(const struct report *r)
{
    const struct plane p = plane_of(r);
    return p.forget && p.keep;
}

/* Models on the front by ascending x: no other forgets as much and keeps as much. */
static int find_front(const struct report *r, const struct plane *p, double *x, double *y)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        const double f = report_value(&r->v[i], p->forget), k = report_value(&r->v[i], p->keep);
        bool on = !page_is_measure(r, i) && !isnan(f) && !isnan(k);
        for (int j = 0; j < r->n && on; j++) {
            const double of = report_value(&r->v[j], p->forget),
                         ok = report_value(&r->v[j], p->keep);
            if (!page_is_measure(r, j) && of <= f && ok >= k && (of < f || ok > k))
                on = false;
        }
        if (!on)
            continue;
        int at = n++;
        for (; at && x[at - 1] > f; at--)
            x[at] = x[at - 1], y[at] = y[at - 1];
        x[at] = f, y[at] = k;
    }
    return n;
}

enum { NAMED_MOST = 14 }; /* points that all have their name next to them */

static bool on_front(double x, double y, const double *fx, const double *fy, int n)
{
    while (n && (fx[n - 1] != x || fy[n - 1] != y))
        n--;
    return n > 0;
}

static void write_plane(struct page *p)
{
    const struct report *r = p->r;
    const struct plane axes = plane_of(r);
    struct chart_series *v = mem_alloc((size_t)r->n + 1, sizeof *v, p->h.e);
    double *x = mem_alloc(4 * (size_t)r->n, sizeof *x, p->h.e), *y = x ? x + r->n : NULL;
    int n = 0;
    p->h.failed = p->h.failed || !v || !x;
    if (!p->h.failed) {
        const int front = find_front(r, &axes, y + r->n, y + 2 * r->n);
        if (front > 1)
            v[n++] = (struct chart_series){.name = "Pareto front",
                                           .n = front,
                                           .x = y + r->n,
                                           .y = y + 2 * r->n,
                                           .front = true};
        for (int i = 0; i < r->n; i++) {
            x[i] = report_value(&r->v[i], axes.forget);
            y[i] = report_value(&r->v[i], axes.keep);
            if (isnan(x[i]) || isnan(y[i]))
                continue;
            v[n++] = (struct chart_series){
                .name = r->v[i].name,
                .colour = page_colour(r, i),
                .n = 1,
                .x = x + i,
                .y = y + i,
                .quiet = r->n > NAMED_MOST && !page_is_measure(r, i) &&
                         !on_front(x[i], y[i], y + r->n, y + 2 * r->n, front)};
        }
        char about[256];
        snprintf(about, sizeof about, "Further left is more forgotten, further up more is kept%s.",
                 front > 1 ? "; the dotted line is the Pareto front of the unlearned models" : "");
        const struct chart c = {.kind = CHART_POINTS,
                                .title = "Forgetting and utility",
                                .about = about,
                                .x_name = axes.forget,
                                .y_name = axes.keep,
                                .v = v,
                                .n = n,
                                .mark = NAN};
        chart_write(&p->h, &c);
    }
    free(v);
    free(x);
}

/* --- figures of a group as bars --- */

enum { BARS_MOST = 10, MODELS_MOST = 6 };

static void put_bars(struct page *p, enum report_group g, const char *title)
{
    const struct report *r = p->r;
    const char *names[BARS_MOST], *metric;
    double value[MODELS_MOST][BARS_MOST], low[MODELS_MOST][BARS_MOST], high[MODELS_MOST][BARS_MOST];
    struct chart_series v[MODELS_MOST];
    json_t *sense;
    int n = 0;
    json_object_foreach(r->senses, metric, sense)
    {
        bool fits = report_shows(r, metric, sense) && report_group_of(sense) == g &&
                    sense_of_json(sense).direction && n < BARS_MOST;
        for (int i = 0; i < r->n && fits; i++) {
            struct interval ci;
            report_interval(&r->v[i], metric, &ci);
            value[i][n] = report_value(&r->v[i], metric);
            low[i][n] = ci.low, high[i][n] = ci.high;
            fits = isnan(value[i][n]) || (value[i][n] >= 0 && value[i][n] <= 1);
        }
        if (fits)
            names[n++] = metric;
    }
    for (int i = 0; i < r->n; i++)
        v[i] = (struct chart_series){.name = r->v[i].name,
                                     .colour = page_colour(r, i),
                                     .n = n,
                                     .y = value[i],
                                     .low = low[i],
                                     .high = high[i]};
    const struct chart c = {.kind = CHART_BARS,
                            .title = title,
                            .about = "Values with their 95 % intervals.",
                            .x_name = "value",
                            .v = v,
                            .n = r->n,
                            .categories = names,
                            .mark = NAN};
    if (n > 1)
        chart_write(&p->h, &c);
}

static bool has_overview(const struct report *r)
{
    return has_plane(r) || (r->n && r->n <= MODELS_MOST && json_object_size(r->senses));
}

static void write_overview(struct page *p)
{
    html_put(&p->h, "<div class=figures>");
    if (has_plane(p->r))
        write_plane(p);
    if (p->r->n <= MODELS_MOST) {
        put_bars(p, GROUP_EFFECTIVENESS, "Effectiveness, metric by metric");
        put_bars(p, GROUP_UTILITY, "Utility, metric by metric");
    }
    html_put(&p->h, "</div>");
}

/* --- curves over steps --- */

enum { POINTS_MOST = 240, CURVES_MOST = 8 };

/* A model's training log, thinned out to at most POINTS_MOST steps, the last one included. */
struct curve_steps {
    const json_t *at[POINTS_MOST + 1];
    int n;
};

static void pick_steps(const json_t *steps, bool validated, struct curve_steps *out)
{
    const json_t *step;
    size_t i, all = 0, k = 0;
    json_array_foreach(steps, i, step) all += !validated || json_object_get(step, "eval");
    const size_t every = (all + POINTS_MOST - 1) / POINTS_MOST;
    out->n = 0;
    json_array_foreach(steps, i, step)
    {
        if (validated && !json_object_get(step, "eval"))
            continue;
        if (k++ % every == 0 || k == all)
            out->at[out->n++] = step;
    }
}

/* "loss" and the terms, or the validation metrics. */
static int list_curves(const struct curve_steps *s, const char *of, const char **names)
{
    int n = 0;
    for (int i = 0; i < s->n; i++) {
        const char *key;
        json_t *v;
        json_object_foreach(json_object_get(s->at[i], of), key, v)
        {
            bool there = !json_is_number(v) || n == CURVES_MOST;
            for (int k = 0; k < n && !there; k++)
                there = !strcmp(names[k], key);
            if (!there)
                names[n++] = key;
        }
    }
    return n;
}

static void put_curves(struct page *p, const struct report_model *m, const char *of,
                       const char *title, const char *stopped)
{
    struct curve_steps s;
    const char *names[CURVES_MOST];
    struct chart_series v[CURVES_MOST + 1];
    const bool validated = !strcmp(of, "eval");
    pick_steps(m->steps, validated, &s);
    const int terms = s.n ? list_curves(&s, of, names) : 0, n = terms + !validated;
    double *x = mem_alloc((size_t)(n + 1) * (size_t)s.n, sizeof *x, p->h.e);
    p->h.failed = p->h.failed || (s.n && !x);
    for (int i = 0; i < s.n && x; i++) {
        x[i] = peer_value(json_object_get(s.at[i], "step"));
        for (int k = 0; k < terms; k++)
            x[(1 + k) * s.n + i] =
                peer_value(json_object_get(json_object_get(s.at[i], of), names[k]));
        if (!validated)
            x[n * s.n + i] = peer_value(json_object_get(s.at[i], "loss"));
    }
    for (int k = 0; k < n && x; k++)
        v[k] = (struct chart_series){.name = k < terms ? names[k] : "loss, weighted sum",
                                     .colour = k < terms ? chart_model_colour(k) : CHART_TARGET,
                                     .n = s.n,
                                     .x = x,
                                     .y = x + (k + 1) * s.n,
                                     .dashed = k >= terms};
    struct buf name = {0};
    p->h.failed = p->h.failed || buf_printf(&name, p->h.e, "%s: %s", m->name, title);
    if (!p->h.failed && s.n && n) {
        const struct chart c = {.kind = CHART_LINES,
                                .title = name.data,
                                .about = stopped ? stopped : "",
                                .x_name = "step",
                                .v = v,
                                .n = n,
                                .mark = stopped ? x[s.n - 1] : NAN,
                                .mark_name = "early stopping"};
        chart_write(&p->h, &c);
    }
    buf_fini(&name);
    free(x);
}

static bool has_curves(const struct report *r)
{
    for (int i = 0; i < r->n; i++)
        if (json_array_size(r->v[i].steps))
            return true;
    return false;
}

static void write_curves(struct page *p)
{
    html_put(&p->h, "<div class=figures>");
    for (int i = 0; i < p->r->n; i++) {
        const struct report_model *m = &p->r->v[i];
        const json_t *last = json_array_get(m->steps, json_array_size(m->steps) - 1);
        const char *stopped = json_string_value(json_object_get(last, "stopped"));
        if (!json_array_size(m->steps))
            continue;
        put_curves(p, m, "terms", "loss over steps", stopped);
        put_curves(p, m, "eval", "validation over steps", stopped);
    }
    html_put(&p->h, "</div>");
}

/* --- distributions over rows --- */

/* Metrics whose rows are shown, and which of a row's values: of each the first that is there. */
static const struct {
    const char *metric, *column, *title;
} distributions[] = {{"forget_truth_ratio", "score", "Truth ratio of the forget rows"},
                     {"forget_Q_A_Prob", "avg_loss", "Loss of the forget answers, nats per token"},
                     {"retain_Q_A_Prob", "avg_loss", "Loss of the retain answers, nats per token"},
                     {"mia_loss", "score", "Loss of the forget rows under membership inference"}};

enum { DISTRIBUTIONS = sizeof distributions / sizeof *distributions, BINS = 16 };

static int row_values(const struct report_model *m, int k, double *out)
{
    const char *row;
    json_t *v;
    int n = 0;
    json_object_foreach(peer_rows(m->rows, distributions[k].metric), row, v)
    {
        const double x = peer_value(json_object_get(v, distributions[k].column));
        if (isfinite(x) && fabs(x) < 1e300) {
            if (out)
                out[n] = x;
            n++;
        }
    }
    return n;
}

static bool has_distributions(const struct report *r)
{
    for (int i = 0; i < r->n; i++)
        for (int k = 0; k < DISTRIBUTIONS; k++)
            if (!page_is_measure(r, i) && row_values(&r->v[i], k, NULL) > 1)
                return true;
    return false;
}

/* Shares of the values in each bin between the edges. */
static void fill_bins(const double *v, int n, const double *edges, double *share)
{
    for (int b = 0; b < BINS; b++)
        share[b] = 0;
    for (int i = 0; i < n; i++) {
        int b = (int)((v[i] - edges[0]) / (edges[BINS] - edges[0]) * BINS);
        share[b < 0 ? 0 : b >= BINS ? BINS - 1 : b] += 1.0 / n;
    }
}

/* Of one model, with the measures. */
static void put_distribution(struct page *p, int model, int k)
{
    const struct report *r = p->r;
    const int of[] = {r->before, r->retrained, model};
    struct chart_series v[3];
    double edges[BINS + 1], share[3][BINS], low = NAN, high = NAN, *values[3] = {NULL};
    int counts[3] = {0}, n = 0;
    for (int s = 0; s < 3 && !p->h.failed; s++) {
        counts[s] = of[s] < 0 ? 0 : row_values(&r->v[of[s]], k, NULL);
        values[s] = counts[s] ? mem_alloc((size_t)counts[s], sizeof **values, p->h.e) : NULL;
        p->h.failed = counts[s] && !values[s];
        for (int i = values[s] ? row_values(&r->v[of[s]], k, values[s]) - 1 : -1; i >= 0; i--) {
            low = isnan(low) ? values[s][i] : fmin(low, values[s][i]);
            high = isnan(high) ? values[s][i] : fmax(high, values[s][i]);
        }
    }
    if (high <= low)
        low -= 0.5, high += 0.5;
    for (int b = 0; b <= BINS; b++)
        edges[b] = low + (high - low) * b / BINS;
    for (int s = 0; s < 3 && !p->h.failed; s++) {
        if (!counts[s])
            continue;
        fill_bins(values[s], counts[s], edges, share[s]);
        v[n++] = (struct chart_series){.name = r->v[of[s]].name,
                                       .colour = page_colour(r, of[s]),
                                       .n = BINS,
                                       .x = edges,
                                       .y = share[s],
                                       .dashed = s == 1};
    }
    struct buf title = {0};
    p->h.failed = p->h.failed ||
                  buf_printf(&title, p->h.e, "%s: %s", r->v[model].name, distributions[k].title);
    const struct chart c = {.kind = CHART_HISTOGRAM,
                            .title = title.data,
                            .about = r->retrained < 0
                                         ? "Share of the rows in each bin."
                                         : "Share of the rows in each bin; the "
                                           "nearer to the retrained model, the better.",
                            .x_name = distributions[k].column,
                            .y_name = "share of rows",
                            .v = v,
                            .n = n,
                            .mark = NAN};
    if (!p->h.failed)
        chart_write(&p->h, &c);
    buf_fini(&title);
    for (int s = 0; s < 3; s++)
        free(values[s]);
}

static void write_distributions(struct page *p)
{
    html_put(&p->h, "<div class=figures>");
    for (int i = 0; i < p->r->n; i++)
        for (int k = 0; k < DISTRIBUTIONS; k++)
            if (!page_is_measure(p->r, i) && row_values(&p->r->v[i], k, NULL) > 1)
                put_distribution(p, i, k);
    html_put(&p->h, "</div>");
}

const struct page_section page_charts[] = {
    {"overview", "At a glance", "Forgetting against what is kept.", has_overview, write_overview},
    {"curves", "Training",
     "Losses and validation metrics over the steps of each run; a vertical line marks where "
     "training stopped early.",
     has_curves, write_curves},
    {"distributions", "Row by row",
     "How the values of single rows are distributed, against the retrained model.",
     has_distributions, write_distributions},
    {0}};
