/* The page's tables: figures of the models by group, costs, attacks. */
#include <math.h>
#include <string.h>

#include "report/cost.h"
#include "report/page.h"

enum { COLUMNS_MOST = 6 }; /* models that are columns; more are rows */

static void put_cell(struct html *h, const struct report *r, int i, const char *metric,
                     const struct sense *x)
{
    const bool best = report_is_best(r, i, metric, x);
    struct interval ci;
    html_put(h, "<td%s>", best ? " class=best" : "");
    html_number(h, report_value(&r->v[i], metric));
    if (best)
        html_put(h, "<span class=hidden>best</span>");
    if (report_interval(&r->v[i], metric, &ci))
        html_put(h,
                 "<span class=ci>[<span data-value=\"%x\">%v</span>, <span "
                 "data-value=\"%x\">%v</span>]</span>",
                 ci.low, ci.low, ci.high, ci.high);
    html_put(h, "</td>");
}

/* The next metric of a group, from *at on; NULL: no more. */
static const char *next_metric(const struct report *r, enum report_group g, void **at,
                               struct sense *x)
{
    for (*at = *at ? json_object_iter_next(r->senses, *at) : json_object_iter(r->senses); *at;
         *at = json_object_iter_next(r->senses, *at)) {
        const char *metric = json_object_iter_key(*at);
        const json_t *sense = json_object_iter_value(*at);
        *x = sense_of_json(sense);
        if (report_shows(r, metric, sense) && report_group_of(sense) == g)
            return metric;
    }
    return NULL;
}

static void metrics_as_rows(struct html *h, const struct report *r, enum report_group g)
{
    struct sense x;
    const char *metric;
    html_put(h, "<thead><tr><th scope=col>metric</th><th scope=col>better</th>");
    for (int i = 0; i < r->n; i++)
        html_put(h, "<th scope=col>%w</th>", r->v[i].name);
    html_put(h, "</tr></thead><tbody>\n");
    for (void *at = NULL; (metric = next_metric(r, g, &at, &x));) {
        html_put(h, "<tr data-metric=\"%t\"><th scope=row>%w</th><td class=want>%s</td>", metric,
                 metric, direction_name[x.direction]);
        for (int i = 0; i < r->n; i++)
            put_cell(h, r, i, metric, &x);
        html_put(h, "</tr>\n");
    }
    html_put(h, "</tbody>");
}

static void models_as_rows(struct html *h, const struct report *r, enum report_group g)
{
    struct sense x;
    const char *metric;
    html_put(h, "<thead><tr><th scope=col>model</th>");
    for (void *at = NULL; (metric = next_metric(r, g, &at, &x));)
        html_put(h, "<th scope=col>%w<br><span class=want>%s</span></th>", metric,
                 direction_name[x.direction]);
    html_put(h, "</tr></thead><tbody>\n");
    for (int i = 0; i < r->n; i++) {
        html_put(h, "<tr><th scope=row>%w</th>", r->v[i].name);
        for (void *at = NULL; (metric = next_metric(r, g, &at, &x));)
            put_cell(h, r, i, metric, &x);
        html_put(h, "</tr>\n");
    }
    html_put(h, "</tbody>");
}

static bool has_group(const struct report *r, enum report_group g)
{
    struct sense x;
    void *at = NULL;
    return next_metric(r, g, &at, &x) != NULL;
}

static void put_group(struct page *p, enum report_group g)
{
    page_open_table(&p->h, report_group_name[g]);
    if (p->r->n > COLUMNS_MOST)
        models_as_rows(&p->h, p->r, g);
    else
        metrics_as_rows(&p->h, p->r, g);
    page_close_table(&p->h);
}

#define GROUP(name, g)                                                                             \
    static bool has_##name(const struct report *r)                                                 \
    {                                                                                              \
        return has_group(r, g);                                                                    \
    }                                                                                              \
    static void write_##name(struct page *p)                                                       \
    {                                                                                              \
        put_group(p, g);                                                                           \
    }

GROUP(effectiveness, GROUP_EFFECTIVENESS)
GROUP(utility, GROUP_UTILITY)
GROUP(privacy, GROUP_PRIVACY)

/* --- attacks: every number of their files that is no row's --- */

bool page_has_attacks(const struct report *r)
{
    for (int i = 0; i < r->n; i++)
        if (json_object_size(r->v[i].attacks))
            return true;
    return false;
}

static bool has_robustness(const struct report *r)
{
    return has_group(r, GROUP_ROBUSTNESS) || page_has_attacks(r);
}

static const char *const subjects[] = {"unlearned", "retrained", "target"};

enum { SUBJECTS = 3, NAME_MOST = 160 };

static double at_path(const json_t *attack, const char *subject, const char *path)
{
    const json_t *at = json_object_get(attack, subject);
    while (at && *path) {
        char key[NAME_MOST];
        const size_t n = strcspn(path, "\n");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        at = json_object_get(at, key);
        path += n + (path[n] == '\n');
    }
    return json_is_array(at) ? peer_value(json_array_get(at, json_array_size(at) - 1))
                             : peer_value(at);
}

/* Numbers over steps, of which the last one is shown; lists of rows and of steps are none. */
static bool is_series(const char *key, const json_t *v)
{
    return json_is_number(json_array_get(v, 0)) && strncmp(key, "row", 3) && strcmp(key, "steps");
}

/* `path` has the keys down to the object, one a line. */
static void put_attack_rows(struct html *h, const json_t *attack, json_t *of, const char *path)
{
    const char *key;
    json_t *v;
    json_object_foreach(of, key, v)
    {
        char next[NAME_MOST];
        if (snprintf(next, sizeof next, "%s%s%s", path, *path ? "\n" : "", key) >= NAME_MOST)
            continue;
        if (json_is_object(v))
            put_attack_rows(h, attack, v, next);
        if (!json_is_number(v) && !is_series(key, v))
            continue;
        html_put(h, "<tr><th scope=row>");
        for (const char *c = next; *c; c += strcspn(c, "\n") + (c[strcspn(c, "\n")] == '\n')) {
            char part[NAME_MOST];
            snprintf(part, sizeof part, "%.*s", (int)strcspn(c, "\n"), c);
            html_put(h, "%s%w", c == next ? "" : " &rsaquo; ", part);
        }
        html_put(h, json_is_number(v) ? "</th>" : " (last)</th>");
        for (int s = 0; s < SUBJECTS; s++) {
            html_put(h, "<td>");
            html_number(h, at_path(attack, subjects[s], next));
            html_put(h, "</td>");
        }
        html_put(h, "</tr>");
    }
}

static void put_attack(struct html *h, const char *model, const char *name, const json_t *attack)
{
    struct buf caption = {0};
    h->failed = h->failed || buf_printf(&caption, h->e, "attack %s on %s", name, model);
    if (!h->failed) {
        html_put(h, "<details><summary>Attack <strong>%t</strong> on %t</summary>", name, model);
        page_open_table(h, caption.data);
        html_put(h, "<thead><tr><th scope=col>figure</th>");
        for (int s = 0; s < SUBJECTS; s++)
            html_put(h, "<th scope=col>%s</th>", subjects[s]);
        html_put(h, "</tr></thead><tbody>");
        put_attack_rows(h, attack, json_object_get(attack, subjects[0]), "");
        html_put(h, "</tbody>");
        page_close_table(h);
        html_put(h, "</details>\n");
    }
    buf_fini(&caption);
}

static void write_robustness(struct page *p)
{
    if (has_group(p->r, GROUP_ROBUSTNESS))
        put_group(p, GROUP_ROBUSTNESS);
    for (int i = 0; i < p->r->n; i++) {
        const char *name;
        json_t *attack;
        json_object_foreach(p->r->v[i].attacks, name, attack)
            put_attack(&p->h, p->r->v[i].name, name, attack);
    }
}

/* --- cost --- */

static const struct {
    const char *key, *name;
    double unit;
} costs[] = {{"seconds", "seconds", 1},
             {"flops", "FLOPs", 1},
             {"tokens", "tokens, with backward", 1},
             {"forward_tokens", "tokens, forward only", 1},
             {"peak_bytes", "peak memory, MiB", 1 << 20},
             {"touched", "trainable elements", 1}};

enum { COSTS = sizeof costs / sizeof *costs };

static bool has_cost(const struct report *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->v[i].cost)
            return true;
    return false;
}

static void write_cost(struct page *p)
{
    struct html *h = &p->h;
    page_open_table(h, "cost");
    html_put(h, "<thead><tr><th scope=col>model</th>");
    for (int k = 0; k < COSTS; k++)
        html_put(h, "<th scope=col>%s</th>", costs[k].name);
    html_put(h, "</tr></thead><tbody>");
    for (int i = 0; i < p->r->n; i++) {
        if (!p->r->v[i].cost)
            continue;
        html_put(h, "<tr><th scope=row>%w</th>", p->r->v[i].name);
        for (int k = 0; k < COSTS; k++) {
            html_put(h, "<td>");
            html_number(h,
                        peer_value(json_object_get(p->r->v[i].cost, costs[k].key)) / costs[k].unit);
            html_put(h, "</td>");
        }
        html_put(h, "</tr>");
    }
    html_put(h, "</tbody>");
    page_close_table(h);
}

const struct page_section page_tables[] = {
    {"effectiveness", "Effectiveness",
     "What the model still knows of the forget data. Below each value its 95 % interval; * marks "
     "the best among the models that are neither a measure nor broken.",
     has_effectiveness, write_effectiveness},
    {"utility", "Utility", "What it still knows of everything else, and how well it answers.",
     has_utility, write_utility},
    {"privacy", "Privacy", "Whether the model can be told from one that never saw the forget data.",
     has_privacy, write_privacy},
    {"robustness", "Robustness",
     "What attacks bring back; the retrained model under the same attack is the control.",
     has_robustness, write_robustness},
    {"cost", "Cost", "Of the run that made each model.", has_cost, write_cost},
    {0}};
