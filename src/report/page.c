#include "report/page.h"

#include <string.h>

#include "base/version.h"
#include "report/chart.h"
#include "report/cost.h"

bool page_is_measure(const struct report *r, int model)
{
    return model == r->before || model == r->retrained;
}

int page_colour(const struct report *r, int model)
{
    int others = 0;
    if (page_is_measure(r, model))
        return model == r->before ? CHART_TARGET : CHART_RETRAINED;
    for (int i = 0; i < model; i++)
        others += !page_is_measure(r, i);
    return chart_model_colour(others);
}

const char *page_role(const struct report *r, int model)
{
    return model == r->before      ? "before unlearning"
           : model == r->retrained ? "never saw the forget data"
                                   : "";
}

void page_open_table(struct html *h, const char *caption)
{
    html_put(h,
             "<div class=scroll tabindex=0 role=region aria-label=\"%t\"><table>"
             "<caption class=hidden>%t</caption>\n",
             caption, caption);
}

void page_close_table(struct html *h)
{
    html_put(h, "</table></div>\n");
}

/* --- the card --- */

static void put_row(struct html *h, const char *name, const json_t *value)
{
    const char *key;
    json_t *v;
    if (!value || json_is_null(value) || (json_is_object(value) && !json_object_size(value)))
        return;
    html_put(h, "<dt>%t</dt><dd>", name);
    if (json_is_object(value)) {
        int n = 0;
        json_object_foreach((json_t *)value, key, v)
            html_put(h, "%s%t: <span class=mono>%j</span>", n++ ? "<br>" : "", key, v);
    } else if (json_is_array(value)) {
        size_t i;
        json_array_foreach(value, i, v) html_put(h, "%s%j", i ? "<br>" : "", v);
    } else {
        html_put(h, "%j", value);
    }
    html_put(h, "</dd>");
}

static void put_bounds(struct html *h, const json_t *bounds)
{
    size_t i;
    json_t *b;
    if (!json_array_size(bounds))
        return;
    html_put(h, "<h3>Bounds that must hold</h3>");
    page_open_table(h, "bounds and whether they hold");
    html_put(h, "<thead><tr><th scope=col>bound</th><th scope=col>value</th><th scope=col>bound's "
                "value</th><th scope=col>holds</th></tr></thead><tbody>");
    json_array_foreach(bounds, i, b)
    {
        const json_t *held = json_object_get(b, "held");
        html_put(h, "<tr><th scope=row class=mono>%j</th><td>", json_object_get(b, "bound"));
        html_number(h, peer_value(json_object_get(b, "left")));
        html_put(h, "</td><td>");
        html_number(h, peer_value(json_object_get(b, "right")));
        html_put(h, "</td><td class=%s>%s</td></tr>",
                 json_is_true(held)    ? "good"
                 : json_is_false(held) ? "bad"
                                       : "unknown",
                 json_is_true(held)    ? "yes"
                 : json_is_false(held) ? "no"
                                       : "unknown");
    }
    html_put(h, "</tbody>");
    page_close_table(h);
}

/* What was asked for, as the request has it. */
static void put_request(struct html *h, const json_t *card)
{
    static const char *const rows[][2] = {
        {"what", "to be forgotten"}, {"why", "why"},         {"scope", "scope"},
        {"method", "method"},        {"methods", "methods"}, {"data", "data"},
        {"model", "target"},         {"budget", "budget"},   {"options", "options"},
        {"after", "after"},          {"suites", "suites"},   {"attacks", "attacks"}};
    const json_t *request = json_object_get(card, "request");
    html_put(h, "<dl class=card>");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        put_row(h, rows[i][1], json_object_get(request, rows[i][0]));
    put_row(h, "result", json_object_get(card, "model"));
    html_put(h, "</dl>");
    put_bounds(h, json_object_get(card, "bounds"));
}

static bool is_asked(const struct report *r, int i)
{
    return !page_is_measure(r, i) && r->v[i].card;
}

static bool is_run(const struct report *r, int i)
{
    return !page_is_measure(r, i) && !r->v[i].card && r->v[i].run;
}

static bool has_card(const struct report *r)
{
    for (int i = 0; i < r->n; i++)
        if (is_asked(r, i) || is_run(r, i))
            return true;
    return false;
}

/* What the records of runs tell, where there is no request. */
static const char *const told[][2] = {
    {"method", "method"},      {"model", "target"},     {"forget", "forget data"},
    {"retain", "retain data"}, {"epochs", "epochs"},    {"max_steps", "steps at most"},
    {"lr", "learning rate"},   {"batch", "batch size"}, {"seed", "seed"}};

static bool is_told(const struct report *r, const char *option)
{
    bool any = false;
    for (int i = 0; i < r->n; i++) {
        const json_t *v = json_object_get(json_object_get(r->v[i].run, "options"), option);
        any = any || (is_run(r, i) && v && !json_is_null(v) && !json_equal(v, json_false()) &&
                      (!json_is_integer(v) || json_integer_value(v) || !strcmp(option, "seed")));
    }
    return any;
}

/* A column for each run, a row for each option. */
static void put_runs(struct html *h, const struct report *r)
{
    page_open_table(h, "the runs and their options");
    html_put(h, "<thead><tr><th scope=col>option</th>");
    for (int i = 0; i < r->n; i++)
        if (is_run(r, i))
            html_put(h, "<th scope=col class=text>%w</th>", r->v[i].name);
    html_put(h, "</tr></thead><tbody>");
    for (size_t k = 0; k < sizeof told / sizeof *told; k++) {
        if (!is_told(r, told[k][0]))
            continue;
        html_put(h, "<tr><th scope=row>%s</th>", told[k][1]);
        for (int i = 0; i < r->n; i++) {
            if (!is_run(r, i))
                continue;
            const json_t *v = json_object_get(json_object_get(r->v[i].run, "options"), told[k][0]);
            if (json_is_string(v))
                html_put(h, "<td class=text>%w</td>", json_string_value(v));
            else
                html_put(h, "<td class=text>%j</td>", v);
        }
        html_put(h, "</tr>");
    }
    html_put(h, "</tbody>");
    page_close_table(h);
}

/* Requests: the first few in full, further ones folded. Then the other runs. */
static void write_card(struct page *p)
{
    enum { OPEN = 3 };
    int n = 0;
    bool runs = false;
    for (int i = 0; i < p->r->n; i++) {
        runs = runs || is_run(p->r, i);
        if (!is_asked(p->r, i))
            continue;
        if (n++ == OPEN)
            html_put(&p->h, "<details><summary>Further requests</summary>");
        put_request(&p->h, p->r->v[i].card);
    }
    if (n > OPEN)
        html_put(&p->h, "</details>");
    if (runs)
        put_runs(&p->h, p->r);
}

/* --- the verdicts --- */

static void put_ruling(struct html *h, const char *name, enum ruling x, enum ruling wanted)
{
    html_put(h, "<dt>%s</dt><dd class=%s>%s</dd>", name,
             x == RULING_UNKNOWN  ? "unknown"
             : x == RULING_PARTLY ? "mixed"
             : x == wanted        ? "good"
                                  : "bad",
             ruling_name[x]);
}

static bool has_models(const struct report *r)
{
    return r->n > 0;
}

static void write_verdicts(struct page *p)
{
    struct html *h = &p->h;
    struct buf text = {0};
    html_put(h, "<ul class=cards>");
    for (int i = 0; i < p->r->n && !h->failed; i++) {
        const struct report_model *m = &p->r->v[i];
        html_put(h, "<li class=c%d><h3>%t", page_colour(p->r, i), m->name);
        if (*page_role(p->r, i))
            html_put(h, "<span class=role>%s</span>", page_role(p->r, i));
        html_put(h, "</h3><dl class=rulings>");
        put_ruling(h, "forgotten", m->verdict.forgotten, RULING_YES);
        put_ruling(h, "rest kept", m->verdict.kept, RULING_YES);
        put_ruling(h, "like the retrained", m->verdict.like, RULING_YES);
        put_ruling(h, "broken", m->verdict.broken, RULING_NO);
        html_put(h, "</dl>");
        buf_clear(&text);
        if (m->cost && !(h->failed = cost_write_line(m->cost, &text, h->e)))
            html_put(h, "<p class=cost>%t</p>", text.data);
        html_put(h, "</li>");
    }
    html_put(h, "</ul>");
    buf_clear(&text);
    h->failed = h->failed || verdict_write_limits(&p->r->limits, &text, h->e);
    if (!h->failed)
        html_put(
            h,
            "<p class=note>Measured against the model before unlearning (%t) and the retrained "
            "model (%t). Thresholds: <span class=mono>%t</span>.</p>",
            p->r->before < 0 ? "none" : p->r->v[p->r->before].name,
            p->r->retrained < 0 ? "none" : p->r->v[p->r->retrained].name, text.data);
    buf_fini(&text);
}

/* --- the frame --- */

static const struct page_section firsts[] = {
    {"card", "Unlearning card", "What was asked for, with which method, on which data.", has_card,
     write_card},
    {"verdict", "Verdict",
     "Four questions, answered from the figures below by the thresholds that are given.",
     has_models, write_verdicts},
    {0}};

static const struct page_section *const sections[] = {firsts,    page_charts,  page_tables,
                                                      page_rows, page_sources, NULL};

static void put_sections(struct page *p, bool nav)
{
    for (const struct page_section *const *of = sections; *of; of++)
        for (const struct page_section *s = *of; s->id; s++) {
            if (!s->has(p->r))
                continue;
            if (nav) {
                html_put(&p->h, "<li><a href=\"#%s\">%s</a></li>", s->id, s->title);
                continue;
            }
            html_put(
                &p->h,
                "<section id=%s aria-labelledby=h-%s><h2 id=h-%s>%s</h2><p class=lead>%s</p>\n",
                s->id, s->id, s->id, s->title, s->lead);
            s->write(p);
            html_put(&p->h, "</section>\n");
        }
}

/* "unlearned (NPO)" */
static void put_model_title(struct html *h, const char *before, const struct report_model *m)
{
    const json_t *method = json_object_get(m->cost, "method");
    const char *name = json_string_value(method);
    html_put(h, "%s%t", before, m->name);
    if (name && strcmp(name, m->name))
        html_put(h, " (%j)", method);
}

/* "two people" of a request, else the names of the models that are no measure. */
static void put_title(struct page *p)
{
    int n = 0;
    for (int i = 0; i < p->r->n; i++) {
        const struct report_model *m = &p->r->v[i];
        const json_t *what = json_object_get(json_object_get(m->card, "request"), "what");
        if (page_is_measure(p->r, i) || n > 3)
            continue;
        if (n == 3)
            html_put(&p->h, " and others");
        else if (json_is_string(what))
            html_put(&p->h, "%s%j", n ? ", " : "", what);
        else
            put_model_title(&p->h, n ? ", " : "", m);
        n++;
    }
    if (!n)
        html_put(&p->h, p->r->n ? "%t" : "no runs", p->r->n ? p->r->v[0].name : "");
}

static void put_headline(struct page *p)
{
    struct buf text = {0};
    for (int i = 0; i < p->r->n && !p->h.failed; i++) {
        if (page_is_measure(p->r, i))
            continue;
        p->h.failed = verdict_write_line(&p->r->v[i].verdict, &text, p->h.e);
        if (!p->h.failed)
            html_put(&p->h, "<p class=headline>%t: %t</p>", p->r->v[i].name, text.data);
        break;
    }
    buf_fini(&text);
}

int page_write(const struct report *r, int examples, struct buf *out, struct err *e)
{
    struct page p = {.h = {.out = out, .e = e}, .r = r, .examples = examples};
    struct html *h = &p.h;
    html_put(h,
             "<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
             "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
             "<meta name=generator content=\"unlearn %s\">\n<title>Unlearning report: ",
             UNLEARN_VERSION);
    put_title(&p);
    html_put(h,
             "</title>\n<style>\n%s</style>\n</head>\n<body>\n<a class=skip href=\"#main\">Skip to "
             "the report</a>\n<div class=frame>\n<header><p class=kicker>Unlearning report</p><h1>",
             page_css);
    put_title(&p);
    html_put(h, "</h1>");
    put_headline(&p);
    html_put(h, "</header>\n<div class=with-nav>\n<nav aria-label=Contents><ul>");
    put_sections(&p, true);
    html_put(h, "</ul></nav>\n<main id=main>\n");
    put_sections(&p, false);
    html_put(h,
             "</main>\n</div>\n<footer><p>Written by unlearn %s. The page needs no network and no "
             "script; numbers are rounded to three digits, their exact values are in the page's "
             "source.</p></footer>\n</div>\n</body>\n</html>\n",
             UNLEARN_VERSION);
    return h->failed ? -1 : 0;
}
