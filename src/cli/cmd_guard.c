/* unlearn guard: the table of guards. */
#include <string.h>

#include "cli/args.h"
#include "cli/command.h"
#include "guard/guard.h"

struct options {
    bool list, markdown;
};

static const struct param params[] = {
    BOOL_PARAM(struct options, list, false, "print all guards"),
    BOOL_PARAM(struct options, markdown, false,
               "with --list: as a table, with what each was verified against"),
    {0}};

static const char about[] =
    "Guards stand between a model and who sends prompts to it, and leave its weights as they are: "
    "they\n"
    "change the prompt or its embeddings, the next token's logits, or answer instead of the model. "
    "Without\n"
    "NAME all are listed; with it, its parameters. Commands that answer or score take them:\n"
    "\n"
    "    unlearn generate --model M --guard prefix:target='Isaac Newton' \"Who found gravity?\"\n"
    "    unlearn eval --model M --forget F --guard prefix:target=X+output-filter:texts=F\n"
    "\n"
    "Parameters are NAME:PARAMETER=VALUE,PARAMETER=VALUE; a comma or + within a value has a "
    "backslash before\n"
    "it. 'unlearn guard train --help' is about classifiers. Who has the weights gets past every "
    "guard\n"
    "(doc/guards.md).\n";

static const char *text_of(const char *text)
{
    return text ? text : "";
}

static void print_list(bool markdown)
{
    if (markdown)
        printf("| guard | what it does | formula | access | time | paper | verified against |\n"
               "|---|---|---|---|---|---|---|\n");
    else
        command_wrap_begin();
    for (int i = 0; guards[i]; i++) {
        const struct guard *g = guards[i];
        if (markdown)
            printf("| %s | %s | %s | %s | %s | %s | %s |\n", g->name, g->help, g->formula,
                   g->access, g->cost, text_of(g->paper), g->verified);
        else
            printf("%-14s  %s (%s; %s)%s%s\n", g->name, g->help, g->access, g->cost,
                   g->paper ? "; " : "", text_of(g->paper));
    }
    if (!markdown)
        command_wrap_end();
}

static void print_row(const struct guard *g)
{
    command_wrap_begin();
    printf("%s: %s\n\n  formula    %s\n  access     %s\n  time       %s\n", g->name, g->help,
           g->formula, g->access, g->cost);
    if (g->paper)
        printf("  paper      %s\n", g->paper);
    printf("  verified   %s\n\n", g->verified);
    command_wrap_end();
    if (g->params)
        param_help(g->params, stdout);
}

int cmd_guard(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "train"))
        return cmd_guard_train(argc - 1, argv + 1);
    struct options o;
    struct err e = {.msg = ""};
    const struct guard *g = NULL;
    struct args a = {.command = "guard",
                     .usage = "[NAME] [options] | train ...",
                     .about = about,
                     .open = true,
                     .words_most = 1,
                     .tables = {{"options", params, &o}}};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO && a.n_words && !(g = table_find(guards, "guard", a.words[0], &e)))
        status = args_usage(&a, &e);
    if (status == ARGS_GO && g && a.help)
        print_row(g), status = STATUS_DONE;
    if (status == ARGS_GO)
        status = args_finish(&a);
    if (status == ARGS_GO && g)
        print_row(g);
    else if (status == ARGS_GO)
        print_list(o.markdown);
    args_fini(&a);
    return status == ARGS_GO ? STATUS_DONE : status;
}
