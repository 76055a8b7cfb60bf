#include "suites/suite.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "suites/metrics.h"
#include "suites/recipe.h"

int suite_no_memory(struct err *e)
{
    return err_no_memory(e, "results");
}

static const struct metric_kind *const tables[] = {metrics_scored,  metrics_generated,
                                                   metrics_derived, metrics_attack,
                                                   metrics_robust,  metrics_lume};

const struct metric_kind *metric_kind_at(int i)
{
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct metric_kind *k = tables[t]; k->name; k++)
            if (!i--)
                return k;
    return NULL;
}

const struct metric_kind *metric_kind_find(const char *name, struct err *e)
{
    enum { MOST = 64 };
    const char *names[MOST];
    int n = 0;
    for (; n < MOST && metric_kind_at(n); n++)
        names[n] = metric_kind_at(n)->name;
    return metric_kind_at(recipe_find_name("kind", name, names, n, e));
}

const struct result *suite_result(const struct suite *s, const char *name)
{
    for (int i = 0; i < s->n_results; i++)
        if (!strcmp(s->recipe->metrics[i].name, name))
            return s->results[i].there ? &s->results[i] : NULL;
    return NULL;
}

const struct rows *suite_rows(const struct suite *s, int set, const char *answer)
{
    const struct rows *rows = s->sets ? s->sets[set] : NULL;
    for (int i = 0; rows && i < rows->n; i++)
        if (json_object_get(rows->v[i], answer))
            return rows;
    return NULL;
}

const struct observed *suite_observed(const struct suite *s, const struct metric *m, int set)
{
    return s->sets && s->sets[set] ? observations_find(&s->observations, s->sets[set], m->answer)
                                   : NULL;
}

struct prompt_settings suite_prompt_settings(const struct suite *s, int set)
{
    const struct suite_set *of = &s->recipe->sets[set];
    return (struct prompt_settings){
        .question = of->plain      ? NULL
                    : of->question ? of->question
                                   : s->question,
        .continued = of->continued,
        .limit = {.max_new_tokens = of->max_new_tokens ? of->max_new_tokens : s->max_new_tokens,
                  .stops = of->stops}};
}

static void want(struct suite *s, int set, const struct metric *m)
{
    const struct prompt_settings how = suite_prompt_settings(s, set);
    observations_want(&s->observations, s->sets[set], &how, m->answer, m->kind->needs);
}

/* "forget: 40 rows", set by set. */
static void note_sets(const struct suite *s)
{
    for (int i = 0; s->sets && i < s->recipe->n_sets; i++)
        if (s->sets[i])
            log_note("%s: %d rows", s->recipe->sets[i].name, s->sets[i]->n);
}

static int gather(struct suite *s, struct err *e)
{
    int n = 0;
    while (s->recipe->metrics[n].name)
        n++;
    if (observations_init(&s->observations, 2 * n, e))
        return -1;
    for (const struct metric *m = s->recipe->metrics; m->name; m++) {
        unsigned needs = m->kind->needs;
        if (!needs || (needs & NEED_SECOND && !s->reference))
            continue;
        const int sets[] = {m->set, m->against}, n_sets = m->kind->flags & METRIC_ATTACK ? 2 : 1;
        bool there = true;
        for (int i = 0; i < n_sets; i++)
            there = there && suite_rows(s, sets[i], m->answer);
        for (int i = 0; i < n_sets && there; i++)
            want(s, sets[i], m);
    }
    note_sets(s);
    const struct observer from = {s->encoder, s->model, s->reference};
    return observations_gather(&s->observations, &from, e);
}

/* The scores of all answers of a data set, a row each. */
static int fill_cells(const struct metric *m, const struct suite *s, const struct observed *x,
                      struct records *out, struct err *e)
{
    for (int i = 0; i < x->d.n; i++) {
        const struct one_row r = {m, s, x, i};
        char name[16];
        if (observed_has_list(x, i))
            return rows_err(x->rows, x->d.rows[i], e, "one answer is needed, '%s' is a list",
                            x->answer);
        snprintf(name, sizeof name, "%d", x->d.rows[i]);
        struct cell *c = records_add(out, name, 1, false, e);
        /* Some scores are numbers even without tokens. */
        bool nothing = m->kind->needs & NEED_LOGP && !x->scores[i].n;
        if (!c || (m->kind->cell && m->kind->cell(&r, c, e)) ||
            (m->kind->score && !nothing && m->kind->score(&r, &c->x[COLUMN_SCORE], e)))
            return -1;
    }
    return 0;
}

/* Fills rows from the observations of the model; none if its data are not given. */
static int observe(const struct suite *s, const struct metric *m, struct result *out, struct err *e)
{
    const int sets[] = {m->set, m->against}, n = m->kind->flags & METRIC_ATTACK ? 2 : 1;
    if (m->kind->needs & NEED_SECOND && !s->reference)
        return 0;
    for (int i = 0; i < n; i++)
        if (!suite_observed(s, m, sets[i]))
            return 0;
    for (int i = 0; i < n; i++) {
        const struct observed *x = suite_observed(s, m, sets[i]);
        int (*fill)(const struct metric *, const struct suite *, const struct observed *,
                    struct records *, struct err *) = m->kind->fill ? m->kind->fill : fill_cells;
        out->n_sides++;
        if (fill(m, s, x, &out->side[i], e))
            return -1;
    }
    return 0;
}

/* The logarithm of a cell's probability; from the loss if it underflows a double. */
static double logp_of(const struct cell *c)
{
    double p = c->x[COLUMN_PROB], loss = c->x[COLUMN_LOSS];
    return p < DBL_MIN && !isnan(loss) ? -loss : log(p);
}

/* The cells of row i of one column, into v; a missing row is one missing cell. */
static int column_of(const struct records *r, int i, enum column_id column, double *v)
{
    *v = NAN;
    for (int k = 0; i >= 0 && k < r->v[i].n; k++) {
        const struct cell *c = &records_cell(r, i)[k];
        v[k] = column == COLUMN_PROB ? logp_of(c) : c->x[column];
    }
    return i >= 0 ? r->v[i].n : 1;
}

static int most_cells(const struct records *r)
{
    int most = 1;
    for (int i = 0; i < r->n; i++)
        most = r->v[i].n > most ? r->v[i].n : most;
    return most;
}

/* Fills rows from those of both inputs. */
static int join(const struct suite *s, const struct metric *m, struct result *out, struct err *e)
{
    const struct metric_kind *k = m->kind;
    const struct result *in[] = {suite_result(s, m->inputs[0]), suite_result(s, m->inputs[1])};
    if (!in[0] || !in[1] || !in[0]->n_sides || !in[1]->n_sides)
        return 0;
    const struct records *right = &in[0]->side[0], *wrong = &in[1]->side[0];
    double *a = mem_alloc((size_t)most_cells(right), sizeof *a, e);
    double *b = a ? mem_alloc((size_t)most_cells(wrong), sizeof *b, e) : NULL;
    int rc = b ? 0 : -1;
    out->n_sides = 1;
    for (int i = 0; i < right->n && !rc; i++) {
        int n_right = column_of(right, i, k->joined, a);
        int n_wrong = column_of(wrong, records_find(wrong, right->v[i].name, i), k->joined, b);
        struct cell *c = records_add(&out->side[0], right->v[i].name, 1, false, e);
        if (c)
            k->join(m, s, a, n_right, b, n_wrong, c);
        rc = c ? 0 : -1;
    }
    free(a);
    free(b);
    return rc;
}

/* Whether a log holds rows of a metric. */
static bool has_rows(const json_t *logged)
{
    return json_object_size(json_object_get(logged, "value_by_index")) ||
           (json_object_size(peer_rows(logged, "forget")) &&
            json_object_size(peer_rows(logged, "holdout")));
}

static bool has_figure(const json_t *logged)
{
    return json_is_number(logged) || json_object_get(logged, "agg_value");
}

/* Copies a value whose rows the log does not hold. */
static void keep(const json_t *log, const struct metric *m, struct result *r)
{
    json_t *logged = json_object_get(log, m->name);
    snprintf(r->note, sizeof r->note, "copied from the log, which has no rows to compute it from");
    r->kept = json_is_object(logged) ? json_incref(logged) : NULL;
    r->figure = peer_aggregate(log, m->name);
    r->there = true;
}

/* log: the evaluation log to compute the metric from; NULL: from the model. */
static int compute(const struct suite *s, const struct metric *m, const json_t *log,
                   struct result *r, struct err *e)
{
    json_t *logged = json_object_get(log, m->name);
    int rc = m->kind->figure  ? m->kind->figure(m, s, r, e)
             : m->kind->join  ? join(s, m, r, e)
             : m->kind->needs ? observe(s, m, r, e)
                              : 0;
    if (!rc && r->n_sides)
        rc = result_aggregate(r, m, s->compat, e);
    else if (!rc && !r->there && logged && !m->kind->figure &&
             (has_rows(logged) || !has_figure(logged)))
        rc = result_from_log(r, m, s->compat, logged, e);
    else if (!rc && !r->there && !*r->note && has_figure(logged))
        keep(log, m, r);
    return rc;
}

static int add(struct suite *s, const struct metric *m, const json_t *log, struct err *e)
{
    struct result *r = &s->results[s->n_results];
    int rc = compute(s, m, log, r, e);
    if (!rc && (r->there || *r->note))
        rc = result_tabulate(r, s, m, e);
    if (!rc && r->there)
        rc = peer_log_add(&s->log, m->name, result_json(r, m, e), m->in_summary, e);
    s->n_results++;
    return rc ? err_prefix(e, "%s: ", m->name) : 0;
}

/* Every metric, in order. */
static int add_all(struct suite *s, const json_t *log, struct err *e)
{
    int n = 0, rc;
    while (s->recipe->metrics[n].name)
        n++;
    rc = (s->results = mem_alloc((size_t)n, sizeof *s->results, e)) ? 0 : -1;
    for (int i = 0; i < n && !rc; i++)
        rc = add(s, &s->recipe->metrics[i], log, e);
    return rc;
}

/* --- tokens --- */

/* What each token adds to the text of those before it: {"tokens", "logp"}. */
static json_t *row_tokens(const struct suite *s, const struct score *v, struct err *e)
{
    json_t *texts = json_array(), *logp = json_array();
    char *last = NULL;
    int rc = texts && logp ? 0 : suite_no_memory(e);
    for (int i = 0; i < v->n && !rc; i++) {
        char *text = s->model->decode(s->model->ctx, v->label, i + 1, e);
        size_t same = 0;
        while (text && last && text[same] && text[same] == last[same])
            same++;
        while (same && text && ((unsigned char)text[same] & 0xC0) == 0x80)
            same--; /* to the start of a character */
        if (!text)
            rc = -1;
        else if (json_array_append_new(texts, json_string(text + same)) ||
                 json_array_append_new(logp, json_finite(round(1e6 * (double)v->logp[i]) / 1e6)))
            rc = suite_no_memory(e);
        free(last);
        last = text;
    }
    free(last);
    json_t *row = rc ? NULL : json_pack("{s:O, s:O}", "tokens", texts, "logp", logp);
    json_decref(texts);
    json_decref(logp);
    return row;
}

static int add_tokens(struct suite *s, const struct metric *m, const struct observed *x,
                      struct err *e)
{
    json_t *rows = json_object();
    int rc = rows ? 0 : suite_no_memory(e);
    for (int i = 0; i < x->d.n && x->d.rows[i] < SUITE_TOKEN_ROWS && !rc; i++) {
        char name[16];
        json_t *row = observed_has_list(x, i) ? NULL : row_tokens(s, &x->scores[i], e);
        snprintf(name, sizeof name, "%d", x->d.rows[i]);
        if (!observed_has_list(x, i) && !row)
            rc = -1;
        else if (row && json_object_set_new(rows, name, row))
            rc = suite_no_memory(e);
    }
    if (!rc && !s->tokens)
        s->tokens = json_object();
    if (!rc && json_object_set(s->tokens, m->name, rows))
        rc = suite_no_memory(e);
    json_decref(rows);
    return rc;
}

static int collect_tokens(struct suite *s, struct err *e)
{
    const unsigned both = NEED_ANSWERS | NEED_LOGP;
    int rc = 0;
    for (const struct metric *m = s->recipe->metrics; m->name && s->model->decode && !rc; m++) {
        const struct observed *x = m->kind->aspect == ASPECT_TEXT && m->kind->needs & NEED_ANSWERS
                                       ? suite_observed(s, m, m->set)
                                       : NULL;
        if (x && (x->needs & both) == both)
            rc = add_tokens(s, m, x, e);
    }
    return rc;
}

int suite_run(struct suite *s, struct err *e)
{
    s->log.nan = s->compat & COMPAT_NAN;
    int rc = gather(s, e) || add_all(s, NULL, e) || collect_tokens(s, e);
    observations_fini(&s->observations);
    return rc;
}

int suite_rescore(struct suite *s, const json_t *eval, struct err *e)
{
    s->log.nan = s->compat & COMPAT_NAN;
    if (add_all(s, eval, e))
        return -1;
    return s->table ? 0 : err_set(e, "the log has none of the suite's metrics");
}

/* Metric m of a log: probabilities are read, joined metrics are computed from them.
 */
static int align(const struct suite *of, const struct metric *m, json_t *log, struct result *r,
                 struct err *e)
{
    json_t *logged = json_object_get(log, m->name);
    if (m->kind->columns & COLUMN_BIT(COLUMN_LOSS) && has_rows(logged))
        return result_from_log(r, m, of->compat, logged, e);
    if (!m->kind->join || !logged)
        return 0;
    if (join(of, m, r, e) || (r->n_sides && result_aggregate(r, m, of->compat, e)))
        return -1;
    json_t *own = r->n_sides ? result_json(r, m, e) : NULL;
    return r->n_sides && (!own || json_object_set_new(log, m->name, own));
}

int suite_align(const struct suite *s, json_t *retain_log, struct err *e)
{
    struct suite of = {.recipe = s->recipe, .truth_mean = s->truth_mean, .compat = s->compat};
    int n = 0, rc = 0;
    if (s->compat & COMPAT_TRUTH_TINY && s->truth_mean == TRUTH_GEOMETRIC)
        return 0; /* the peer's own definition */
    while (s->recipe->metrics[n].name)
        n++;
    if (!(of.results = mem_alloc((size_t)n, sizeof *of.results, e)))
        return -1;
    while (of.n_results < n && !rc) {
        const struct metric *m = &s->recipe->metrics[of.n_results];
        rc = align(&of, m, retain_log, &of.results[of.n_results], e);
        if (rc)
            err_prefix(e, "the retrained model's log: %s: ", m->name);
        of.n_results++;
    }
    suite_fini(&of);
    return rc;
}

void suite_fini(struct suite *s)
{
    observations_fini(&s->observations);
    for (int i = 0; i < s->n_results; i++)
        result_fini(&s->results[i]);
    free(s->results);
    peer_log_fini(&s->log);
    json_decref(s->table);
    json_decref(s->tokens);
    json_decref(s->comparison);
    s->results = NULL;
    s->n_results = 0;
    s->table = s->tokens = s->comparison = NULL;
}
