#include "cli/recording.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "tensor/ops.h"

const struct param recording_params[] = {
    STRING_PARAM(struct recording_options, ledger, NULL, "FILE|none",
                 "SQLite file that records the run, for 'unlearn runs'; without it unlearn.db in "
                 "the directory that --out is in"),
    INT_PARAM(struct recording_options, within, 0, 9.0e15, 0,
              "number of the run in the ledger that this one is a step of; 0: none"),
    {0},
};

static char *parent_of(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    char *dir = mem_strdup(slash == path ? "/" : path, e);
    if (dir && slash != path)
        dir[slash - path] = 0;
    return dir;
}

/* A new object, or NULL. */
static json_t *describe(const struct args *a, json_t *options)
{
    char cwd[PATH_MAX] = "";
    json_t *words = json_array();
    for (int i = 0; i < a->n_words; i++)
        json_array_append_new(words, json_string(a->words[i]));
    json_object_del(options, "overwrite");
    json_object_del(options, "resume");
    json_object_del(options, "within");
    return json_pack("{s:O, s:o, s:s, s:s, s:s, s:i}", "options", options, "words", words, "cwd",
                     getcwd(cwd, sizeof cwd) ? cwd : "", "version", UNLEARN_VERSION, "isa",
                     ops_cpu()->name, "threads", ops_threads());
}

static const char *text_of(const json_t *options, const char *key)
{
    return json_string_value(json_object_get(options, key));
}

/* What was chosen by name. */
static const char *method_of(const struct args *a, const json_t *options)
{
    const char *method = text_of(options, "method");
    return method ? method : a->n_words ? a->words[0] : text_of(options, "suite");
}

static int begin(struct recording *r, const struct args *a, const char *path, json_t *options,
                 int64_t within, struct err *e)
{
    const char *from = text_of(options, "model");
    char *model = from && file_exists(from) ? file_absolute(from, e) : NULL;
    json_t *about = describe(a, options);
    r->fresh = !file_exists(path);
    int rc = about ? ledger_open(&r->ledger, path, LEDGER_CREATE, e) : err_no_memory(e, "ledger");
    const struct ledger_entry entry = {.command = a->command,
                                       .out = r->out,
                                       .model = model ? model : from,
                                       .method = method_of(a, options),
                                       .within = within,
                                       .about = about};
    rc = rc || ledger_begin(&r->ledger, &entry, e);
    json_decref(about);
    free(model);
    return rc;
}

char *recording_place(const char *out, struct err *e)
{
    char *absolute = file_absolute(out, e), *parent = absolute ? parent_of(absolute, e) : NULL;
    char *path = parent ? file_join(parent, "unlearn.db", e) : NULL;
    free(absolute);
    free(parent);
    return path;
}

/* The default place; NULL: there can be none, as the work will tell when it makes --out. */
static char *default_place(struct recording *r)
{
    struct err told, *e = &told;
    char *parent = parent_of(r->out, e), *path = NULL;
    const bool there = parent && file_exists(parent);
    if (parent && (there ? file_is_dir(parent) : !file_make_dir(parent, e)))
        path = file_join(parent, "unlearn.db", e);
    if (path && !there)
        r->made = parent;
    else
        free(parent);
    return path;
}

/* Nothing of it stays. */
static void forget_it(struct recording *r)
{
    struct err ignored;
    char *path = mem_strdup(r->ledger.path, &ignored);
    ledger_delete(&r->ledger, r->ledger.run, &ignored);
    json_t *left = ledger_runs(&r->ledger, &(struct ledger_filter){.id = 0}, &ignored);
    const bool empty = left && !json_array_size(left);
    json_decref(left);
    ledger_close(&r->ledger);
    if (path && empty && r->fresh)
        unlink(path);
    if (r->made)
        rmdir(r->made);
    free(path);
}

static void fini(struct recording *r)
{
    ledger_close(&r->ledger);
    free(r->out);
    free(r->made);
    *r = (struct recording){.why_not = {.msg = ""}};
}

int recording_begin_in(struct recording *r, const struct args *a, const struct recording_options *o,
                       const char *dir, struct err *e)
{
    *r = (struct recording){.why_not = {.msg = ""}};
    json_t *options = args_values(a);
    const char *out = dir ? dir : text_of(options, "out");
    struct stat st;
    const bool special = out && !stat(out, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    const bool off = !out || special || (o->ledger && !strcmp(o->ledger, "none")) ||
                     json_is_true(json_object_get(options, "dry_run"));
    int rc = 0;
    if (!off) {
        r->out = file_absolute(out, e);
        char *path = !r->out ? NULL : o->ledger ? mem_strdup(o->ledger, e) : default_place(r);
        rc = path ? begin(r, a, path, options, o->within, e) : r->out && !o->ledger ? 0 : -1;
        free(path);
    }
    if (rc) {
        fini(r);
        if (!o->ledger && (e->code == ERR_ACCESS || e->code == ERR_NO_SPACE)) {
            r->why_not = *e;
            rc = 0;
        }
    }
    json_decref(options);
    return rc;
}

int recording_begin(struct recording *r, const struct args *a, const struct recording_options *o,
                    struct err *e)
{
    return recording_begin_in(r, a, o, NULL, e);
}

int recording_inputs(struct recording *r, const struct inputs *in, struct err *e)
{
    if (!r->ledger.db || !in)
        return 0;
    json_t *files = inputs_hash(in, e);
    int rc = files ? ledger_inputs(&r->ledger, files, e) : -1;
    json_decref(files);
    return rc;
}

void recording_end(struct recording *r, const struct err *failed)
{
    struct err e = {.msg = ""};
    const char *status = !failed                           ? "finished"
                         : failed->code == ERR_INTERRUPTED ? "interrupted"
                                                           : "failed";
    if (*r->why_not.msg && !failed)
        log_warn("the run is not recorded: %s", r->why_not.msg);
    if (r->ledger.db) {
        int rc = ledger_end(&r->ledger, r->out, status, failed ? failed->msg : NULL, &e);
        json_t *files = rc ? NULL : ledger_files(&r->ledger, r->ledger.run, "artifact", &e);
        if (files && !json_object_size(files))
            forget_it(r);
        else if (!files && !failed)
            log_warn("the outcome of the run is not recorded: %s", e.msg);
        json_decref(files);
    }
    fini(r);
}
