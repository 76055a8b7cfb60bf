#include "suites/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/param.h"
#include "eval/template.h"
#include "suites/metrics.h"

enum { MOST = 64 }; /* sets of a suite; names to suggest from */

static const char *const truths[] = {"closer_to_1_better", "true_better", "prob_mean"};

static int recipe_unknown_name(const char *what, const char *name, const char *const *names, int n,
                               struct err *e)
{
    const char *near = param_nearest(name, names, n);
    return near ? err_set(e, "unknown %s '%s': did you mean '%s'?", what, name, near)
                : err_set(e, "unknown %s '%s'", what, name);
}

int recipe_find_name(const char *what, const char *name, const char *const *names, int n,
                     struct err *e)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return i;
    return recipe_unknown_name(what, name, names, n, e);
}

int recipe_check_keys(const json_t *object, const char *const *names, int n, struct err *e)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return err_set(e, "it must be a json object");
    json_object_foreach((json_t *)object, key,
                        value) if (recipe_find_name("key", key, names, n, e) < 0) return -1;
    return 0;
}

static int set_by_name(const struct suite_recipe *r, const char *name, struct err *e)
{
    const char *names[MOST];
    for (int i = 0; i < r->n_sets; i++)
        names[i] = r->sets[i].name;
    return recipe_find_name("set", name, names, r->n_sets, e);
}

static int read_stops(struct suite_set *s, const json_t *list, struct err *e)
{
    size_t n = json_array_size(list);
    if (list && !json_is_array(list))
        return err_set(e, "'stop' must be a list of texts");
    if (!list || !(s->stops = mem_alloc(n + 1, sizeof *s->stops, e)))
        return list ? -1 : 0;
    for (size_t i = 0; i < n; i++)
        if (!(s->stops[i] = json_string_value(json_array_get(list, i))) || !*s->stops[i])
            return err_set(e, "'stop' must be a list of non-empty texts");
    return 0;
}

static int read_role(const json_t *j, enum role *role, struct err *e)
{
    const char *name = NULL;
    if (json_opt_str(j, "role", &name, e))
        return -1;
    *role = name ? role_by_name(name) : ROLE_COUNT;
    return name && *role == ROLE_COUNT
               ? err_set(
                     e,
                     "unknown role '%s': known are forget, retain, neighbour, generic and holdout",
                     name)
               : 0;
}

static int read_set(struct suite_set *s, const json_t *j, struct err *e)
{
    static const char *const keys[] = {"help", "required",       "question", "prompt",    "shots",
                                       "shot", "max_new_tokens", "stop",     "continued", "role"};
    const json_t *question = json_object_get(j, "question");
    int64_t most = 0;
    s->help = "rows";
    if (RECIPE_CHECK_KEYS(j, keys, e) || json_opt_str(j, "help", &s->help, e) ||
        json_opt_bool(j, "required", &s->required, e) ||
        json_opt_bool(j, "continued", &s->continued, e) || read_role(j, &s->role, e) ||
        json_opt_str(j, "prompt", &s->prompt, e) || json_opt_str(j, "shot", &s->shot, e) ||
        json_opt_int(j, "max_new_tokens", 1, 100000, &most, e) ||
        read_stops(s, json_object_get(j, "stop"), e) || template_check(s->prompt, e) ||
        template_check(s->shot, e))
        return -1;
    s->plain = json_is_null(question);
    s->max_new_tokens = (int)most;
    if (s->plain && s->continued)
        return err_set(
            e, "a set with 'continued' needs a 'question': the field with the start of the text");
    if (s->plain && s->prompt)
        return err_set(e, "a set of plain texts ('question': null) has no 'prompt'");
    if (json_object_get(j, "shots") && !(s->shot && s->prompt))
        return err_set(e, "'shots' needs the templates 'shot' and 'prompt'");
    return s->plain ? 0 : json_opt_str(j, "question", &s->question, e);
}

static int read_sets(struct suite_recipe *r, json_t *sets, struct err *e)
{
    const char *name, *shots;
    json_t *j;
    size_t n = json_object_size(sets);
    if (!n || n > MOST)
        return err_set(e, "'sets' must be an object of 1 to %d sets", MOST);
    if (!(r->sets = mem_alloc(n, sizeof *r->sets, e)))
        return -1;
    json_object_foreach(sets, name, j)
    {
        struct suite_set *s = &r->sets[r->n_sets++];
        *s = (struct suite_set){.name = name, .shots = -1};
        if (read_set(s, j, e))
            return err_prefix(e, "set '%s': ", name);
    }
    for (int i = 0; i < r->n_sets; i++) {
        shots = NULL;
        if (json_opt_str(json_object_get(sets, r->sets[i].name), "shots", &shots, e) ||
            (shots && (r->sets[i].shots = set_by_name(r, shots, e)) < 0))
            return err_prefix(e, "set '%s': ", r->sets[i].name);
    }
    return 0;
}

/* A metric is computed from ones above it, so that there are no cycles. */
static int read_inputs(const struct suite_recipe *r, struct metric *m, const json_t *list,
                       struct err *e)
{
    size_t n = json_array_size(list);
    if ((int)n < m->kind->inputs_least || (int)n > m->kind->inputs_most)
        return err_set(e, "'%s' needs %d to %d 'inputs', found %zu", m->kind->name,
                       m->kind->inputs_least, m->kind->inputs_most, n);
    for (size_t i = 0; i < n; i++) {
        const struct metric *from = r->metrics;
        const char *name = json_string_value(json_array_get(list, i));
        if (!name)
            return err_set(e, "'inputs' must be names of metrics");
        while (from != m && strcmp(from->name, name))
            from++;
        if (from == m)
            return err_set(e, "its input '%s' is not a metric above it", name);
        m->inputs[i] = name;
    }
    return 0;
}

static int read_metric(const struct suite_recipe *r, struct metric *m, const json_t *j,
                       struct err *e)
{
    static const char *const keys[] = {"kind",  "set",     "against", "field", "inputs",
                                       "truth", "summary", "k",       "n",     "fpr"};
    const char *kind, *set = NULL, *against = NULL, *truth = truths[0];
    int64_t n = 10;
    m->k = 0.4; /* OpenUnlearning's choice */
    m->fpr = 0.01;
    if (RECIPE_CHECK_KEYS(j, keys, e) || json_need_str(j, "kind", &kind, e) ||
        !(m->kind = metric_kind_find(kind, e)) || json_opt_str(j, "set", &set, e) ||
        json_opt_str(j, "against", &against, e) || json_opt_str(j, "field", &m->answer, e) ||
        json_opt_str(j, "truth", &truth, e) || json_opt_bool(j, "summary", &m->in_summary, e) ||
        json_opt_real(j, "k", &m->k, e) || json_opt_real(j, "fpr", &m->fpr, e) ||
        json_opt_int(j, "n", 1, 1000, &n, e) || read_inputs(r, m, json_object_get(j, "inputs"), e))
        return -1;
    if (!(m->k > 0 && m->k <= 1) || !(m->fpr >= 0 && m->fpr < 1))
        return err_set(e, "'k' must be above 0 and at most 1, 'fpr' at least 0 and below 1");
    m->n = (int)n;
    int t = recipe_find_name("truth", truth, truths, (int)(sizeof truths / sizeof *truths), e);
    if (t < 0)
        return -1;
    m->truth = (enum truth_kind)t;
    if (!m->kind->needs)
        return 0;
    if (!set || !m->answer)
        return err_set(e, "'%s' needs a 'set' and a 'field'", kind);
    if (m->kind->flags & METRIC_ATTACK && !against)
        return err_set(e, "'%s' needs a set of non-members, 'against'", kind);
    m->set = set_by_name(r, set, e);
    m->against = against ? set_by_name(r, against, e) : 0;
    return m->set < 0 || m->against < 0;
}

static int read_metrics(struct suite_recipe *r, json_t *metrics, struct err *e)
{
    const char *name;
    json_t *j;
    size_t n = json_object_size(metrics);
    if (!n)
        return err_set(e, "'metrics' must be an object of metrics");
    if (!(r->metrics = mem_alloc(n + 1, sizeof *r->metrics, e)))
        return -1;
    struct metric *m = r->metrics;
    json_object_foreach(metrics, name, j)
    {
        m->name = name;
        if (!strcmp(name, "beside") || !strcmp(name, "cost") || !strcmp(name, "verdict"))
            return err_set(e, "no metric can be called '%s': that key of the results is reserved",
                           name);
        if (read_metric(r, m++, j, e))
            return err_prefix(e, "metric '%s': ", name);
    }
    return 0;
}

static int read_sets_and_metrics(struct suite_recipe *r, struct err *e)
{
    return read_sets(r, json_object_get(r->json, "sets"), e) ||
           read_metrics(r, json_object_get(r->json, "metrics"), e);
}

int suite_recipe_read(struct suite_recipe *r, json_t *json, const char *name, struct err *e)
{
    static const char *const keys[] = {"about", "log",    "options", "sets", "metrics",
                                       "data",  "common", "tasks",   "role"};
    *r = (struct suite_recipe){.json = json, .name = name, .about = "", .log = "SUITE"};
    int rc =
        RECIPE_CHECK_KEYS(json, keys, e) || json_opt_str(json, "about", &r->about, e) ||
        json_opt_str(json, "log", &r->log, e) || read_role(json, &r->role, e) ||
        (json_object_get(json, "tasks") ? suite_tasks_read(r, e) : read_sets_and_metrics(r, e));
    if (!rc && (!*r->log || strchr(r->log, '/')))
        rc = err_set(e, "'log' must be the prefix of a file name");
    if (!rc)
        return 0;
    suite_recipe_close(r);
    return err_prefix(e, "suite '%s': ", name);
}

static int refuse(const char *name, struct err *e)
{
    const char *names[MOST];
    int n = 0;
    for (; suite_texts[n].name && n < MOST; n++)
        names[n] = suite_texts[n].name;
    recipe_unknown_name("suite", name, names, n, e);
    return err_prefix(e, "no file and ");
}

int suite_recipe_open(struct suite_recipe *r, const char *name, struct err *e)
{
    const struct suite_text *t = suite_texts;
    *r = (struct suite_recipe){0};
    while (t->name && strcmp(t->name, name))
        t++;
    if (!t->name && !file_exists(name))
        return refuse(name, e);
    json_t *json =
        t->name ? json_read_text(t->text, strlen(t->text), name, e) : json_read_file(name, e);
    return json ? suite_recipe_read(r, json, name, e) : -1;
}

int suite_recipe_check_log(const struct suite_recipe *r, const json_t *log, const char *path,
                           struct err *e)
{
    int with_rows = 0, numbers = 0;
    const char *first = json_object_iter_key(json_object_iter((json_t *)log));
    for (const struct metric *m = r->metrics; m->name; m++) {
        const json_t *v = json_object_get(log, m->name);
        with_rows += json_object_get(v, "value_by_index") || json_object_get(v, "agg_value");
        numbers += json_is_number(v);
    }
    if (with_rows)
        return 0;
    if (numbers)
        return err_set(e,
                       "'%s' is a summary: what is needed is the retrained model's log with rows, "
                       "%s_EVAL.json",
                       path, r->log);
    return err_set(e,
                   "'%s' is no evaluation log of the suite %s: it has none of its metrics%s%.60s%s",
                   path, r->name, first ? ", but '" : "", first ? first : "", first ? "'" : "");
}

void suite_recipe_close(struct suite_recipe *r)
{
    for (int i = 0; i < r->n_sets; i++)
        free(r->sets[i].stops);
    free(r->sets);
    free(r->metrics);
    suite_tasks_free(r);
    json_decref(r->json);
    *r = (struct suite_recipe){0};
}

/* Concatenates all rows of the set of examples; nothing if it is not given. */
static int fill_shots(const struct suite_set *s, const struct rows *shots, struct buf *out,
                      struct err *e)
{
    for (int i = 0; shots && i < shots->n; i++) {
        const struct template_source from = {shots->v[i], NULL};
        if (template_fill(out, s->shot, &from, e))
            return err_prefix(e, "'%s' row %d: ", shots->path, i);
    }
    return buf_str(out, "", e);
}

static int fill_rows(const struct suite_set *s, struct rows *rows, const char *shots,
                     const char *question, struct err *e)
{
    struct buf text = {0};
    int rc = 0;
    for (int i = 0; !rc && i < rows->n; i++) {
        json_t *row = rows->v[i];
        const struct template_source from = {row, NULL};
        buf_clear(&text);
        if (json_object_set_new(row, "shots", json_string(shots)))
            rc = suite_no_memory(e);
        else if ((rc = template_fill(&text, s->prompt, &from, e)))
            err_prefix(e, "'%s' row %d: ", rows->path, i);
        else if (json_object_set_new(row, question, json_string(text.data)))
            rc = suite_no_memory(e);
    }
    buf_fini(&text);
    return rc;
}

int suite_recipe_prompts(const struct suite_recipe *r, struct rows *const *rows,
                         const char *question, struct err *e)
{
    for (int i = 0; i < r->n_sets; i++) {
        const struct suite_set *s = &r->sets[i];
        if (!rows[i] || !s->prompt)
            continue;
        struct buf shots = {0};
        int rc = fill_shots(s, s->shots < 0 ? NULL : rows[s->shots], &shots, e);
        if (!rc)
            rc = fill_rows(s, rows[i], shots.data, s->question ? s->question : question, e);
        buf_fini(&shots);
        if (rc)
            return err_prefix(e, "set '%s': ", s->name);
    }
    return 0;
}
