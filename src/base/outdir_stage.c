/* Atomic replacement of several files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/outdir.h"

/* A directory without any of these is not a model. */
static const char *const heads[] = {"config.json", "adapter_config.json"};

bool outdir_is_model_file(const char *name)
{
    static const char *const patterns[] = {
        "config.json",
        "generation_config.json",
        "adapter_config.json",
        "model.safetensors",
        "model-*-of-*.safetensors",
        "model.safetensors.index.json",
        "tokenizer*.json",
        "adapter_model.safetensors",
        "special_tokens_map.json",
        "added_tokens.json",
        "tokenizer.model",
        "tokenizer.bin",
        "vocab.json",
        "merges.txt",
        "*.tiktoken",
        "chat_template.json",
        "chat_template.jinja",
    };
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        if (!fnmatch(patterns[i], name, 0))
            return true;
    return false;
}

static bool is_head(const char *name)
{
    return !strcmp(name, heads[0]) || !strcmp(name, heads[1]);
}

/* --- the entries of a directory --- */

struct names {
    char **v; /* owned */
    size_t n, cap;
};

static void names_fini(struct names *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->v[i]);
    free(l->v);
}

static int names_read(struct names *l, const char *dir, struct err *e)
{
    DIR *d = opendir(dir);
    int rc = d ? 0 : err_sys(e, "cannot read the directory '%s'", dir);
    for (struct dirent *f = d ? readdir(d) : NULL; f && !rc; f = readdir(d)) {
        if (!outdir_is_entry(f->d_name))
            continue;
        rc = mem_reserve(&l->v, &l->cap, l->n + 1, sizeof *l->v, e) ||
             !(l->v[l->n] = mem_strdup(f->d_name, e));
        l->n += !rc;
    }
    if (d)
        closedir(d);
    return rc;
}

static int open_dir(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* --- stage --- */

int outdir_stage(struct outdir *d, struct err *e)
{
    struct buf b = {0};
    outdir_drop_stage(d);
    if (buf_printf(&b, e, "%s/model.tmp.%ld", d->path, (long)getpid())) {
        buf_fini(&b);
        return -1;
    }
    outdir_remove_tree(AT_FDCWD, b.data);
    d->stage = b.data;
    return mkdir(d->stage, 0777) ? err_sys(e, "cannot create the directory '%s'", d->stage) : 0;
}

void outdir_drop_stage(struct outdir *d)
{
    if (d->stage)
        outdir_remove_tree(AT_FDCWD, d->stage);
    free(d->stage);
    d->stage = NULL;
}

/* --- replaced file by file --- */

static int move_in(int from, int to, const struct names *l, bool head, const char *dir,
                   struct err *e)
{
    for (size_t i = 0; i < l->n; i++)
        if (is_head(l->v[i]) == head && renameat(from, l->v[i], to, l->v[i]))
            return err_sys(e, "cannot replace '%s/%s'", dir, l->v[i]);
    return fsync(to) ? err_sys(e, "cannot write '%s'", dir) : 0;
}

/* The old config is removed before files are mixed. */
static int remove_old(int dir, const struct names *old, const char *path, struct err *e)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < old->n; i++)
            if (outdir_is_model_file(old->v[i]) && is_head(old->v[i]) == !pass &&
                unlinkat(dir, old->v[i], 0))
                return err_sys(e, "cannot replace '%s/%s'", path, old->v[i]);
        if (fsync(dir))
            return err_sys(e, "cannot write '%s'", path);
    }
    return 0;
}

static int replace_each(struct outdir *d, const struct names *fresh, const struct names *old,
                        struct err *e)
{
    const int from = open_dir(d->stage);
    int rc = from < 0 ? err_sys(e, "cannot read '%s'", d->stage)
                      : remove_old(d->lock, old, d->path, e) ||
                            move_in(from, d->lock, fresh, false, d->path, e) ||
                            move_in(from, d->lock, fresh, true, d->path, e);
    if (from >= 0)
        close(from);
    return rc;
}

/* --- exchanged atomically --- */

void outdir_settle(const char *left, const char *dir)
{
    struct err ignored;
    struct names l = {0};
    const int from = open_dir(left), to = open_dir(dir);
    if (from >= 0 && to >= 0 && !names_read(&l, left, &ignored))
        for (size_t i = 0; i < l.n; i++)
            if (!outdir_is_model_file(l.v[i]) && !strstr(l.v[i], ".tmp."))
                renameat2(from, l.v[i], to, l.v[i], RENAME_NOREPLACE);
    names_fini(&l);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    outdir_remove_tree(AT_FDCWD, left);
}

/* Files of other kinds are in both directories when these are exchanged. Directories, and files
 * where a file system has no hard links, follow right after. */
static void link_others(const struct outdir *d, int to, const struct names *old)
{
    for (size_t i = 0; i < old->n; i++)
        if (!outdir_is_model_file(old->v[i]))
            linkat(d->lock, old->v[i], to, old->v[i], 0); /* fails on directories */
}

static bool is_working_directory(const char *path)
{
    return outdir_same(path, ".");
}

/* Gives the new directory the old one's mode and owner, and locks it, before the exchange. */
static int make_alike(const struct outdir *d, const char *sibling, const struct names *old)
{
    struct stat st;
    const int fd = open_dir(sibling);
    if (fd < 0 || fstat(d->lock, &st) || fchmod(fd, st.st_mode & 07777) ||
        (st.st_uid != geteuid() && fchown(fd, st.st_uid, st.st_gid)) || flock(fd, LOCK_EX)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    link_others(d, fd, old);
    fsync(fd);
    return fd;
}

/* Returns whether it was done; if not, nothing changed. */
static bool exchange(struct outdir *d, const struct names *old)
{
    struct err ignored;
    struct buf sibling = {0};
    char *real = realpath(d->path, NULL), *slash = real ? strrchr(real, '/') : NULL;
    bool done = false;
    if (slash && slash != real && !is_working_directory(real) &&
        !buf_printf(&sibling, &ignored, "%s.tmp.%ld", real, (long)getpid()) &&
        !rename(d->stage, sibling.data)) {
        const int fd = make_alike(d, sibling.data, old);
        done = fd >= 0 && !renameat2(AT_FDCWD, sibling.data, AT_FDCWD, real, RENAME_EXCHANGE);
        if (done) {
            close(d->lock);
            d->lock = fd;
            *slash = 0;
            const int parent = open_dir(real);
            if (parent >= 0) {
                fsync(parent);
                close(parent);
            }
            outdir_settle(sibling.data, d->path);
        } else {
            if (fd >= 0)
                close(fd);
            rename(sibling.data, d->stage);
        }
    }
    buf_fini(&sibling);
    free(real);
    return done;
}

int outdir_commit(struct outdir *d, struct err *e)
{
    struct names fresh = {0}, old = {0};
    int rc = names_read(&fresh, d->stage, e) || names_read(&old, d->path, e);
    bool replaces = false;
    for (size_t i = 0; i < old.n; i++)
        replaces |= outdir_is_model_file(old.v[i]);
    if (!rc && (!replaces || !exchange(d, &old)))
        rc = replace_each(d, &fresh, &old, e);
    names_fini(&fresh);
    names_fini(&old);
    if (!rc)
        outdir_drop_stage(d);
    return rc;
}
