/* A line of a suite's table: a figure, how many rows it rests on, how sure it is, and what a reader
 * must know of its rows. */
#include <math.h>
#include <string.h>

#include "suites/kinds.h"
#include "suites/recipe.h"

static bool is_garbled(const char *text)
{
    return strstr(text, "\xEF\xBF\xBD") != NULL; /* U+FFFD, in place of what is no UTF-8 */
}

/* What is odd of answer i of an exhibit, as bits. */
static unsigned oddities(const struct exhibit *x, unsigned needs, int i)
{
    const char *answer = needs & NEED_ANSWERS ? x->answers[i].answer : NULL;
    unsigned bits = 0;
    if (answer && !*answer)
        bits |= 1u << ODD_EMPTY;
    if (answer && is_garbled(answer))
        bits |= 1u << ODD_GARBLED;
    if (dataset_is_unscored(&x->d, i))
        bits |= 1u << ODD_UNSCORED;
    if (x->d.left_out[i])
        bits |= 1u << ODD_CUT;
    return bits;
}

static int count_rows(const struct exhibit *x)
{
    int n = 0;
    for (int i = 0; x && i < x->d.n; i++)
        n += !i || x->d.rows[i] != x->d.rows[i - 1];
    return n;
}

/* Notes the odd rows of an exhibit, each once for all its answers, among `of` rows. */
static int look_at_exhibit(const struct exhibit *x, unsigned needs, int of, const char *side,
                           json_t **odd, struct err *e)
{
    int rc = 0;
    for (int i = 0, next; i < x->d.n && !rc; i = next) {
        unsigned bits = 0;
        char row[16];
        for (next = i; next < x->d.n && x->d.rows[next] == x->d.rows[i]; next++)
            bits |= oddities(x, needs, next);
        snprintf(row, sizeof row, "%d", x->d.rows[i]);
        for (int k = 0; k < ODD_KINDS && !rc; k++)
            if (bits & 1u << k)
                rc = odd_add(odd, (enum odd)k, of, side, row, e);
    }
    return rc;
}

/* The same of a log's rows that have texts. */
static int look_at_texts(json_t *rows, json_t **odd, struct err *e)
{
    int n = (int)json_object_size(rows), rc = 0;
    const char *index;
    json_t *row;
    json_object_foreach(rows, index, row)
    {
        const char *text = json_string_value(json_object_get(row, "generation"));
        if (!rc && text && !*text)
            rc = odd_add(odd, ODD_EMPTY, n, "", index, e);
        if (!rc && text && is_garbled(text))
            rc = odd_add(odd, ODD_GARBLED, n, "", index, e);
    }
    return rc;
}

static int look(const struct suite *s, const struct metric *m, struct result *r, struct err *e)
{
    const struct metric_kind *k = m->kind;
    const struct exhibit *x = k->needs ? suite_exhibit(s, m, m->set) : NULL;
    const struct exhibit *y = x && k->against ? suite_exhibit(s, m, m->against) : NULL;
    int of = count_rows(x) + count_rows(y);
    if (!x)
        return look_at_texts(json_object_get(r->json, "value_by_index"), &r->odd, e);
    if (look_at_exhibit(x, k->needs, of, "", &r->odd, e))
        return -1;
    return y ? look_at_exhibit(y, k->needs, of, "holdout ", &r->odd, e) : 0;
}

static int find_interval(const struct metric *m, const struct result *r, struct interval *out,
                         struct err *e)
{
    if (r->has_interval)
        *out = r->interval;
    else if (!m->kind->rate)
        return interval_of_mean(r->values, r->n, SUITE_DRAWS, SUITE_LEVEL, SUITE_SEED, out, e);
    else {
        int ones = 0, there = 0;
        for (int i = 0; i < r->n; i++) {
            ones += r->values[i] == 1;
            there += !isnan(r->values[i]);
        }
        *out = interval_of_rate(ones, there, SUITE_LEVEL);
    }
    return 0;
}

static int fill_line(json_t *line, const struct metric *m, const struct result *r, struct err *e)
{
    json_t *value = json_object_get(r->json, "agg_value");
    int missing = odd_count(r->odd, ODD_MISSING);
    int rc = json_object_set_new(line, "value", value ? json_incref(value) : json_null());
    if (r->n && r->json)
        rc |= json_object_set_new(line, "rows", json_integer(r->n - missing)) |
              json_object_set_new(line, "missing", json_integer(missing));
    if (r->values || r->has_interval) {
        struct interval ci;
        if (find_interval(m, r, &ci, e))
            return -1;
        rc |= json_object_set_new(line, "low", peer_number(ci.low)) |
              json_object_set_new(line, "high", peer_number(ci.high));
    }
    return rc ? suite_no_memory(e) : 0;
}

/* What follows from all else that is known. */
static int end_line(json_t *line, const struct result *r, struct err *e)
{
    if ((r->odd && json_object_set(line, "odd", r->odd)) ||
        (*r->note && json_object_set_new(line, "note", json_string(r->note))))
        return suite_no_memory(e);
    return 0;
}

int suite_tabulate(struct suite *s, const struct metric *m, struct result *r, struct err *e)
{
    json_t *line = json_object();
    if (!s->table)
        s->table = json_object();
    if (!line || !s->table) {
        json_decref(line);
        return suite_no_memory(e);
    }
    if (look(s, m, r, e) || fill_line(line, m, r, e) || suite_compare(s, m, r, line, e) ||
        end_line(line, r, e)) {
        json_decref(line);
        return -1;
    }
    return json_object_set_new(s->table, m->name, line) ? suite_no_memory(e) : 0;
}
