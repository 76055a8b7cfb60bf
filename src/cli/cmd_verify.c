/* unlearn verify: whether a deletion has left the bytes of a training without the rows. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/outdir.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/job.h"

struct options {
    const char *data;
    bool all, json;
};

static const struct param params[] = {
    STRING_PARAM(
        struct options, data, NULL, "FILE",
        "the data, if they have moved; without the deleted rows the proof is the stronger"),
    BOOL_PARAM(struct options, all, false, "also shards that no deletion has touched"),
    BOOL_PARAM(struct options, json, false, "print a JSON object a shard"),
    {0}};

static const char about[] =
    "Trains each shard with deleted rows from its beginning, on the rows that are left, into "
    "DIR/verify, compares every file of its model in DIR with the result, byte by byte, and "
    "removes DIR/verify again. Exit status 3: some file differs.\n"
    "\n"
    "  unlearn verify DIR --data without-them.jsonl\n";

struct proof {
    const struct options *o;
    const char *dir, *scratch;
    struct verified *v; /* owned */
    int n;
};

static int print(const struct proof *p, struct err *e)
{
    bool same = true;
    int checked = 0;
    for (int k = 0; k < p->n; k++) {
        const struct verified *v = &p->v[k];
        same = same && (!v->checked || v->same);
        checked += v->checked;
        if (!p->o->json) {
            printf("shard %d: %d rows, %d deleted: %s%s\n", v->shard, v->left, v->deleted,
                   v->checked ? (v->same ? "the same bytes" : "differs: ") : "not trained again",
                   v->differs);
            continue;
        }
        json_t *j = json_pack("{s:i, s:i, s:i, s:o}", "shard", v->shard, "rows", v->left, "deleted",
                              v->deleted, "same", v->checked ? json_boolean(v->same) : json_null());
        int rc = j ? command_print_json(j, 0, e) : err_no_memory(e, "shard");
        json_decref(j);
        if (rc)
            return STATUS_FAILED;
    }
    if (!p->o->json)
        printf(!checked ? "nothing was deleted: nothing to verify\n"
               : same   ? "exact: as if the deleted rows had never been there\n"
                        : "not exact: the model was not made by this program as it is, or on "
                          "another machine or number of threads\n");
    return same ? STATUS_DONE : STATUS_BOUND;
}

/* What is there may go only if it is an earlier proof that was killed. */
static int check_scratch(const char *scratch, struct err *e)
{
    char *run = file_join(scratch, "run.json", e);
    int rc = !run ? -1
             : file_exists(scratch) && !file_exists(run)
                 ? err_set(e, "'%s' is there already, and is not of this command", scratch)
                 : 0;
    free(run);
    return rc;
}

static int prove(void *ctx, const struct run_config *c, struct err *e)
{
    struct proof *p = ctx;
    if (check_scratch(p->scratch, e))
        return STATUS_FAILED;
    int rc = run_verify(c, p->scratch, p->o->all, &job_hooks, &p->v, &p->n, e);
    outdir_remove_tree(AT_FDCWD, p->scratch);
    return rc ? STATUS_FAILED : print(p, e);
}

int cmd_verify(int argc, char **argv)
{
    struct options o;
    struct err e = {.msg = ""};
    struct args a = {.command = "verify",
                     .usage = "DIR [options]",
                     .about = about,
                     .words_least = 1,
                     .words_most = 1,
                     .tables = {{"options", params, &o}}};
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO) {
        char *more[] = {"--data", (char *)(uintptr_t)o.data};
        struct proof p = {.o = &o, .dir = a.words[0]};
        char *scratch = file_join(p.dir, "verify", &e);
        p.scratch = scratch;
        status =
            scratch ? job_again(&a, p.dir, more, o.data ? 2 : 0, prove, &p) : args_fail(&a, &e);
        free(p.v);
        free(scratch);
    }
    args_fini(&a);
    return status;
}
