#include "api/api.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compat.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/version.h"
#include "data/rows.h"

_Static_assert((int)UNLEARN_FAILED == (int)ERR_FAILED && (int)UNLEARN_NO_MEMORY == ERR_NO_MEMORY &&
                   (int)UNLEARN_NO_FILE == ERR_NO_FILE && (int)UNLEARN_ACCESS == ERR_ACCESS &&
                   (int)UNLEARN_NO_SPACE == ERR_NO_SPACE && (int)UNLEARN_BAD_FILE == ERR_BAD_FILE &&
                   (int)UNLEARN_ARGUMENT == ERR_ARGUMENT &&
                   (int)UNLEARN_NOT_FINITE == ERR_NOT_FINITE && (int)UNLEARN_BUSY == ERR_BUSY &&
                   (int)UNLEARN_INTERRUPTED == ERR_INTERRUPTED,
               "the codes of base/err.h are those of unlearn.h");

const char *unlearn_version(void)
{
    return UNLEARN_VERSION;
}

void unlearn_free(void *p)
{
    free(p);
}

/* --- errors and hooks --- */

int api_fail(struct unlearn_error *to, const struct err *from)
{
    if (!to)
        return -1;
    *to = (struct unlearn_error){.code = from->code ? (int)from->code : UNLEARN_FAILED};
    snprintf(to->message, sizeof to->message, "%s", from->msg);
    if (from->subject)
        snprintf(to->subject, sizeof to->subject, "%s", from->subject);
    return -1;
}

static void on_line(void *ctx, bool warning, const char *text)
{
    const struct unlearn_hooks *h = ctx;
    if (h->line)
        h->line(h->ctx, warning, text);
}

static void on_progress(void *ctx, const struct progress *p, bool ended)
{
    const struct unlearn_hooks *h = ctx;
    const struct unlearn_progress seen = {.what = p->what,
                                          .done = p->done,
                                          .total = p->total,
                                          .tokens = p->tokens,
                                          .seconds = log_seconds() - p->start,
                                          .ended = ended};
    if (h->progress)
        h->progress(h->ctx, &seen);
}

void api_begin(struct api_call *c, const struct unlearn_hooks *h)
{
    c->hooks = h ? *h : (struct unlearn_hooks){0};
    c->log = (struct log){.line = on_line, .progress = on_progress, .ctx = &c->hooks};
    c->before = log_swap(&c->log);
}

int api_end(struct api_call *c, int rc, struct unlearn_error *to, const struct err *from)
{
    log_swap(&c->before);
    return rc ? api_fail(to, from) : 0;
}

/* --- options --- */

int api_options_init(struct api_options *o, struct err *e)
{
    *o = (struct api_options){json_object(), json_object(), json_object(), NULL};
    return o->values && o->rows && o->used ? 0 : err_no_memory(e, "options");
}

void api_options_fini(struct api_options *o)
{
    api_options_unlink(o);
    json_decref(o->values);
    json_decref(o->rows);
    json_decref(o->used);
    *o = (struct api_options){0};
}

/* The name as tables have it, in key[PARAM_NAME_MOST + 1]. */
static int key_of(const char *name, char *key, struct err *e)
{
    if (!name || !*name || strlen(name) > PARAM_NAME_MOST)
        return err_code(e, ERR_ARGUMENT, "'%.80s' is no name of an option", name ? name : "");
    size_t i = 0;
    for (; name[i]; i++)
        key[i] = name[i] == '-' ? '_' : name[i];
    key[i] = 0;
    return 0;
}

static int put(json_t *object, const char *key, const char *text, size_t n, struct err *e)
{
    return json_object_set_new(object, key, json_stringn(text, n))
               ? err_about(e, NULL, "the value of '%s' is not valid UTF-8", key)
               : 0;
}

int api_options_set(struct api_options *o, const char *name, const char *value, struct err *e)
{
    char key[PARAM_NAME_MOST + 1];
    if (key_of(name, key, e))
        return -1;
    if (!value)
        return err_about(e, NULL, "option '%s' has no value", key);
    json_object_del(o->rows, key);
    return put(o->values, key, value, strlen(value), e);
}

int api_options_rows(struct api_options *o, const char *name, const char *text, size_t n,
                     struct err *e)
{
    char key[PARAM_NAME_MOST + 1];
    struct rows rows = {0};
    if (key_of(name, key, e))
        return -1;
    if (rows_read(&rows, key, text, n, e))
        return err_class(e, ERR_BAD_FILE);
    rows_close(&rows);
    json_object_del(o->values, key);
    return put(o->rows, key, text, n, e);
}

const char *api_options_text(const struct api_options *o, const char *name)
{
    return json_string_value(json_object_get(o->values, name));
}

/* --- rows as files --- */

static char *file_of(const struct api_options *o, const char *name, struct err *e)
{
    char file[PARAM_NAME_MOST + 8];
    snprintf(file, sizeof file, "%s.jsonl", name);
    return file_join(o->dir, file, e);
}

static char *temporary(struct err *e)
{
    const char *in = getenv("TMPDIR");
    char *dir = file_join(in && *in ? in : "/tmp", "unlearn-XXXXXX", e);
    if (dir && !mkdtemp(dir)) {
        err_sys(e, "cannot make '%s'", dir);
        free(dir);
        return NULL;
    }
    return dir;
}

static char *make_dir(const char *dir, struct err *e)
{
    char *made = dir ? file_absolute(dir, e) : temporary(e);
    if (!made || !dir)
        return made;
    char *slash = strrchr(made, '/');
    *slash = 0;
    int rc = *made ? file_make_dir(made, e) : 0;
    *slash = '/';
    /* A directory is there where the process was killed. */
    if (!rc && mkdir(made, 0700) && !file_is_dir(made))
        rc = err_sys(e, "cannot make '%s'", made);
    if (!rc)
        return made;
    free(made);
    return NULL;
}

int api_options_write(struct api_options *o, const char *dir, struct err *e)
{
    const char *name;
    json_t *text;
    if (!json_object_size(o->rows))
        return 0;
    if (!o->dir && !(o->dir = make_dir(dir, e)))
        return -1;
    json_object_foreach(o->rows, name, text)
    {
        char *path = file_of(o, name, e);
        int rc = path ? file_write(path, json_string_value(text), json_string_length(text), e) ||
                            put(o->values, name, path, strlen(path), e)
                      : -1;
        free(path);
        if (rc)
            return -1;
    }
    return 0;
}

void api_options_unlink(struct api_options *o)
{
    const char *name;
    json_t *text;
    struct err ignored;
    if (!o->dir)
        return;
    json_object_foreach(o->rows, name, text)
    {
        char *path = file_of(o, name, &ignored);
        if (path)
            unlink(path);
        free(path);
        json_object_del(o->values, name);
    }
    rmdir(o->dir);
    free(o->dir);
    o->dir = NULL;
}

/* --- options as fields --- */

int api_options_take(void *options, const struct param_table *t, const struct param_preset *presets,
                     struct err *e)
{
    struct api_options *o = options;
    if (param_take(t, presets, NULL, e))
        return -1;
    compat_apply(api_options_text(o, "compat"), t->params, t->obj);
    for (const struct param *p = t->params; p->name; p++) {
        const char *text = api_options_text(o, p->name);
        if (text && (param_set_text(p, t->obj, text, e) ||
                     json_object_set_new(o->used, p->name, json_true())))
            return err_class(e, ERR_ARGUMENT), err_subject(e, p->name);
    }
    return 0;
}

int api_options_check(const struct api_options *o, const struct param_table *tables, int n,
                      struct err *e)
{
    enum { MOST = 400 };
    const char *names[MOST], *name;
    json_t *value;
    int n_names = 0;
    for (int k = 0; k < n; k++)
        for (const struct param *p = tables[k].params; p->name && n_names < MOST; p++)
            names[n_names++] = p->name;
    json_object_foreach(o->values, name, value)
    {
        if (json_object_get(o->used, name))
            continue;
        const char *near = param_nearest(name, names, n_names);
        return err_about(e, NULL, "there is no option '%s' here%s%s%s", name,
                         near ? ": did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return 0;
}
