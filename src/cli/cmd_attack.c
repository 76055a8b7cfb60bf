/* unlearn attack NAMES: attempts to bring back what a model was made to forget. */
#include <math.h>
#include <string.h>

#include "attack/attack.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/outdir.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/recording.h"
#include "cli/start.h"
#include "train/inputs.h"

struct options {
    struct attack_options attack;
    struct recording_options record;
    bool list, markdown, json, overwrite;
};

#define IN_ATTACK(f) offsetof(struct options, attack.f)
/* Without the rules of joined logits, since --rule is an attack's. */
static const struct param guards[] = {
    STRING_PARAM(struct guard_options, guard, NULL, "NAMES|FILE",
                 "guards in front of the unlearned model, NAME:PARAMETER=VALUE,... joined by +; "
                 "see 'unlearn guard'"),
    {0}};

static const struct param params[] = {
    {"retrained", PARAM_STRING, IN_ATTACK(retrained), 0, 0, NULL, NULL, "MODEL",
     "the control: a model that was never trained on what is to be forgotten"},
    {"target", PARAM_STRING, IN_ATTACK(target), 0, 0, NULL, NULL, "MODEL",
     "the model before unlearning"},
    {"forget", PARAM_STRING, IN_ATTACK(set[ATTACK_FORGET]), 0, 0, NULL, NULL, "FILE",
     "rows that should be forgotten"},
    {"retain", PARAM_STRING, IN_ATTACK(set[ATTACK_RETAIN]), 0, 0, NULL, NULL, "FILE",
     "rows that should be kept: what the attack does to utility"},
    {"holdout", PARAM_STRING, IN_ATTACK(set[ATTACK_HOLDOUT]), 0, 0, NULL, NULL, "FILE",
     "rows that no model was trained on: for attacks on membership"},
    {"question_key", PARAM_STRING, IN_ATTACK(question_key), 0, 0, NULL, "question", "KEY",
     "field of the prompt"},
    {"answer_key", PARAM_STRING, IN_ATTACK(answer_key), 0, 0, NULL, "answer", "KEY",
     "field of the answer"},
    {"seed", PARAM_INT, IN_ATTACK(seed), 0, UINT32_MAX, NULL, "0", NULL, "of all that is drawn"},
    {"out", PARAM_STRING, IN_ATTACK(out), 0, 0, NULL, NULL, "DIR",
     "attack.json and what else the attack writes; of several attacks DIR/NAME"},
    {"replay", PARAM_STRING, IN_ATTACK(replay), 0, 0, NULL, NULL, "DIR",
     "what gcg, prompt, relearn or sample wrote to its directory (candidates, prompts, order, "
     "answers), or noise.safetensors of noise, "
     "instead of drawing it; of several attacks DIR/NAME"},
    {"resume", PARAM_BOOL, IN_ATTACK(resume), 0, 0, NULL, "false", NULL,
     "go on with the interrupted attack in --out"},
    BOOL_PARAM(struct options, overwrite, false, "replace what is in --out"),
    BOOL_PARAM(struct options, json, false, "print the JSON instead of tables"),
    BOOL_PARAM(struct options, list, false, "print the attacks"),
    BOOL_PARAM(struct options, markdown, false, "of --list: the table of README.md"),
    {0}};

static const char about[] =
    "Attacks the model with one or more attacks, NAME,NAME, and prints "
    "what came back: the negative log-likelihood and\n"
    "the probability of the forget answers after the attack. Give the "
    "retrained model as the control: an attack that\n"
    "succeeds on it, too, shows nothing about forgetting; what counts is "
    "the excess. --list shows the attacks, the help\n"
    "with their NAMES the parameters. 'unlearn attack meta' rates metrics: which of "
    "them tell models that know from\n"
    "models that do not, also under attack.\n";

/* --- the list --- */

static void print_list(bool markdown)
{
    if (markdown)
        printf("| attack | what it does | touches | access | paper | verified against "
               "|\n|---|---|---|---|---|---|\n");
    for (int i = 0; attacks[i]; i++) {
        const struct attack *a = attacks[i];
        if (markdown)
            printf("| %s | %s | %s | %s | %s | %s |\n", a->name, a->help, a->touches, a->access,
                   a->paper ? a->paper : "", a->verified);
        else
            printf("%-12s  %s\n%-12s  touches: %s; access: %s%s%s\n", a->name, a->help, "",
                   a->touches, a->access, a->paper ? "; " : "", a->paper ? a->paper : "");
    }
}

/* --- the table --- */

static void print_value(const json_t *j, const char *model, const char *const *path, int depth)
{
    const json_t *v = json_object_get(j, model);
    for (int i = 0; i < depth; i++)
        v = json_object_get(v, path[i]);
    if (json_is_number(v))
        printf("  %10.4g", json_number_value(v));
    else
        printf("  %10s", "-");
}

enum { DEPTH = 4 };
static const char *const columns[] = {"target", "unlearned", "retrained", "excess"};

static void print_line(const json_t *j, const char *const *path, int depth)
{
    char name[96] = "";
    size_t at = 0;
    for (int i = 0; i < depth && at < sizeof name; i++)
        at += (size_t)snprintf(name + at, sizeof name - at, "%s%s", i ? " " : "", path[i]);
    printf("%-30s", name);
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
        print_value(j, columns[c], path, depth);
    putchar('\n');
}

/* A line for every figure, in the order in which the attack gave them; counts are in the JSON. */
static void print_lines(const json_t *j, json_t *block, const char **path, int depth)
{
    const char *key;
    json_t *v;
    json_object_foreach(block, key, v)
    {
        path[depth] = key;
        if (json_is_object(v) && depth + 1 < DEPTH)
            print_lines(j, v, path, depth + 1);
        else if (json_is_real(v) || (!depth && json_is_integer(v)))
            print_line(j, path, depth + 1);
    }
}

/* Curves over steps, of which a table shows the ends; the JSON has all. */
static void print_curves(const char *name, json_t *summary)
{
    static const struct {
        const char *key, *title;
    } ends[] = {{"start", "start"},
                {"end", "end"},
                {"recovery_end", "recovery"},
                {"steps_to_50", "50 % at"},
                {"excess_end", "excess"}};
    const char *setting, *set;
    json_t *sets, *v;
    printf("\n%-18s", name);
    for (size_t c = 0; c < sizeof ends / sizeof *ends; c++)
        printf("  %10s", ends[c].title);
    putchar('\n');
    json_object_foreach(summary, setting, sets) json_object_foreach(sets, set, v)
    {
        printf("%-9s%-9s", setting, set);
        for (size_t c = 0; c < sizeof ends / sizeof *ends; c++) {
            const json_t *x = json_object_get(v, ends[c].key);
            if (json_is_number(x))
                printf("  %10.4g", json_number_value(x));
            else
                printf("  %10s", "-");
        }
        putchar('\n');
    }
}

static void print_figures(const json_t *j)
{
    const char *path[DEPTH];
    printf("\n%-30s", json_string_value(json_object_get(j, "name")));
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
        printf("  %10s", columns[c]);
    putchar('\n');
    print_lines(j, json_object_get(j, "unlearned"), path, 0);
    const char *setting;
    json_t *v, *all = json_object_get(j, "recovery");
    if (json_object_size(all))
        printf("\n%-30s  %10s  %10s  %10s\n", "of the target's forget prob", "", "unlearned",
               "retrained");
    json_object_foreach(all, setting, v)
        printf("%-30s  %10s  %9.1f%%  %9.1f%%\n", setting, "",
               100 * json_number_value(json_object_get(v, "unlearned")),
               100 * json_number_value(json_object_get(v, "retrained")));
}

/* Figures of all models together. */
static void print_summary(const char *attack, json_t *summary)
{
    const char *key;
    char name[64];
    json_t *v;
    json_object_foreach(summary, key, v)
    {
        if (!json_is_number(v))
            continue;
        snprintf(name, sizeof name, "%s %s", attack, key);
        printf("%-30s  %10.4g\n", name, json_number_value(v));
    }
}

static void print_table(const json_t *j)
{
    json_t *summary = json_object_get(j, "summary");
    void *first = json_object_iter(summary);
    if (first && json_is_object(json_object_iter_value(first))) {
        print_curves(json_string_value(json_object_get(j, "name")), summary);
    } else {
        print_figures(j);
        print_summary(json_string_value(json_object_get(j, "name")), summary);
    }
}

/* --- the work --- */

struct chosen {
    struct choice *v; /* owned [n] */
    int n;
};

static int choose(struct chosen *c, const char *names, struct err *e)
{
    size_t cap = 0;
    for (const char *at = names; *at;) {
        char name[40];
        const size_t n = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), at);
        const struct attack *a = table_find(attacks, "attack", name, e);
        if (!a || mem_reserve(&c->v, &cap, (size_t)c->n + 1, sizeof *c->v, e))
            return -1;
        for (int i = 0; i < c->n; i++)
            if (c->v[i].row == a)
                return err_code(e, ERR_ARGUMENT, "attack '%s' is named twice", name);
        if (choice_init(&c->v[c->n++], a, NULL, e))
            return -1;
        at += n + (at[n] == ',');
    }
    return 0;
}

static char *directory_of(const char *dir, const struct attack *a, bool several, struct err *e)
{
    return file_join(dir, several ? a->name : "", e);
}

/* Its directories: --out and --replay, or of several attacks the folders with its name in them. */
static int open_directories(struct attack_options *how, const struct attack *a, bool several,
                            enum outdir_use use, struct outdir *dir, struct err *e)
{
    if (how->replay && !(how->replay = directory_of(how->replay, a, several, e)))
        return -1;
    return how->out && (!(how->out = directory_of(how->out, a, several, e)) ||
                        outdir_open(dir, how->out, use, e));
}

static int attack(const struct choice *c, const struct options *o, bool several,
                  const volatile sig_atomic_t *stop, struct err *e)
{
    const struct attack *a = c->row;
    struct attack_options how = o->attack;
    struct outdir dir = {0};
    struct err print = {.msg = ""};
    json_t *j = NULL;
    int rc = open_directories(&how, a, several,
                              how.resume     ? OUTDIR_CONTINUE
                              : o->overwrite ? OUTDIR_REPLACE
                                             : OUTDIR_EMPTY,
                              &dir, e) ||
             attack_all(a, c->params, &how, stop, &j, e);
    if (j && json_object_get(j, "unlearned") &&
        (o->json ? command_print_json(j, JSON_INDENT(1), &print) : (print_table(j), 0))) {
        *e = print;
        rc = -1;
    }
    outdir_close(&dir, rc != 0);
    json_decref(j);
    if (how.out != o->attack.out)
        free((char *)how.out);
    if (how.replay != o->attack.replay)
        free((char *)how.replay);
    return rc;
}

static int check(const struct options *o, const struct chosen *c, struct err *e)
{
    if (!c->n)
        return err_code(e, ERR_ARGUMENT, "no attack is named: --list shows them");
    if (!o->attack.setup.model)
        return err_about(e, "model", "an attack needs the unlearned model");
    if (o->attack.resume && !o->attack.out)
        return err_code(e, ERR_ARGUMENT, "--resume needs --out, the directory of the attack");
    for (int i = 0; !o->attack.set[ATTACK_FORGET] && i < c->n; i++) {
        const struct attack *a = c->v[i].row;
        char *text = NULL;
        if (a->rows && a->rows(c->v[i].params, &text, e))
            return -1;
        const bool there = text;
        free(text);
        if (!there)
            return err_about(e, "forget", "an attack needs forget data");
    }
    return 0;
}

/* --out is none of the inputs. */
static int check_out(const struct attack_options *a, struct err *e)
{
    struct inputs in = {0};
    int rc = setup_add_input(&in, a->setup.model, e) || setup_add_input(&in, a->setup.adapter, e) ||
             setup_add_input(&in, a->target, e) || setup_add_input(&in, a->retrained, e);
    for (int set = 0; set < ATTACK_SETS && !rc; set++)
        rc = inputs_add_rows(&in, a->set[set], e);
    rc = rc || (a->out && inputs_keep(&in, a->out, e));
    inputs_fini(&in);
    return rc;
}

static int run(const struct args *args, const struct options *o, const struct chosen *c,
               struct err *e)
{
    struct recording record;
    if (check_out(&o->attack, e) || recording_begin(&record, args, &o->record, e))
        return -1;
    int rc = 0;
    const volatile sig_atomic_t *stop =
        interrupt_catch("\ninterrupted: the current step is finished and the results so far are "
                        "written; --resume continues\n");
    for (int i = 0; i < c->n && !rc; i++)
        rc = attack(&c->v[i], o, c->n > 1, stop, e);
    recording_end(&record, rc ? e : NULL);
    return rc;
}

int cmd_attack(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "meta"))
        return cmd_meta(argc - 1, argv + 1);
    struct options o = {.attack.setup.guard.assist = NULL}; /* no option gives it, nor a rule */
    struct chosen c = {0};
    struct err e = {.msg = ""};
    struct args a = {.command = "attack",
                     .usage = "NAME[,NAME ...] --model UNLEARNED --forget FILE [options]",
                     .about = about,
                     .open = true,
                     .words_most = 1,
                     .tables = {{"options", params, &o},
                                {"ledger", recording_params, &o.record},
                                {"model and text", setup_params, &o.attack.setup},
                                {"conversations", chat_params, &o.attack.setup.chat},
                                {"guards", guards, &o.attack.setup.guard}}};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO && a.n_words && choose(&c, a.words[0], &e))
        status = args_usage(&a, &e);
    for (int i = 0; status == ARGS_GO && i < c.n; i++)
        if (choice_params(&c.v[i]))
            status = args_take(&a, choice_name(&c.v[i]), choice_params(&c.v[i]), c.v[i].params);
    if (status == ARGS_GO)
        status = args_finish(&a);
    if (status == ARGS_GO && o.list)
        print_list(o.markdown);
    else if (status == ARGS_GO && check(&o, &c, &e))
        status = args_usage(&a, &e);
    else if (status == ARGS_GO && run(&a, &o, &c, &e))
        status = args_fail(&a, &e);
    for (int i = 0; i < c.n; i++)
        choice_fini(&c.v[i]);
    free(c.v);
    args_fini(&a);
    return status == ARGS_GO ? STATUS_DONE : status;
}
