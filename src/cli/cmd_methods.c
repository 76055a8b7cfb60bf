/* unlearn methods [NAME]: the table of methods, or one of them in full. */
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "methods/method.h"
#include "objectives/terms.h"

struct options {
    bool json;
};

static const struct param params[] = {
    {"json", PARAM_BOOL, offsetof(struct options, json), 0, 0, NULL, NULL, NULL,
     "print one JSON array"},
    {0},
};

static const char about[] = "Without a name: the table of methods. With one: its formula and every "
                            "parameter with range and default.\n"
                            "A method is gamma * forget term + alpha * retain term; every part can "
                            "be overridden by options of\n"
                            "'unlearn forget'.\n";

static const char *const view_names[] = {
    [VIEW_LOGP] = "logp", [VIEW_LOGITS] = "logits", [VIEW_HIDDEN] = "hidden"};

static int open_recipe(struct recipe *r, const struct method *m, struct err *e)
{
    *r = (struct recipe){.method = m};
    param_defaults(method_params, &r->p);
    if (param_apply_presets(method_params, &r->p, m->presets, e))
        return -1;
    return recipe_choose_terms(r, e);
}

/* "logp, reference, alternate" */
static void needs_text(const struct recipe *r, char *text, size_t n)
{
    const struct term *t[] = {r->forget, r->retain};
    bool ref = false, alternate = !strcmp(r->p.forget_role, "alternate");
    text[0] = 0;
    for (int i = 0; i < 2; i++) {
        if (!t[i])
            continue;
        const char *view = view_names[t[i]->kind];
        if (!strstr(text, view)) {
            size_t at = strlen(text);
            snprintf(text + at, n - at, "%s%s", at ? ", " : "", view);
        }
        ref = ref || t[i]->needs_ref;
        alternate = alternate || t[i]->n_views > 1;
    }
    size_t at = strlen(text);
    snprintf(text + at, n - at, "%s%s", ref ? ", reference" : "", alternate ? ", alternate" : "");
}

static void print_term(const char *what, const struct term *t)
{
    printf("\n%s term: %s%s%s\n    %s\n", what, t->name, t->paper ? ", " : "",
           t->paper ? t->paper : "", t->formula);
    if (t->params)
        param_help(t->params, stdout);
}

static int print_one(const char *name, struct err *e)
{
    struct recipe r;
    char needs[64];
    const struct method *m = method_by_name(name, e);
    if (!m)
        return -1;
    if (open_recipe(&r, m, e)) {
        recipe_fini(&r);
        return -1;
    }
    needs_text(&r, needs, sizeof needs);
    printf("%s (%s family, %s)\n%s\n\nloss = %s%s%s\nneeds: %s\n", m->name, m->family, m->paper,
           m->help, r.forget ? "gamma * forget term" : "", r.forget && r.retain ? " + " : "",
           r.retain ? "alpha * retain term" : "", needs);
    if (r.forget)
        print_term("forget", r.forget);
    if (r.retain)
        print_term("retain", r.retain);
    printf("\nof every method:\n");
    param_help(method_params, stdout);
    for (const struct param_preset *p = m->presets; p && p->name; p++)
        printf("here %s is %s by default\n", p->name, p->value);
    recipe_fini(&r);
    return 0;
}

static int print_all(bool json, struct err *e)
{
    json_t *list = json_array();
    int rc = 0;
    if (!json)
        printf("%-14s %-14s %-18s %-34s %s\n", "method", "family", "paper", "needs",
               "what it does");
    for (const struct method *m = methods; m->name && !rc; m++) {
        struct recipe r;
        char needs[64];
        if (!(rc = open_recipe(&r, m, e))) {
            needs_text(&r, needs, sizeof needs);
            if (json)
                json_array_append_new(
                    list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:s?}", "name", m->name,
                                    "family", m->family, "paper", m->paper, "help", m->help,
                                    "needs", needs, "forget_term", r.forget ? r.forget->name : NULL,
                                    "retain_term", r.retain ? r.retain->name : NULL));
            else
                printf("%-14s %-14s %-18s %-34s %s\n", m->name, m->family, m->paper, needs,
                       m->help);
        }
        recipe_fini(&r);
    }
    if (json && !rc) {
        json_dumpf(list, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(list);
    return rc;
}

int cmd_methods(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "methods",
                     .usage = "[NAME] [--json]",
                     .about = about,
                     .tables = {{"options", params, &o}},
                     .words_most = 1};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO) {
        struct err e;
        int rc = a.n_words ? print_one(a.words[0], &e) : print_all(o.json, &e);
        status = rc ? args_fail(&a, &e) : STATUS_DONE;
    }
    args_fini(&a);
    return status;
}
