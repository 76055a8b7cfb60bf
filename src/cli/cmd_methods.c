/* unlearn methods [NAME]: the table of methods, or one of them in full. */
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "run/generic.h"
#include "cli/method_needs.h"
#include "locate/locators.h"
#include "methods/stage.h"
#include "objectives/terms.h"
#include "optim/optims.h"
#include "train/weighting.h"

struct options {
    bool json, markdown, terms;
};

static const struct param params[] = {
    {"json", PARAM_BOOL, offsetof(struct options, json), 0, 0, NULL, NULL, NULL,
     "print one JSON array"},
    {"markdown", PARAM_BOOL, offsetof(struct options, markdown), 0, 0, NULL, NULL, NULL,
     "print the table of README.md"},
    {"terms", PARAM_BOOL, offsetof(struct options, terms), 0, 0, NULL, NULL, NULL,
     "print the table of terms, for --forget-term, --retain-term and --extra-term"},
    {0},
};

static const char about[] = "Without a name: the table of methods. With one: its formula and every "
                            "parameter with range and default.\n"
                            "A method is gamma * forget term + alpha * retain term; every part can "
                            "be overridden by options of\n"
                            "'unlearn forget'.\n";

static void print_term(const char *what, const struct term *t)
{
    printf("\n%s term: %s%s%s\n    %s\n", what, t->name, t->paper ? ", " : "",
           t->paper ? t->paper : "", t->formula);
    if (t->params)
        param_help(t->params, stdout);
}

/* "loss = gamma * forget term + ..." */
static void print_sum(const struct recipe *r)
{
    static const char *const weights[] = {"gamma", "alpha", "extra_weight"};
    const char *before = "loss = ";
    for (int i = 0; i < PART_COUNT; i++)
        if (r->part[i].row) {
            printf("%s%s * %s term", before, weights[i], place_name[i]);
            before = " + ";
        }
    printf("%s\n", r->p.l1 > 0 ? " + l1 * sum |w|" : "");
}

/* What the method runs before its own training. */
static bool has_stage(const struct recipe *r, const struct stage *s)
{
    const struct stage *first = NULL;
    struct err ignored;
    const char *name = method_preset(r->method, "first");
    if (name)
        stage_by_name(name, &first, &ignored);
    return stage_is_needed(s, r, first);
}

static void print_stages(const struct recipe *r)
{
    for (int k = 0; k < STAGE_COUNT; k++)
        if (has_stage(r, &stages[k])) {
            printf("\nbefore it, %s, unless %s is given:\n", stages[k].help, stages[k].instead);
            param_help(stages[k].params, stdout);
        }
}

/* How gamma and alpha move, where they do. */
static void print_weighting(const struct method *m)
{
    struct err e = {.msg = ""};
    struct weighting_options o;
    param_defaults(weighting_params, &o);
    BUG_ON(param_apply_presets(weighting_params, &o, m->presets, &e));
    const struct weighting *w = weighting_of(&o);
    if (w)
        printf("weights over the run: %s (%s)\n", w->formula, w->paper);
}

/* The wrapper and the locator that it comes with, and what makes data that have no file. */
static void print_parts(const struct method *m, const char *needs)
{
    struct err e = {.msg = ""};
    const struct wrapper *w = NULL;
    const char *locate = method_preset(m, "locate"), *wrapper = method_preset(m, "wrapper");
    if (wrapper && !wrapper_by_name(wrapper, &w, &e) && w) {
        printf("\nwrapper: %s, %s\n    %s\n", w->name, w->paper, w->formula);
        param_help(w->params, stdout);
    }
    if (locate) {
        printf("\nwhich weights move: %s\n", locate);
        param_help(locator_by_name(locate, &e)->params, stdout);
    }
    if (strstr(needs, role_name[ROLE_ALTERNATE])) {
        printf("\nalternate answers:\n");
        param_help(alternate_params, stdout);
    }
    if (strstr(needs, role_name[ROLE_GENERIC])) {
        printf("\nnormal text:\n");
        param_help(generic_params, stdout);
    }
}

static int print_one(const char *name, struct err *e)
{
    struct recipe r;
    char needs[96];
    if (recipe_open(&r, name, e) || method_needs(&r, needs, sizeof needs, e)) {
        recipe_fini(&r);
        return -1;
    }
    const struct method *m = r.method;
    printf("%s (%s family, %s)\n%s\n\n", m->name, m->family, m->paper, m->help);
    print_sum(&r);
    print_weighting(m);
    printf("needs: %s\nverified against: %s\n", needs, m->verified);
    printf("loss on forget data: %s\n", method_forgets(m) ? "meant to rise" : "left open");
    for (int i = 0; i < PART_COUNT; i++)
        if (r.part[i].row)
            print_term(place_name[i], r.part[i].row);
    print_parts(m, needs);
    print_stages(&r);
    printf("\nof every method:\n");
    param_help(method_params, stdout);
    param_help(weighting_params, stdout);
    for (const struct param_preset *p = m->presets; p && p->name; p++)
        printf("here %s is %s by default\n", p->name, p->value);
    recipe_fini(&r);
    return 0;
}

static json_t *row_json(const struct recipe *r, const char *needs)
{
    const struct method *m = r->method;
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name", m->name, "family", m->family, "paper",
                  m->paper, "help", m->help, "needs", needs, "verified", m->verified);
    for (int i = 0; i < PART_COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_term", place_name[i]);
        json_object_set_new(j, name,
                            r->part[i].row ? json_string(choice_name(&r->part[i])) : json_null());
    }
    json_t *before = json_array();
    for (int k = 0; k < STAGE_COUNT; k++)
        if (has_stage(r, &stages[k]))
            json_array_append_new(before, json_string(stages[k].name));
    json_object_set_new(j, "stages", before);
    return j;
}

/* "gamma=0.1 alpha=0.5": what the row has otherwise than the tables. */
static void defaults_text(const struct method *m, char *text, size_t n)
{
    text[0] = 0;
    for (const struct param_preset *p = m->presets; p && p->name; p++) {
        size_t at = strlen(text);
        snprintf(text + at, n - at, "%s%s=%s", at ? " " : "", p->name, p->value);
    }
}

/* The layouts of a row of the table, and of its first line. */
static const char plain_row[] = "%-14s %-14s %-16s %-38s %s%s%s%s\n";
static const char markdown_row[] = "| %s | %s | %s | %s | %s | %s | %s |\n";

static void print_row(const struct method *m, const char *needs, bool markdown)
{
    char defaults[256];
    defaults_text(m, defaults, sizeof defaults);
    const char *open = *defaults ? " [" : "", *close = *defaults ? "]" : "";
    if (!markdown) {
        printf(plain_row, m->name, m->family, m->paper, needs, m->help, open, defaults, close);
        return;
    }
    for (char *c = defaults; *c; c++)
        if (*c == '|')
            *c = '/'; /* it would end the cell */
    printf(markdown_row, m->name, m->family, m->paper, needs, m->help, defaults, m->verified);
}

static int print_all(const struct options *o, struct err *e)
{
    json_t *list = json_array();
    int rc = 0;
    if (o->markdown)
        printf(markdown_row, "method", "family", "paper", "needs", "what it does", "its defaults",
               "verified against");
    else if (!o->json)
        printf(plain_row, "method", "family", "paper", "needs", "what it does", " [",
               "its defaults", "]");
    if (o->markdown)
        puts("|---|---|---|---|---|---|---|");
    for (const struct method *m = methods; m->name && !rc; m++) {
        struct recipe r;
        char needs[96];
        rc = recipe_open(&r, m->name, e) || method_needs(&r, needs, sizeof needs, e) ? -1 : 0;
        if (!rc && o->json)
            json_array_append_new(list, row_json(&r, needs));
        else if (!rc)
            print_row(m, needs, o->markdown);
        recipe_fini(&r);
    }
    if (o->json && !rc) {
        json_dumpf(list, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(list);
    return rc;
}

static void print_terms(void)
{
    printf("%-18s %-7s %-17s %s\n", "term", "view", "paper", "formula");
    for (int i = 0; terms[i]; i++)
        printf("%-18s %-7s %-17s %s\n", terms[i]->name, view_name[terms[i]->kind],
               terms[i]->paper ? terms[i]->paper : "", terms[i]->formula);
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    if (o->terms) {
        print_terms();
        return STATUS_DONE;
    }
    return a->n_words ? print_one(a->words[0], e) : print_all(options, e);
}

int cmd_methods(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "methods",
                     .usage = "[NAME] [--json | --markdown | --terms]",
                     .about = about,
                     .tables = {{"options", params, &o}},
                     .words_most = 1};
    return args_run(&a, argc, argv, run, &o);
}
