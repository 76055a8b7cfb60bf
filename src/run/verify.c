/* The proof of a deletion: each shard next to a training that never had the rows, byte by byte. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "run/sharding.h"
#include "run/state.h"

static int same_file(const char *a, const char *b, bool *same, struct err *e)
{
    char was[SHA256_TEXT], is[SHA256_TEXT];
    *same = file_exists(a) && file_exists(b);
    if (!*same)
        return 0;
    if (sha256_file(a, was, e) || sha256_file(b, is, e))
        return -1;
    *same = !strcmp(was, is);
    return 0;
}

/* Every model file of `dir` and the one of that name in `fresh`. */
static int compare(struct verified *v, const char *dir, const char *fresh, struct err *e)
{
    DIR *d = opendir(dir);
    int files = 0;
    int rc = d ? 0 : err_sys(e, "cannot read the directory '%s'", dir);
    v->checked = v->same = true;
    for (struct dirent *f = d ? readdir(d) : NULL; f && !rc; f = readdir(d)) {
        bool same = true;
        if (!outdir_is_model_file(f->d_name))
            continue;
        files++;
        char *a = file_join(dir, f->d_name, e), *b = file_join(fresh, f->d_name, e);
        rc = !a || !b || same_file(a, b, &same, e);
        if (!same && v->same)
            snprintf(v->differs, sizeof v->differs, "%s", f->d_name);
        v->same = v->same && same;
        free(a);
        free(b);
    }
    if (d)
        closedir(d);
    return !rc && !files ? err_set(e, "'%s' has no model", dir) : rc;
}

static int compare_shard(struct verified *v, const char *out, const char *scratch, int shards,
                         struct err *e)
{
    char *a = exact_shard_dir(out, shards, v->shard, e),
         *b = exact_shard_dir(scratch, shards, v->shard, e);
    int rc = !a || !b || compare(v, a, b, e);
    free(a);
    free(b);
    return rc;
}

static int count(const struct run_config *c, struct verified *v, bool *only, bool all,
                 struct err *e)
{
    struct sharding l;
    bool there;
    if (exact_layout_read(c, c->run.out, &l, &there, e))
        return -1;
    if (!there)
        return err_about(e, "layout", "'%s' is no run whose rows can be deleted", c->run.out);
    for (int k = 0; k < l.shards; k++) {
        const struct positions s = sharding_shard(&l, k);
        const int left = sharding_left(&l, s);
        v[k] = (struct verified){.shard = k, .left = left, .deleted = s.end - s.first - left};
        only[k] = left && (all || v[k].deleted);
    }
    sharding_fini(&l);
    return 0;
}

int run_verify(const struct run_config *c, const char *scratch, bool all, const struct run_hooks *h,
               struct verified **v, int *n, struct err *e)
{
    struct run_config fresh = *c;
    struct run_result result;
    *n = (int)c->exact.shards;
    *v = NULL;
    if (!exact_is(c))
        return err_about(e, "layout", "the run in '%s' has no rows that can be deleted",
                         c->run.out);
    bool *only = mem_alloc((size_t)*n, sizeof *only, e);
    int rc = !only || !(*v = mem_alloc((size_t)*n, sizeof **v, e)) || count(c, *v, only, all, e);
    fresh.run.out = scratch;
    fresh.run.overwrite = true;
    fresh.train.resume = fresh.dry_run = false;
    const struct exact_request q = {.like = c->run.out, .only = only};
    rc = rc || run_exact(&fresh, &q, h, &result, e);
    for (int k = 0; !rc && k < *n; k++)
        rc = only[k] && compare_shard(&(*v)[k], c->run.out, scratch, *n, e);
    free(only);
    if (rc) {
        free(*v);
        *v = NULL;
    }
    return rc;
}
