#include "cli/args.h"

#include <string.h>

#include "base/compat.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "cli/command.h"
#include "cli/openunlearning.h"

struct common {
    const char *recipe, *preset;
    bool print_recipe, quiet, help;
};

#define COMMON(field) offsetof(struct common, field)
static const struct param common_params[] = {
    {"recipe", PARAM_STRING, COMMON(recipe), 0, 0, NULL, NULL, "FILE",
     "options from a JSON or YAML object, a run.json or a configuration of OpenUnlearning; flags "
     "override it"},
    {"print_recipe", PARAM_BOOL, COMMON(print_recipe), 0, 0, NULL, NULL, NULL,
     "print all options as a recipe, and do nothing else"},
    {"quiet", PARAM_BOOL, COMMON(quiet), 0, 0, NULL, NULL, NULL,
     "no notes and no progress: warnings and results only"},
    {"help", PARAM_BOOL, COMMON(help), 0, 0, NULL, NULL, NULL, "this text"},
    {0}};

/* Of commands that have presets. */
static const struct param preset_params[] = {
    {"preset", PARAM_STRING, COMMON(preset), 0, 0, NULL, NULL, "NAME",
     "settings of published experiments as defaults: ou-tofu, ou-muse, ou-wmdp"},
    {0}};

static int n_tables(const struct args *a)
{
    int n = 0;
    while (n < ARGS_TABLES && a->tables[n].params)
        n++;
    return n;
}

static const struct param *find(const struct args *a, const char *name)
{
    const struct param *p = param_find(common_params, name);
    if (!p && preset_is_for(a->command))
        p = param_find(preset_params, name);
    for (int i = 0; !p && i < n_tables(a); i++)
        p = param_find(a->tables[i].params, name);
    return p;
}

/* "no-name" of a bool called name. */
static const struct param *negated(const struct param *params, const char *name)
{
    if (strncmp(name, "no-", 3) && strncmp(name, "no_", 3))
        return NULL;
    const struct param *p = param_find(params, name + 3);
    return p && p->type == PARAM_BOOL ? p : NULL;
}

static const struct param *find_negated(const struct args *a, const char *name)
{
    const struct param *p = negated(common_params, name);
    for (int i = 0; !p && i < n_tables(a); i++)
        p = negated(a->tables[i].params, name);
    return p;
}

static int refuse(const struct args *a, const char *name, struct err *e)
{
    const char *names[256];
    int n = 0;
    for (const struct param *p = common_params; p->name; p++)
        names[n++] = p->name;
    for (int i = 0; i < n_tables(a); i++)
        for (const struct param *p = a->tables[i].params; p->name && n < 256; p++)
            names[n++] = p->name;
    char flag[PARAM_NAME_MOST + 1];
    const char *theirs = ou_option(name);
    const char *near = theirs && find(a, theirs) ? theirs : param_nearest(name, names, n);
    if (near)
        return err_set(e, "unknown option '%s': did you mean '%s'?", name, param_flag(near, flag));
    return err_set(e, "unknown option '%s'", name);
}

static int add_setting(struct args *a, const char *name, size_t n, const char *text, struct err *e)
{
    char *copy = mem_strndup(name, n, e);
    if (!copy)
        return -1;
    a->settings[a->n_settings++] = (struct args_setting){copy, text};
    return 0;
}

/* One option at argv[0]; *used counts the strings it took. */
static int read_option(struct args *a, char **argv, int argc, int *used, struct err *e)
{
    const char *name = argv[0] + 2, *text = NULL, *next = argc > 1 ? argv[1] : NULL;
    *used = 1;
    if (!strcmp(argv[0], "-h"))
        name = "help";
    bool set = !strcmp(name, "set") && next;
    if (set) {
        name = next;
        *used = 2;
    }
    size_t n = strcspn(name, "=");
    if (name[n])
        text = name + n + 1;
    else if (set)
        return err_set(e, "--set needs NAME=VALUE, not '%s'", name);
    if (text)
        return add_setting(a, name, n, text, e);
    const struct param *p = find(a, name), *negated = p ? NULL : find_negated(a, name);
    if (negated)
        return add_setting(a, negated->name, strlen(negated->name), "false", e);
    if (!p && !a->open)
        return refuse(a, name, e);
    bool takes_value = p ? p->type != PARAM_BOOL : next && strncmp(next, "--", 2);
    if (takes_value && !next)
        return err_set(e, "--%s needs a value", name);
    *used += takes_value;
    return add_setting(a, name, n, takes_value ? next : "true", e);
}

static int read_line(struct args *a, int argc, char **argv, struct err *e)
{
    a->words = mem_alloc((size_t)argc, sizeof *a->words, e);
    a->settings = mem_alloc((size_t)argc, sizeof *a->settings, e);
    if (!a->words || !a->settings)
        return -1;
    bool options = true;
    for (int i = 1, used; i < argc; i += used) {
        used = 1;
        if (options && !strcmp(argv[i], "--"))
            options = false;
        else if (!options || (strncmp(argv[i], "--", 2) && strcmp(argv[i], "-h")))
            a->words[a->n_words++] = argv[i];
        else if (read_option(a, argv + i, argc - i, &used, e))
            return -1;
    }
    return 0;
}

/* Sets it as the command line does, whose errors name the option. */
static int set_flag(const struct param *p, void *obj, const char *text, struct err *e)
{
    char flag[PARAM_NAME_MOST + 1];
    struct param named = *p;
    named.name = param_flag(p->name, flag);
    return param_set_text(&named, obj, text, e) ? err_prefix(e, "--") : 0;
}

static int apply(struct args *a, const struct param *params, void *obj, struct err *e)
{
    param_defaults(params, obj);
    if (param_apply_presets(params, obj, a->presets, e) ||
        param_apply_presets(params, obj, a->preset[0], e) ||
        param_apply_presets(params, obj, a->preset[1], e))
        return -1;
    compat_apply(a->compat, params, obj);
    const char *key;
    json_t *value;
    json_object_foreach(a->recipe, key, value)
    {
        const struct param *p = param_find(params, key);
        if (p && param_set_json(p, obj, value, e))
            return err_prefix(e, "recipe: ");
    }
    for (size_t i = 0; i < a->n_settings; i++) {
        const char *name = a->settings[i].name;
        const struct param *p = param_find(params, name), *off = p ? NULL : negated(params, name);
        if ((p && set_flag(p, obj, a->settings[i].text, e)) ||
            (off && set_flag(off, obj, "false", e)))
            return -1;
    }
    const struct param *compat = param_find(params, "compat");
    if (compat)
        memcpy(&a->compat, (const char *)obj + compat->offset, sizeof a->compat);
    return 0;
}

/* What a run.json recorded, without how that run dealt with its output. */
static json_t *recorded(json_t *run, const char *command, struct err *e)
{
    const char *of = json_string_value(json_object_get(run, "command"));
    if (of && strcmp(of, command)) {
        err_set(e, "it is the record of 'unlearn %s'", of);
        return NULL;
    }
    json_t *options = json_incref(json_object_get(run, "options"));
    static const char *const own[] = {"out", "resume", "overwrite", "json", "dry_run"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        json_object_del(options, own[i]);
    return options;
}

static int take_recipe(struct args *a, json_t *file, const char *path, struct err *e)
{
    if (!json_is_object(file))
        return err_set(e, "the recipe '%s' is not a json object", path);
    const bool run = json_is_object(json_object_get(file, "options"));
    a->recipe_is_whole = run || ou_is_config(file);
    a->recipe = ou_is_config(file) ? ou_options(file, a->command, e)
                : run              ? recorded(file, a->command, e)
                                   : json_incref(file);
    return a->recipe ? 0 : err_prefix(e, "recipe '%s': ", path);
}

static int read_recipe(struct args *a, const char *path, struct err *e)
{
    const char *ending = strrchr(path, '.');
    const bool yaml = ending && (!strcmp(ending, ".yaml") || !strcmp(ending, ".yml"));
    json_t *file = yaml ? yaml_read_file(path, e) : json_read_file(path, e);
    int rc = file ? take_recipe(a, file, path, e) : -1;
    json_decref(file);
    return rc;
}

static int parse(struct args *a, int argc, char **argv, struct err *e)
{
    struct common common;
    if (read_line(a, argc, argv, e) || apply(a, common_params, &common, e) ||
        apply(a, preset_params, &common, e))
        return -1;
    a->help = common.help;
    a->print_recipe = common.print_recipe;
    log_set_quiet(common.quiet);
    if (common.recipe && read_recipe(a, common.recipe, e))
        return -1;
    if (!common.preset)
        common.preset = json_string_value(json_object_get(a->recipe, "preset"));
    if (common.preset && preset_is_for(a->command) &&
        preset_find(common.preset, a->command, a->preset, e))
        return -1;
    for (int i = 0; i < n_tables(a); i++)
        if (apply(a, a->tables[i].params, a->tables[i].obj, e))
            return -1;
    return 0;
}

int args_parse(struct args *a, int argc, char **argv)
{
    struct err e = {.msg = ""};
    if (parse(a, argc, argv, &e))
        return args_usage(a, &e);
    return a->open ? ARGS_GO : args_finish(a);
}

int args_take(struct args *a, const char *title, const struct param *params, void *obj)
{
    int n = n_tables(a);
    BUG_ON(n == ARGS_TABLES);
    a->tables[n] = (struct param_table){title, params, obj};
    struct err e = {.msg = ""};
    return apply(a, params, obj, &e) ? args_usage(a, &e) : ARGS_GO;
}

bool args_has(const struct args *a, const char *name)
{
    bool found = json_object_get(a->recipe, name);
    const struct param one[] = {{.name = name}, {0}};
    for (size_t i = 0; i < a->n_settings && !found; i++)
        found = param_find(one, a->settings[i].name);
    return found;
}

static void print_help(const struct args *a)
{
    const struct param_preset *all[] = {a->presets, a->preset[0], a->preset[1]}, *presets[4] = {0};
    for (int i = 0, n = 0; i < 3; i++)
        if (all[i])
            presets[n++] = all[i];
    command_wrap_begin();
    printf("usage: unlearn %s %s\n\n", a->command, a->usage);
    command_print_prose(a->about);
    for (int i = 0; i < n_tables(a); i++) {
        printf("\n%s:\n", a->tables[i].title);
        param_help_preset(a->tables[i].params, presets, stdout);
    }
    if (preset_is_for(a->command)) {
        printf("\npresets:\n");
        param_help(preset_params, stdout);
    }
    printf("\ncommon options:\n");
    param_help(common_params, stdout);
    printf("  --set NAME=VALUE              the same as --NAME=VALUE\n");
    command_wrap_end();
}

/* A word of Hydra's command line: trainer.args.learning_rate=1e-5. */
static bool is_theirs(const char *word)
{
    const char *equals = strchr(word, '=');
    return equals && equals > word;
}

static int refuse_theirs(const struct args *a, const char *word, struct err *e)
{
    char name[128], flag[PARAM_NAME_MOST + 1];
    const int n = (int)strcspn(word, "=");
    snprintf(name, sizeof name, "%.*s", n, word + (*word == '+'));
    const char *option = ou_option(name);
    if (!option || !find(a, option))
        return err_set(e, "unexpected word '%s': options are --name VALUE or --name=VALUE", word);
    return err_set(e, "unexpected word '%s': did you mean '--%s %s'?", word,
                   param_flag(option, flag), word + n + 1);
}

/* Options that a recipe of another method, suite or command recorded: one line. */
static void tell_left_out(const struct args *a)
{
    char names[300] = "";
    const char *key;
    json_t *value;
    json_object_foreach(a->recipe, key, value) if (!find(a, key))
    {
        const size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", key);
    }
    if (*names)
        log_note("recipe: not used here: %s", names);
}

static int check_names(const struct args *a, struct err *e)
{
    for (size_t i = 0; i < a->n_settings; i++)
        if (!find(a, a->settings[i].name) && !find_negated(a, a->settings[i].name))
            return refuse(a, a->settings[i].name, e);
    const char *key;
    json_t *value;
    json_object_foreach(a->recipe, key, value) if (!find(a, key) && !a->recipe_is_whole)
    {
        refuse(a, key, e);
        return err_prefix(e, "recipe: ");
    }
    for (int i = a->words_most; i < a->n_words; i++)
        if (is_theirs(a->words[i]))
            return refuse_theirs(a, a->words[i], e);
    if (a->n_words < a->words_least || a->n_words > a->words_most)
        return err_set(e, "%s: usage is %s %s",
                       a->n_words < a->words_least ? "too few words" : "too many words", a->command,
                       a->usage);
    return 0;
}

/* Without what is not set. */
static int print_recipe(const struct args *a)
{
    json_t *all = args_values(a), *value;
    const char *key;
    void *next;
    struct buf text = {0};
    struct err e = {.msg = ""};
    json_object_foreach_safe(all, next, key, value) if (json_is_null(value))
        json_object_del(all, key);
    int rc = all ? json_write_buf(all, &text, JSON_INDENT(2), &e) : err_no_memory(&e, "recipe");
    if (!rc)
        puts(text.data);
    buf_fini(&text);
    json_decref(all);
    return rc ? args_fail(a, &e) : STATUS_DONE;
}

int args_finish(struct args *a)
{
    if (a->help) {
        print_help(a);
        return STATUS_DONE;
    }
    struct err e = {.msg = ""};
    if (check_names(a, &e))
        return args_usage(a, &e);
    tell_left_out(a);
    return a->print_recipe ? print_recipe(a) : ARGS_GO;
}

json_t *args_values(const struct args *a)
{
    json_t *all = json_object();
    for (int i = 0; i < n_tables(a); i++)
        for (const struct param *p = a->tables[i].params; p->name; p++)
            json_object_set_new(all, p->name, param_get_json(p, a->tables[i].obj));
    return all;
}

void args_fini(struct args *a)
{
    for (size_t i = 0; i < a->n_settings; i++)
        free((char *)a->settings[i].name);
    free(a->settings);
    free(a->words);
    json_decref(a->recipe);
    a->settings = NULL;
    a->words = NULL;
    a->recipe = NULL;
    a->n_settings = 0;
}

int args_run(struct args *a, int argc, char **argv, args_work *work, void *options)
{
    int status = args_parse(a, argc, argv);
    if (status == ARGS_GO) {
        struct err e = {.msg = ""};
        status = work(a, options, &e);
        if (status != STATUS_DONE && status != STATUS_BOUND)
            status = args_fail(a, &e);
    }
    args_fini(a);
    return status;
}
