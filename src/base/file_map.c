/* Memory-mapped files; Git LFS pointers. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

int file_refuse_pointer(const void *bytes, size_t n, const char *path, struct err *e)
{
    static const char head[] = "version https://git-lfs.github.com/spec/";
    enum { MOST = 1024 }; /* of a pointer, by its definition */
    char text[MOST + 1] = "";
    if (n > MOST || n < sizeof head - 1 || memcmp(bytes, head, sizeof head - 1))
        return 0;
    memcpy(text, bytes, n);
    const char *size = strstr(text, "\nsize ");
    const long long whole = size ? atoll(size + 6) : 0;
    return err_set(
        e,
        "'%s' is a Git LFS pointer, not the file itself (%lld bytes): run 'git lfs pull' "
        "in its directory, or download the file",
        path, whole);
}

static int map(struct file_map *m, int fd, const char *path, struct err *e)
{
    if (fstat(fd, &m->was))
        return err_sys(e, "cannot read '%s'", path);
    if (!S_ISREG(m->was.st_mode))
        return err_set(e, "cannot map '%s': not a regular file", path);
    if (!(m->path = mem_strdup(path, e)) || !m->was.st_size)
        return m->path ? 0 : -1;
    void *p = mmap(NULL, (size_t)m->was.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_sys(e, "cannot map '%s'", path);
    m->data = p;
    m->size = (size_t)m->was.st_size;
    return file_refuse_pointer(p, m->size, path, e);
}

int file_map_open(struct file_map *m, const char *path, struct err *e)
{
    *m = (struct file_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "cannot open '%s'", path);
    int rc = map(m, fd, path, e);
    close(fd);
    if (rc)
        file_map_close(m);
    return rc;
}

void file_map_forget(const void *data, size_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)data;
    const uintptr_t from = (first + page - 1) / page * page, end = (first + n) / page * page;
    if (end > from)
        madvise((void *)from, end - from, MADV_DONTNEED);
}

/* Whether the same inode has other contents; a file renamed over it does not change the mapped one.
 */
static bool was_written(const struct file_map *m)
{
    struct stat is;
    return m->path && !stat(m->path, &is) && is.st_dev == m->was.st_dev &&
           is.st_ino == m->was.st_ino &&
           (is.st_size != m->was.st_size || is.st_mtim.tv_sec != m->was.st_mtim.tv_sec ||
            is.st_mtim.tv_nsec != m->was.st_mtim.tv_nsec);
}

void file_map_close(struct file_map *m)
{
    if (was_written(m))
        log_warn("'%s' was written to while it was in use: what was computed may mix its contents "
                 "before and after",
                 m->path);
    if (m->size)
        munmap((void *)m->data, m->size);
    free(m->path);
    *m = (struct file_map){0};
}
