#include "cli/results.h"

#include "base/buf.h"
#include "base/file.h"

static int check(const struct inputs *in, const char *path, bool replaces, struct err *e)
{
    if (inputs_keep(in, path, e))
        return -1;
    return file_exists(path) && !file_is_dir(path) && !replaces
               ? err_set(e, "'%s' is there already: choose another directory, or give --overwrite",
                         path)
               : 0;
}

int results_claim(const struct inputs *in, const char *out, const char *suite, bool overwrite,
                  struct err *e)
{
    static const char *const kinds[] = {"EVAL", "SUMMARY", "TABLE", "COST"};
    struct buf path = {0};
    int rc = inputs_keep(in, out, e);
    /* What an evaluation that was interrupted has kept: it goes on, and was allowed to. */
    if (!rc)
        rc = buf_printf(&path, e, "%s/%s_EVIDENCE.bin", out, suite);
    const bool replaces = overwrite || (!rc && file_exists(path.data));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !rc; i++) {
        buf_clear(&path);
        rc = buf_printf(&path, e, "%s/%s_%s.json", out, suite, kinds[i]) ||
                     check(in, path.data, replaces, e)
                 ? -1
                 : 0;
    }
    buf_fini(&path);
    return rc;
}
