#include "data/gz.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "base/buf.h"

bool gz_is(const char *path)
{
    size_t n = strlen(path);
    return n > 3 && !strcasecmp(path + n - 3, ".gz");
}

char *gz_read(const char *path, size_t *len, struct err *e)
{
    static const size_t most = (size_t)1 << 31;
    struct buf text = {0};
    char block[1 << 15];
    gzFile f = gzopen(path, "rb");
    if (!f) {
        err_set(e, "cannot open '%s': %s", path, strerror(errno));
        return NULL;
    }
    int n, code, rc = buf_str(&text, "", e);
    if (!rc && gzdirect(f)) /* zlib would hand out the bytes as they are */
        rc = err_set(e, "'%s' is not packed by gzip: drop the .gz from its name", path);
    while (!rc && (n = gzread(f, block, sizeof block)) > 0)
        rc = text.len + (size_t)n > most ? err_set(e, "'%s' is larger than 2 GiB unpacked", path)
                                         : buf_add(&text, block, (size_t)n, e);
    if (!rc) {
        const char *why = gzerror(f, &code);
        /* A file that ends early is Z_BUF_ERROR only when it is closed. */
        if (code != Z_OK && code != Z_STREAM_END)
            rc = err_set(e, "'%s' is damaged: %s", path, why);
    }
    if (gzclose(f) != Z_OK && !rc)
        rc = err_set(e, "'%s' is damaged: it ends early", path);
    if (rc)
        buf_fini(&text);
    *len = text.len;
    return text.data;
}
