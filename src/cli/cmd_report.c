/* unlearn report [NAME=]LOG ...: compare evaluation logs of several models in one table. */
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "report/report.h"

struct options {
    const char *suite, *before, *retrained;
    bool difference, json, csv, markdown;
};

static const struct param params[] = {
    STRING_PARAM(struct options, before, NULL, "NAME",
                 "the model before unlearning, a column: measure of what is kept (default: target "
                 "or before)"),
    STRING_PARAM(struct options, retrained, NULL, "NAME",
                 "the retrained model, a column: measure of what is forgotten (default: retrained, "
                 "retain or gold)"),
    BOOL_PARAM(struct options, difference, false,
               "the difference to the first model in place of intervals"),
    STRING_PARAM(struct options, suite, NULL, "NAME|FILE",
                 "a suite of your own whose logs are compared; built-in ones need no --suite"),
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    BOOL_PARAM(struct options, csv, false, "print comma-separated values, unrounded"),
    BOOL_PARAM(struct options, markdown, false, "print a Markdown table"),
    {0}};

static const char about[] =
    "Prints one table: a column for each model, a row for each metric that any log has, named as "
    "in the logs, with its 95 % interval; * marks the best value of a row, among the models that "
    "are neither a measure nor broken. Below it, in words: is it forgotten, is the rest kept, is "
    "the model like the retrained one, is it broken; and what each model cost.\n"
    "A log is a directory with X_EVAL.json, X_SUMMARY.json, X_TABLE.json, X_COST.json of any "
    "suite, or one such file, written by this program or by OpenUnlearning. Directories joined by "
    "+, or the same NAME again, are one column. Without a NAME a column is named after the "
    "directory.\n\n"
    "  unlearn report target=runs/target retrained=runs/gold npo=runs/npo+runs/npo_mmlu\n";

static int write_report(struct report *r, const struct options *o, struct buf *out, struct err *e)
{
    const struct report_style style = {.table = o->markdown ? TABLE_MARKDOWN : TABLE_PLAIN,
                                       .width = o->markdown ? 0 : command_width(),
                                       .difference = o->difference};
    if (report_judge(r, o->before, o->retrained, e))
        return -1;
    return o->json  ? report_write_json(r, out, e)
           : o->csv ? report_write_csv(r, out, e)
                    : report_write(r, &style, out, e);
}

struct all_options {
    struct options o;
    struct report r;
};

static int run(const struct args *a, void *options, struct err *e)
{
    struct all_options *all = options;
    struct suite_recipe own = {0};
    struct buf out = {0};
    int rc = 0;
    if (all->o.suite && !(rc = suite_recipe_open(&own, all->o.suite, e)))
        all->r.own = &own;
    for (int i = 0; i < a->n_words && !rc; i++)
        rc = report_add(&all->r, a->words[i], e);
    rc = rc || write_report(&all->r, &all->o, &out, e);
    if (!rc)
        fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
    report_fini(&all->r);
    suite_recipe_close(&own);
    return rc;
}

int cmd_report(int argc, char **argv)
{
    struct all_options all = {.r = {.n = 0}};
    struct args a = {.command = "report",
                     .usage = "[NAME=]LOG ... [options]",
                     .about = about,
                     .tables = {{"options", params, &all.o},
                                {"thresholds of the verdict", verdict_params, &all.r.limits}},
                     .words_least = 1,
                     .words_most = 64};
    return args_run(&a, argc, argv, run, &all);
}
