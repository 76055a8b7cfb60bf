#include "base/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define MAGIC "unlearn kept 1 "
enum { ID_DIGITS = 16, LONGEST_NAME = 4096 };

struct cache_record {
    uint64_t key;
    uint32_t size, check;
};

static uint32_t checksum(const struct cache_record *r, const void *bytes)
{
    uLong c = crc32_z(0, (const Bytef *)r, offsetof(struct cache_record, check));
    return (uint32_t)crc32_z(c, bytes, r->size);
}

/* Appends after the valid part of the file. */
static int append(struct cache_file *k, const void *bytes, size_t n, struct err *e)
{
    size_t done = 0;
    while (done < n) {
        ssize_t w = pwrite(k->fd, (const char *)bytes + done, n - done, (off_t)(k->size + done));
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0) {
            err_sys(e, "cannot write '%s'", k->path);
            /* If this fails too, the truncated record is detected when the file is read. */
            return ftruncate(k->fd, (off_t)k->size), -1;
        }
        done += (size_t)w;
    }
    k->size += n;
    return 0;
}

static int begin(struct cache_file *k, uint64_t id, const char *name, struct err *e)
{
    struct buf b = {0};
    k->size = 0;
    int rc = ftruncate(k->fd, 0)
                 ? err_sys(e, "cannot write '%s'", k->path)
                 : buf_printf(&b, e, MAGIC "%0*" PRIx64 " %s\n", ID_DIGITS, id, name) ||
                       append(k, b.data, b.len, e);
    buf_fini(&b);
    return rc;
}

/* Checks the first line; *whole: it is complete, else the file must be started. */
static int check_head(struct cache_file *k, size_t size, uint64_t id, const char *name, bool *whole,
                      struct err *e)
{
    size_t magic = strlen(MAGIC);
    const char *end = memchr(k->read, '\n', size < LONGEST_NAME ? size : LONGEST_NAME);
    *whole = false;
    if (memcmp(k->read, MAGIC, size < magic ? size : magic))
        return err_set(e, "'%s' is no result cache: move it away", k->path);
    if (!end)
        return 0;
    k->size = (size_t)(end + 1 - k->read);
    char *rest = NULL;
    if (k->size < magic + ID_DIGITS + 2 || strtoull(k->read + magic, &rest, 16) != id)
        return err_about(e, "overwrite", "'%s' holds results of %.*s, not of %s", k->path,
                         rest && rest < end ? (int)(end - rest - 1) : 0, rest ? rest + 1 : "",
                         name);
    *whole = true;
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    const struct cache_entry *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

/* Lists the valid records; k->size becomes their end. */
static int list_records(struct cache_file *k, size_t size, struct err *e)
{
    size_t cap = 0;
    struct cache_record r;
    for (; size - k->size >= sizeof r; k->size += sizeof r + r.size) {
        const char *bytes = k->read + k->size + sizeof r;
        memcpy(&r, k->read + k->size, sizeof r);
        if (r.size > size - k->size - sizeof r || checksum(&r, bytes) != r.check)
            break;
        if (mem_reserve(&k->v, &cap, k->n + 1, sizeof *k->v, e))
            return -1;
        k->v[k->n++] = (struct cache_entry){r.key, r.size, bytes};
    }
    if (k->n)
        qsort(k->v, k->n, sizeof *k->v, compare_keys);
    if (k->size == size)
        return 0;
    log_warn("the end of '%s' is damaged: %zu records before it are good, the rest is done again",
             k->path, k->n);
    return ftruncate(k->fd, (off_t)k->size) ? err_sys(e, "cannot write '%s'", k->path) : 0;
}

static int read_file(struct cache_file *k, uint64_t id, const char *name, struct err *e)
{
    size_t size;
    bool whole = false;
    if (!(k->read = file_read(k->path, &size, e)))
        return -1;
    if (size && check_head(k, size, id, name, &whole, e))
        return -1;
    return whole ? list_records(k, size, e) : begin(k, id, name, e);
}

static void release(struct cache_file *k)
{
    if (k->path && k->fd >= 0)
        close(k->fd);
    free(k->path);
    free(k->read);
    free(k->v);
    *k = (struct cache_file){.fd = -1};
}

int cache_file_open(struct cache_file *k, const char *path, uint64_t id, const char *name,
                    bool overwrite, struct err *e)
{
    *k = (struct cache_file){.fd = -1};
    if (!(k->path = mem_strdup(path, e)))
        return -1;
    struct stat st;
    if ((k->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0) {
        err_sys(e, "cannot open '%s'", path);
        goto fail;
    }
    if (fstat(k->fd, &st) || !S_ISREG(st.st_mode)) {
        err_set(e, "'%s' is no regular file", path);
        goto fail;
    }
    if (flock(k->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        err_code(e, ERR_BUSY, "'%s' is in use by another process", path);
        goto fail;
    }
    if (!(overwrite ? begin(k, id, name, e) : read_file(k, id, name, e)))
        return 0;
fail:
    release(k); /* the file is not ours */
    return -1;
}

const void *cache_file_find(const struct cache_file *k, uint64_t key, size_t *size)
{
    const struct cache_entry wanted = {.key = key};
    const struct cache_entry *x =
        k->n ? bsearch(&wanted, k->v, k->n, sizeof *k->v, compare_keys) : NULL;
    if (!x)
        return NULL;
    *size = x->size;
    return x->bytes;
}

int cache_file_add(struct cache_file *k, uint64_t key, const void *bytes, size_t size,
                   struct err *e)
{
    struct cache_record r = {.key = key, .size = (uint32_t)size};
    struct buf b = {0};
    if (size > UINT32_MAX)
        return err_set(e, "a result of %zu bytes is too large for the cache", size);
    r.check = checksum(&r, bytes);
    int rc =
        buf_add(&b, &r, sizeof r, e) || buf_add(&b, bytes, size, e) || append(k, b.data, b.len, e);
    buf_fini(&b);
    k->added += !rc;
    return rc;
}

bool cache_file_any(const struct cache_file *k)
{
    return k->n || k->added;
}

void cache_file_close(struct cache_file *k, bool keep)
{
    if (k->path && !(keep && cache_file_any(k)))
        unlink(k->path);
    release(k);
}
