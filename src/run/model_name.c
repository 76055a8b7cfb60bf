#include "run/model_name.h"

#include <ctype.h>
#include <dirent.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

static const char default_file[] = "unlearn/SmolLM2-135M-Instruct.Q4_1.gguf";

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* $XDG_CACHE_HOME/NAME or ~/.cache/NAME, owned. */
static char *cache_path(const char *name, struct err *e)
{
    const char *cache = variable("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *dir = cache ? mem_strdup(cache, e) : file_join(home ? home : "", ".cache", e);
    char *path = dir ? file_join(dir, name, e) : NULL;
    free(dir);
    return path;
}

static char *default_path(struct err *e)
{
    char *path = cache_path(default_file, e);
    if (path && !file_exists(path)) {
        err_set(e, "the default model '%s' is not there; './bootstrap demo' fetches it", path);
        free(path);
        path = NULL;
    }
    return path;
}

/* --- the Hugging Face cache --- */

/* ORG/NAME as the hub has them: letters, digits, '-', '_' and '.', neither first nor last. */
static bool is_hub_id(const char *name)
{
    const char *slash = strchr(name, '/');
    if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/'))
        return false;
    for (const char *p = name; *p; p++) {
        const bool end = p == name || p == slash + 1 || !p[1] || p + 1 == slash;
        if (p != slash && !isalnum((unsigned char)*p) && (end || !strchr("-_.", *p)))
            return false;
    }
    return true;
}

static char *hub_cache(struct err *e)
{
    const char *own = variable("HF_HUB_CACHE"), *home = variable("HF_HOME");
    own = own ? own : variable("HUGGINGFACE_HUB_CACHE");
    return own    ? mem_strdup(own, e)
           : home ? file_join(home, "hub", e)
                  : cache_path("huggingface/hub", e);
}

/* DIR/snapshots/REVISION of the branch main, else of the only revision there is; *path is NULL if
 * there is none. */
static int find_snapshot(const char *dir, char **path, struct err *e)
{
    struct buf at = {0};
    char *revision = NULL, *all = NULL;
    int n = 0, rc = buf_printf(&at, e, "%s/refs/main", dir);
    *path = NULL;
    if (!rc && file_exists(at.data) && (revision = file_read(at.data, NULL, e)))
        revision[strcspn(revision, "\r\n")] = 0;
    rc = rc || (file_exists(at.data) && !revision) || !(all = file_join(dir, "snapshots", e));
    DIR *d = rc || revision ? NULL : opendir(all);
    for (struct dirent *f = d ? readdir(d) : NULL; f && !rc; f = readdir(d))
        if (f->d_name[0] != '.' && !n++)
            rc = !(revision = mem_strdup(f->d_name, e));
    if (d)
        closedir(d);
    if (!rc && revision && *revision && n < 2 && !strchr(revision, '/') &&
        !(*path = file_join(all, revision, e)))
        rc = -1;
    if (*path && !file_is_dir(*path)) {
        free(*path);
        *path = NULL;
    }
    free(revision);
    free(all);
    buf_fini(&at);
    return rc ? -1 : 0;
}

static char *hub_path(const char *name, struct err *e)
{
    const char *slash = strchr(name, '/');
    struct buf at = {0};
    char *cache = hub_cache(e), *path = NULL;
    int rc =
        !cache ||
        buf_printf(&at, e, "%s/models--%.*s--%s", cache, (int)(slash - name), name, slash + 1) ||
        find_snapshot(at.data, &path, e);
    if (!rc && !path)
        err_code(e, ERR_NO_FILE,
                 "'%s' is no file or directory here, and not in the Hugging Face cache '%s': "
                 "'hf download %s' fetches it",
                 name, cache, name);
    buf_fini(&at);
    free(cache);
    return path;
}

/* --- */

static char *find_path(const char *name, struct err *e)
{
    if (!strcmp(name, "default"))
        return default_path(e);
    return file_exists(name) || !is_hub_id(name) ? mem_strdup(name, e) : hub_path(name, e);
}

static bool holds(const char *dir, const char *name)
{
    struct err ignored;
    char *path = file_join(dir, name, &ignored);
    const bool there = path && file_exists(path);
    free(path);
    return there;
}

/* m->path becomes the base model's, where it is a directory with an adapter alone. */
static int find_base(struct model_name *m, struct err *e)
{
    const char *base = NULL;
    if (!file_is_dir(m->path) || holds(m->path, "config.json") ||
        !holds(m->path, "adapter_config.json"))
        return 0;
    char *path = file_join(m->path, "adapter_config.json", e);
    json_t *config = path ? json_read_file(path, e) : NULL;
    int rc = config ? json_need_str(config, "base_model_name_or_path", &base, e) : -1;
    if (config && rc)
        err_prefix(e, "'%s': ", path);
    m->adapter = m->path;
    m->path = rc ? NULL : find_path(base, e);
    if (!rc && !m->path)
        rc = err_prefix(e, "base model of the adapter '%s': ", m->adapter);
    json_decref(config);
    free(path);
    return rc;
}

int model_name_find(struct model_name *m, const char *name, struct err *e)
{
    *m = (struct model_name){0};
    if (!name || !*name)
        return err_about(e, "model", "no model given");
    if ((m->path = find_path(name, e)) && !find_base(m, e))
        return 0;
    model_name_fini(m);
    return -1;
}

void model_name_fini(struct model_name *m)
{
    free(m->path);
    free(m->adapter);
    *m = (struct model_name){0};
}
