#include "train/inputs.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/outdir.h"
#include "base/sha256.h"
#include "data/rows.h"

static int add(char ***v, size_t *n, size_t *cap, const char *path, struct err *e)
{
    if (mem_reserve(v, cap, *n + 1, sizeof **v, e) || !((*v)[*n] = mem_strdup(path, e)))
        return -1;
    ++*n;
    return 0;
}

int inputs_add_file(struct inputs *in, const char *path, struct err *e)
{
    struct stat st;
    return path && !stat(path, &st) && S_ISREG(st.st_mode) ? add(&in->v, &in->n, &in->cap, path, e)
                                                           : 0;
}

static int add_part(void *ctx, const char *file, struct err *e)
{
    return inputs_add_file(ctx, file, e);
}

int inputs_add_rows(struct inputs *in, const char *spec, struct err *e)
{
    return spec ? rows_each_file(spec, add_part, in, e) : 0;
}

static int add_files_of(struct inputs *in, const char *dir, struct err *e)
{
    DIR *d = opendir(dir);
    int rc = d ? 0 : err_sys(e, "cannot read the directory '%s'", dir);
    for (struct dirent *f = d ? readdir(d) : NULL; f && !rc; f = readdir(d)) {
        if (!outdir_is_model_file(f->d_name))
            continue;
        char *path = file_join(dir, f->d_name, e);
        rc = path ? inputs_add_file(in, path, e) : -1;
        free(path);
    }
    if (d)
        closedir(d);
    return rc;
}

int inputs_add_model(struct inputs *in, const char *path, struct err *e)
{
    if (!path || !file_exists(path))
        return 0; /* opening it reports the error */
    if (add(&in->models, &in->n_models, &in->cap_models, path, e))
        return -1;
    return file_is_dir(path) ? add_files_of(in, path, e) : inputs_add_file(in, path, e);
}

json_t *inputs_hash(const struct inputs *in, struct err *e)
{
    json_t *all = json_object();
    int rc = all ? 0 : err_no_memory(e, "input files");
    for (size_t i = 0; i < in->n && !rc; i++) {
        char text[SHA256_TEXT];
        if (json_object_get(all, in->v[i]))
            continue;
        rc = sha256_file(in->v[i], text, e);
        if (!rc && json_object_set_new(all, in->v[i], json_string(text)))
            rc = err_set(e, "'%s' is not valid UTF-8", in->v[i]);
    }
    if (!rc)
        return all;
    json_decref(all);
    return NULL;
}

int inputs_keep(const struct inputs *in, const char *path, struct err *e)
{
    bool is = false;
    for (size_t i = 0; i < in->n_models && !is; i++)
        is = outdir_same(in->models[i], path);
    for (size_t i = 0; i < in->n && !is; i++)
        is = outdir_same(in->v[i], path);
    return is ? err_set(e, "'%s' is read here and stays as it is: choose another name", path) : 0;
}

int inputs_claim_file(const struct inputs *in, const char *path, bool replace, struct err *e)
{
    struct stat st;
    if (inputs_keep(in, path, e))
        return -1;
    return !replace && !stat(path, &st) && S_ISREG(st.st_mode) && st.st_size > 0
               ? err_about(e, "out_file", "'%s' is there already, and is not empty", path)
               : 0;
}

static void free_all(char **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(v[i]);
    free(v);
}

void inputs_fini(struct inputs *in)
{
    free_all(in->v, in->n);
    free_all(in->models, in->n_models);
    *in = (struct inputs){0};
}
