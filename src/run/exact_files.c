/* The files of a run whose rows can be deleted: names, the state of a shard, the log. */
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "data/rows.h"
#include "run/sharding.h"
#include "run/state.h"

static const char state_name[] = "state.json", layout_name[] = "sisa.json",
                  deletions_name[] = "deletions.jsonl";

void exact_drop_option(json_t *o)
{
    if (json_integer_value(json_object_get(o, "shards")) > 1 ||
        json_integer_value(json_object_get(o, "slices")) > 1 ||
        json_integer_value(json_object_get(o, "keep_every")) > 0)
        json_object_del(o, "data");
}

static int drop(void *files, const char *file, struct err *e)
{
    (void)e;
    json_object_del(files, file);
    return 0;
}

int exact_drop_files(const struct run *r, struct err *e)
{
    return rows_each_file(r->c.run.files[ROLE_RETAIN], drop, r->files, e);
}

char *exact_layout_path(const char *out, struct err *e)
{
    return file_join(out, layout_name, e);
}

int exact_layout_read(const struct run_config *c, const char *out, struct sharding *l, bool *there,
                      struct err *e)
{
    const int shards = (int)c->exact.shards, slices = (int)c->exact.slices;
    char *path = exact_layout_path(out, e);
    *there = path && file_exists(path);
    int rc = !path || (*there && sharding_read(l, path, e));
    if (!rc && *there && (l->shards != shards || l->slices != slices)) {
        rc = err_about(e, "layout", "'%s' has %d shards of %d slices, the run %d of %d", path,
                       l->shards, l->slices, shards, slices);
        sharding_fini(l);
    }
    free(path);
    return rc;
}

char *exact_shard_dir(const char *out, int shards, int shard, struct err *e)
{
    char name[32];
    snprintf(name, sizeof name, "shard-%d", shard);
    return shards > 1 ? file_join(out, name, e) : mem_strdup(out, e);
}

/* What a name in OUT is to exact_clear: a file of ours; a shard's directory. */
static bool is_ours(const char *name)
{
    return !strcmp(name, state_name) || !strcmp(name, layout_name) ||
           !strcmp(name, deletions_name) ||
           (!strncmp(name, "step-", 5) && strstr(name, ".safetensors"));
}

void exact_clear(const char *out)
{
    DIR *d = opendir(out);
    for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d))
        if (is_ours(f->d_name))
            unlinkat(dirfd(d), f->d_name, 0);
        else if (!strncmp(f->d_name, "shard-", 6))
            outdir_remove_tree(dirfd(d), f->d_name);
    if (d)
        closedir(d);
}

/* --- the state of a shard --- */

static char *state_path(const char *out, const struct sharding *l, int shard, struct err *e)
{
    char *dir = exact_shard_dir(out, l->shards, shard, e);
    char *path = dir ? file_join(dir, state_name, e) : NULL;
    free(dir);
    return path;
}

static int take_state(const struct sharding *l, const json_t *j, struct shard_state *s,
                      bool *before, struct err *e)
{
    int *without, n;
    if (json_need_ids(j, "without", &without, &n, e) ||
        json_opt_bool(j, "finished", &s->finished, e) || json_opt_real(j, "reads", &s->reads, e))
        return -1;
    for (int i = 0; i < n; i++)
        if (without[i] < l->n)
            before[without[i]] = true;
    free(without);
    return 0;
}

int exact_state_read(const char *out, const struct sharding *l, int shard, struct shard_state *s,
                     bool *before, struct err *e)
{
    *s = (struct shard_state){0};
    memset(before, 0, (size_t)l->n * sizeof *before);
    char *path = state_path(out, l, shard, e);
    if (!path)
        return -1;
    s->there = file_exists(path);
    json_t *j = s->there ? json_read_file(path, e) : NULL;
    int rc = !s->there ? 0 : !j || take_state(l, j, s, before, e) ? -1 : 0;
    const struct positions of = sharding_shard(l, shard);
    s->current = !rc && s->there && s->finished;
    for (int i = of.first; i < of.end; i++)
        s->current = s->current && before[i] == l->deleted[i];
    if (rc)
        err_prefix(e, "'%s': ", path);
    json_decref(j);
    free(path);
    return rc;
}

int exact_state_write(const char *out, const struct sharding *l, int shard,
                      const struct shard_state *s, struct err *e)
{
    const struct positions of = sharding_shard(l, shard);
    json_t *without = json_array();
    for (int i = of.first; i < of.end; i++)
        if (l->deleted[i])
            json_array_append_new(without, json_integer(i));
    json_t *j = json_pack("{s:o, s:b, s:f}", "without", without, "finished", (int)s->finished,
                          "reads", s->reads);
    char *path = state_path(out, l, shard, e);
    int rc = !j ? err_no_memory(e, "state") : !path ? -1 : json_write_file(j, path, 0, e);
    json_decref(j);
    free(path);
    return rc;
}

int exact_log(const char *out, json_t *entry, struct err *e)
{
    char date[RUN_DATE];
    run_date(date);
    char *path = file_join(out, deletions_name, e);
    FILE *f = path ? fopen(path, "a") : NULL;
    int rc = !path ? -1
             : !f  ? err_sys(e, "cannot write '%s'", path)
             : !entry || json_object_set_new(entry, "date", json_string(date))
                 ? err_no_memory(e, "deletions")
                 : 0;
    if (!rc && (json_dumpf(entry, f, JSON_COMPACT) || fputc('\n', f) == EOF || fflush(f)))
        rc = err_sys(e, "cannot write '%s'", path);
    if (f)
        fclose(f);
    json_decref(entry);
    free(path);
    return rc;
}

int sharding_members(const char *dir, char ***members, int *n, struct err *e)
{
    struct sharding l = {0};
    bool *before = NULL;
    *members = NULL;
    *n = 0;
    char *path = exact_layout_path(dir, e);
    if (!path || !file_exists(path)) {
        free(path);
        return path ? 0 : -1;
    }
    int rc = sharding_read(&l, path, e) || !(before = mem_alloc((size_t)l.n, sizeof *before, e)) ||
             !(*members = mem_alloc((size_t)l.shards, sizeof **members, e));
    for (int k = 0; !rc && k < l.shards; k++) {
        struct shard_state s;
        if (!sharding_left(&l, sharding_shard(&l, k)))
            continue;
        rc = exact_state_read(dir, &l, k, &s, before, e);
        if (!rc && !s.current)
            rc = err_about(e, "unfinished",
                           "shard %d of '%s' is not trained, or has not forgotten what is deleted",
                           k, dir);
        if (!rc && l.shards > 1)
            rc = !((*members)[(*n)++] = exact_shard_dir(dir, l.shards, k, e));
    }
    free(before);
    free(path);
    sharding_fini(&l);
    return rc ? -1 : 0;
}
