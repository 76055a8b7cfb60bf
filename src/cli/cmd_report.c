/* unlearn report [NAME=]RUN ...: compare models by their evaluation logs, in one table or on one
 * page; the share of a mask. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/command.h"
#include "locate/mask_file.h"
#include "report/mask_share.h"
#include "report/page.h"
#include "report/report.h"
#include "run/model_name.h"

struct options {
    const char *suite, *before, *retrained, *mask, *model, *out, *ledger;
    int64_t examples;
    bool difference, json, csv, markdown, latex;
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
    STRING_PARAM(struct options, out, NULL, "FILE",
                 "write the report as one HTML page, which needs no other file and no network"),
    INT_PARAM(struct options, examples, 0, 1000, 6,
              "rows of each model that the page shows before and after"),
    STRING_PARAM(struct options, ledger, "unlearn.db", "FILE",
                 "the ledger that numbers of runs are of"),
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    BOOL_PARAM(struct options, csv, false, "print comma-separated values, unrounded"),
    BOOL_PARAM(struct options, markdown, false, "print a Markdown table"),
    BOOL_PARAM(struct options, latex, false, "print a LaTeX table (booktabs)"),
    {0}};

static const char about[] =
    "Prints one table: a column for each model, a row for each metric that any log has, named as "
    "in the logs, with its 95 % interval; * marks the best value of a row, among the models that "
    "are neither a measure nor broken. Below it, in words: is it forgotten, is the rest kept, is "
    "the model like the retrained one, is it broken; and what each model cost.\n"
    "A log is a directory with X_EVAL.json, X_SUMMARY.json, X_TABLE.json, X_COST.json of any "
    "suite, or one such file, written by this program or by OpenUnlearning. RUN is such a log, the "
    "directory of a run or of a request, or the number of a run in the ledger, with what was "
    "measured of its model. Directories joined by "
    "+, or the same NAME again, are one column. Without a NAME a column is named after the "
    "directory.\n"
    "--out writes all of it on one HTML page, with the card of a request, charts, rows before and "
    "after, the data and the commands.\n"
    "--mask prints a heat map: percent of the weights that are kept, by layer and kind, from ' ' "
    "(none) to @ (the largest share of a layer's matrix).\n\n"
    "  unlearn report target=runs/target 3 5 --out report.html\n"
    "  unlearn report --mask mask.safetensors --model target\n"
    "  unlearn report target=runs/target retrained=runs/gold npo=runs/npo+runs/npo_mmlu\n";

static int write_report(struct report *r, const struct options *o, struct buf *out, struct err *e)
{
    const struct report_style style = {.table = o->markdown ? TABLE_MARKDOWN
                                                : o->latex  ? TABLE_LATEX
                                                            : TABLE_PLAIN,
                                       .width = o->markdown || o->latex ? 0 : command_width(),
                                       .difference = o->difference};
    return o->json  ? report_write_json(r, out, e)
           : o->csv ? report_write_csv(r, out, e)
                    : report_write(r, &style, out, e);
}

/* The page in its file, of which a line tells. */
static int write_page(const struct report *r, const struct options *o, struct buf *out,
                      struct err *e)
{
    struct buf page = {0};
    int rc = page_write(r, (int)o->examples, &page, e) ||
             file_write(o->out, page.data, page.len, e) || buf_printf(out, e, "%s\n", o->out);
    buf_fini(&page);
    return rc;
}

/* The number of a run, and the name before it; 0: the word is no "[NAME=]NUMBER". */
static int64_t run_number(const char *word, size_t *name)
{
    const char *equals = strchr(word, '='), *at = equals ? equals + 1 : word;
    *name = equals ? (size_t)(equals - word) : 0;
    const bool digits = *at && at[strspn(at, "0123456789")] == '\0' && strlen(at) < 18;
    return digits && !file_exists(at) ? strtoll(at, NULL, 10) : 0;
}

/* A word of the command line: logs, or a run of the ledger, which is opened once. */
static int add_word(struct report *r, struct ledger *l, const struct options *o, const char *word,
                    struct err *e)
{
    size_t n;
    const int64_t id = run_number(word, &n);
    if (!id)
        return report_add(r, word, e);
    char *name = n ? mem_strndup(word, n, e) : NULL;
    int rc = n && !name ? -1 : l->db ? 0 : ledger_open(l, o->ledger, LEDGER_READ, e);
    rc = rc || report_add_run(r, l, name, id, e);
    free(name);
    return rc ? -1 : 0;
}

static int write_all(struct report *r, const struct options *o, struct buf *out, struct err *e)
{
    const bool table = !o->out || o->json || o->csv || o->markdown || o->latex;
    return report_judge(r, o->before, o->retrained, e) || (o->out && write_page(r, o, out, e)) ||
           (table && write_report(r, o, out, e));
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
    struct ledger ledger = {.run = 0};
    struct buf out = {0};
    int rc = 0;
    if (all->o.mask && a->n_words && (all->o.json || all->o.csv))
        return err_set(e, "a mask's shares and a table are two results: give --mask alone");
    if (all->o.mask && !(rc = write_mask(&all->o, &out, e)) && a->n_words)
        rc = buf_str(&out, "\n", e);
    if (!rc && all->o.suite && !(rc = suite_recipe_open(&own, all->o.suite, e)))
        all->r.own = &own;
    for (int i = 0; i < a->n_words && !rc; i++)
        rc = add_word(&all->r, &ledger, &all->o, a->words[i], e);
    if (!rc && a->n_words)
        rc = write_all(&all->r, &all->o, &out, e);
    if (!rc)
        fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
    report_fini(&all->r);
    ledger_close(&ledger);
    suite_recipe_close(&own);
    return rc;
}

int cmd_report(int argc, char **argv)
{
    struct all_options all = {.r = {.n = 0}};
    struct args a = {.command = "report",
                     .usage = "[NAME=]RUN ... [options]",
                     .about = about,
                     .tables = {{"options", params, &all.o},
                                {"thresholds of the verdict", verdict_params, &all.r.limits}},
                     .words_most = 256};
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
