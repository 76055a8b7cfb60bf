#include "run/request.h"

#include <string.h>

#include "base/mem.h"
#include "run/run.h"

#define TEXT(f, help) STRING_PARAM(struct request, f, NULL, "TEXT", help)
static const struct param request_params[] = {
    TEXT(what, "what is to be forgotten, for people"),
    TEXT(why, "why, for people"),
    STRING_PARAM(struct request, model, NULL, "PATH", "the target model"),
    STRING_PARAM(struct request, adapter, NULL, "DIR", "its LoRA adapter"),
    STRING_PARAM(struct request, retrained, NULL, "PATH", "the retrained model"),
    STRING_PARAM(struct request, after, NULL, "RUN", "the request before this one"),
    CHOICE_PARAM(struct request, keep, "best|all", "best", "whose weights stay"),
    INT_PARAM(struct request, seed, 0, 4294967295.0, 0, "of the methods and attacks"),
    {0},
};

static const struct param budget_params[] = {
    REAL_PARAM(struct request_budget, minutes, 0, 1e9, 0, "time of all tries"),
    REAL_PARAM(struct request_budget, epochs, 0, 100000, 0, "of one try"),
    STRING_PARAM(struct request_budget, memory, NULL, "SIZE", "of one try"),
    INT_PARAM(struct request_budget, tries, 0, 1000, 0, "at most"),
    {0},
};

/* --- objects with given keys --- */

enum { KEYS_MOST = 40 };

static int refuse_key(const char *key, const struct param *params, const char *const *more,
                      const char *where, struct err *e)
{
    const char *names[KEYS_MOST];
    int n = 0;
    for (; params && params->name; params++)
        names[n++] = params->name;
    for (; more && *more; more++)
        names[n++] = *more;
    const char *near = param_nearest(key, names, n);
    return near ? err_code(e, ERR_ARGUMENT, "%s has no key '%s': did you mean '%s'?", where, key,
                           near)
                : err_code(e, ERR_ARGUMENT, "%s has no key '%s'", where, key);
}

static bool is_one(const char *const *names, const char *name)
{
    while (names && *names && strcmp(*names, name))
        names++;
    return names && *names;
}

/* Keys of the table into `obj`; those of `more` are left to the caller, others refused. */
static int read_object(const json_t *j, const struct param *params, void *obj,
                       const char *const *more, const char *where, struct err *e)
{
    const char *key;
    json_t *v;
    if (j && !json_is_object(j))
        return err_code(e, ERR_ARGUMENT, "%s must be an object", where);
    json_object_foreach((json_t *)j, key, v)
    {
        const struct param *p = params ? param_find(params, key) : NULL;
        if (p && !json_is_null(v) && param_set_json(p, obj, v, e))
            return err_prefix(e, "%s: ", where);
        if (!p && !is_one(more, key))
            return refuse_key(key, params, more, where, e);
    }
    return 0;
}

static int read_text(const json_t *v, const char *where, const char **out, struct err *e)
{
    *out = json_string_value(v);
    return *out && **out ? 0 : err_code(e, ERR_ARGUMENT, "%s must be a text", where);
}

/* --- parts of a request --- */

static int read_data(struct request *q, const json_t *data, struct err *e)
{
    const char *key;
    json_t *v;
    if (data && !json_is_object(data))
        return err_code(e, ERR_ARGUMENT, "'data' must be an object {role: file}");
    json_object_foreach((json_t *)data, key, v)
    {
        const enum role role = role_by_name(key);
        if (role == ROLE_COUNT) {
            const char *names[ROLE_COUNT + 1] = {NULL};
            memcpy(names, role_name, ROLE_COUNT * sizeof *names);
            return refuse_key(key, NULL, names, "'data'", e);
        }
        if (read_text(v, key, &q->data[role], e))
            return err_prefix(e, "'data': ");
    }
    return 0;
}

/* "suites/own.json" is own. */
static int name_part(struct request_part *p, struct err *e)
{
    const char *as = json_string_value(json_object_get(p->options, "as"));
    const char *slash = strrchr(p->name, '/'), *from = as ? as : slash ? slash + 1 : p->name;
    const char *end = as ? NULL : strstr(from, ".json");
    const size_t n = end && !end[5] ? (size_t)(end - from) : strlen(from);
    if (!n || n >= sizeof p->as || strchr(from, '/') || *from == '.')
        return err_code(e, ERR_ARGUMENT, "'%.60s' is no name of a folder: give one by 'as'", from);
    snprintf(p->as, sizeof p->as, "%.*s", (int)n, from);
    return 0;
}

static int read_part(struct request_part *p, const json_t *v, const char *kind, struct err *e)
{
    const json_t *name = json_is_object(v) ? json_object_get(v, kind) : v;
    p->options = json_is_object(v) ? v : NULL;
    char where[48];
    snprintf(where, sizeof where, "a name of '%ss', or its member '%s',", kind, kind);
    return read_text(name, where, &p->name, e) || name_part(p, e);
}

/* One or a list: "NAME", {...}, [...]. */
static int read_parts(struct request_parts *parts, const json_t *list, const char *kind,
                      struct err *e)
{
    const size_t n = json_is_array(list) ? json_array_size(list) : list != NULL;
    if (!n)
        return 0;
    if (n > 100)
        return err_code(e, ERR_ARGUMENT, "'%ss' has %zu entries, and may have up to 100", kind, n);
    parts->v = mem_alloc(n, sizeof *parts->v, e);
    for (size_t i = 0; parts->v && i < n; i++) {
        const json_t *v = json_is_array(list) ? json_array_get(list, i) : list;
        if (read_part(&parts->v[parts->n++], v, kind, e))
            return -1;
        for (size_t k = 0; k < i && strcmp(kind, "method"); k++)
            if (!strcmp(parts->v[k].as, parts->v[i].as))
                return err_code(e, ERR_ARGUMENT, "'%ss' has '%s' twice: name one by 'as'", kind,
                                parts->v[i].as);
    }
    return parts->v ? 0 : -1;
}

static int read_bounds(struct request *q, const json_t *list, struct err *e)
{
    const size_t n = json_array_size(list);
    if (list && (!json_is_array(list) || n > 100))
        return err_code(e, ERR_ARGUMENT, "'bounds' must be a list of up to 100 texts");
    q->bounds = mem_alloc(n, sizeof *q->bounds, e);
    for (size_t i = 0; q->bounds && i < n; i++) {
        const char *text;
        if (read_text(json_array_get(list, i), "an entry", &text, e) ||
            expression_read(&q->bounds[q->n_bounds++], text, EXPRESSION_BOUND, e))
            return err_prefix(e, "'bounds': ");
    }
    return q->bounds ? 0 : -1;
}

/* [least, most] of positive numbers. */
static int read_range(const json_t *v, const char *key, double *least, double *most, struct err *e)
{
    if (!v)
        return 0;
    *least = json_number_value(json_array_get(v, 0));
    *most = json_number_value(json_array_get(v, 1));
    return json_array_size(v) == 2 && *least > 0 && *most >= *least
               ? 0
               : err_code(e, ERR_ARGUMENT, "'search': '%s' must be [least, most], above 0", key);
}

static int read_search(struct request *q, const json_t *v, struct err *e)
{
    static const char *const keys[] = {"lr", "epochs", NULL};
    struct request_search *s = &q->search;
    *s = (struct request_search){.epochs_least = 5, .epochs_most = 20};
    if (json_is_false(v))
        return 0;
    q->searches = v || !q->methods.n;
    if (json_is_true(v) || !v)
        return 0;
    return read_object(v, NULL, NULL, keys, "'search'", e) ||
           read_range(json_object_get(v, "lr"), "lr", &s->lr_least, &s->lr_most, e) ||
           read_range(json_object_get(v, "epochs"), "epochs", &s->epochs_least, &s->epochs_most, e);
}

/* A member that is an object; NULL: it is not there. */
static int read_options(const json_t *json, const char *key, const json_t **out, struct err *e)
{
    *out = json_object_get(json, key);
    return !*out || json_is_object(*out)
               ? 0
               : err_code(e, ERR_ARGUMENT, "'%s' must be an object {option: value}", key);
}

/* What depends on several members. */
static int check_members(struct request *q, struct err *e)
{
    const double most = q->budget.epochs;
    if (!q->data[ROLE_FORGET])
        return err_code(e, ERR_ARGUMENT, "'data' has no 'forget': name the rows to be forgotten");
    if (!q->model == !q->after)
        return err_code(e, ERR_ARGUMENT,
                        "give one of 'model', the target model, and 'after', a "
                        "request whose model this one continues from");
    if (!q->methods.n && !q->searches)
        return err_code(e, ERR_ARGUMENT, "without a method there must be a search");
    if (q->searches && !q->n_bounds)
        return err_code(e, ERR_ARGUMENT,
                        "a search needs 'bounds', which tell where it ends; "
                        "without them give 'methods'");
    if (q->n_bounds && !q->suites.n)
        return err_code(e, ERR_ARGUMENT, "'bounds' need 'suites' that measure their metrics");
    if (most > 0 && q->search.epochs_most > most)
        q->search.epochs_most = most;
    if (q->search.epochs_least > q->search.epochs_most)
        q->search.epochs_least = q->search.epochs_most;
    if (!q->budget.tries)
        q->budget.tries = q->searches ? 8 : q->methods.n;
    return 0;
}

int request_read(struct request *q, const json_t *json, struct err *e)
{
    static const char *const more[] = {"scope",  "data",   "method", "methods", "options", "text",
                                       "budget", "bounds", "suites", "attacks", "search",  NULL};
    *q = (struct request){.json = json_deep_copy(json)};
    json = q->json;
    if (!json)
        return err_no_memory(e, "request");
    const json_t *several = json_object_get(json, "methods"),
                 *one = json_object_get(json, "method");
    if (!json_is_object(json))
        return err_code(e, ERR_ARGUMENT, "a request must be an object");
    param_defaults(request_params, q);
    if (read_object(json, request_params, q, more, "the request", e) ||
        read_object(json_object_get(json, "budget"), budget_params, &q->budget, NULL, "'budget'",
                    e) ||
        read_data(q, json_object_get(json, "data"), e) ||
        read_options(json, "options", &q->options, e) || read_options(json, "text", &q->text, e))
        return -1;
    if (several && one)
        return err_code(e, ERR_ARGUMENT, "give 'method' or 'methods', not both");
    return read_parts(&q->methods, several ? several : one, "method", e) ||
           read_parts(&q->suites, json_object_get(json, "suites"), "suite", e) ||
           read_parts(&q->attacks, json_object_get(json, "attacks"), "attack", e) ||
           read_bounds(q, json_object_get(json, "bounds"), e) ||
           read_search(q, json_object_get(json, "search"), e) || check_members(q, e);
}

void request_fini(struct request *q)
{
    for (int i = 0; i < q->n_bounds; i++)
        expression_fini(&q->bounds[i]);
    free(q->bounds);
    free(q->methods.v);
    free(q->suites.v);
    free(q->attacks.v);
    free(q->before);
    json_decref(q->chain);
    json_decref(q->json);
    *q = (struct request){.json = NULL};
}

/* --- the options of its commands --- */

static void put_text(json_t *to, const char *key, const char *text)
{
    if (text)
        json_object_set_new(to, key, json_string(text));
}

/* Those of every command, then those of the entry, which override what is there. */
static void complete(json_t *to, const struct request *q, const struct request_part *p,
                     const char *kind)
{
    if (q->text)
        json_object_update(to, (json_t *)q->text);
    if (p && p->options) {
        json_object_update(to, (json_t *)p->options);
        json_object_del(to, kind);
        json_object_del(to, "as");
    }
}

static json_t *model_options(const struct request *q, const char *model)
{
    json_t *to = json_object();
    put_text(to, "model", model);
    if (q->model && !strcmp(model, q->model))
        put_text(to, "adapter", q->adapter);
    return to;
}

json_t *request_eval_options(const struct request *q, const struct request_part *suite,
                             const json_t *about, const char *model)
{
    json_t *to = model_options(q, model), *role;
    const char *set;
    json_object_foreach(json_object_get(about, "sets"), set, role)
    {
        const enum role r = role_by_name(set);
        if (r != ROLE_COUNT && json_is_string(role))
            put_text(to, set, q->data[r]);
    }
    complete(to, q, suite, "suite");
    put_text(to, "suite", suite->name);
    return to;
}

json_t *request_attack_options(const struct request *q, const struct request_part *attack,
                               const char *model, const char *target)
{
    static const enum role roles[] = {ROLE_FORGET, ROLE_RETAIN, ROLE_HOLDOUT};
    json_t *to = model_options(q, model);
    put_text(to, "target", target);
    put_text(to, "retrained", q->retrained);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        put_text(to, role_name[roles[i]], q->data[roles[i]]);
    json_object_set_new(to, "seed", json_integer(q->seed));
    complete(to, q, attack, "attack");
    return to;
}

json_t *request_method_options(const struct request *q, const struct request_part *method,
                               const char *model)
{
    json_t *to = model_options(q, model);
    for (enum role r = 0; r < ROLE_COUNT; r++)
        if (param_find(run_kind_forget.data, role_name[r]))
            put_text(to, role_name[r], q->data[r]);
    json_object_set_new(to, "seed", json_integer(q->seed));
    put_text(to, "memory_limit", q->budget.memory);
    if (q->options)
        json_object_update(to, (json_t *)q->options);
    complete(to, q, method, "method");
    put_text(to, "method", method ? method->name : "NPO");
    return to;
}

const char *request_target(const struct request *q)
{
    return q->before ? q->before : q->model;
}
