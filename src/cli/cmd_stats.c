/* unlearn stats KIND FILE: statistics of attacks, and scores of papers, from given numbers. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/stats.h"

static const struct param params[] = {
    REAL_PARAM(struct stats_options, threshold, 0, 1, 0.5,
               "leak, bound: score from which an answer leaks, where the file has none"),
    REAL_PARAM(struct stats_options, alpha, 1e-12, 0.5, 0.01,
               "bound: level of one-sided bounds, where the file has none"),
    REAL_PARAM(struct stats_options, gamma, 0, 1000, 1,
               "rmia: a row must be this much likelier than one of the population"),
    REAL_PARAM(struct stats_options, offline_a, 0, 1, 0.3,
               "rmia: a of the offline mean (1+a)/2 mean + (1-a)/2"),
    {0}};

struct kind {
    const char *name, *help;
    int (*complete)(json_t *j, const struct stats_options *o, struct err *e);
};

static const struct kind kinds[] = {
    {"leak",
     "{scores: [[...]], k: [...]} or {cases: [{n, c, k}]}: leak@k and the expected maximum of k "
     "answers",
     stats_leak},
    {"bound",
     "{rows: [{scores, alpha, x}]}: Clopper-Pearson and DKW bounds on leaks, mean and deviation",
     stats_bound},
    {"curve",
     "[{steps, m, target, control}]: areas, recovery and steps to 10, 50 and 90 % of a relearning "
     "curve",
     stats_curve},
    {"robustness",
     "{rows: [{unlearned_before, ...}], faithfulness: {holds, does_not}}: R, Q and AUC of a metric",
     stats_robustness},
    {"lira", "{observed, shadow_in, shadow_out, forgotten}: U-LiRA's scores, AUC and TPR",
     stats_lira},
    {"rmia",
     "{target, references, reference_trained_on_it, population_target, population_references}: "
     "RMIA's scores",
     stats_rmia},
    {"exposure",
     "{loss, candidates: [...]}, or a list of them: a canary's exposure by rank and by a skew "
     "normal",
     stats_exposure},
    {"aggregates",
     "{models: [...], full_utility}: memorisation, privacy, utility and overall from their parts",
     stats_aggregates},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static const char about[] = "Computes statistics from the numbers of a JSON file, and prints its "
                            "content with the results added (formulas:\n"
                            "doc/evaluation.md). Missing numbers are null.\n\nkinds:\n";

static int add_numbers(struct numbers *to, size_t *cap, const json_t *j, const char *key,
                       struct err *e)
{
    size_t i;
    json_t *v;
    json_array_foreach(j, i, v)
    {
        if (json_is_array(v) ? add_numbers(to, cap, v, key, e)
                             : mem_reserve(&to->v, cap, (size_t)to->n + 1, sizeof *to->v, e))
            return -1;
        if (json_is_array(v))
            continue;
        if (!json_is_number(v) && !json_is_null(v) && !json_is_boolean(v))
            return err_code(e, ERR_BAD_FILE, "'%s' must be an array of numbers", key);
        to->v[to->n++] = json_is_null(v)      ? NAN
                         : json_is_boolean(v) ? json_is_true(v)
                                              : json_number_value(v);
    }
    return 0;
}

int stats_numbers(struct numbers *to, const json_t *obj, const char *key, int least, struct err *e)
{
    const json_t *j = json_object_get(obj, key);
    size_t cap = 0;
    *to = (struct numbers){.rows = (int)json_array_size(j)};
    if (!json_is_array(j))
        return err_code(e, ERR_BAD_FILE, "'%s' is missing, or not an array", key);
    if (add_numbers(to, &cap, j, key, e))
        return -1;
    if (to->n < least)
        return err_code(e, ERR_BAD_FILE, "'%s' holds %d numbers, at least %d are needed", key,
                        to->n, least);
    return 0;
}

/* `n` values for each of `rows` rows. */
int stats_matrix(struct numbers *to, const json_t *obj, const char *key, int rows, int *n,
                 struct err *e)
{
    if (stats_numbers(to, obj, key, 1, e))
        return -1;
    if (to->rows != rows || to->n % rows || (*n && to->n != *n * rows))
        return err_code(e, ERR_BAD_FILE, "'%s' must have %d rows of equal length", key, rows);
    *n = to->n / rows;
    return 0;
}

json_t *stats_array(const double *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, json_finite(v[i]));
    return a;
}

static int find_kind(const char *name, const struct kind **found, struct err *e)
{
    const char *names[KINDS];
    for (int i = 0; i < KINDS; i++) {
        names[i] = kinds[i].name;
        if (!strcmp(name, kinds[i].name))
            *found = &kinds[i];
    }
    if (*found)
        return 0;
    const char *near = param_nearest(name, names, KINDS);
    return err_code(e, ERR_ARGUMENT, "unknown kind of statistics '%s'%s%s%s", name,
                    near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static int run(const struct args *args, void *options, struct err *e)
{
    const struct kind *kind = NULL;
    json_t *j = NULL;
    int rc = find_kind(args->words[0], &kind, e) || !(j = json_read_file(args->words[1], e));
    if (!rc && (rc = kind->complete(j, options, e)))
        err_prefix(e, "'%s': ", args->words[1]);
    rc = rc || command_print_json(j, JSON_INDENT(1), e);
    json_decref(j);
    return rc ? -1 : STATUS_DONE;
}

int cmd_stats(int argc, char **argv)
{
    struct stats_options o;
    char text[2048];
    size_t at = (size_t)snprintf(text, sizeof text, "%s", about);
    for (int i = 0; i < KINDS; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "  %-10s  %s\n", kinds[i].name,
                               kinds[i].help);
    struct args a = {.command = "stats",
                     .usage = "KIND FILE [options]",
                     .about = text,
                     .tables = {{"options", params, &o}},
                     .words_least = 2,
                     .words_most = 2};
    return args_run(&a, argc, argv, run, &o);
}
