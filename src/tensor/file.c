#include "tensor/file.h"

#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/formats.h"

static int shape_count(const struct tensor *t, size_t *count)
{
    size_t n = 1;
    for (int i = 0; i < t->n_dims; i++)
        if (t->shape[i] < 0 || size_mul(n, (size_t)t->shape[i], &n))
            return -1;
    *count = n;
    return 0;
}

int tensor_list_add(struct tensor_list *l, const char *name, size_t name_len, struct tensor t,
                    const uint8_t *base, size_t size, uint64_t at, struct err *e)
{
    const struct dtype_info *d = &dtype_info[t.dtype];
    const int shown = name_len < 128 ? (int)name_len : 128;
    size_t bytes;
    if (!name_len || memchr(name, 0, name_len))
        return err_set(e, "tensor %zu has no proper name", l->n);
    if (shape_count(&t, &t.count) || dtype_bytes(t.dtype, t.count, &bytes) ||
        (t.n_dims && t.shape[t.n_dims - 1] % d->block))
        return err_set(e, "tensor '%.*s' has a shape that %s cannot hold", shown, name, d->name);
    if (at > size || bytes > size - at)
        return err_set(e, "tensor '%.*s' reaches past the end of the file: incomplete download?",
                       shown, name);
    t.data = base + at;
    if (mem_reserve(&l->t, &l->cap, l->n + 1, sizeof *l->t, e) ||
        buf_add(&l->names, name, name_len, e) || buf_add(&l->names, "", 1, e) ||
        (t.type && buf_add(&l->names, t.type, strlen(t.type) + 1, e)))
        return -1;
    l->t[l->n++] = t;
    return 0;
}

static int by_data(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return x->data != y->data ? (x->data > y->data ? 1 : -1)
                              : (x->count > y->count) - (x->count < y->count);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

int tensor_list_finish(struct tensor_list *l, struct tensor_file *f, struct err *e)
{
    if (l->n > INT_MAX)
        return err_set(e, "too many tensors");
    const char *name = l->names.data;
    for (size_t i = 0; i < l->n; i++, name += strlen(name) + 1) {
        l->t[i].name = name;
        if (l->t[i].type)
            l->t[i].type = name += strlen(name) + 1;
    }
    if (l->n > 1)
        qsort(l->t, l->n, sizeof *l->t, by_data);
    for (size_t i = 1; i < l->n; i++) {
        const struct tensor *t = &l->t[i - 1];
        size_t bytes = 0;
        BUG_ON(dtype_bytes(t->dtype, t->count, &bytes)); /* tensor_list_add has seen to it */
        if ((const uint8_t *)t->data + bytes > (const uint8_t *)l->t[i].data)
            return err_set(e, "tensors '%.128s' and '%.128s' overlap", t->name, l->t[i].name);
    }
    if (l->n > 1)
        qsort(l->t, l->n, sizeof *l->t, by_name);
    for (size_t i = 1; i < l->n; i++)
        if (!strcmp(l->t[i - 1].name, l->t[i].name))
            return err_set(e, "two tensors are named '%.128s'", l->t[i].name);
    f->tensors = l->t;
    f->n_tensors = (int)l->n;
    f->names = l->names.data;
    *l = (struct tensor_list){0};
    return 0;
}

void tensor_list_fini(struct tensor_list *l)
{
    free(l->t);
    buf_fini(&l->names);
}

static int read_any(struct tensor_file *f, const uint8_t *data, size_t size, struct err *e)
{
    if (size >= 4 && !memcmp(data, "GGUF", 4))
        return gguf_read(f, data, size, e);
    if (llama2c_fits(data, size))
        return llama2c_read(f, data, size, e);
    if (size >= 9 && data[8] == '{')
        return safetensors_read(f, data, size, e);
    if (size >= 4 && !memcmp(data, "PK\3\4", 4))
        return err_set(e, "this is a PyTorch archive; save the model with safe_serialization=True");
    return err_set(e, "neither safetensors nor GGUF nor a complete llama2.c model");
}

int tensor_file_parse(struct tensor_file *f, const void *data, size_t size, struct err *e)
{
    *f = (struct tensor_file){0};
    int rc = read_any(f, data, size, e);
    if (rc)
        tensor_file_close(f);
    return rc;
}

int tensor_file_open(struct tensor_file *f, const char *path, struct err *e)
{
    struct file_map map = {0};
    *f = (struct tensor_file){0};
    if (file_map_open(&map, path, e))
        return -1;
    if (tensor_file_parse(f, map.data, map.size, e)) {
        file_map_close(&map);
        err_class(e, ERR_BAD_FILE);
        return err_prefix(e, "cannot read '%s': ", path);
    }
    f->map = map;
    return 0;
}

void tensor_file_close(struct tensor_file *f)
{
    free(f->tensors);
    free(f->names);
    gguf_meta_free(f->meta);
    file_map_close(&f->map);
    *f = (struct tensor_file){0};
}

const struct tensor *tensor_find(const struct tensor_file *f, const char *name)
{
    const struct tensor key = {.name = name};
    if (!f->n_tensors)
        return NULL;
    return bsearch(&key, f->tensors, (size_t)f->n_tensors, sizeof key, by_name);
}

float *tensor_f32(const struct tensor *t, struct err *e)
{
    float *x = mem_alloc(t->count, sizeof *x, e);
    if (x)
        dtype_to_f32(t->dtype, x, t->data, t->count);
    return x;
}

static int64_t int_at(const struct tensor *t, size_t i)
{
    int32_t narrow;
    int64_t wide;
    if (t->dtype == DT_I32) {
        memcpy(&narrow, (const uint8_t *)t->data + i * sizeof narrow, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, (const uint8_t *)t->data + i * sizeof wide, sizeof wide);
    return wide;
}

int *tensor_ints(const struct tensor *t, struct err *e)
{
    if (t->dtype != DT_I32 && t->dtype != DT_I64) {
        err_set(e, "tensor '%s' holds %s where integers are needed", t->name,
                dtype_info[t->dtype].name);
        return NULL;
    }
    int *x = mem_alloc(t->count, sizeof *x, e);
    for (size_t i = 0; x && i < t->count; i++) {
        int64_t v = int_at(t, i);
        if (v < INT_MIN || v > INT_MAX) {
            err_set(e, "tensor '%s' holds %lld, which is no int", t->name, (long long)v);
            free(x);
            return NULL;
        }
        x[i] = (int)v;
    }
    return x;
}
