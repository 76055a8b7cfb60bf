/* What a sweep is: its description, and the options of each trial. */
#include "run/sweep.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static int read_ends(struct sweep_axis *a, const json_t *ends, struct err *e)
{
    a->least = json_number_value(json_array_get(ends, 0));
    a->most = json_number_value(json_array_get(ends, 1));
    return json_array_size(ends) == 2 && a->most > a->least && (!a->log || a->least > 0)
               ? 0
               : err_code(e, ERR_ARGUMENT, "'over': '%s' must have [least, most]%s", a->name,
                          a->log ? ", above 0" : "");
}

static int read_axis(struct sweep *s, const char *name, const json_t *v, struct err *e)
{
    const json_t *range = json_object_get(v, "range"), *ends = json_object_get(v, "log");
    if (s->n_axes == SWEEP_AXES)
        return err_code(e, ERR_ARGUMENT, "'over' may have up to %d options", SWEEP_AXES);
    struct sweep_axis *a = &s->axes[s->n_axes++];
    *a = (struct sweep_axis){.name = name, .log = ends != NULL};
    if (json_is_array(v) && json_array_size(v)) {
        a->list = v;
        return 0;
    }
    if (!ends && !range)
        return err_code(e, ERR_ARGUMENT,
                        "'over': '%s' must be a list of values, {\"log\": [least, most]} or "
                        "{\"range\": [least, most]}",
                        name);
    if (s->by == SWEEP_GRID)
        return err_code(e, ERR_ARGUMENT, "'over': '%s' is a range: a grid needs lists", name);
    return read_ends(a, ends ? ends : range, e);
}

/* The product of the lists' lengths. */
static int count_grid(const struct sweep *s, struct err *e)
{
    size_t n = 1;
    for (int i = 0; i < s->n_axes && n <= SWEEP_TRIALS; i++)
        n *= json_array_size(s->axes[i].list);
    return n <= SWEEP_TRIALS
               ? (int)n
               : err_code(e, ERR_ARGUMENT, "the grid has more than %d trials", SWEEP_TRIALS);
}

static int read_trials(struct sweep *s, const json_t *j, struct err *e)
{
    int64_t n = 0;
    s->eta = 3;
    if (json_opt_int(j, "trials", 1, SWEEP_TRIALS, &n, e) || json_opt_real(j, "eta", &s->eta, e))
        return -1;
    if (s->eta < 1.5)
        return err_code(e, ERR_ARGUMENT, "'eta' must be at least 1.5");
    s->trials = s->by == SWEEP_GRID ? count_grid(s, e) : (int)n;
    if (s->by == SWEEP_GRID && n)
        return err_code(e, ERR_ARGUMENT, "a grid has its own number of trials: leave 'trials' out");
    return s->trials > 0 ? 0
           : s->trials   ? -1
                         : err_code(e, ERR_ARGUMENT, "'trials' must be how many there are");
}

static int read_value(struct expression *x, const json_t *v, const char *key, struct err *e)
{
    const char *text = json_string_value(v);
    if (!text)
        return err_code(e, ERR_ARGUMENT, "'%s' must be an expression over metrics", key);
    return expression_read(x, text, EXPRESSION_VALUE, e) ? err_prefix(e, "'%s': ", key) : 0;
}

static int read_pareto(struct sweep *s, const json_t *j, struct err *e)
{
    const json_t *two = json_object_get(j, "pareto"), *at = json_object_get(j, "reference");
    if (!two)
        return 0;
    s->has_pareto = true;
    if (json_array_size(two) != 2 || (at && json_array_size(at) != 2))
        return err_code(e, ERR_ARGUMENT,
                        "'pareto' must be two expressions, of which more is "
                        "better, and 'reference' two numbers");
    for (size_t i = 0; i < 2; i++) {
        s->reference[i] = json_number_value(json_array_get(at, i));
        if (read_value(&s->pareto[i], json_array_get(two, i), "pareto", e))
            return -1;
    }
    return 0;
}

static int read_sweep(struct sweep *s, const json_t *j, struct err *e)
{
    static const char *const keys[] = {"over", "by",     "trials",    "eta",
                                       "best", "pareto", "reference", NULL};
    static const char ways[] = "grid|random|halving";
    const char *by = "grid", *name;
    json_t *v;
    if (!json_is_object(j))
        return err_code(e, ERR_ARGUMENT, "a sweep needs the member 'sweep', an object");
    json_object_foreach((json_t *)j, name, v)
    {
        int i = 0;
        while (keys[i] && strcmp(keys[i], name))
            i++;
        if (!keys[i])
            return err_code(e, ERR_ARGUMENT,
                            "'sweep' has no key '%s': it has over, by, trials, eta, best, pareto "
                            "and reference",
                            name);
    }
    if (json_opt_str(j, "by", &by, e))
        return -1;
    const int way = param_choice(ways, by);
    if (way < 0)
        return err_code(e, ERR_ARGUMENT, "'by' must be one of %s, not '%s'", ways, by);
    s->by = (enum sweep_by)way;
    json_object_foreach(json_object_get(j, "over"), name, v)
    {
        if (read_axis(s, name, v, e))
            return -1;
    }
    if (!s->n_axes)
        return err_code(e, ERR_ARGUMENT, "'over' must name the options that differ");
    return read_trials(s, j, e) || read_value(&s->best, json_object_get(j, "best"), "best", e) ||
           read_pareto(s, j, e);
}

int sweep_read(struct sweep *s, const json_t *json, struct err *e)
{
    *s = (struct sweep){.n_axes = 0};
    json_t *rest = json_copy((json_t *)json);
    if (rest)
        json_object_del(rest, "sweep");
    if (rest && !json_object_get(rest, "method") && !json_object_get(rest, "methods"))
        json_object_set_new(rest, "method", json_string("NPO"));
    int rc = !rest ? err_no_memory(e, "sweep") : request_read(&s->request, rest, e);
    json_decref(rest);
    if (!rc && (s->request.n_bounds || s->request.searches || s->request.methods.n != 1 ||
                s->request.attacks.n))
        rc = err_code(e, ERR_ARGUMENT,
                      "a sweep has one method, and neither bounds, a search nor "
                      "attacks");
    if (!rc && !s->request.suites.n)
        rc = err_code(e, ERR_ARGUMENT, "a sweep needs 'suites' that measure its metrics");
    /* its texts live as long as the request's JSON */
    json_t *own = rc ? NULL : json_deep_copy(json_object_get(json, "sweep"));
    if (own && json_object_set_new(s->request.json, "sweep", own))
        rc = err_no_memory(e, "sweep");
    return rc || read_sweep(s, own, e);
}

void sweep_fini(struct sweep *s)
{
    expression_fini(&s->best);
    expression_fini(&s->pareto[0]);
    expression_fini(&s->pareto[1]);
    request_fini(&s->request);
}

/* --- trials --- */

static json_t *draw(const struct sweep_axis *a, struct rng *rng)
{
    const double u = ldexp(rng_u32(rng), -32);
    if (a->list) {
        const size_t n = json_array_size(a->list), i = (size_t)(u * (double)n);
        return json_incref(json_array_get(a->list, i < n ? i : n - 1));
    }
    return json_real(a->log ? exp(log(a->least) + u * (log(a->most) - log(a->least)))
                            : a->least + u * (a->most - a->least));
}

json_t *sweep_options(const struct sweep *s, int n)
{
    json_t *to = json_object();
    struct rng rng;
    rng_stream(&rng, (uint32_t)s->request.seed, RNG_SAMPLE, (uint32_t)n);
    for (int i = s->n_axes - 1, left = n; i >= 0; i--) { /* the last option differs first */
        const struct sweep_axis *a = &s->axes[i];
        const int size = a->list ? (int)json_array_size(a->list) : 1;
        json_object_set_new(to, a->name,
                            s->by == SWEEP_GRID
                                ? json_incref(json_array_get(a->list, (size_t)(left % size)))
                                : draw(a, &rng));
        left /= size;
    }
    return to;
}

int sweep_rung(const struct sweep *s, int r)
{
    double n = s->trials;
    for (int i = 0; i < r && n >= 1; i++)
        n = floor(n / s->eta);
    return (s->by != SWEEP_HALVING && r) || n < 1 ? 0 : (int)n;
}

/* --- Pareto fronts --- */

static bool beats(const struct pareto_point *a, const struct pareto_point *b)
{
    return a->x >= b->x && a->y >= b->y && (a->x > b->x || a->y > b->y);
}

/* From the largest x on. */
static int by_x(const void *a, const void *b)
{
    const struct pareto_point *p = a, *q = b;
    return (p->x < q->x) - (p->x > q->x);
}

static double area(struct pareto_point *front, int n, double x0, double y0)
{
    double sum = 0, y = y0;
    qsort(front, (size_t)n, sizeof *front, by_x);
    for (int i = 0; i < n; i++)
        if (front[i].x > x0 && front[i].y > y) {
            sum += (front[i].x - x0) * (front[i].y - y);
            y = front[i].y;
        }
    return sum;
}

int pareto_front(struct pareto_point *p, int n, double x0, double y0, double *volume, struct err *e)
{
    struct pareto_point *front = mem_alloc((size_t)n, sizeof *front, e);
    int k = 0;
    if (!front)
        return -1;
    for (int i = 0; i < n; i++) {
        p[i].front = !isnan(p[i].x) && !isnan(p[i].y);
        for (int j = 0; j < n && p[i].front; j++)
            p[i].front = !beats(&p[j], &p[i]);
        if (p[i].front)
            front[k++] = p[i];
    }
    *volume = area(front, k, x0, y0);
    free(front);
    return 0;
}
