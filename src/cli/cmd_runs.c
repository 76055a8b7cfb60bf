/* unlearn runs: what a ledger holds (run/ledger.h). */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/runs.h"

static const struct param params[] = {
    STRING_PARAM(struct runs_options, ledger, "unlearn.db", "FILE", "the ledger"),
    {"command", PARAM_STRING, offsetof(struct runs_options, filter.command), 0, 0, NULL, NULL,
     "NAME", "only runs of this command: train, forget, eval, attack, edit"},
    {"status", PARAM_STRING, offsetof(struct runs_options, filter.status), 0, 0, NULL, NULL,
     "STATUS", "only running, finished, failed or interrupted ones"},
    {"method", PARAM_STRING, offsetof(struct runs_options, filter.method), 0, 0, NULL, NULL, "NAME",
     "only those of this method, suite or attack"},
    STRING_PARAM(struct runs_options, where, NULL, "CONDITIONS",
                 "only those whose values satisfy it: 'model_utility>0.5,forget_nll>2'"),
    STRING_PARAM(
        struct runs_options, values, NULL, "NAMES",
        "values to show, where runs have them, joined by commas; 'runs show ID' lists all; "
        "without it forget_nll, retain_nll, forget_quality and model_utility"),
    BOOL_PARAM(struct runs_options, json, false, "print JSON"),
    BOOL_PARAM(struct runs_options, csv, false, "print CSV, with every value"),
    {0},
};

static const char about[] =
    "Lists the runs that a ledger holds: what was run, on what, with which outcome. Commands that "
    "write to\n"
    "--out record themselves in unlearn.db in the directory that --out is in, or in --ledger "
    "FILE.\n"
    "\n"
    "  unlearn runs                       all of them, a line each\n"
    "  unlearn runs show 3                one run: options, files with their SHA-256, values\n"
    "  unlearn runs compare 3 5           what differs between two runs\n"
    "  unlearn runs delete 3 4            remove runs from the ledger, not their files\n"
    "  unlearn rerun 3 --out DIR          repeat a run, and compare the bits\n";

/* --- one and two --- */

/* The run with its values and files. */
static json_t *whole(struct ledger *l, const char *word, struct err *e)
{
    int64_t id;
    json_t *run = ledger_id(word, &id, e) ? NULL : ledger_find(l, id, e);
    json_t *values = run ? ledger_values(l, id, e) : NULL;
    json_t *inputs = values ? ledger_files(l, id, "input", e) : NULL;
    json_t *made = inputs ? ledger_files(l, id, "artifact", e) : NULL;
    if (run && made && !json_object_set(run, "values", values) &&
        !json_object_set(run, "input", inputs) && !json_object_set(run, "artifact", made)) {
        json_t *options = json_object_get(json_object_get(run, "about"), "options");
        json_object_set(run, "options", options);
        json_object_del(json_object_get(run, "about"), "options");
    } else {
        json_decref(run);
        run = NULL;
    }
    json_decref(values);
    json_decref(inputs);
    json_decref(made);
    return run;
}

/* One text of a member: the value of a {value, low, high}, a string as it is. */
static void cell(const json_t *v, char *text, size_t room)
{
    char brief[JSON_BRIEF];
    const json_t *value = json_object_get(v, "value");
    const char *s = json_string_value(v);
    snprintf(text, room, "%s", !v ? "-" : s ? s : json_brief(value ? value : v, brief));
}

static const char *const parts[] = {"options", "about", "input", "artifact", "values"};

static int show(struct ledger *l, const struct runs_options *o, const char *word, struct err *e)
{
    json_t *run = whole(l, word, e), *v;
    const char *key;
    char text[300];
    if (!run || o->json) {
        int rc = run ? command_print_json(run, JSON_INDENT(1), e) : -1;
        json_decref(run);
        return rc;
    }
    printf("run %s\n", word);
    json_object_foreach(run, key, v)
    {
        if (json_is_object(v) || json_is_null(v) || !strcmp(key, "id"))
            continue;
        cell(v, text, sizeof text);
        printf("  %-28s %s\n", key, text);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        printf("%s\n", parts[i]);
        json_object_foreach(json_object_get(run, parts[i]), key, v)
        {
            if (json_is_null(v))
                continue;
            cell(v, text, sizeof text);
            printf("  %-28s %s\n", key, text);
        }
    }
    json_decref(run);
    return 0;
}

static void print_difference(const char *part, json_t *a, json_t *b, const char *const *words)
{
    json_t *all = json_copy(a), *v;
    const char *key;
    bool told = false;
    json_object_update_missing(all, b);
    json_object_foreach(all, key, v)
    {
        char x[300], y[300];
        cell(json_object_get(a, key), x, sizeof x);
        cell(json_object_get(b, key), y, sizeof y);
        if (!strcmp(x, y))
            continue;
        if (!told)
            printf("%s%*s %s | %s\n", part, (int)(30 - strlen(part)), "", words[0], words[1]);
        told = true;
        printf("  %-28s %s | %s\n", key, x, y);
    }
    json_decref(all);
}

static int compare(struct ledger *l, const struct runs_options *o, const char *const *words,
                   struct err *e)
{
    json_t *a = whole(l, words[0], e), *b = a ? whole(l, words[1], e) : NULL;
    int rc = b ? 0 : -1;
    if (!rc && o->json) {
        json_t *both = json_pack("[O, O]", a, b);
        rc = both ? command_print_json(both, JSON_INDENT(1), e) : err_no_memory(e, "runs");
        json_decref(both);
    } else if (!rc) {
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            print_difference(parts[i], json_object_get(a, parts[i]), json_object_get(b, parts[i]),
                             words);
    }
    json_decref(a);
    json_decref(b);
    return rc;
}

static int delete (struct ledger *l, const char *const *words, int n, struct err *e)
{
    for (int i = 0; i < n; i++) {
        int64_t id;
        if (ledger_id(words[i], &id, e) || ledger_delete(l, id, e))
            return -1;
    }
    return 0;
}

static int work(const struct args *a, void *options, struct err *e)
{
    const struct runs_options *o = options;
    const char *what = a->n_words ? a->words[0] : "list";
    const char *const *rest = a->words + 1;
    const int n = a->n_words - 1;
    struct ledger l;
    int rc = ledger_open(&l, o->ledger, LEDGER_READ, e);
    if (rc)
        ;
    else if (!strcmp(what, "list") && n < 1)
        rc = runs_list(&l, o, e);
    else if (!strcmp(what, "show") && n == 1)
        rc = show(&l, o, rest[0], e);
    else if (!strcmp(what, "compare") && n == 2)
        rc = compare(&l, o, rest, e);
    else if (!strcmp(what, "delete") && n > 0)
        rc = delete (&l, rest, n, e);
    else
        rc = err_code(e, ERR_ARGUMENT,
                      "cannot '%s' %d runs: the words are list, show ID, compare ID ID or delete "
                      "ID ...",
                      what, n < 0 ? 0 : n);
    ledger_close(&l);
    return rc;
}

int cmd_runs(int argc, char **argv)
{
    struct runs_options o = {.filter = {.id = 0}};
    struct args a = {.command = "runs",
                     .usage = "[show ID | compare ID ID | delete ID ...] [options]",
                     .about = about,
                     .words_most = 100,
                     .tables = {{"options", params, &o}}};
    return args_run(&a, argc, argv, work, &o);
}
