/* Command lines, parsed against parameter tables (base/param.h).
 *
 *     --name VALUE, --name=VALUE   any row of the tables; dashes and underscores are the same
 *     --name, --no-name            rows of type bool
 *     --set NAME=VALUE             the same as --NAME=VALUE
 *     --recipe FILE                an object of the same names in JSON or YAML, a run.json, or a
 *                                  configuration of OpenUnlearning; flags override it
 *     --preset NAME                settings of a published experiment; recipes override it
 *     --print-recipe               all options as a recipe
 *     --quiet, --help              of every command
 *     --                           ends the options; all else is a positional word
 *
 * A command with fixed tables fills a struct args, calls args_parse and is ready. A command whose
 * tables depend on an option (the rows of a method) sets `open`: names that no table has yet are
 * then kept; args_take hands them to further tables, and args_finish refuses what nobody took.
 * Messages go to standard error as `unlearn CMD: message`.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/param.h"

enum {
    ARGS_GO = -1, /* go on; every other value is the exit status to return */
    ARGS_TABLES = 24
};

struct args_setting {
    const char *name; /* owned */
    const char *text; /* borrowed from argv or a literal */
};

struct args {
    const char *command;                    /* "diff" */
    const char *usage;                      /* what stands after it: "A B [options]" */
    const char *about;                      /* prose of the help, complete lines */
    struct param_table tables[ARGS_TABLES]; /* up to a row without params */
    int words_least, words_most;            /* positional words wanted */
    bool open;
    const struct param_preset *presets;   /* borrowed; applied after the tables' defaults */
    const struct param_preset *preset[2]; /* likewise, then; those of --preset */

    /* Filled by args_parse. */
    const char **words; /* owned array, borrowed words */
    int n_words;
    json_t *recipe;       /* owned; NULL: none. String fields borrow from it until args_fini */
    bool recipe_is_whole; /* it records every option of some run: those of others are left out */
    bool print_recipe;
    struct args_setting *settings; /* owned, in the order given */
    size_t n_settings;
    const char *compat; /* borrowed value of the option, once a table with it is read: names the
                         * defaults of later tables that it changes (base/compat.h) */
    bool help;
};

/* Sets every table to its defaults, then to the recipe, then to the flags. ARGS_GO or an exit
 * status: the help was printed (unless `open`), or the line is wrong. args_fini is due in every
 * case. */
int args_parse(struct args *a, int argc, char **argv);
/* The same for one more table of an open command. */
int args_take(struct args *a, const char *title, const struct param *params, void *obj);
/* Whether an option is given, on the command line or in a recipe. */
bool args_has(const struct args *a, const char *name);
/* Prints the help if asked for; refuses names that no table has. */
int args_finish(struct args *a);
/* Every option of every table with its value, as a new object. */
json_t *args_values(const struct args *a);
void args_fini(struct args *a);

/* All of a command whose tables are complete: args_parse, the work with the options that the tables
 * fill in, args_fail and args_fini. The work returns STATUS_DONE or STATUS_BOUND; any other value
 * is a failure (`a(e) || b(e)` is 1, not -1), whose error is printed. */
typedef int args_work(const struct args *a, void *options, struct err *e);
int args_run(struct args *a, int argc, char **argv, args_work *work, void *options);

/* Print `unlearn CMD: message`; return STATUS_USAGE with a hint at the help, or STATUS_FAILED. */
int args_usage(const struct args *a, const struct err *e);
int args_fail(const struct args *a, const struct err *e);

#endif
