#include "run/state.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "train/checkpoint.h"
#include "train/loop.h"

static const char record_name[] = "run.json", log_name[] = "train.jsonl";

/* Files of a run in OUT, without the model and its stages. */
static const char *const own[] = {"checkpoint.safetensors", record_name, log_name, "fluency.jsonl"};

enum { N_OWN = sizeof own / sizeof *own };

/* --- what is read --- */

static int add_all(struct inputs *in, const struct run *r, struct err *e)
{
    const struct run_options *o = &r->c.run;
    for (int k = 0; k < r->n_models; k++)
        if (setup_add_input(in, r->models[k].path ? r->models[k].path : "", e) ||
            setup_add_input(in, r->models[k].adapter, e))
            return -1;
    for (int role = 0; role < ROLE_COUNT; role++)
        if (inputs_add_rows(in, o->files[role], e))
            return -1;
    return inputs_add_rows(in, o->refused, e) || inputs_add_file(in, o->alternate_pool, e) ||
                   inputs_add_file(in, o->mask, e) || inputs_add_file(in, r->c.train.order, e)
               ? -1
               : 0;
}

static int check_kept(const struct inputs *in, const struct run *r, struct err *e)
{
    int rc = inputs_keep(in, r->c.run.out, e);
    if (!rc && r->c.train.write_order)
        rc = inputs_claim_file(in, r->c.train.write_order, r->c.train.resume || r->c.run.overwrite,
                               e);
    for (int i = 0; i < N_OWN && !rc; i++) {
        char *path = file_join(r->c.run.out, own[i], e);
        rc = path ? inputs_keep(in, path, e) : -1;
        free(path);
    }
    return rc;
}

/* --- what is there --- */

/* A new reference, or NULL: no run has begun there. */
static json_t *read_begun(const char *out)
{
    struct err ignored;
    char *path = file_join(out, record_name, &ignored);
    json_t *run = path && file_exists(path) ? json_read_file(path, &ignored) : NULL;
    free(path);
    if (json_is_object(json_object_get(run, "options")))
        return run;
    json_decref(run);
    return NULL;
}

/* --resume: what a run left there is of this one. */
static int check_begun(struct run *r, bool *finished, struct err *e)
{
    if (checkpoint_exists(r->c.run.out) || !outdir_holds_other(r->c.run.out, NULL, 0, NULL))
        return 0; /* a checkpoint is compared when it is read */
    json_t *run = read_begun(r->c.run.out);
    if (!run)
        return err_about(e, "out", "cannot resume: '%s' holds files, but none of a run",
                         r->c.run.out);
    run_drop_free(json_object_get(run, "options"));
    json_t *files = json_object_get(run, "files");
    int rc = checkpoint_compare(json_object_get(run, "options"), r->shared, e) ||
                     (files && checkpoint_compare_files(files, r->files, e))
                 ? err_prefix(e, "cannot resume: ")
                 : 0;
    *finished = !rc && json_is_true(json_object_get(run, "finished"));
    json_decref(run);
    return rc;
}

/* --overwrite: what an earlier run left goes; of links the names go, not the files. */
static void clear_own(const char *out)
{
    struct err ignored;
    for (int i = 0; i < N_OWN; i++) {
        struct stat st;
        char *path = file_join(out, own[i], &ignored);
        if (path && (!i || (!lstat(path, &st) && S_ISLNK(st.st_mode))))
            unlink(path);
        free(path);
    }
    procedure_clear(out);
    exact_clear(out);
}

static int take(struct outdir *d, struct run *r, bool *finished, struct err *e)
{
    const enum outdir_use use = r->c.run.overwrite  ? OUTDIR_REPLACE
                                : r->c.train.resume ? OUTDIR_CONTINUE
                                                    : OUTDIR_EMPTY;
    if (outdir_open(d, r->c.run.out, use, e) ||
        (use == OUTDIR_CONTINUE && check_begun(r, finished, e)))
        return -1;
    if (*finished)
        return 0;
    if (use == OUTDIR_REPLACE)
        clear_own(r->c.run.out);
    return checkpoint_exists(r->c.run.out) ? 0 : run_record_begin(r, false, e);
}

int run_output_open(struct outdir *d, struct run *r, bool *finished, struct err *e)
{
    struct inputs in = {0};
    *finished = false;
    int rc =
        add_all(&in, r, e) || check_kept(&in, r, e) || !(r->files = inputs_hash(&in, e)) ? -1 : 0;
    inputs_fini(&in);
    rc = rc || (exact_is(&r->c) && exact_drop_files(r, e));
    if (!rc && take(d, r, finished, e)) {
        outdir_close(d, true);
        rc = -1;
    }
    return rc;
}

int run_output_check(const struct run *r, struct err *e)
{
    struct inputs in = {0};
    int rc = add_all(&in, r, e) || check_kept(&in, r, e);
    inputs_fini(&in);
    return rc || (!r->c.run.overwrite && outdir_check_empty(r->c.run.out, e));
}

/* Nothing but the mark of its beginning, and a log of no step. */
static void remove_if_nothing(const char *out)
{
    static const char *const names[] = {record_name, log_name};
    struct err ignored;
    struct stat st;
    char *log = file_join(out, log_name, &ignored), *begun = file_join(out, record_name, &ignored);
    if (log && begun && (stat(log, &st) || !st.st_size) &&
        !outdir_holds_other(out, names, 2, NULL)) {
        unlink(log);
        unlink(begun);
    }
    free(log);
    free(begun);
}

void run_output_close(struct outdir *d, bool failed)
{
    if (d->path && failed)
        remove_if_nothing(d->path);
    outdir_close(d, failed);
}
