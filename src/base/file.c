#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sizes.h"

/* Reads to the end by read(2), which serves pipes and devices as well as files. */
static int read_all(int fd, const char *path, size_t most, struct buf *b, struct err *e)
{
    struct stat st;
    if (buf_add(b, "", 0, e))
        return -1;
    bool regular = !fstat(fd, &st) && S_ISREG(st.st_mode);
    if (regular && mem_reserve(&b->data, &b->cap, (size_t)st.st_size + 2, 1, e))
        return -1;
    for (;;) {
        if (b->cap - b->len < 2 && mem_reserve(&b->data, &b->cap, b->cap + SIZE(4096, 2), 1, e))
            return -1;
        ssize_t n = read(fd, b->data + b->len, b->cap - b->len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(e, "cannot read '%s'", path);
        b->len += (size_t)n;
        b->data[b->len] = 0;
        if (n == 0)
            return 0;
        if (!regular && b->len > most)
            return err_set(
                e, "cannot read '%s': it is no regular file and has not ended after %zu MiB", path,
                most >> 20);
    }
}

char *file_read_most(const char *path, size_t most, size_t *len, struct err *e)
{
    bool from_stdin = !strcmp(path, "-");
    int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err_sys(e, "cannot open '%s'", path);
        return NULL;
    }
    struct buf b = {0};
    int rc = read_all(fd, path, most, &b, e) || file_refuse_pointer(b.data, b.len, path, e);
    if (!from_stdin)
        close(fd);
    if (rc) {
        buf_fini(&b);
        return NULL;
    }
    if (len)
        *len = b.len;
    return b.data;
}

char *file_read(const char *path, size_t *len, struct err *e)
{
    return file_read_most(path, (size_t)1 << 30, len, e);
}

/* PATH.tmp.PID, owned by the caller. */
static char *temporary_name(const char *path, struct err *e)
{
    struct buf b = {0};
    if (!buf_printf(&b, e, "%s.tmp.%ld", path, (long)getpid()))
        return b.data;
    buf_fini(&b);
    return NULL;
}

/* A link is followed to its file, so that the rename replaces the file and not the link. What
 * exists and is not a regular file (/dev/null, a pipe) cannot be renamed over: it is written
 * directly. */
int file_out_open(struct file_out *o, const char *path, struct err *e)
{
    *o = (struct file_out){0};
    struct stat st;
    char *target = realpath(path, NULL);
    bool direct = !stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
    o->path = mem_strdup(target && !direct ? target : path, e);
    free(target);
    if (o->path && direct)
        o->f = fopen(path, "wb");
    if (o->path && !direct && (o->tmp = temporary_name(o->path, e)))
        o->f = fopen(o->tmp, "wb");
    if (o->f && o->path)
        return 0;
    if (o->path && (direct || o->tmp))
        err_sys(e, "cannot create '%s'", path);
    file_out_abort(o);
    return -1;
}

int file_out_write(struct file_out *o, const void *bytes, size_t n, struct err *e)
{
    if (n && fwrite(bytes, 1, n, o->f) != n)
        return err_sys(e, "cannot write '%s'", o->path);
    return 0;
}

int file_out_commit(struct file_out *o, struct err *e)
{
    int rc = 0;
    if (ferror(o->f)) /* errno is no longer set for it */
        rc = err_set(e, "cannot write '%s': an earlier write failed", o->path);
    else if (fflush(o->f) || (o->tmp && fsync(fileno(o->f))))
        rc = err_sys(e, "cannot write '%s'", o->path);
    if (fclose(o->f) && !rc)
        rc = err_sys(e, "cannot write '%s'", o->path);
    o->f = NULL;
    if (!rc && o->tmp && rename(o->tmp, o->path))
        rc = err_sys(e, "cannot replace '%s'", o->path);
    if (!rc) {
        free(o->tmp);
        o->tmp = NULL;
    }
    file_out_abort(o);
    return rc;
}

void file_out_abort(struct file_out *o)
{
    if (o->f)
        fclose(o->f);
    if (o->tmp)
        unlink(o->tmp);
    free(o->tmp);
    free(o->path);
    *o = (struct file_out){0};
}

int file_write(const char *path, const void *bytes, size_t n, struct err *e)
{
    struct file_out o;
    if (file_out_open(&o, path, e))
        return -1;
    if (!file_out_write(&o, bytes, n, e) && !file_out_commit(&o, e))
        return 0;
    file_out_abort(&o);
    return -1;
}

/* A dangling link or an entry without permission counts as existing: opening it gives the error. */
bool file_exists(const char *path)
{
    struct stat st;
    return !lstat(path, &st) || errno == EACCES || errno == ELOOP;
}

bool file_is_dir(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int file_make_dir(const char *path, struct err *e)
{
    char *part = mem_strdup(path, e);
    if (!part)
        return -1;
    int rc = 0;
    for (char *p = part; *p && !rc; p++) {
        char *end = p + 1 + strcspn(p + 1, "/");
        char saved = *end;
        *end = 0;
        const int why = mkdir(part, 0777) ? errno : 0;
        if (why && !file_is_dir(part)) { /* which has another errno */
            errno = why == EEXIST ? ENOTDIR : why;
            rc = err_sys(e, "cannot create the directory '%s'", part);
        }
        *end = saved;
        p = end - 1;
    }
    free(part);
    return rc;
}

char *file_absolute(const char *path, struct err *e)
{
    char cwd[PATH_MAX] = "";
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    if (*path != '/' && !getcwd(cwd, sizeof cwd)) {
        err_sys(e, "cannot find the current directory");
        return NULL;
    }
    const size_t before = strlen(cwd);
    char *all = mem_alloc(before + n + 2, 1, e);
    if (all)
        sprintf(all, "%s%s%.*s", cwd, *path == '/' ? "" : "/", (int)n, path);
    return all;
}

char *file_join(const char *dir, const char *name, struct err *e)
{
    size_t n = strlen(dir);
    struct buf b = {0};
    if (!buf_printf(&b, e, "%s%s%s", dir, n && dir[n - 1] != '/' ? "/" : "", name))
        return b.data;
    buf_fini(&b);
    return NULL;
}

int file_copy(const char *from, const char *to, struct err *e)
{
    struct file_map m;
    if (file_map_open(&m, from, e))
        return -1;
    int rc = file_write(to, m.data, m.size, e);
    file_map_close(&m);
    return rc;
}
