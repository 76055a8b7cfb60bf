/* unlearn sisa: exact removal by shards and slices. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cli/args.h"
#include "cli/command.h"
#include "cli/job.h"
#include "cli/recording.h"
#include "run/sharding.h"

struct options {
    int64_t rows, shards, slices;
    double epochs;
    const char *forget, *data;
    bool json;
    struct recording_options record;
};

static const struct param params[] = {
    STRING_PARAM(struct options, forget, NULL, "LIST",
                 "rows to delete, counted from 0 in the data of the first training: 4,17,20:25 "
                 "(20 to 24)"),
    STRING_PARAM(struct options, data, NULL, "FILE",
                 "remove: the data, if they have moved; deleted rows may be missing there"),
    INT_PARAM(struct options, rows, 1, 1 << 28, 1, "plan: rows of the data"),
    INT_PARAM(struct options, shards, 1, 1 << 16, 1, "plan: models"),
    INT_PARAM(struct options, slices, 1, 1 << 16, 1, "plan: slices of a shard"),
    REAL_PARAM(struct options, epochs, 0.001, 100000, 5, "plan: epochs of plain training"),
    BOOL_PARAM(struct options, json, false, "print one JSON object"),
    {0}};

static const char about[] =
    "Exact removal (SISA, arXiv 1912.03817): rows are divided into shards, each with a model of "
    "its own, and a shard's rows into slices that are added one after another, with a checkpoint "
    "before each. A deleted row costs the training of its shard from the slice that holds it; the "
    "result has the bytes of a training that never had the row.\n"
    "\n"
    "  unlearn train --model M --data D --shards 4 --slices 3 --out DIR\n"
    "  unlearn sisa remove DIR --forget 4,17\n"
    "  unlearn verify DIR\n"
    "\n"
    "'sisa plan' prints what shards, slices and deletions would cost, in reads: one row in one "
    "epoch. 'sisa train' is 'unlearn train'. 'sisa remove' deletes rows from the run in DIR, and "
    "trains again what has seen them; without --forget it completes a deletion that was "
    "interrupted. Of a run with --keep-every N, which may have one shard, the order without the "
    "rows is repeated from the last checkpoint before the first of them.\n";

/* --- plan --- */

struct work {
    int64_t full, again;
};

/* Reads of one shard: of its first training, and after the deletion. */
static struct work work_of(const struct sharding *l, int shard, double epochs)
{
    struct work w = {0};
    const int restart = sharding_restart(l, shard, NULL);
    for (int k = 0; k < l->slices; k++) {
        const struct positions s = sharding_slices(l, shard, k);
        const int64_t e = sharding_epochs(epochs, l->slices, k);
        w.full += e * (s.end - s.first);
        w.again += restart >= 0 && k >= restart ? e * sharding_left(l, s) : 0;
    }
    return w;
}

static json_t *detail(const struct sharding *l, int shard, struct work w)
{
    const struct positions of = sharding_shard(l, shard);
    const int restart = sharding_restart(l, shard, NULL);
    json_t *rows = json_array(), *ends = json_array(), *sizes = json_array();
    for (int i = of.first; i < of.end; i++)
        json_array_append_new(rows, json_integer(i));
    for (int k = 0, at = of.first; k < l->slices; k++) {
        const int end = sharding_slices(l, shard, k).end;
        json_array_append_new(ends, json_integer(end - 1));
        json_array_append_new(sizes, json_integer(end - at));
        at = end;
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I}", "rows", rows, "slice_ends", ends,
                     "slice_sizes", sizes, "restart_slice",
                     restart < 0 ? json_null() : json_integer(restart), "rows_times_epochs_full",
                     (json_int_t)w.full, "rows_times_epochs_retrain", (json_int_t)w.again);
}

static int print_plan(const struct sharding *l, const struct options *o,
                      const struct row_list *forget, struct err *e)
{
    json_t *details = json_array(), *epochs = json_array(), *rows = json_array();
    struct work all = {0};
    for (int k = 0; k < l->slices; k++)
        json_array_append_new(epochs, json_integer(sharding_epochs(o->epochs, l->slices, k)));
    for (size_t i = 0; i < forget->n; i++)
        json_array_append_new(rows, json_integer(forget->v[i]));
    for (int s = 0; s < l->shards; s++) {
        const struct positions of = sharding_shard(l, s);
        const struct work w = work_of(l, s, o->epochs);
        const int restart = sharding_restart(l, s, NULL);
        all.full += w.full;
        all.again += w.again;
        json_array_append_new(details, detail(l, s, w));
        if (o->json)
            continue;
        printf("shard %d: rows %d to %d, %lld reads", s, of.first, of.end - 1, (long long)w.full);
        if (restart < 0)
            printf("; stays as it is\n");
        else
            printf("; again from slice %d: %lld reads\n", restart, (long long)w.again);
    }
    json_t *j =
        json_pack("{s:I, s:i, s:i, s:f, s:o, s:o, s:o, s:I, s:I}", "n_rows", (json_int_t)o->rows,
                  "shards", l->shards, "slices", l->slices, "epochs", o->epochs, "epochs_per_slice",
                  epochs, "forget", rows, "detail", details, "total_rows_times_epochs_full",
                  (json_int_t)all.full, "total_rows_times_epochs_retrain", (json_int_t)all.again);
    int rc = !j ? err_no_memory(e, "plan") : o->json ? command_print_json(j, 0, e) : 0;
    if (!rc && !o->json)
        printf("%lld reads to train, %lld after the deletion (%.1f %% saved)\n",
               (long long)all.full, (long long)all.again,
               100 * (1 - (double)all.again / (double)all.full));
    json_decref(j);
    return rc;
}

static int plan(const struct options *o, struct row_list *forget, struct err *e)
{
    struct sharding l;
    int rc = sharding_init(&l, (int)o->rows, (int)o->shards, (int)o->slices, e);
    for (size_t i = 0; !rc && i < forget->n; i++)
        rc = sharding_delete(&l, forget->v[i], e);
    for (int k = 0; !rc && k < l.slices; k++)
        if (sharding_epochs(o->epochs, l.slices, k) < 1)
            rc = err_about(e, "epochs", "slice %d would be trained for no epoch", k);
    rc = rc || print_plan(&l, o, forget, e);
    sharding_fini(&l);
    return rc;
}

/* --- remove --- */

struct removal {
    const struct options *o;
    const struct row_list *rows;
    const char *dir;
    struct err why; /* it failed; "": it did not */
};

static int remove_rows(void *ctx, const struct run_config *c, struct err *e)
{
    struct removal *r = ctx;
    struct run_result result;
    if (run_remove(c, r->rows->v, (int)r->rows->n, &job_hooks, &result, e)) {
        if (result.interrupted) {
            const struct err why = *e;
            err_set(e, "%s; 'unlearn sisa remove %s' completes the deletion", why.msg, r->dir);
        }
        r->why = *e;
        r->why.code = result.interrupted ? ERR_INTERRUPTED : e->code;
        return STATUS_FAILED;
    }
    const struct exact_cost *k = &result.exact;
    const double saved = k->whole > 0 ? 100 * (1 - k->reads / k->whole) : 100;
    if (r->o->json)
        printf("{\"deleted\": %zu, \"shards\": %d, \"trained\": %d, \"steps\": %ld, \"reads\": "
               "%.0f, \"whole\": %.0f, \"seconds\": %.3f}\n",
               r->rows->n, k->shards, k->trained, result.report.steps, k->reads, k->whole,
               result.report.seconds);
    else
        printf("%zu rows deleted, %d of %d shards trained again: %ld steps, %.0f reads, %.1f s; "
               "all shards from their beginning would read %.0f (%.1f %% saved)\n",
               r->rows->n, k->trained, k->shards, result.report.steps, k->reads,
               result.report.seconds, k->whole, saved);
    return STATUS_DONE;
}

static int run_remove_command(const struct args *a, const struct options *o,
                              const struct row_list *forget)
{
    struct removal r = {o, forget, a->words[1], .why = {.msg = ""}};
    char *more[] = {"--data", (char *)(uintptr_t)o->data};
    struct recording recording;
    struct err e = {.msg = ""};
    if (recording_begin_in(&recording, a, &o->record, r.dir, &e))
        return args_fail(a, &e);
    const int status = job_again(a, r.dir, more, o->data ? 2 : 0, remove_rows, &r);
    if (status != STATUS_DONE && !*r.why.msg)
        err_set(&r.why, "the deletion was not begun");
    recording_end(&recording, status == STATUS_DONE ? NULL : &r.why);
    return status;
}

int cmd_sisa(int argc, char **argv)
{
    struct options o;
    struct row_list forget = {0};
    struct err e = {.msg = ""};
    struct args a = {.command = "sisa",
                     .usage = "plan --rows N --shards S | remove DIR --forget LIST [options]",
                     .about = about,
                     .words_least = 1,
                     .words_most = 2,
                     .tables = {{"options", params, &o}, {"ledger", recording_params, &o.record}}};
    if (argc > 1 && !strcmp(argv[1], "train"))
        return cmd_train(argc - 1, argv + 1);
    int status = args_parse(&a, argc, argv);
    if (status == ARGS_GO) {
        const bool plans = !strcmp(a.words[0], "plan"), removes = !strcmp(a.words[0], "remove");
        if (!(plans && a.n_words == 1) && !(removes && a.n_words == 2)) {
            err_set(&e, "usage is sisa %s", a.usage);
            status = args_usage(&a, &e);
        } else if (command_rows(&forget, o.forget, &e)) {
            status = args_usage(&a, &e);
        } else {
            status = removes                 ? run_remove_command(&a, &o, &forget)
                     : plan(&o, &forget, &e) ? args_fail(&a, &e)
                                             : STATUS_DONE;
        }
    }
    free(forget.v);
    args_fini(&a);
    return status;
}
