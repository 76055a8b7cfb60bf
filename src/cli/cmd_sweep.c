/* unlearn sweep: many settings of one method, by several processes. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/request_steps.h"
#include "report/table.h"
#include "run/sweep.h"

struct options {
    const char *out;
    struct recording_options record;
    bool json;
};

static const struct param params[] = {
    STRING_PARAM(struct options, out, NULL, "DIR",
                 "where the trials go; several processes may run the same command at once, and the "
                 "same command continues what was interrupted"),
    BOOL_PARAM(struct options, json, false, "print the results as JSON"),
    {0},
};

static const char about[] =
    "Unlearns with many settings of one method and ranks the results: all of a grid, random ones, "
    "or successive\n"
    "halving, where the best of many short trials go on to longer ones. SWEEP.json is a request "
    "(doc/request.md)\n"
    "without bounds, with a member \"sweep\" (doc/sweep.md): options and their values, the "
    "expression to rank by,\n"
    "and two figures for a Pareto front. OUT/sweep.json has every trial with its figures.\n"
    "\n"
    "  unlearn sweep sweep.json --out sweep-out\n";

static double number(const json_t *of, const char *key)
{
    const json_t *v = json_object_get(of, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static bool in_front(const json_t *results, size_t i)
{
    const json_t *front = json_object_get(results, "front");
    bool in = false;
    for (size_t k = 0; k < json_array_size(front); k++)
        in |= json_integer_value(json_array_get(front, k)) == (json_int_t)i;
    return in;
}

static int print_trial(const struct sweep *s, const json_t *results, size_t i, struct err *e)
{
    const json_t *t = json_array_get(json_object_get(results, "trials"), i);
    const json_t *o = json_object_get(t, "options");
    const json_t *failed = json_object_get(t, "failed"), *best = json_object_get(results, "best");
    char text[DIGITS_MOST];
    struct buf line = {0};
    int rc = buf_printf(&line, e, "%5lld", (long long)json_integer_value(json_object_get(t, "n")));
    for (int k = 0; k < s->n_axes && !rc; k++) {
        const json_t *v = json_object_get(o, s->axes[k].name);
        rc = buf_printf(&line, e, "  %s ", s->axes[k].name) ||
             (json_is_real(v) ? buf_str(&line, digits_of(json_number_value(v), text), e)
                              : json_write_buf(v, &line, JSON_ENCODE_ANY | JSON_COMPACT, e));
    }
    if (!rc && s->by == SWEEP_HALVING)
        rc = buf_printf(&line, e, "  epochs %s", digits_of(number(o, "epochs"), text));
    if (!rc)
        printf("%s  %s%s%s%s\n", line.data,
               json_is_string(failed) ? "failed" : digits_of(number(t, "best"), text),
               json_is_integer(best) && json_integer_value(best) == (json_int_t)i ? "  best" : "",
               in_front(results, i) ? "  front" : "", "");
    buf_fini(&line);
    return rc;
}

static int print(const struct sweep *s, const json_t *results, const char *out, struct err *e)
{
    char text[DIGITS_MOST];
    const json_t *best = json_object_get(results, "best");
    printf("trial, %s\n", s->best.text);
    for (size_t i = 0; i < json_array_size(json_object_get(results, "trials")); i++)
        if (print_trial(s, results, i, e))
            return -1;
    if (s->has_pareto)
        printf("hypervolume %s\n", digits_of(number(results, "hypervolume"), text));
    printf("%s%s/sweep.json\n", json_is_integer(best) ? "" : "no trial has a value: ", out);
    return 0;
}

static int work(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct request_steps w = {.out = o->out, .given = o->record.ledger};
    const struct request_hooks h = request_steps_hooks(&w);
    struct sweep s = {.n_axes = 0};
    struct recording record;
    json_t *json = json_read_file(a->words[0], e), *results = NULL;
    int rc = json ? 0 : -1;
    if (json && sweep_read(&s, json, e))
        rc = err_prefix(e, "'%s': ", a->words[0]);
    else if (json && !o->out)
        rc = err_about(e, "no_out", "a sweep needs a directory for its results");
    if (!rc && !(rc = sweep_check(&s, &h, e)) &&
        !(rc = recording_begin(&record, a, &o->record, e))) {
        rc = request_steps_begin(&w, &record, e) || sweep_run(&s, &h, o->out, w.stop, &results, e);
        recording_end(&record, rc ? e : NULL);
    }
    if (!rc)
        rc = o->json ? command_print_json(results, JSON_INDENT(1), e)
                     : print(&s, results, o->out, e);
    json_decref(results);
    json_decref(json);
    sweep_fini(&s);
    request_steps_fini(&w);
    return rc ? STATUS_FAILED : STATUS_DONE;
}

int cmd_sweep(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "sweep",
                     .usage = "SWEEP.json --out DIR [options]",
                     .about = about,
                     .words_least = 1,
                     .words_most = 1,
                     .tables = {{"options", params, &o}, {"ledger", recording_params, &o.record}}};
    return args_run(&a, argc, argv, work, &o);
}
