/* unlearn report [NAME=]LOG ...: compare evaluation logs of several models in one table; the share
 * of a mask. */
#include <stdio.h>
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "locate/mask_file.h"
#include "report/mask_share.h"
#include "report/report.h"
#include "run/model_name.h"

struct options {
    const char *suite, *before, *retrained, *mask, *model;
    bool difference, json, csv, markdown;
};

static const struct param params[] = {
    STRING_PARAM(struct options, before, NULL, "NAME",
                 "the model before unlearning, a column: measure of what is kept (default: target "
                 "or before)"),
    STRING_PARAM(struct options, retrained, NULL, "NAME",
                 "the retrained model, a column: measure of what is forgotten (default: retrained, "
                 "retain or gold)"),
    STRING_PARAM(struct options, mask, NULL, "FILE",
                 "draw the share that a mask of 'unlearn locate' keeps of each layer and kind of "
                 "weight, instead of or before the table"),
    STRING_PARAM(struct options, model, NULL, "MODEL", "the model that the mask is of"),
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
    "directory.\n"
    "--mask prints a heat map: percent of the weights that are kept, by layer and kind, from ' ' "
    "(none) to @ (the largest share of a layer's matrix).\n\n"
    "  unlearn report --mask mask.safetensors --model target\n"
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

/* --- the heat map of a mask --- */

static int write_share(const struct mask_share *s, const struct options *o, struct buf *out,
                       struct err *e)
{
    if (!o->json)
        return buf_printf(out, e, "%s: keeps %.4g %% of %.0f weights\n", o->mask,
                          100 * s->sum.kept / s->sum.all, s->sum.all) ||
               mask_share_write(s, true, out, e);
    json_t *j = mask_share_json(s);
    const int rc = j ? json_write_buf(j, out, JSON_INDENT(1), e) || buf_str(out, "\n", e)
                     : err_no_memory(e, "the mask's shares");
    json_decref(j);
    return rc;
}

static int write_mask(const struct options *o, struct buf *out, struct err *e)
{
    struct model m = {0};
    struct model_name name = {0};
    struct mask_share s = {0};
    uint64_t *bits = NULL;
    if (!o->model)
        return err_about(e, "model", "a mask is of a model, which is not given");
    int rc = model_name_find(&name, o->model, e) || model_open_header(&m, name.path, e) ||
             mask_load(&m, &bits, o->mask, e) || mask_share_count(&s, &m, bits, e) ||
             write_share(&s, o, out, e);
    mask_share_fini(&s);
    free(bits);
    model_close(&m);
    model_name_fini(&name);
    return rc;
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
    if (all->o.mask && a->n_words && (all->o.json || all->o.csv))
        return err_set(e, "a mask's shares and a table are two results: give --mask alone");
    if (all->o.mask && !(rc = write_mask(&all->o, &out, e)) && a->n_words)
        rc = buf_str(&out, "\n", e);
    if (!rc && all->o.suite && !(rc = suite_recipe_open(&own, all->o.suite, e)))
        all->r.own = &own;
    for (int i = 0; i < a->n_words && !rc; i++)
        rc = report_add(&all->r, a->words[i], e);
    if (!rc && a->n_words)
        rc = write_report(&all->r, &all->o, &out, e);
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
                     .words_most = 64};
    struct err e = {.msg = ""};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO && !a.n_words && !all.o.mask) {
        err_set(&e, "too few words: give evaluation logs, or --mask FILE");
        status = args_usage(&a, &e);
    }
    if (status == ARGS_GO)
        status = run(&a, &all, &e) ? args_fail(&a, &e) : STATUS_DONE;
    args_fini(&a);
    return status;
}
