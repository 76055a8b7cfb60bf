/* Files of an attack: attack.json with the blocks of all models and what follows from them, lines
 * of what was tried, and how an interrupted attack continues. */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "base/file.h"
#include "base/json.h"
#include "eval/stats.h"

/* --- comparisons --- */

static json_t *excess(json_t *unlearned, const json_t *retrained);

static json_t *excess_of_arrays(const json_t *a, const json_t *b)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(a) && i < json_array_size(b); i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i);
        const bool both = json_is_number(x) && json_is_number(y);
        json_array_append_new(out, both ? json_real(json_number_value(x) - json_number_value(y))
                                        : json_null());
    }
    return out;
}

/* Differences of all numbers that both have, in objects of the same shape, but of single rows. */
static json_t *excess(json_t *unlearned, const json_t *retrained)
{
    json_t *out = json_object(), *v;
    const char *key;
    json_object_foreach(unlearned, key, v)
    {
        const json_t *control = json_object_get(retrained, key);
        if (json_is_number(v) && json_is_number(control))
            json_put_real(out, key, json_number_value(v) - json_number_value(control));
        else if (json_is_object(v) && json_is_object(control))
            json_object_set_new(out, key, excess(v, control));
        else if (json_is_array(v) && json_is_array(control) &&
                 !json_is_object(json_array_get(v, 0)))
            json_object_set_new(out, key, excess_of_arrays(v, control));
    }
    return out;
}

/* prob of a setting on the forget set; NaN: there is none. */
static double forget_prob(const json_t *block, const char *setting)
{
    const json_t *v =
        json_object_get(json_object_get(json_object_get(block, setting), "forget"), "prob");
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* How much of what unlearning took from the probability of the forget answers each setting brings
 * back: (after - before) / (target - before), of the unlearned model, and of the control with the
 * same scale. */
static json_t *recovery(const json_t *all)
{
    static const enum attack_model models[] = {ATTACK_UNLEARNED, ATTACK_RETRAINED};
    json_t *unlearned = json_object_get(all, "unlearned"), *v, *out = json_object();
    const char *before = json_object_get(unlearned, "before") ? "before" : "plain";
    const double start = forget_prob(unlearned, before);
    const double gap = forget_prob(json_object_get(all, "target"), before) - start;
    const char *setting;
    json_object_foreach(unlearned, setting, v)
    {
        if (!strcmp(setting, before) || !isfinite(forget_prob(unlearned, setting) / gap))
            continue;
        json_t *to = json_object();
        for (int i = 0; i < 2; i++) {
            const char *name = attack_model_name[models[i]];
            json_put_real(to, name,
                          (forget_prob(json_object_get(all, name), setting) - start) / gap);
        }
        json_object_set_new(out, setting, to);
    }
    return out;
}

static json_t *budget_json(const struct attack_budget *b)
{
    return json_pack("{s:f, s:f, s:I, s:I, s:I}", "forward_tokens", b->forward_tokens,
                     "backward_tokens", b->backward_tokens, "candidates", (json_int_t)b->candidates,
                     "steps", (json_int_t)b->steps, "rows", (json_int_t)b->rows);
}

static void budget_read(struct attack_budget *b, const json_t *j)
{
    b->forward_tokens = json_number_value(json_object_get(j, "forward_tokens"));
    b->backward_tokens = json_number_value(json_object_get(j, "backward_tokens"));
    b->candidates = json_integer_value(json_object_get(j, "candidates"));
    b->steps = json_integer_value(json_object_get(j, "steps"));
}

void result_compare(json_t *all)
{
    const json_t *control = json_object_get(all, "retrained");
    if (control)
        json_object_set_new(all, "excess", excess(json_object_get(all, "unlearned"), control));
    json_object_set_new(all, "recovery", recovery(all));
}

/* --- what was asked for --- */

static void put_text(json_t *j, const char *key, const char *text)
{
    json_object_set_new(j, key, text ? json_string(text) : json_null());
}

/* Every option on which the figures depend. */
static json_t *options_json(const struct attack *attack, const void *params,
                            const struct attack_options *o)
{
    json_t *j = json_object();
    put_text(j, "model", o->setup.model);
    put_text(j, "adapter", o->setup.adapter);
    put_text(j, "retrained", o->retrained);
    put_text(j, "target", o->target);
    for (int set = 0; set < ATTACK_SETS; set++)
        put_text(j, attack_set_name[set], o->set[set]);
    put_text(j, "replay", o->replay);
    json_object_set_new(j, "seed", json_integer(o->seed));
    for (const struct param *p = attack->params; p && p->name; p++)
        json_object_set_new(j, p->name, param_get_json(p, params));
    return j;
}

/* --- an interrupted attack --- */

static int check_same(const json_t *was, json_t *is, const char *path, struct err *e)
{
    char a[JSON_BRIEF], b[JSON_BRIEF];
    const char *key;
    json_t *v;
    json_object_foreach(is, key, v)
    {
        const json_t *old = json_object_get(was, key);
        if (!old || !json_equal(old, v))
            return err_code(e, ERR_ARGUMENT,
                            "'%s' cannot be resumed: its option '%s' was %s, now it is %s", path,
                            key, old ? json_brief(old, a) : "missing", json_brief(v, b));
    }
    return 0;
}

/* The object of the interrupted run, if its attack and options are the same; *all stays NULL where
 * there is none. */
static int read_earlier(const struct attack *attack, const struct attack_options *o,
                        json_t *options, json_t **all, struct err *e)
{
    char *path = o->resume && o->out ? file_join(o->out, "attack.json", e) : NULL;
    int rc = o->resume && o->out && !path;
    const char *name = NULL;
    if (path && file_exists(path)) {
        rc = !(*all = json_read_file(path, e)) || json_opt_str(*all, "name", &name, e);
        if (!rc && (!name || strcmp(name, attack->name)))
            rc = err_code(e, ERR_ARGUMENT, "'%s' is of the attack '%s', not '%s'", path,
                          name ? name : "", attack->name);
        rc = rc || check_same(json_object_get(*all, "options"), options, path, e);
    }
    free(path);
    return rc;
}

json_t *result_open(const struct attack *attack, const void *params, const struct attack_options *o,
                    struct err *e)
{
    json_t *options = options_json(attack, params, o), *all = NULL;
    if (read_earlier(attack, o, options, &all, e)) {
        json_decref(options);
        json_decref(all);
        return NULL;
    }
    if (all)
        json_decref(options);
    else if (!(all = json_pack("{s:s, s:s, s:s, s:o}", "name", attack->name, "touches",
                               attack->touches, "access", attack->access, "options", options)))
        err_no_memory(e, "attack");
    return all;
}

/* The model of the incomplete block and its setting, borrowed; NULL: all blocks are complete. */
static const char *partial(const json_t *all, const char **setting)
{
    const json_t *j = json_object_get(all, "partial");
    *setting = json_string_value(json_object_get(j, "setting"));
    return json_string_value(json_object_get(j, "model"));
}

bool result_has(const json_t *all, enum attack_model which)
{
    const char *setting, *model = partial(all, &setting), *name = attack_model_name[which];
    return json_object_get(all, name) && !(model && !strcmp(model, name));
}

json_t *result_block(json_t *all, struct attack_run *a)
{
    const char *setting, *model = partial(all, &setting), *name = attack_model_name[a->which];
    json_t *block = model && !strcmp(model, name) ? json_object_get(all, name) : NULL;
    if (!block)
        return json_object();
    if (setting)
        json_object_del(block, setting);
    if (a->which == ATTACK_UNLEARNED)
        budget_read(&a->spent, json_object_get(all, "budget"));
    return json_incref(block);
}

void result_put(json_t *all, const struct attack_run *a, json_t *block, int rc)
{
    const char *name = attack_model_name[a->which];
    if (a->which == ATTACK_UNLEARNED)
        json_object_set_new(all, "budget", budget_json(&a->spent));
    json_object_del(all, "partial");
    if (rc)
        json_object_set_new(all, "partial",
                            *a->setting
                                ? json_pack("{s:s, s:s}", "model", name, "setting", a->setting)
                                : json_pack("{s:s}", "model", name));
    if (!rc || json_object_size(block))
        json_object_set(all, name, block);
}

int result_write(const json_t *all, const char *out, struct err *e)
{
    char *path = out ? file_join(out, "attack.json", e) : NULL;
    const int rc = out && (!path || json_write_file(all, path, JSON_INDENT(1), e));
    free(path);
    return rc;
}

/* --- files of lines --- */

int attack_lines_open(struct attack_lines *l, const struct attack_run *a, const char *name,
                      struct err *e)
{
    char *path = attack_out_file(a, name, e);
    int rc = a->o->out && !path;
    if (!rc && path && a->o->resume && file_exists(path))
        rc = rows_open(&l->earlier, path, e);
    rc = rc || (path && file_out_open(&l->file, path, e));
    l->writes = path && !rc;
    free(path);
    return rc;
}

int attack_lines_add(struct attack_lines *l, json_t *line, struct err *e)
{
    struct buf text = {0};
    const int rc =
        l->writes && (json_write_buf(line, &text, JSON_COMPACT, e) || buf_str(&text, "\n", e) ||
                      file_out_write(&l->file, text.data, text.len, e));
    l->n++;
    json_decref(line);
    buf_fini(&text);
    return rc;
}

int attack_lines_keep(struct attack_lines *l, const char *key, const char *value, struct err *e)
{
    for (int i = 0; i < l->earlier.n; i++) {
        const char *own = json_string_value(json_object_get(l->earlier.v[i], key));
        if (own && !strcmp(own, value) && attack_lines_add(l, json_incref(l->earlier.v[i]), e))
            return -1;
    }
    return 0;
}

int attack_lines_close(struct attack_lines *l, int rc, struct err *e)
{
    struct err late = {.msg = ""};
    const bool keeps = !rc || (e->code == ERR_INTERRUPTED && l->n);
    rows_close(&l->earlier);
    if (!l->writes)
        return rc;
    if (keeps && file_out_commit(&l->file, rc ? &late : e))
        rc = -1;
    file_out_abort(&l->file);
    return rc;
}

int attack_put_auc(json_t *to, const double *one, int n_one, const double *zero, int n_zero,
                   struct err *e)
{
    struct roc r;
    if (roc_init(&r, zero, n_zero, one, n_one, e))
        return -1;
    json_put_real(to, "auc", roc_auc(&r));
    json_put_real(to, "tpr_at_1", roc_tpr(&r, 0.01));
    json_put_real(to, "tpr_at_5", roc_tpr(&r, 0.05));
    roc_fini(&r);
    return 0;
}
