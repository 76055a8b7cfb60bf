#include "cli/job_ledger.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/version.h"
#include "tensor/ops.h"

static json_t *describe(const struct request *q)
{
    json_t *about =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:O}", "command", q->args.command, "access",
                  "white box", "version", UNLEARN_VERSION, "isa", ops_cpu()->name, "threads",
                  ops_threads(), "seed", (json_int_t)q->train.seed, "options", q->given);
    if (about && q->stage)
        json_object_set_new(about, "stage", json_string(q->stage->name));
    if (about && q->files)
        json_object_set(about, "files", q->files);
    return about;
}

int job_ledger_begin(const struct request *q, struct err *e)
{
    char *path = file_join(q->job.out, "run.json", e);
    json_t *begun = path ? describe(q) : NULL;
    int rc = path ? 0 : -1;
    if (path && (!begun || json_object_set_new(begun, "finished", json_false())))
        rc = err_set(e, "out of memory (ledger)");
    if (!rc)
        rc = json_write_file(begun, path, JSON_INDENT(2), e);
    json_decref(begun);
    free(path);
    return rc;
}

int job_ledger_open(struct ledger *l, const struct request *q, const struct engine *g,
                    struct err *e)
{
    const struct wrapper *w = wrapping_row(&q->wrapping);
    const struct optim *o = q->optim.row;
    *l = (struct ledger){.out = q->job.out,
                         .engine = g,
                         .optim_states = o->n_states,
                         .wrapper_copies = w ? w->n_copies : 0,
                         .about = describe(q),
                         .start = log_seconds()};
    if (!l->about)
        return err_no_memory(e, "ledger");
    for (int k = 0; k < STAGE_COUNT && !q->train.resume && !q->stage; k++) {
        json_t *of_stage = q->stage_dir[k] ? ledger_read(q->stage_dir[k]) : NULL;
        ledger_add(l, of_stage);
        json_decref(of_stage);
    }
    return 0;
}
