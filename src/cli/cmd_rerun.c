/* unlearn rerun: repeats a run of a ledger, and compares what it makes. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/version.h"
#include "cli/args.h"
#include "cli/command.h"
#include "run/ledger.h"
#include "tensor/ops.h"

struct options {
    const char *ledger, *out;
};

static const struct param params[] = {
    STRING_PARAM(struct options, ledger, "unlearn.db", "FILE",
                 "the ledger that has the run; the new one is added to it"),
    STRING_PARAM(struct options, out, NULL, "DIR", "where the repeated run writes; required"),
    {0},
};

static const char about[] =
    "Repeats a run with the options, the threads and the files that its ledger tells, writes to "
    "--out, and\n"
    "compares the files of both by their SHA-256. Inputs that changed since are an error. The exit "
    "status is\n"
    "3 where a file differs that should not: run.json, train.jsonl, attack.json, *_COST.json, "
    "card.json, card.txt\n"
    "and log.txt hold times.\n"
    "\n"
    "  unlearn rerun 3 --out again\n";

/* --- the run that is repeated --- */

/* Its inputs are what they were. */
static int check_inputs(const json_t *files, struct err *e)
{
    const char *path;
    json_t *hash;
    json_object_foreach((json_t *)files, path, hash)
    {
        char now[SHA256_TEXT];
        if (sha256_file(path, now, e))
            return -1;
        if (strcmp(now, json_string_value(hash)))
            return err_set(e,
                           "'%s' is not what the run read: its SHA-256 was %.12s..., now "
                           "%.12s...",
                           path, json_string_value(hash), now);
    }
    return 0;
}

/* Other arithmetic may give other bits. */
static void warn_of_machine(const json_t *run)
{
    const json_t *of = json_object_get(run, "about");
    const char *isa = json_string_value(json_object_get(of, "isa"));
    const char *version = json_string_value(json_object_get(of, "version"));
    if (isa && strcmp(isa, ops_cpu()->name))
        log_warn("the run used %s instructions, this machine has %s: bits may differ", isa,
                 ops_cpu()->name);
    if (version && strcmp(version, UNLEARN_VERSION))
        log_warn("the run is of version %s, this is %s", version, UNLEARN_VERSION);
}

/* Its options as a recipe in a temporary file, whose name is owned by the caller. */
static char *write_recipe(const json_t *run, const char *out, const char *ledger, struct err *e)
{
    const json_t *of = json_object_get(run, "about");
    json_t *options = json_copy(json_object_get(of, "options"));
    char *path = mem_strdup("/tmp/unlearn-rerun-XXXXXX", e);
    const int fd = path ? mkstemp(path) : -1;
    int rc = fd < 0 ? (path ? err_sys(e, "cannot write '%s'", path) : -1) : 0;
    if (fd >= 0)
        close(fd);
    if (!rc && (json_object_set_new(options, "out", json_string(out)) ||
                json_object_set_new(options, "ledger", json_string(ledger)) ||
                json_object_set(options, "threads", json_object_get(of, "threads"))))
        rc = err_no_memory(e, "recipe");
    rc = rc || json_write_file(options, path, JSON_INDENT(1), e);
    json_decref(options);
    if (!rc)
        return path;
    if (fd >= 0)
        unlink(path);
    free(path);
    return NULL;
}

enum { WORDS = 8 };

/* The command's exit status; STATUS_FAILED with an error if it was not begun. */
static int repeat(const json_t *run, const char *out, const char *ledger, struct err *e)
{
    const char *command = json_string_value(json_object_get(run, "command"));
    const json_t *words = json_object_get(json_object_get(run, "about"), "words");
    char *recipe = write_recipe(run, out, ledger, e);
    char *argv[WORDS + 4] = {(char *)command};
    int n = 1;
    if (!recipe)
        return STATUS_FAILED;
    for (size_t i = 0; i < json_array_size(words) && i < WORDS; i++)
        argv[n++] = (char *)json_string_value(json_array_get(words, i));
    argv[n++] = "--recipe";
    argv[n++] = recipe;
    const int status = command_run(command, n, argv);
    if (status)
        err_set(e, status < 0 ? "there is no command '%s'" : "the repeated '%s' failed", command);
    unlink(recipe);
    free(recipe);
    return status;
}

/* --- what it made --- */

static bool has_times(const char *path)
{
    static const char *const names[] = {"run.json",  "train.jsonl", "attack.json", "_COST.json",
                                        "card.json", "card.txt",    "log.txt"};
    const size_t n = strlen(path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (n >= strlen(names[i]) && !strcmp(path + n - strlen(names[i]), names[i]))
            return true;
    return false;
}

static int tell(json_t *before, json_t *after)
{
    const char *path;
    json_t *hash;
    int same = 0, differ = 0;
    json_object_foreach(before, path, hash)
    {
        if (has_times(path))
            continue;
        const char *now = json_string_value(json_object_get(after, path));
        if (now && !strcmp(now, json_string_value(hash))) {
            same++;
            continue;
        }
        printf("%s: %s\n", path, now ? "differs" : "was not made");
        differ++;
    }
    if (!differ)
        printf("bit-identical: %d files have the same SHA-256\n", same);
    else
        printf("%d of %d files differ\n", differ, differ + same);
    return differ ? STATUS_BOUND : STATUS_DONE;
}

/* The newest run that wrote to that directory. */
static int compare(const char *path, const json_t *run, const char *out, struct err *e)
{
    struct ledger l;
    int rc = ledger_open(&l, path, LEDGER_READ, e);
    json_t *runs = rc ? NULL : ledger_runs(&l, &(struct ledger_filter){.id = 0}, e);
    int64_t after = 0;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        const json_t *r = json_array_get(runs, i);
        if (!strcmp(json_string_value(json_object_get(r, "out")), out))
            after = json_integer_value(json_object_get(r, "id"));
    }
    json_t *made = runs ? ledger_files(&l, after, "artifact", e) : NULL;
    json_t *were =
        made ? ledger_files(&l, json_integer_value(json_object_get(run, "id")), "artifact", e)
             : NULL;
    rc = were ? tell(were, made) : -1;
    json_decref(runs);
    json_decref(made);
    json_decref(were);
    ledger_close(&l);
    return rc;
}

/* --- the command --- */

/* The run, once its inputs are checked, in the directory that it ran in. */
static json_t *find(const char *ledger, const char *word, struct err *e)
{
    struct ledger l;
    int64_t id;
    if (ledger_id(word, &id, e))
        return NULL;
    json_t *run = ledger_open(&l, ledger, LEDGER_READ, e) ? NULL : ledger_find(&l, id, e);
    json_t *inputs = run ? ledger_files(&l, id, "input", e) : NULL;
    ledger_close(&l);
    const char *cwd = json_string_value(json_object_get(json_object_get(run, "about"), "cwd"));
    int rc = !inputs ||
             (cwd && *cwd && chdir(cwd) && err_sys(e, "cannot enter '%s', where it ran", cwd));
    rc = rc || check_inputs(inputs, e);
    json_decref(inputs);
    if (!rc)
        return run;
    json_decref(run);
    return NULL;
}

static int work(const struct args *a, void *options, struct err *e)
{
    const struct options *o = options;
    if (!o->out)
        return err_about(e, "no_out", "a repeated run needs a directory");
    char *ledger = file_absolute(o->ledger, e), *out = ledger ? file_absolute(o->out, e) : NULL;
    json_t *run = out ? find(ledger, a->words[0], e) : NULL;
    int status = STATUS_FAILED;
    if (run) {
        warn_of_machine(run);
        status = repeat(run, out, ledger, e);
        if (status == STATUS_DONE)
            status = compare(ledger, run, out, e);
    }
    json_decref(run);
    free(ledger);
    free(out);
    return status;
}

int cmd_rerun(int argc, char **argv)
{
    struct options o;
    struct args a = {.command = "rerun",
                     .usage = "RUN --out DIR [options]",
                     .about = about,
                     .words_least = 1,
                     .words_most = 1,
                     .tables = {{"options", params, &o}}};
    return args_run(&a, argc, argv, work, &o);
}
