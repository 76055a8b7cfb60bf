/* Training whose rows can be deleted: shards, each from its last checkpoint that no deleted row has
 * reached. What is to be done follows from files alone, so that it is resumed after any interrupt:
 * OUT/sisa.json says which rows are deleted, and state.json of a shard without which of them its
 * checkpoints, and once it is finished its model, were made. */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "run/sharding.h"
#include "run/state.h"
#include "train/checkpoint.h"

struct exact {
    struct run *run; /* the whole run */
    struct sharding layout;
    bool known;   /* it is there; else the data make it */
    bool written; /* OUT has it as it is */
    int *at;      /* owned [layout.n] the examples of the data, by position */

    /* Of the shard in training. */
    int shard;
    bool *before;    /* owned [layout.n] what its checkpoints were made without */
    long *slice_end; /* owned [slices] */
    long *reads;     /* owned [steps + 1] examples read before each step */
    long steps;
    char *from; /* owned: the kept checkpoint to resume from; NULL: none */
};

bool exact_is(const struct run_config *c)
{
    return c->exact.shards > 1 || c->exact.slices > 1 || c->exact.keep_every > 0;
}

int exact_check(const struct run_config *c, struct err *e)
{
    const struct wrapper *w = c->wrapper.row;
    if (!exact_is(c))
        return 0;
    if (run_makes_mask(c))
        return err_about(e, "locate", "locator '%s' chooses weights by all rows, also deleted ones",
                         choice_name(&c->locator));
    if (w && w->repeats)
        return err_about(e, "wrapper", "wrapper '%s' repeats steps, which slices do not allow",
                         choice_name(&c->wrapper));
    if (c->run.chunk)
        return err_about(e, "chunk", "rows that are joined and cut cannot be deleted");
    if (c->train.write_order)
        return err_about(e, "write_order", "the order is that of the layout, shard by shard");
    if (c->train.order && (c->exact.shards > 1 || c->exact.slices > 1))
        return err_about(e, "order", "an order from a file is of one shard and one slice");
    if (c->train.max_steps && c->exact.slices > 1)
        return err_about(e, "max_steps", "slices are trained by epochs");
    return 0;
}

/* --- before a shard is trained --- */

static int write_state(const struct exact *x, bool finished, struct err *e)
{
    const struct shard_state s = {.finished = finished, .reads = (double)x->reads[x->steps]};
    return exact_state_write(x->run->c.run.out, &x->layout, x->shard, &s, e);
}

static int know_layout(struct exact *x, const struct dataset *d, struct err *e)
{
    const struct exact_options *o = &x->run->c.exact;
    if (!x->known && sharding_of(&x->layout, d, (int)o->shards, (int)o->slices, e))
        return -1;
    x->known = true;
    return (!x->at && !(x->at = mem_alloc((size_t)x->layout.n, sizeof *x->at, e))) ||
           (!x->before && !(x->before = mem_alloc((size_t)x->layout.n, sizeof *x->before, e))) ||
           sharding_match(&x->layout, d, x->at, e);
}

static json_t *rows_json(const struct exact_request *q)
{
    json_t *rows = json_array();
    for (int i = 0; i < q->n_rows; i++)
        json_array_append_new(rows, json_integer(q->rows[i]));
    return json_pack("{s:o}", "rows", rows);
}

/* Once the data are known to be right: from here on the rows are deleted. */
static int write_layout(struct exact *x, struct err *e)
{
    const struct exact_request *q = x->run->request;
    const char *out = x->run->c.run.out;
    if (x->written)
        return 0;
    char *path = exact_layout_path(out, e);
    int rc = !path || run_record_begin(x->run, false, e) || sharding_write(&x->layout, path, e);
    free(path);
    x->written = !rc;
    return rc || (q && q->n_rows && exact_log(out, rows_json(q), e));
}

static int count_reads(struct exact *x, const struct order *o, int accumulate, struct err *e)
{
    free(x->reads);
    x->steps = o->n / accumulate;
    if (!(x->reads = mem_alloc((size_t)x->steps + 1, sizeof *x->reads, e)))
        return -1;
    for (long s = 0; s < x->steps; s++) {
        x->reads[s + 1] = x->reads[s];
        for (int k = 0; k < accumulate; k++)
            x->reads[s + 1] += o->micro[s * accumulate + k].n[ROLE_RETAIN];
    }
    return 0;
}

/* Removes the checkpoints that have seen what is deleted now: those of later steps. */
static int drop_seen(struct exact *x, const struct trainer *how, long first, struct err *e)
{
    for (long step = first + 1; step <= x->steps; step++) {
        char *path = train_keeps(how, step) ? train_kept_path(how->out, step, e) : NULL;
        if (train_keeps(how, step) && !path)
            return -1;
        if (path)
            unlink(path);
        free(path);
    }
    return 0;
}

/* The last of those that are there: x->from. */
static int find_kept(struct exact *x, const struct trainer *how, struct err *e)
{
    free(x->from);
    x->from = NULL;
    for (long step = x->steps; step > 0 && !x->from; step--) {
        if (!train_keeps(how, step))
            continue;
        if (!(x->from = train_kept_path(how->out, step, e)))
            return -1;
        if (!file_exists(x->from)) {
            free(x->from);
            x->from = NULL;
        }
    }
    return 0;
}

/* What it was made without so far is x->before. */
static int resume(struct exact *x, struct run *r, struct trainer *how, bool there, long first,
                  struct err *e)
{
    bool more = false;
    for (int i = 0; i < x->layout.n; i++)
        more |= there && x->layout.deleted[i] && !x->before[i] &&
                i >= sharding_shard(&x->layout, x->shard).first &&
                i < sharding_shard(&x->layout, x->shard).end;
    if (!there || more)
        checkpoint_drop(how->out);
    if (drop_seen(x, how, there ? first : 0, e) || write_state(x, false, e) || find_kept(x, how, e))
        return -1;
    const bool own = checkpoint_exists(how->out);
    how->from = own ? NULL : x->from;
    r->c.train.resume = own || x->from;
    return 0;
}

int exact_prepare(struct run *r, struct training *t, struct trainer *how, struct err *e)
{
    struct exact *x = r->exact;
    struct sharding *l = &x->layout;
    struct order order;
    struct shard_state s;
    free(x->slice_end);
    x->slice_end = mem_alloc((size_t)x->run->c.exact.slices, sizeof *x->slice_end, e);
    if (!x->slice_end || know_layout(x, &t->data.sets[ROLE_RETAIN], e) ||
        sharding_order(l, x->shard, &x->run->c.train, &order, x->slice_end, e))
        return -1;
    order_fini(&t->data.order);
    t->data.order = order;
    const int accumulate = train_accumulate(&r->c.train, &order);
    r->c.train.order = NULL;
    if (l->slices > 1)
        r->c.train.max_steps = order.n / accumulate;
    how->keep = x->slice_end;
    how->n_keep = l->slices - 1;
    how->keep_every = (long)r->c.exact.keep_every;
    if (exact_state_read(x->run->c.run.out, l, x->shard, &s, x->before, e))
        return -1;
    const long first = sharding_first_step(l, &order, accumulate, x->before);
    sharding_apply(&t->data.order, x->at);
    if (count_reads(x, &t->data.order, accumulate, e))
        return -1;
    return how->dry_run ? 0 : write_layout(x, e) || resume(x, r, how, s.there, first, e) ? -1 : 0;
}

/* --- the shards --- */

static void add_report(struct exact *x, const struct run_result *one)
{
    struct run_result *all = x->run->result;
    struct train_report *r = &all->report;
    const long before = x->steps - one->report.steps;
    r->steps += one->report.steps;
    r->tokens += one->report.tokens;
    r->clipped += one->report.clipped;
    r->seconds += one->report.seconds;
    r->loss = one->report.loss;
    r->grad_norm = one->report.grad_norm;
    all->interrupted = one->interrupted;
    all->exact.reads += (double)(x->reads[x->steps] - x->reads[before > 0 ? before : 0]);
    all->exact.trained++;
}

static int train_shard(struct exact *x, int shard, struct err *e)
{
    struct outdir own = {0};
    struct run_result one = {.finished = false};
    struct run sub = *x->run;
    const int shards = (int)x->run->c.exact.shards;
    const bool dry = x->run->c.dry_run;
    char *dir = exact_shard_dir(x->run->c.run.out, shards, shard, e);
    x->shard = shard;
    sub.exact = x;
    sub.result = &one;
    sub.c.run.out = dir;
    if (shards > 1)
        log_note("shard %d of %d", shard, shards);
    int rc = !dir || (shards > 1 && !dry && outdir_open(&own, dir, OUTDIR_CONTINUE, e));
    if (shards > 1 && !dry)
        sub.dir = &own;
    if (!rc && (rc = run_training(&sub, e)) && shards > 1)
        err_prefix(e, "shard %d: ", shard);
    if (x->reads && (!rc || one.interrupted))
        add_report(x, &one);
    if (!rc && !dry)
        rc = write_state(x, true, e);
    outdir_close(&own, rc);
    free(dir);
    return rc;
}

/* A shard without a row that is left has no model. */
static int empty_shard(struct exact *x, int shard, struct err *e)
{
    char *dir = exact_shard_dir(x->run->c.run.out, x->layout.shards, shard, e);
    int rc = !dir || write_layout(x, e);
    if (!rc && file_is_dir(dir)) {
        log_note("shard %d has no rows left and is removed", shard);
        outdir_remove_tree(AT_FDCWD, dir);
    }
    free(dir);
    return rc;
}

static int update_shard(struct exact *x, int shard, struct err *e)
{
    struct exact_cost *cost = &x->run->result->exact;
    struct shard_state s = {0};
    if (x->known && !sharding_left(&x->layout, sharding_shard(&x->layout, shard)))
        return empty_shard(x, shard, e);
    if (x->known && exact_state_read(x->run->c.run.out, &x->layout, shard, &s, x->before, e))
        return -1;
    cost->shards++;
    if (s.current)
        cost->whole += s.reads;
    else if (train_shard(x, shard, e))
        return -1;
    else
        cost->whole += (double)x->reads[x->steps];
    return 0;
}

/* --- the run --- */

static int know_earlier(struct exact *x, struct err *e)
{
    const struct exact_request *q = x->run->request;
    const char *from = q && q->like ? q->like : x->run->c.run.out;
    if (exact_layout_read(&x->run->c, from, &x->layout, &x->known, e))
        return -1;
    if (!x->known)
        return q ? err_about(e, "layout", "'%s' is no run whose rows can be deleted", from) : 0;
    x->written = !(q && q->like);
    return (x->before = mem_alloc((size_t)x->layout.n, sizeof *x->before, e)) ? 0 : -1;
}

static int delete_rows(struct exact *x, struct err *e)
{
    const struct exact_request *q = x->run->request;
    for (int i = 0; q && i < q->n_rows; i++)
        if (sharding_delete(&x->layout, q->rows[i], e))
            return -1;
    if (q && q->n_rows)
        x->written = false;
    return x->known && !sharding_left(&x->layout, (struct positions){0, x->layout.n})
               ? err_about(e, "rows", "no row would be left to train on")
               : 0;
}

static json_t *costs(const struct run_result *r)
{
    const struct exact_cost *c = &r->exact;
    return json_pack("{s:i, s:i, s:f, s:f}", "shards", c->shards, "trained", c->trained, "reads",
                     c->reads, "whole", c->whole);
}

/* The record of a run of several shards: the sums of theirs. */
static int write_record(const struct exact *x, struct err *e)
{
    static const char *const sums[] = {"parameters",     "touched", "tokens",
                                       "forward_tokens", "flops",   "seconds"};
    const char *out = x->run->c.run.out;
    json_t *all = NULL;
    int rc = 0;
    for (int k = 0; k < x->layout.shards && !rc; k++) {
        char *dir = exact_shard_dir(out, x->layout.shards, k, e);
        json_t *one = dir ? train_cost_read(dir) : NULL;
        rc = dir ? 0 : -1;
        for (size_t i = 0; all && one && i < sizeof sums / sizeof *sums; i++)
            json_object_set_new(all, sums[i],
                                json_real(json_number_value(json_object_get(all, sums[i])) +
                                          json_number_value(json_object_get(one, sums[i]))));
        if (!all)
            all = json_incref(one);
        json_decref(one);
        free(dir);
    }
    char *path = !rc && all ? file_join(out, "run.json", e) : NULL;
    rc = rc || (all ? !path || json_write_file(all, path, JSON_INDENT(2), e)
                    : run_record_begin(x->run, true, e));
    json_decref(all);
    free(path);
    return rc;
}

static int conclude(struct exact *x, struct err *e)
{
    const struct exact_request *q = x->run->request;
    struct run_result *r = x->run->result;
    if (x->run->c.dry_run)
        return 0;
    r->finished = !r->exact.trained && !(q && q->n_rows);
    if (r->finished && !(q && q->like))
        log_note("the run in '%s' is finished: nothing is left to do", x->run->c.run.out);
    if (q && !q->like && exact_log(x->run->c.run.out, costs(x->run->result), e))
        return -1;
    /* One shard has a record with its cost. */
    return x->layout.shards > 1 ? write_record(x, e) : 0;
}

int exact_run(struct run *r, struct err *e)
{
    const struct exact_request *q = r->request;
    struct exact x = {.run = r};
    r->result->nll = (struct nll_change){{NAN, NAN}, {NAN, NAN}, 0, 0, NULL, NULL};
    int rc = know_earlier(&x, e) || delete_rows(&x, e);
    for (int k = 0; !rc && k < (int)r->c.exact.shards; k++)
        if (!(q && q->only && !q->only[k]))
            rc = update_shard(&x, k, e);
    rc = rc || conclude(&x, e);
    sharding_fini(&x.layout);
    free(x.at);
    free(x.before);
    free(x.slice_end);
    free(x.reads);
    free(x.from);
    return rc;
}

int run_remove(const struct run_config *c, const int *rows, int n, const struct run_hooks *h,
               struct run_result *out, struct err *e)
{
    struct run_config again = *c;
    const struct exact_request q = {.rows = rows, .n_rows = n};
    again.train.resume = true;
    again.run.overwrite = again.dry_run = false;
    return exact_is(c) ? run_exact(&again, &q, h, out, e)
                       : err_about(e, "layout",
                                   "the run in '%s' has no shards, slices or kept checkpoints: its "
                                   "rows cannot be deleted",
                                   c->run.out);
}
