/* unlearn methods [NAME]: the table of methods, or one of them in full. */
#include <string.h>
#include <strings.h>

#include "cli/args.h"
#include "cli/command.h"
#include "run/data.h"
#include "run/procedure.h"
#include "influence/updates.h"
#include "locate/locators.h"
#include "methods/method.h"
#include "objectives/terms.h"
#include "optim/optims.h"
#include "train/weighting.h"
#include "train/wrapper.h"

struct options {
    bool json, markdown, terms;
};

static const struct param params[] = {
    BOOL_PARAM(struct options, json, false, "print one JSON array"),
    BOOL_PARAM(struct options, markdown, false, "print the table of README.md"),
    BOOL_PARAM(struct options, terms, false,
               "print the table of terms, for --forget-term, --retain-term and --extra-term"),
    {0},
};

static const char about[] = "Without a name: the table of methods. With one: its formula and all "
                            "parameters with range and default.\n"
                            "A method is gamma * forget term + alpha * retain term; every part can "
                            "be overridden by options of\n"
                            "'unlearn forget'.\n";

/* A term, and whose data it uses. */
struct use {
    const struct term *term;
    const void *params; /* borrowed; NULL: it uses no helper model */
    enum role role;
};

enum { MOST_USES = 2 * PART_COUNT + WRAPPER_MAX_EXTRAS };

struct uses {
    struct use v[MOST_USES];
    int n;
};

/* What the row presets for the option, or NULL. */
static const char *preset_of(const struct method *m, const char *option)
{
    for (const struct param_preset *p = m->presets; p && p->name; p++)
        if (!strcmp(p->name, option))
            return p->value;
    return NULL;
}

static void add_parts(struct uses *l, const struct recipe *r)
{
    for (int i = 0; i < PART_COUNT; i++)
        if (r->part[i].row)
            l->v[l->n++] = (struct use){r->part[i].row, r->part[i].params,
                                        recipe_role(r, (enum recipe_place)i)};
}

static int add_wrapper(struct uses *l, const struct method *m, struct err *e)
{
    const char *name = preset_of(m, "wrapper");
    struct wrapping w = {0};
    int rc = name ? wrapping_choose(&w, name, e) : 0;
    const struct wrapper *row = wrapping_row(&w);
    if (!rc && row && row->params)
        rc = param_apply_presets(row->params, w.chosen.params, m->presets, e);
    for (int k = 0; !rc && row && k < WRAPPER_MAX_EXTRAS && row->extra[k].term; k++) {
        const struct term *t = term_by_name(row->extra[k].term, e);
        if (!t)
            rc = -1;
        else if (!row->weight || row->weight(w.chosen.params, k) != 0)
            l->v[l->n++] = (struct use){t, NULL, row->extra[k].role};
    }
    wrapping_fini(&w);
    return rc;
}

static void add_word(char *text, size_t n, const char *word)
{
    size_t at = strlen(text);
    if (!strstr(text, word))
        snprintf(text + at, n - at, "%s%s", at ? ", " : "", word);
}

static void write_uses(const struct uses *l, char *text, size_t n)
{
    text[0] = 0;
    for (int i = 0; i < l->n; i++)
        add_word(text, n, view_name[l->v[i].term->kind]);
    for (int i = 0; i < l->n; i++) {
        const struct use *k = &l->v[i];
        if (k->term->needs_ref)
            add_word(text, n, "reference");
        const bool logits = k->params && k->term->kind == VIEW_LOGITS;
        for (int h = 0; logits && h < TERM_MAX_HELPERS && k->term->logits.helpers[h]; h++)
            add_word(text, n, k->term->logits.helpers[h]);
        if (k->params && term_uses_helper(k->term, k->params, "new"))
            add_word(text, n, "new");
        if (k->role != ROLE_FORGET && k->role != ROLE_RETAIN)
            add_word(text, n, role_name[k->role]);
        if (k->term->n_views > 1)
            add_word(text, n,
                     role_name[k->role == ROLE_RETAIN ? ROLE_RETAIN_ALTERNATE : ROLE_ALTERNATE]);
    }
}

/* The steps before a method's own training, at its defaults. */
static int steps_of(struct procedure *p, const struct recipe *r, struct err *e)
{
    const char *first = preset_of(r->method, "first");
    return procedure_of(p, r, first ? first : "none", e);
}

/* What a method needs, in words: "logits, logp, reference, alternate". Views of what the model
 * computes, other models, roles of data that are neither forget nor retain; of its terms, of its
 * wrapper, and of the step that it starts with. A row at its defaults (recipe_open). */
static int write_needs(const struct recipe *r, char *text, size_t n, struct err *e)
{
    struct procedure p;
    struct recipe before = {0};
    struct uses l = {.n = 0};
    add_parts(&l, r);
    int rc = add_wrapper(&l, r->method, e) || steps_of(&p, r, e);
    for (int k = 0; !rc && k < p.n; k++)
        if (p.step[k].row->first && p.step[k].row->method) {
            rc = recipe_open(&before, p.step[k].row->method, e);
            add_parts(&l, &before);
            break;
        }
    if (!rc)
        write_uses(&l, text, n);
    recipe_fini(&before);
    return rc;
}

/* With the method's own defaults. */
static void print_params(const struct method *m, const struct param *table)
{
    const struct param_preset *const presets[] = {m->presets, NULL};
    param_help_preset(table, presets, stdout);
}

static void print_term(const struct method *m, const char *what, const struct term *t)
{
    printf("\n%s term: %s%s%s\n    %s\n", what, t->name, t->paper ? ", " : "",
           t->paper ? t->paper : "", t->formula);
    if (t->params)
        print_params(m, t->params);
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

static void print_steps(const struct recipe *r)
{
    struct err e;
    struct procedure p;
    BUG_ON(steps_of(&p, r, &e));
    for (int k = 0; k < p.n; k++) {
        printf("\nstage before training: %s, unless --%s is given:\n", p.step[k].row->help,
               p.step[k].row->instead);
        param_help(p.step[k].row->params, stdout);
    }
    const char *last = preset_of(r->method, "last");
    if (last && !strcmp(last, "negate")) {
        printf("\nat the end, unless --last none is given: theta - scale (trained - theta)\n");
        param_help(negate_params, stdout);
    }
}

/* What a method does instead of training. */
static void print_update(const struct recipe *r)
{
    const struct update *u = r->update.row;
    if (!u)
        return;
    printf("\none step instead of training: %s\n    %s\n", u->help, u->formula);
    print_params(r->method, u->params);
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
        printf("term weights: %s (%s)\n", w->formula, w->paper);
}

/* The wrapper and the locator that it comes with, and what makes data that have no file. */
static void print_parts(const struct method *m, const char *needs)
{
    struct err e = {.msg = ""};
    const struct wrapper *w = NULL;
    const char *locate = preset_of(m, "locate"), *wrapper = preset_of(m, "wrapper");
    if (wrapper && !wrapper_by_name(wrapper, &w, &e) && w) {
        printf("\nwrapper: %s, %s\n    %s\n", w->name, w->paper, w->formula);
        print_params(m, w->params);
    }
    if (locate) {
        printf("\nwhich weights move: %s\n", locate);
        print_params(m, locator_by_name(locate, &e)->params);
    }
    if (strstr(needs, role_name[ROLE_ALTERNATE])) {
        printf("\nalternate answers:\n");
        print_params(m, alternate_params);
    }
    if (strstr(needs, role_name[ROLE_GENERIC])) {
        printf("\ngeneric text:\n");
        print_params(m, generic_params);
    }
}

/* What removes data, or bounds what a model holds of them, by another command than forget. */
static const struct {
    const char *name, *help, *command, *paper, *verified;
} elsewhere[] = {
    {"SISA", "shards and slices; a deletion trains again only what has seen the row",
     "train --shards, sisa, verify", "arXiv 1912.03817",
     "the bytes of a training without the rows; the counts of its authors' code"},
    {"SISA-A", "SISA by one adapter a shard on a frozen model",
     "train --shards --locate lora --save-adapter", "arXiv 2212.09573",
     "the bytes of a training without the rows"},
    {"Replay", "the order without the rows, repeated from the last checkpoint before them",
     "train --keep-every, sisa", "-", "the bytes of that order over data without the rows"},
    {"CertifiedHead", "Newton removal from a logistic head, with a certificate", "head",
     "arXiv 1911.03030", "the authors' code in f64, and the retrained head"},
    {"DP-SGD", "no row has much influence: clipped gradients and noise", "train --dp, account",
     "arXiv 1607.00133", "opacus: norms, factors, epsilon; each row's gradient"},
};

/* Whether it is one of them, which is then explained. */
static bool explain_elsewhere(const char *name)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        if (strcasecmp(name, elsewhere[i].name))
            continue;
        command_wrap_begin();
        printf("%s (exact family, %s)\n%s\n\nby other commands: unlearn %s; doc/exact.md\n"
               "verified against: %s\n",
               elsewhere[i].name, elsewhere[i].paper, elsewhere[i].help, elsewhere[i].command,
               elsewhere[i].verified);
        command_wrap_end();
        return true;
    }
    return false;
}

static int print_one(const char *name, struct err *e)
{
    struct recipe r;
    char needs[96];
    if (recipe_open(&r, name, e) || write_needs(&r, needs, sizeof needs, e)) {
        recipe_fini(&r);
        return -1;
    }
    const struct method *m = r.method;
    command_wrap_begin();
    printf("%s (%s family, %s)\n%s\n\n", m->name, m->family, m->paper, m->help);
    print_sum(&r);
    print_weighting(m);
    printf("needs: %s\nverified against: %s\n", needs, m->verified);
    printf("loss on forget data: %s\n", method_forgets(m) ? "meant to rise" : "left open");
    for (int i = 0; i < PART_COUNT; i++)
        if (r.part[i].row)
            print_term(m, place_name[i], r.part[i].row);
    print_update(&r);
    print_parts(m, needs);
    print_steps(&r);
    printf("\nparameters of all methods:\n");
    print_params(m, method_params);
    print_params(m, weighting_params);
    command_wrap_end();
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
    json_object_set_new(j, "update",
                        r->update.row ? json_string(choice_name(&r->update)) : json_null());
    struct err e;
    struct procedure p;
    BUG_ON(steps_of(&p, r, &e));
    json_t *before = json_array();
    for (int k = 0; k < p.n; k++)
        json_array_append_new(before, json_string(p.step[k].row->name));
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
static const char plain_row[] = "%-14s  %s%s%s%s (%s, %s; %s)\n";
static const char markdown_row[] = "| %s | %s | %s | %s | %s | %s | %s |\n";

static void print_row(const struct method *m, const char *needs, bool markdown)
{
    char defaults[256];
    defaults_text(m, defaults, sizeof defaults);
    const char *open = *defaults ? " [" : "", *close = *defaults ? "]" : "";
    if (!markdown) {
        printf(plain_row, m->name, m->help, open, defaults, close, m->family, m->paper, needs);
        return;
    }
    for (char *c = defaults; *c; c++)
        if (*c == '|')
            *c = '/'; /* it would end the cell */
    printf(markdown_row, m->name, m->family, m->paper, needs, m->help, defaults, m->verified);
}

static void print_elsewhere(bool markdown)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (markdown)
            printf(markdown_row, elsewhere[i].name, "exact", elsewhere[i].paper,
                   elsewhere[i].command, elsewhere[i].help, "", elsewhere[i].verified);
        else
            printf(plain_row, elsewhere[i].name, elsewhere[i].help, "", "", "", "exact",
                   elsewhere[i].paper, elsewhere[i].command);
}

static int print_all(const struct options *o, struct err *e)
{
    json_t *list = json_array();
    int rc = 0;
    if (o->markdown)
        printf(markdown_row, "method", "family", "paper", "needs", "what it does", "its defaults",
               "verified against");
    else if (!o->json)
        command_wrap_begin();
    if (!o->markdown && !o->json)
        printf(plain_row, "method", "what it does", " [", "its defaults", "]", "family", "paper",
               "needs");
    if (o->markdown)
        puts("|---|---|---|---|---|---|---|");
    for (const struct method *m = methods; m->name && !rc; m++) {
        struct recipe r;
        char needs[96];
        rc = recipe_open(&r, m->name, e) || write_needs(&r, needs, sizeof needs, e) ? -1 : 0;
        if (!rc && o->json)
            json_array_append_new(list, row_json(&r, needs));
        else if (!rc)
            print_row(m, needs, o->markdown);
        recipe_fini(&r);
    }
    if (!o->json)
        print_elsewhere(o->markdown);
    if (!o->markdown && !o->json)
        command_wrap_end();
    if (o->json && !rc) {
        json_dumpf(list, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(list);
    return rc;
}

static void print_terms(void)
{
    command_wrap_begin();
    printf("%-19s%-7s  %s\n", "term", "view", "formula (paper)");
    for (int i = 0; terms[i]; i++)
        printf("%-19s%-7s  %s%s%s%s\n", terms[i]->name, view_name[terms[i]->kind],
               terms[i]->formula, terms[i]->paper ? " (" : "",
               terms[i]->paper ? terms[i]->paper : "", terms[i]->paper ? ")" : "");
    command_wrap_end();
}

static int run(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    if (o->terms) {
        print_terms();
        return STATUS_DONE;
    }
    if (a->n_words && explain_elsewhere(a->words[0]))
        return STATUS_DONE;
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
