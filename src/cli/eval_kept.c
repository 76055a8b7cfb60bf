#include "cli/eval_kept.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"

int eval_kept_add(struct eval_kept *k, struct model_backend *s, struct err *e)
{
    s->interrupt = k->interrupt;
    return k->out ? model_backend_set_cache(s, &k->file, e) : 0;
}

int eval_kept_open(struct eval_kept *k, struct model_backend *s, struct err *e)
{
    struct buf name = {0};
    char *path = NULL;
    int rc = eval_kept_add(k, s, e);
    if (rc || !k->out)
        return rc;
    rc = file_make_dir(k->out, e) || buf_printf(&name, e, "%s_EVIDENCE.bin", k->suite) ||
                 !(path = file_join(k->out, name.data, e)) ||
                 cache_file_open(&k->file, path, s->cache.model, s->model->path, k->overwrite, e)
             ? -1
             : 0;
    if (!rc && k->file.n)
        log_note("going on from '%s'", path);
    free(path);
    buf_fini(&name);
    return rc;
}

void eval_kept_close(struct eval_kept *k, int rc, struct err *e)
{
    struct err why = {0};
    if (rc)
        why = *e;
    if (rc && cache_file_any(&k->file))
        err_set(e, "%.200s; what the model said is kept in '%.200s': repeat the command to go on",
                why.msg, k->file.path);
    else if (rc && *k->interrupt && !k->out)
        err_set(e, "%.200s; with --out DIR it could go on from here", why.msg);
    cache_file_close(&k->file, rc != 0);
}
