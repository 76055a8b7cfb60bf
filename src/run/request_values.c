/* The figures of a request: read from what its commands wrote, and the bounds on them. */
#include <dirent.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "run/request.h"

/* --- files --- */

static bool ends(const char *name, const char *ending)
{
    const size_t n = strlen(name), m = strlen(ending);
    return n >= m && !strcmp(name + n - m, ending);
}

char *request_log(const char *dir, const char *ending, struct err *e)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;
    char *path = NULL;
    while (d && !path && (entry = readdir(d)))
        if (ends(entry->d_name, ending))
            path = file_join(dir, entry->d_name, e);
    if (d)
        closedir(d);
    if (!path)
        err_code(e, ERR_NO_FILE, "'%s' holds no result of this step", dir);
    return path;
}

static json_t *read_ending(const char *dir, const char *ending, struct err *e)
{
    char *path = request_log(dir, ending, e);
    json_t *j = path ? json_read_log(path, e) : NULL;
    free(path);
    return j;
}

/* --- figures --- */

static int put_figure(json_t *to, const char *prefix, const char *name, json_t *figure,
                      struct err *e)
{
    struct buf key = {0};
    int rc = buf_printf(&key, e, "%s.%s", prefix, name);
    rc = rc || (json_object_set_new(to, key.data, figure) && err_no_memory(e, "values"));
    if (rc && !key.data)
        json_decref(figure);
    buf_fini(&key);
    return rc;
}

/* Of a line of an evaluation's table, under `of`: "value", or the retrained model's. */
static int put_line(json_t *to, const char *prefix, const char *name, const json_t *line,
                    struct err *e)
{
    static const char *const keys[] = {"low", "high", "role", "rows", "direction"};
    const json_t *value = json_object_get(line, "value");
    if (!json_is_number(value))
        value = json_object_get(line, "acc"); /* of multiple choice */
    if (!json_is_number(value))
        return 0;
    json_t *figure = json_object();
    json_object_set(figure, "value", (json_t *)value);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(line, keys[i]))
            json_object_set(figure, keys[i], json_object_get(line, keys[i]));
    return put_figure(to, prefix, name, figure, e);
}

static int put_table(json_t *to, const char *prefix, const char *dir, struct err *e)
{
    json_t *table = read_ending(dir, "_TABLE.json", e), *line;
    const char *name;
    int rc = table ? 0 : -1;
    json_object_foreach(table, name, line)
    {
        rc = rc || put_line(to, prefix, name, line, e);
    }
    json_decref(table);
    return rc;
}

/* Numbers of an attack's block and of the objects in it. */
static int put_block(json_t *to, const char *prefix, json_t *block, struct err *e)
{
    const char *key;
    json_t *v;
    int rc = 0;
    json_object_foreach(block, key, v)
    {
        struct buf name = {0};
        if (json_is_number(v))
            rc = rc || put_figure(to, prefix, key, json_pack("{s:O}", "value", v), e);
        if (json_is_object(v))
            rc = rc || buf_printf(&name, e, "%s.%s", prefix, key) || put_block(to, name.data, v, e);
        buf_fini(&name);
    }
    return rc;
}

static int put_attack(struct request_values *v, const char *prefix, const char *dir, struct err *e)
{
    static const char *const shared[] = {"excess", "summary", "recovery"};
    json_t *attack = read_ending(dir, "attack.json", e);
    int rc = attack ? 0 : -1;
    for (enum whose w = 0; w < WHOSE_COUNT && !rc; w++)
        rc = put_block(v->of[w], prefix, json_object_get(attack, whose_name[w]), e);
    for (size_t i = 0; i < sizeof shared / sizeof *shared && !rc; i++) {
        struct buf name = {0};
        rc = buf_printf(&name, e, "%s.%s", prefix, shared[i]) ||
             put_block(v->of[WHOSE_UNLEARNED], name.data, json_object_get(attack, shared[i]), e);
        buf_fini(&name);
    }
    json_decref(attack);
    return rc;
}

int request_read_values(struct request_values *v, enum whose whose, const char *dir,
                        const char *prefix, struct err *e)
{
    char *path = file_join(dir, "attack.json", e);
    if (!path)
        return -1;
    const bool attack = file_exists(path);
    free(path);
    if (attack)
        return put_attack(v, prefix, dir, e);
    int rc = put_table(v->of[whose], prefix, dir, e);
    for (enum whose w = WHOSE_TARGET; w < WHOSE_COUNT && !rc && whose == WHOSE_UNLEARNED; w++) {
        path = file_join(dir, whose_name[w], e); /* where the suite attacks them as well */
        rc = !path || (file_is_dir(path) && put_table(v->of[w], prefix, path, e)) ? -1 : 0;
        free(path);
    }
    return rc;
}

static const char *const costs[] = {"seconds",    "tokens",     "forward_tokens", "flops",
                                    "peak_bytes", "kept_share", "touched"};
/* Pairs before and after. */
static const char *const pairs[] = {"forget_nll", "retain_nll"};

enum { COSTS = sizeof costs / sizeof *costs, PAIRS = sizeof pairs / sizeof *pairs };

bool request_is_cost(const char *name)
{
    bool is = false;
    for (int i = 0; i < COSTS + PAIRS; i++)
        is |= !strcmp(name, i < COSTS ? costs[i] : pairs[i - COSTS]);
    return is;
}

int request_read_cost(json_t *to, const char *dir, struct err *e)
{
    char *path = file_join(dir, "run.json", e);
    json_t *run = path ? json_read_log(path, e) : NULL;
    int rc = run ? 0 : -1;
    for (int i = 0; i < COSTS + PAIRS && !rc; i++) {
        const char *name = i < COSTS ? costs[i] : pairs[i - COSTS];
        json_t *v = json_object_get(run, name);
        v = i < COSTS ? v : json_array_get(v, 1);
        if (json_is_number(v))
            rc = put_figure(to, "cost", name, json_pack("{s:O}", "value", v), e);
    }
    json_decref(run);
    free(path);
    return rc;
}

/* --- bounds --- */

/* By its whole name, or without the prefix. */
static const json_t *find_figure(const json_t *values, const char *name)
{
    const json_t *figure = json_object_get(values, name);
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)values, key, v)
    {
        const char *dot = strchr(key, '.');
        if (!figure && dot && !strcmp(dot + 1, name))
            figure = v;
    }
    return figure;
}

double request_figure(void *ctx, const struct expression_name *name)
{
    static const char *const part[FIGURE_PARTS] = {"value", "low", "high"};
    const struct request_values *v = ctx;
    const json_t *x =
        json_object_get(find_figure(v->of[name->whose], name->metric), part[name->part]);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

json_t *request_judge(const struct request *q, const struct request_values *v, struct err *e)
{
    json_t *all = json_array();
    for (int i = 0; i < q->n_bounds && all; i++) {
        const struct bound_state s = expression_bound(&q->bounds[i], request_figure, (void *)v);
        json_t *one = json_pack("{s:s, s:o, s:o, s:o, s:o}", "bound", q->bounds[i].text, "left",
                                json_finite(s.left), "right", json_finite(s.right), "held",
                                s.known ? json_boolean(s.held) : json_null(), "excess",
                                json_finite(s.excess));
        if (json_array_append_new(all, one)) {
            json_decref(all);
            all = NULL;
        }
    }
    if (!all)
        err_no_memory(e, "bounds");
    return all;
}
