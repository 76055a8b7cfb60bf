/* unlearn run: a request from its JSON to the evidence. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/outdir.h"
#include "cli/command.h"
#include "cli/request_steps.h"
#include "report/table.h"
#include "suites/metrics.h"

struct options {
    const char *out;
    struct recording_options record;
    bool dry_run, json, overwrite;
};

static const struct param params[] = {
    STRING_PARAM(struct options, out, NULL, "DIR",
                 "where the models, the evaluations and the card go; the same command continues "
                 "what was interrupted"),
    BOOL_PARAM(struct options, dry_run, false,
               "check everything and print the steps with their time and memory; do nothing"),
    BOOL_PARAM(struct options, overwrite, false, "remove what an earlier request left in --out"),
    BOOL_PARAM(struct options, json, false, "print the card as JSON"),
    {0},
};

static const char about[] =
    "Does a whole request for unlearning: evaluates the model before (and the retrained one), "
    "unlearns by each\n"
    "method of the request, or, without one, by NPO with a search of learning rate and epochs, "
    "evaluates and\n"
    "attacks the result, and tells which bounds hold. doc/request.md describes the request. What "
    "is wrong in it\n"
    "(a role without data, a metric that no suite has, an unknown option) is refused before any "
    "work. The exit\n"
    "status is 3 if a bound does not hold. OUT/card.json has all figures; OUT/log.txt what the "
    "steps printed.\n"
    "\n"
    "  unlearn run demo/request.json --out request-out\n";

/* --- what is printed --- */

static double figure_of(const json_t *card, enum whose whose, const char *metric)
{
    const json_t *of = json_object_get(json_object_get(card, "values"), whose_name[whose]);
    const json_t *v = json_object_get(json_object_get(of, metric), "value");
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* Whether a figure has a line: those of suites that tell of forgetting or utility, and the main
 * costs; single attacks have their own tables. */
static bool is_shown(const char *name, const json_t *figure)
{
    static const char *const costs[] = {"cost.seconds", "cost.tokens", "cost.peak_bytes"};
    const char *direction = json_string_value(json_object_get(figure, "direction"));
    bool shown = direction && strcmp(direction, direction_name[DIRECTION_NONE]);
    for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
        shown |= !strcmp(name, costs[i]);
    return shown;
}

/* Of the unlearned model, and the same of the others. */
static int write_figures(const json_t *card, struct buf *out, struct err *e)
{
    static const enum whose order[] = {WHOSE_TARGET, WHOSE_UNLEARNED, WHOSE_RETRAINED};
    json_t *values = json_object_get(json_object_get(card, "values"), "unlearned"), *v;
    const bool generic = json_is_true(json_object_get(card, "generic"));
    struct table t;
    const char *name;
    const int rows = (int)json_object_size(values) + 1;
    int row = 1, rc = 0;
    if (table_init(&t, rows, 4, e))
        return -1;
    t.width = command_width();
    rc = table_set(&t, 0, 0, e, "figure");
    for (int c = 0; c < 3; c++)
        rc = rc || table_set(&t, 0, c + 1, e, "%s", whose_name[order[c]]);
    json_object_foreach(values, name, v)
    {
        if (!is_shown(name, v))
            continue;
        rc = rc || table_set(&t, row, 0, e, "%s", name);
        for (int c = 0; c < 3 && !rc; c++) {
            char text[DIGITS_MOST];
            const double x = figure_of(card, order[c], name);
            rc = table_set(&t, row, c + 1, e, "%s%s", digits_of(x, text),
                           generic && !isnan(x) && order[c] == WHOSE_UNLEARNED ? "*" : "");
        }
        row++;
    }
    t.rows = row;
    rc = rc || table_write(&t, TABLE_PLAIN, out, e);
    t.rows = rows;
    table_fini(&t);
    return rc;
}

static int write_bounds(const json_t *card, struct buf *out, struct err *e)
{
    const json_t *bounds = json_object_get(card, "bounds");
    char left[DIGITS_MOST], right[DIGITS_MOST];
    int rc = 0;
    for (size_t i = 0; i < json_array_size(bounds) && !rc; i++) {
        const json_t *b = json_array_get(bounds, i), *held = json_object_get(b, "held");
        const json_t *x[] = {json_object_get(b, "left"), json_object_get(b, "right")};
        rc = buf_printf(out, e, "  %-12s  %s (%s, %s)\n",
                        json_is_null(held)   ? "not measured"
                        : json_is_true(held) ? "holds"
                                             : "DOES NOT",
                        json_string_value(json_object_get(b, "bound")),
                        digits_of(json_is_number(x[0]) ? json_number_value(x[0]) : NAN, left),
                        digits_of(json_is_number(x[1]) ? json_number_value(x[1]) : NAN, right));
    }
    return rc;
}

static int write_drift(const json_t *card, struct buf *out, struct err *e)
{
    const json_t *drift = json_object_get(card, "drift");
    char then[DIGITS_MOST], now[DIGITS_MOST];
    int rc = 0;
    for (size_t i = 0; i < json_array_size(drift) && !rc; i++) {
        const json_t *d = json_array_get(drift, i);
        const char *name;
        json_t *v;
        rc = buf_printf(out, e, "\ndrift of the request in %s: then -> now\n",
                        json_string_value(json_object_get(d, "out")));
        json_object_foreach(json_object_get(d, "values"), name, v)
        {
            rc = rc || buf_printf(out, e, "  %-30s  %s -> %s\n", name,
                                  digits_of(json_number_value(json_object_get(v, "then")), then),
                                  digits_of(json_number_value(json_object_get(v, "now")), now));
        }
    }
    return rc;
}

static int write_tries(const json_t *card, struct buf *out, struct err *e)
{
    const json_t *tries = json_object_get(card, "tries"), *chosen = json_object_get(card, "chosen");
    int n_bounds = 0; /* that a try can hold */
    json_t *b;
    size_t k;
    json_array_foreach(json_object_get(card, "bounds"), k, b) n_bounds +=
        strcmp(json_string_value(json_object_get(b, "kind")), "late") != 0;
    int rc = buf_printf(out, e, "\ntries\n");
    for (size_t i = 0; i < json_array_size(tries) && !rc; i++) {
        const json_t *t = json_array_get(tries, i), *o = json_object_get(t, "options");
        const json_t *lr = json_object_get(o, "lr"), *epochs = json_object_get(o, "epochs");
        rc =
            buf_printf(out, e, "  %zu  %s", i + 1, json_string_value(json_object_get(t, "method")));
        if (!rc && json_is_number(lr))
            rc = buf_printf(out, e, "  lr %.3g", json_number_value(lr));
        if (!rc && json_is_number(epochs))
            rc = buf_printf(out, e, "  epochs %g", json_number_value(epochs));
        if (!rc && n_bounds)
            rc = buf_printf(out, e, "  holds %d of %d",
                            (int)json_integer_value(json_object_get(t, "held")), n_bounds);
        rc = rc ||
             buf_printf(out, e, "  %.1f s%s\n", json_number_value(json_object_get(t, "seconds")),
                        json_integer_value(chosen) == (json_int_t)i + 1 ? "  chosen" : "");
    }
    return rc;
}

static int write_card(const json_t *card, struct buf *out, struct err *e)
{
    const json_t *notes = json_object_get(card, "notes");
    const char *stopped = json_string_value(json_object_get(card, "stopped"));
    int rc = write_figures(card, out, e) || write_tries(card, out, e) ||
             (stopped && buf_printf(out, e, "  the search ended: %s\n", stopped)) ||
             write_drift(card, out, e);
    for (size_t i = 0; i < json_array_size(notes) && !rc; i++)
        rc = buf_printf(out, e, "\n%s%s\n",
                        json_is_true(json_object_get(card, "generic")) && !i ? "* " : "",
                        json_string_value(json_array_get(notes, i)));
    if (!rc && json_array_size(json_object_get(card, "bounds")))
        rc = buf_str(out, "\nbounds (left, right side)\n", e) || write_bounds(card, out, e);
    return rc || buf_printf(out, e, "\nmodel  %s/%s\ncard   %s/card.json\n",
                            json_string_value(json_object_get(card, "out")),
                            json_string_value(json_object_get(card, "model")),
                            json_string_value(json_object_get(card, "out")));
}

static int tell(const struct options *o, json_t *card, struct err *e)
{
    struct buf text = {0};
    char *path = file_join(o->out, "card.txt", e);
    int rc = !path || write_card(card, &text, e) || file_write(path, text.data, text.len, e);
    if (!rc && o->json)
        rc = command_print_json(card, JSON_INDENT(1), e);
    else if (!rc)
        fputs(text.data, stdout);
    buf_fini(&text);
    free(path);
    return rc;
}

/* --- the command --- */

static void remove_earlier(const char *out)
{
    static const char *const names[] = {
        "request.json", "run.json",  "card.json", "card.txt", "log.txt", "generic.jsonl",
        "target",       "retrained", "tries",     "attacks",  "earlier", "generic_prompts.jsonl"};
    const int at = open(out, O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; at >= 0 && i < sizeof names / sizeof *names; i++)
        outdir_remove_tree(at, names[i]);
    if (at >= 0)
        close(at);
}

static int do_request(struct request_steps *w, const struct args *a, const struct options *o,
                      struct request *q, struct err *e)
{
    const struct request_hooks h = request_steps_hooks(w);
    struct recording record;
    json_t *card = NULL;
    if (request_check(q, &h, e))
        return STATUS_FAILED;
    if (o->overwrite)
        remove_earlier(o->out);
    if (recording_begin(&record, a, &o->record, e))
        return STATUS_FAILED;
    int rc = request_steps_begin(w, &record, e) || request_run(q, &h, o->out, &card, e);
    const struct err why = *e;
    if (rc && why.code == ERR_INTERRUPTED)
        err_code(e, ERR_INTERRUPTED, "%.300s; the same command continues", why.msg);
    recording_end(&record, rc ? e : NULL);
    int status = rc || tell(o, card, e)                        ? STATUS_FAILED
                 : json_is_true(json_object_get(card, "held")) ? STATUS_DONE
                                                               : STATUS_BOUND;
    json_decref(card);
    return status;
}

static int do_plan(struct request_steps *w, const struct options *o, struct request *q,
                   struct err *e)
{
    const struct request_hooks h = request_steps_hooks(w);
    json_t *plan = request_plan(q, &h, o->out, e), *step;
    size_t i;
    if (plan && o->json && command_print_json(plan, JSON_INDENT(1), e)) {
        json_decref(plan);
        return STATUS_FAILED;
    }
    json_array_foreach(o->json ? NULL : json_object_get(plan, "steps"), i, step)
    {
        const json_t *s = json_object_get(step, "seconds"), *m = json_object_get(step, "bytes");
        printf("  %-28s  %s", json_string_value(json_object_get(step, "name")),
               json_string_value(json_object_get(step, "what")));
        if (json_is_number(s))
            printf(", about %.3g s", json_number_value(s));
        if (json_is_number(m))
            printf(", %.0f MiB", json_number_value(m) / 1048576);
        putchar('\n');
    }
    const char *note = json_string_value(json_object_get(plan, "note"));
    if (note && !o->json)
        printf("%s\n", note);
    json_decref(plan);
    return plan ? STATUS_DONE : STATUS_FAILED;
}

static int work(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    struct request_steps w = {.out = o->out, .given = o->record.ledger};
    struct request q = {.json = NULL};
    json_t *json = json_read_file(a->words[0], e);
    int status = STATUS_FAILED;
    if (json && request_read(&q, json, e))
        err_prefix(e, "'%s': ", a->words[0]);
    else if (json && !o->out && !o->dry_run)
        err_about(e, "no_out", "a request needs a directory for its results");
    else if (json)
        status = o->dry_run ? do_plan(&w, o, &q, e) : do_request(&w, a, o, &q, e);
    request_fini(&q);
    json_decref(json);
    request_steps_fini(&w);
    return status;
}

int cmd_run(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "run",
                     .usage = "REQUEST.json --out DIR [options]",
                     .about = about,
                     .words_least = 1,
                     .words_most = 1,
                     .tables = {{"options", params, &o}, {"ledger", recording_params, &o.record}}};
    return args_run(&a, argc, argv, work, &o);
}
