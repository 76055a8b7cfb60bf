#include "base/outdir.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

bool outdir_same(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool outdir_is_entry(const char *name)
{
    return strcmp(name, ".") && strcmp(name, "..");
}

static bool is_among(const char *name, const char *const *names, int n)
{
    bool is = !outdir_is_entry(name) || !strcmp(name, "lost+found");
    for (int i = 0; i < n && !is; i++)
        is = !strcmp(name, names[i]);
    return is;
}

bool outdir_holds_other(const char *path, const char *const *names, int n, char **name)
{
    struct err ignored;
    bool any = false;
    DIR *d = opendir(path);
    for (struct dirent *f = d ? readdir(d) : NULL; f && !any; f = readdir(d)) {
        any = !is_among(f->d_name, names, n);
        if (any && name)
            *name = mem_strdup(f->d_name, &ignored);
    }
    if (d)
        closedir(d);
    return any;
}

void outdir_remove_tree(int at, const char *name)
{
    const int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d))
        if (outdir_is_entry(f->d_name))
            outdir_remove_tree(dirfd(d), f->d_name);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    unlinkat(at, name, fd < 0 ? 0 : AT_REMOVEDIR);
}

/* --- temporary files of dead processes --- */

int64_t outdir_process_start(int64_t pid)
{
    char path[64], text[1024] = "";
    long long ticks = 0;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f)
        fclose(f);
    const char *at = strrchr(text, ')'); /* the command's name may hold spaces */
    if (at && (at[1] == ' ') && (at[2] == 'Z' || at[2] == 'X'))
        return 0;
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%lld", &ticks) == 1 ? ticks : 0;
}

/* Of a process that can be signalled. */
static bool has_ended(int64_t pid)
{
    return outdir_process_start(getpid()) /* there is a /proc */ && !outdir_process_start(pid);
}

/* Whether it is NAME.tmp.PID, owned by this user, of no living process. One with our own PID is of
 * an earlier process: we have written nothing yet. */
static bool is_left(int dir, const char *name)
{
    const char *tmp = NULL, *end;
    for (const char *p = name; (p = strstr(p, ".tmp.")); p++)
        tmp = p;
    if (!tmp || tmp == name)
        return false;
    for (end = tmp + strlen(".tmp."); isdigit((unsigned char)*end); end++)
        ;
    const long pid = strtol(tmp + strlen(".tmp."), NULL, 10);
    struct stat st;
    if (*end || pid <= 0 || pid > INT_MAX || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) ||
        st.st_uid != geteuid())
        return false;
    return pid == getpid() || (kill((pid_t)pid, 0) ? errno == ESRCH : has_ended(pid));
}

static void clear_left(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d))
        if (is_left(dirfd(d), f->d_name))
            outdir_remove_tree(dirfd(d), f->d_name);
    if (d)
        closedir(d);
}

/* The same for directories DIR.tmp.PID, which hold entries of an unfinished exchange. */
static void clear_siblings(const char *path)
{
    struct err ignored;
    char *real = realpath(path, NULL), *name = real ? strrchr(real, '/') : NULL;
    if (name && name != real) {
        const size_t n = strlen(name + 1);
        *name++ = 0;
        DIR *d = opendir(real);
        for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d))
            if (!strncmp(f->d_name, name, n) && !strncmp(f->d_name + n, ".tmp.", 5) &&
                is_left(dirfd(d), f->d_name)) {
                char *left = file_join(real, f->d_name, &ignored);
                if (left)
                    outdir_settle(left, path);
                free(left);
            }
        if (d)
            closedir(d);
    }
    free(real);
}

/* --- open and close --- */

/* A file system without locks (some network mounts) is accepted. */
static int lock(struct outdir *d, struct err *e)
{
    struct stat held, there;
    for (;;) {
        if ((d->lock = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
            return err_sys(e, "cannot open the directory '%s'", d->path);
        if (flock(d->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
            return err_set(e, "'%s' is in use by another process", d->path);
        /* An exchange may have put another directory in its place. */
        if (!fstat(d->lock, &held) && !stat(d->path, &there) && held.st_ino == there.st_ino)
            return 0;
        close(d->lock);
        d->lock = -1;
    }
}

int outdir_check_empty(const char *path, struct err *e)
{
    char *name = NULL;
    if (!outdir_holds_other(path, NULL, 0, &name))
        return 0;
    err_about(e, "out", "'%s' is not empty: it holds '%.100s'", path, name ? name : "files");
    free(name);
    return -1;
}

int outdir_open(struct outdir *d, const char *path, enum outdir_use use, struct err *e)
{
    *d = (struct outdir){.lock = -1, .made = !file_exists(path)};
    if (!(d->path = mem_strdup(path, e)))
        return -1;
    int rc = file_make_dir(path, e) || lock(d, e);
    if (!rc) {
        clear_left(path);
        clear_siblings(path);
        rc = use == OUTDIR_EMPTY ? outdir_check_empty(path, e) : 0;
    }
    if (rc)
        outdir_close(d, true);
    return rc;
}

void outdir_close(struct outdir *d, bool failed)
{
    if (!d->path)
        return;
    outdir_drop_stage(d);
    if (failed && d->made)
        rmdir(d->path);
    if (d->lock >= 0)
        close(d->lock);
    free(d->path);
    *d = (struct outdir){.lock = -1};
}
