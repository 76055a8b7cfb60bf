#include "tensor/formats.h"

#include <limits.h>
#include <string.h>

#include "base/mem.h"

enum value_kind { KIND_UNSIGNED, KIND_SIGNED, KIND_REAL, KIND_BOOL, KIND_STRING, KIND_ARRAY };

static const struct {
    enum value_kind kind;
    int size; /* bytes of one value; 0: it varies */
} value_type[GV_COUNT] = {
    [GV_U8] = {KIND_UNSIGNED, 1}, [GV_I8] = {KIND_SIGNED, 1},    [GV_U16] = {KIND_UNSIGNED, 2},
    [GV_I16] = {KIND_SIGNED, 2},  [GV_U32] = {KIND_UNSIGNED, 4}, [GV_I32] = {KIND_SIGNED, 4},
    [GV_F32] = {KIND_REAL, 4},    [GV_BOOL] = {KIND_BOOL, 1},    [GV_STRING] = {KIND_STRING, 0},
    [GV_ARRAY] = {KIND_ARRAY, 0}, [GV_U64] = {KIND_UNSIGNED, 8}, [GV_I64] = {KIND_SIGNED, 8},
    [GV_F64] = {KIND_REAL, 8},
};

struct pair {
    struct gguf_str key;
    uint32_t type; /* of the value, or of the elements if it is an array */
    bool array;
    uint64_t n;          /* elements; 1 unless an array */
    const uint8_t *data; /* borrowed from the file */
    void *made;          /* owned: the array as its getter gave it away */
};

struct gguf_meta {
    struct pair *pairs; /* owned, sorted by key */
    size_t n;
};

bool cursor_skip(struct cursor *c, uint64_t n, uint64_t size)
{
    if (size && n > (uint64_t)(c->end - c->p) / size)
        return false;
    c->p += n * size;
    return true;
}

static uint64_t load(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

bool cursor_u64(struct cursor *c, uint64_t *out)
{
    const uint8_t *p = c->p;
    if (!cursor_skip(c, 1, 8))
        return false;
    *out = load(p, 8);
    return true;
}

bool cursor_u32(struct cursor *c, uint32_t *out)
{
    const uint8_t *p = c->p;
    if (!cursor_skip(c, 1, 4))
        return false;
    *out = (uint32_t)load(p, 4);
    return true;
}

bool cursor_str(struct cursor *c, struct gguf_str *out)
{
    const uint8_t *p = c->p;
    uint64_t n;
    if (!cursor_u64(c, &n) || !cursor_skip(c, n, 1)) {
        c->p = p;
        return false;
    }
    *out = (struct gguf_str){(const char *)p + 8, n};
    return true;
}

/* A pair's value: type, then for an array the elements' type and number, then the elements. */
static int read_value(struct cursor *c, struct pair *p, struct err *e)
{
    const int shown = p->key.n < 128 ? (int)p->key.n : 128;
    bool whole = cursor_u32(c, &p->type);
    p->n = 1;
    p->array = whole && p->type == GV_ARRAY;
    if (p->array)
        whole = cursor_u32(c, &p->type) && cursor_u64(c, &p->n);
    if (whole && (p->type >= GV_COUNT || p->type == GV_ARRAY))
        return err_set(e, "the value of '%.*s' has a type that is not supported (%u)", shown,
                       p->key.s, p->type);
    p->data = c->p;
    if (whole && p->type != GV_STRING)
        whole = cursor_skip(c, p->n, (uint64_t)value_type[p->type].size);
    struct gguf_str s;
    for (uint64_t i = 0; whole && p->type == GV_STRING && i < p->n; i++)
        whole = cursor_str(c, &s);
    if (!whole)
        return err_set(e, "the file ends inside the value of '%.*s': incomplete download?", shown,
                       p->key.s);
    return 0;
}

static int compare_str(struct gguf_str a, struct gguf_str b)
{
    int c = memcmp(a.s, b.s, a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_key(const void *a, const void *b)
{
    return compare_str(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static int read_pairs(struct gguf_meta *m, struct cursor *c, uint64_t n, struct err *e)
{
    size_t cap = 0;
    for (uint64_t i = 0; i < n; i++) {
        struct pair p = {0};
        if (!cursor_str(c, &p.key))
            return err_set(e, "the file ends inside key %llu of %llu: incomplete download?",
                           (unsigned long long)i + 1, (unsigned long long)n);
        if (read_value(c, &p, e) || mem_reserve(&m->pairs, &cap, m->n + 1, sizeof p, e))
            return -1;
        m->pairs[m->n++] = p;
    }
    if (m->n > 1)
        qsort(m->pairs, m->n, sizeof *m->pairs, by_key);
    for (size_t i = 1; i < m->n; i++)
        if (!by_key(&m->pairs[i - 1], &m->pairs[i])) {
            const struct gguf_str key = m->pairs[i].key;
            return err_set(e, "two values for '%.*s'", key.n < 128 ? (int)key.n : 128, key.s);
        }
    return 0;
}

struct gguf_meta *gguf_meta_read(struct cursor *c, uint64_t n, struct err *e)
{
    struct gguf_meta *m = mem_alloc(1, sizeof *m, e);
    if (m && read_pairs(m, c, n, e)) {
        gguf_meta_free(m);
        return NULL;
    }
    return m;
}

void gguf_meta_free(struct gguf_meta *m)
{
    for (size_t i = 0; m && i < m->n; i++)
        free(m->pairs[i].made);
    if (m)
        free(m->pairs);
    free(m);
}

/* The pair of that key if it is (or is not) an array; NULL otherwise. */
static struct pair *find(const struct gguf_meta *m, const char *key, bool array)
{
    const struct pair want = {.key = {key, strlen(key)}};
    struct pair *p = m->n ? bsearch(&want, m->pairs, m->n, sizeof want, by_key) : NULL;
    return p && p->array == array ? p : NULL;
}

static bool int_at(const struct pair *p, uint64_t i, int64_t *out)
{
    const int size = value_type[p->type].size;
    const uint64_t v = load(p->data + i * (uint64_t)size, size);
    if (value_type[p->type].kind == KIND_UNSIGNED && v > INT64_MAX)
        return false;
    const int unused = value_type[p->type].kind == KIND_SIGNED ? 64 - 8 * size : 0;
    *out = (int64_t)(v << unused) >> unused; /* extends the sign */
    return true;
}

static double real_at(const struct pair *p, uint64_t i)
{
    float narrow;
    double wide;
    if (p->type == GV_F32) {
        memcpy(&narrow, p->data + i * sizeof narrow, sizeof narrow);
        return (double)narrow;
    }
    memcpy(&wide, p->data + i * sizeof wide, sizeof wide);
    return wide;
}

static bool number_at(const struct pair *p, double *out)
{
    int64_t whole;
    const enum value_kind kind = value_type[p->type].kind;
    if (kind == KIND_REAL)
        *out = real_at(p, 0);
    else if (kind <= KIND_SIGNED && int_at(p, 0, &whole))
        *out = (double)whole;
    else
        return false;
    return true;
}

bool gguf_int(const struct gguf_meta *m, const char *key, int64_t *out)
{
    const struct pair *p = find(m, key, false);
    return p && value_type[p->type].kind <= KIND_SIGNED && int_at(p, 0, out);
}

bool gguf_real(const struct gguf_meta *m, const char *key, double *out)
{
    const struct pair *p = find(m, key, false);
    return p && number_at(p, out);
}

bool gguf_pair_at(const struct gguf_meta *m, size_t i, struct gguf_pair *out)
{
    static const enum gguf_kind kinds[] = {
        [KIND_UNSIGNED] = GGUF_INT, [KIND_SIGNED] = GGUF_INT,  [KIND_REAL] = GGUF_REAL,
        [KIND_BOOL] = GGUF_BOOL,    [KIND_STRING] = GGUF_TEXT, [KIND_ARRAY] = GGUF_ARRAY,
    };
    if (i >= m->n)
        return false;
    const struct pair *p = &m->pairs[i];
    *out = (struct gguf_pair){.key = p->key, .n = p->n};
    out->kind = p->array ? GGUF_ARRAY : kinds[value_type[p->type].kind];
    if (out->kind == GGUF_BOOL)
        out->value = p->data[0] != 0;
    else if (!p->array)
        number_at(p, &out->value);
    return true;
}

bool gguf_bool(const struct gguf_meta *m, const char *key, bool *out)
{
    const struct pair *p = find(m, key, false);
    if (!p || p->type != GV_BOOL)
        return false;
    *out = p->data[0] != 0;
    return true;
}

bool gguf_text(const struct gguf_meta *m, const char *key, struct gguf_str *out)
{
    const struct pair *p = find(m, key, false);
    if (!p || p->type != GV_STRING)
        return false;
    *out = (struct gguf_str){(const char *)p->data + 8, load(p->data, 8)};
    return true;
}

/* Room for the array `p` of elements of `size` bytes; NULL if there is no memory. */
static void *make(const struct pair *p, size_t size)
{
    struct err e;
    return mem_alloc(p->n, size, &e);
}

bool gguf_strings(struct gguf_meta *m, const char *key, const struct gguf_str **out, size_t *n)
{
    struct pair *p = find(m, key, true);
    if (!p || p->type != GV_STRING)
        return false;
    if (!p->made) {
        struct gguf_str *a = make(p, sizeof *a);
        const uint8_t *at = p->data; /* lengths were checked by read_value */
        for (uint64_t i = 0; a && i < p->n; i++, at += 8 + a[i - 1].n)
            a[i] = (struct gguf_str){(const char *)at + 8, load(at, 8)};
        p->made = a;
    }
    *out = p->made;
    *n = p->n;
    return p->made != NULL;
}

bool gguf_ints(struct gguf_meta *m, const char *key, const int32_t **out, size_t *n)
{
    struct pair *p = find(m, key, true);
    if (!p || (value_type[p->type].kind > KIND_SIGNED && p->type != GV_BOOL))
        return false;
    if (!p->made) {
        int32_t *a = make(p, sizeof *a);
        for (uint64_t i = 0; a && i < p->n; i++) {
            int64_t v;
            if (!int_at(p, i, &v) || v < INT32_MIN || v > INT32_MAX) {
                free(a);
                return false;
            }
            a[i] = (int32_t)v;
        }
        p->made = a;
    }
    *out = p->made;
    *n = p->n;
    return p->made != NULL;
}

bool gguf_reals(struct gguf_meta *m, const char *key, const float **out, size_t *n)
{
    struct pair *p = find(m, key, true);
    if (!p || value_type[p->type].kind != KIND_REAL)
        return false;
    if (!p->made) {
        float *a = make(p, sizeof *a);
        for (uint64_t i = 0; a && i < p->n; i++)
            a[i] = (float)real_at(p, i);
        p->made = a;
    }
    *out = p->made;
    *n = p->n;
    return p->made != NULL;
}
