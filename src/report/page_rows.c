/* The page's examples: answers to prompts before and after, tokens coloured by how their
 * probability changed. */
#include <math.h>
#include <string.h>

#include "report/page.h"

/* The first metric of that kind of role whose rows hold generated answers; NULL: none. */
static const char *text_metric(const struct report *r, const struct report_model *m, bool forget)
{
    const char *metric;
    json_t *sense;
    json_object_foreach(r->senses, metric, sense)
    {
        const struct sense x = sense_of_json(sense);
        const json_t *rows = peer_rows(m->rows, metric);
        const json_t *first = json_object_iter_value(json_object_iter((json_t *)rows));
        if (x.role < ROLE_COUNT && (x.role == ROLE_FORGET) == forget &&
            json_is_string(json_object_get(first, "generation")))
            return metric;
    }
    return NULL;
}

static bool has_examples(const struct report *r)
{
    for (int i = 0; i < r->n; i++)
        if (!page_is_measure(r, i) &&
            (text_metric(r, &r->v[i], true) || text_metric(r, &r->v[i], false)))
            return true;
    return false;
}

static json_t *row_of(const struct report *r, int model, const char *metric, const char *row)
{
    return model < 0 ? NULL : json_object_get(peer_rows(r->v[model].rows, metric), row);
}

static json_t *tokens_of(const struct report *r, int model, const char *metric, const char *row)
{
    return model < 0 ? NULL : json_object_get(json_object_get(r->v[model].tokens, metric), row);
}

/* The class of a change of log-probability: k1 to k3 for less likely, m1 to m3 for more likely. */
static const char *shade(double change)
{
    static const char *const less[] = {"", "k1", "k2", "k3"}, *const more[] = {"", "m1", "m2",
                                                                               "m3"};
    const double size = fabs(change);
    const int level = size < 0.35 ? 0 : size < 1 ? 1 : size < 3 ? 2 : 3;
    return !(size >= 0) ? "" : change < 0 ? less[level] : more[level];
}

/* Tokens of the reference answer by their probability now and before. */
static void put_tokens(struct html *h, const json_t *now, const json_t *before)
{
    const json_t *texts = json_object_get(now, "tokens"), *logp = json_object_get(now, "logp"),
                 *old = json_object_get(before, "logp");
    const bool comparable = json_equal(texts, json_object_get(before, "tokens"));
    size_t i;
    json_t *text;
    html_put(h, "<span class=tokens>");
    json_array_foreach(texts, i, text)
    {
        const double after = peer_value(json_array_get(logp, i)),
                     first = comparable ? peer_value(json_array_get(old, i)) : NAN;
        html_put(h, "<span class=\"%s\" title=\"", shade(after - first));
        if (comparable)
            html_put(h, "%v to %v", exp(first), exp(after));
        else
            html_put(h, "%v", exp(after));
        html_put(h, json_string_length(text) ? "\">%j</span>" : "\">&middot;</span>", text);
    }
    html_put(h, "</span>");
}

static void put_token_table(struct html *h, const json_t *now, const json_t *before)
{
    const json_t *texts = json_object_get(now, "tokens");
    size_t i;
    json_t *text;
    html_put(h, "<details><summary>Probabilities of these tokens</summary>");
    page_open_table(h, "probability of each token before and after");
    html_put(h,
             "<thead><tr><th scope=col>token</th><th scope=col>before</th><th scope=col>after</th>"
             "</tr></thead><tbody>");
    json_array_foreach(texts, i, text)
    {
        html_put(h, "<tr><th scope=row>%j</th><td>%v</td><td>%v</td></tr>", text,
                 exp(peer_value(json_array_get(json_object_get(before, "logp"), i))),
                 exp(peer_value(json_array_get(json_object_get(now, "logp"), i))));
    }
    html_put(h, "</tbody>");
    page_close_table(h);
    html_put(h, "</details>");
}

static void put_answer(struct html *h, const char *name, const json_t *row)
{
    if (row)
        html_put(h, "<dt>%t</dt><dd>%j</dd>", name, json_object_get(row, "generation"));
}

static void put_example(struct page *p, int model, const char *metric, const char *key,
                        const json_t *row)
{
    struct html *h = &p->h;
    const struct report *r = p->r;
    const json_t *now = tokens_of(r, model, metric, key),
                 *before = tokens_of(r, r->before, metric, key);
    html_put(h,
             "<article class=row><h3>Row %t</h3><dl><dt>prompt</dt><dd>%j</dd>"
             "<dt>reference answer</dt><dd>",
             key, json_object_get(row, "input"));
    if (now)
        put_tokens(h, now, before);
    else
        html_put(h, "%j", json_object_get(row, "ground_truth"));
    html_put(h, "</dd>");
    if (r->before >= 0)
        put_answer(h, "answer before", row_of(r, r->before, metric, key));
    put_answer(h, "answer after", row);
    if (r->retrained >= 0)
        put_answer(h, "answer of the retrained", row_of(r, r->retrained, metric, key));
    html_put(h, "</dl>");
    if (now && before)
        put_token_table(h, now, before);
    html_put(h, "</article>\n");
}

static void put_examples(struct page *p, int model, const char *metric, int most)
{
    const char *key;
    json_t *row, *rows = metric ? peer_rows(p->r->v[model].rows, metric) : NULL;
    int n = 0;
    if (!rows)
        return;
    html_put(&p->h, "<h3>%t: %w</h3>", p->r->v[model].name, metric);
    json_object_foreach(rows, key, row)
    {
        if (n++ < most)
            put_example(p, model, metric, key, row);
    }
    if (n > most)
        html_put(&p->h, "<p class=note>The first %d of %d rows.</p>", most, n);
}

static bool has_tokens(const struct report *r)
{
    for (int i = 0; i < r->n; i++)
        if (r->v[i].tokens)
            return true;
    return false;
}

static void write_examples(struct page *p)
{
    enum { OPEN = 1 };
    int n = 0;
    if (has_tokens(p->r))
        html_put(&p->h,
                 "<p class=scale>Tokens of the reference answer are now: <span class=k3>e&sup3; "
                 "times</span><span class=k2>e times</span><span class=k1>1.4 times</span> less "
                 "likely, unchanged, or more likely by <span class=m1>1.4</span><span "
                 "class=m2>e</span><span class=m3>e&sup3;</span></p>");
    for (int i = 0; i < p->r->n; i++) {
        if (page_is_measure(p->r, i))
            continue;
        const char *forget = text_metric(p->r, &p->r->v[i], true),
                   *kept = text_metric(p->r, &p->r->v[i], false);
        if (!forget && !kept)
            continue;
        if (n++ >= OPEN)
            html_put(&p->h, "<details><summary>Examples of %t</summary>", p->r->v[i].name);
        put_examples(p, i, forget, p->examples);
        put_examples(p, i, kept, (p->examples + 2) / 3);
        if (n > OPEN)
            html_put(&p->h, "</details>");
    }
}

const struct page_section page_rows[] = {{"examples", "Before and after",
                                          "The same prompts, answered before and after unlearning.",
                                          has_examples, write_examples},
                                         {0}};
