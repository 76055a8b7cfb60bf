#include "data/readers.h"

#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sizes.h"

enum { BLOCK = SIZE(1 << 15, 3), WINDOW = 15 + 16 /* the largest; gzip's header */ };
static const size_t most_unpacked = (size_t)1 << 31, most_input = SIZE((size_t)1 << 30, 5);

bool gz_is(const char *path)
{
    size_t n = strlen(path);
    return n > 3 && !strcasecmp(path + n - 3, ".gz");
}

bool gz_begins(const char *bytes, size_t n)
{
    return n > 1 && !memcmp(bytes, "\x1f\x8b", 2);
}

static void *take(void *unused, uInt n, uInt size)
{
    struct err ignored;
    (void)unused;
    return mem_alloc(n, size, &ignored);
}

static void give(void *unused, void *p)
{
    (void)unused;
    free(p);
}

/* What follows the last member: padding, as tapes leave it. */
static bool all_zero(const char *at, const char *end)
{
    while (at < end && !*at)
        at++;
    return at == end;
}

/* Unpacks one member from *at on, which moves to its end. */
static int unpack_member(z_stream *z, const char *name, const char **at, const char *end,
                         struct buf *text, struct err *e)
{
    char block[BLOCK];
    int code = Z_OK;
    while (code == Z_OK) {
        size_t left = (size_t)(end - *at);
        z->next_in = (unsigned char *)*at; /* not written to */
        z->avail_in = (uInt)(left < most_input ? left : most_input);
        z->next_out = (unsigned char *)block;
        z->avail_out = sizeof block;
        code = inflate(z, Z_NO_FLUSH);
        *at = (const char *)z->next_in;
        size_t n = sizeof block - z->avail_out;
        if (text->len + n > most_unpacked)
            return err_set(e, "'%s' is larger than 2 GiB unpacked", name);
        if (buf_add(text, block, n, e))
            return -1;
    }
    if (code == Z_MEM_ERROR)
        return err_no_memory(e, "gzip");
    if (code == Z_BUF_ERROR)
        return err_set(e, "'%s' is damaged: it ends early", name);
    return code == Z_STREAM_END
               ? 0
               : err_set(e, "'%s' is damaged: %s", name, z->msg ? z->msg : "not in gzip's format");
}

char *gz_unpack(const char *name, const char *bytes, size_t n, size_t *len, struct err *e)
{
    struct buf text = {0};
    const char *at = bytes, *end = bytes + n;
    z_stream z = {.zalloc = take, .zfree = give};
    int rc = buf_str(&text, "", e);
    if (!rc && inflateInit2(&z, WINDOW) != Z_OK)
        rc = err_no_memory(e, "gzip");
    while (!rc && at < end) { /* files may be joined as they are */
        if (at > bytes && all_zero(at, end))
            break;
        rc = unpack_member(&z, name, &at, end, &text, e);
        inflateReset(&z);
    }
    inflateEnd(&z);
    if (rc)
        buf_fini(&text);
    *len = text.len;
    return text.data;
}

char *gz_read(const char *path, size_t *len, struct err *e)
{
    size_t n;
    char *bytes = file_read(path, &n, e), *text = NULL;
    if (bytes && !gz_begins(bytes, n))
        err_set(e, "'%s' is not packed by gzip: drop the .gz from its name", path);
    else if (bytes)
        text = gz_unpack(path, bytes, n, len, e);
    free(bytes);
    return text;
}
