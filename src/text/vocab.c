#include "text/vocab.h"

#include <string.h>

#include "base/mem.h"
#include "base/sizes.h"
#include "base/utf8.h"

static size_t hash(const char *s, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

int vocab_init(struct vocab *v, int n, struct err *e)
{
    *v = (struct vocab){.n = n, .cap = n, .n_slots = SIZE(16, 2)};
    while (v->n_slots < 2 * (size_t)n)
        v->n_slots *= 2;
    v->at = mem_alloc((size_t)n, sizeof *v->at, e);
    v->len = v->at ? mem_alloc((size_t)n, sizeof *v->len, e) : NULL;
    v->flags = v->len ? mem_alloc((size_t)n, sizeof *v->flags, e) : NULL;
    v->slots = v->flags ? mem_alloc(v->n_slots, sizeof *v->slots, e) : NULL;
    if (!v->slots) {
        vocab_fini(v);
        return -1;
    }
    memset(v->slots, 0xff, v->n_slots * sizeof *v->slots);
    return 0;
}

void vocab_fini(struct vocab *v)
{
    free(v->at);
    free(v->len);
    free(v->flags);
    free(v->slots);
    buf_fini(&v->pool);
    *v = (struct vocab){0};
}

/* The slot that holds this text, or the free one where it belongs. */
static size_t slot_of(const struct vocab *v, const char *s, size_t n)
{
    size_t i = hash(s, n) & (v->n_slots - 1);
    for (; v->slots[i] >= 0; i = (i + 1) & (v->n_slots - 1)) {
        int id = v->slots[i];
        if (v->len[id] == n && !memcmp(v->pool.data + v->at[id], s, n))
            break;
    }
    return i;
}

static int rehash(struct vocab *v, struct err *e)
{
    size_t n_slots = v->n_slots;
    while (n_slots < 2 * (size_t)v->cap)
        n_slots *= 2;
    if (n_slots == v->n_slots)
        return 0;
    int *slots = mem_alloc(n_slots, sizeof *slots, e);
    if (!slots)
        return -1;
    free(v->slots);
    v->slots = slots;
    v->n_slots = n_slots;
    memset(slots, 0xff, n_slots * sizeof *slots);
    for (int id = 0; id < v->n; id++)
        if (v->flags[id] & TOKEN_USED)
            slots[slot_of(v, v->pool.data + v->at[id], v->len[id])] = id;
    return 0;
}

int vocab_grow(struct vocab *v, int n, struct err *e)
{
    if (n <= v->n)
        return 0;
    if (n > v->cap) {
        size_t room[3] = {(size_t)v->cap, (size_t)v->cap, (size_t)v->cap};
        if (mem_reserve(&v->at, &room[0], (size_t)n, sizeof *v->at, e) ||
            mem_reserve(&v->len, &room[1], (size_t)n, sizeof *v->len, e) ||
            mem_reserve(&v->flags, &room[2], (size_t)n, sizeof *v->flags, e))
            return -1;
        v->cap = (int)room[0];
        if (rehash(v, e))
            return -1;
    }
    memset(v->flags + v->n, 0, (size_t)(n - v->n) * sizeof *v->flags);
    v->n = n;
    return 0;
}

int vocab_set(struct vocab *v, int id, const char *s, size_t n, struct err *e)
{
    if (id < 0 || id >= v->n)
        return err_set(e, "token id %d is outside the vocabulary of %d", id, v->n);
    if (!n || n > UINT32_MAX)
        return err_set(e, "token %d is empty or too long", id);
    if (!utf8_valid(s, n, NULL))
        return err_set(e, "token %d is no valid UTF-8", id);
    if (v->flags[id] & TOKEN_USED)
        return err_set(e, "token id %d is given twice, the second time to '%.*s'", id,
                       n > 64 ? 64 : (int)n, s);
    size_t slot = slot_of(v, s, n);
    if (v->slots[slot] >= 0)
        return err_set(e, "token '%.*s' is given twice, as %d and %d", n > 64 ? 64 : (int)n, s,
                       v->slots[slot], id);
    size_t at = v->pool.len;
    if (buf_add(&v->pool, s, n, e))
        return -1;
    v->at[id] = at;
    v->len[id] = (uint32_t)n;
    v->flags[id] = TOKEN_USED;
    v->slots[slot] = id;
    return 0;
}

int vocab_find(const struct vocab *v, const char *s, size_t n)
{
    return v->n ? v->slots[slot_of(v, s, n)] : -1;
}

int vocab_find_own(const struct vocab *v, const char *s, size_t n)
{
    int id = vocab_find(v, s, n);
    return id >= 0 && v->flags[id] & TOKEN_EXTRA ? -1 : id;
}

int vocab_id(const struct vocab *v, int64_t id)
{
    return id >= 0 && id < v->n && v->flags[id] & TOKEN_USED ? (int)id : -1;
}

const char *vocab_text(const struct vocab *v, int id, size_t *n)
{
    if (vocab_id(v, id) < 0)
        return NULL;
    *n = v->len[id];
    return v->pool.data + v->at[id];
}

/* The bytes without a printable character of their own: 00..20, 7f..a0, ad. */
enum {
    LOW = 0x21,
    HIGH_FROM = 0x7f,
    HIGH = 0xa1 - 0x7f,
    SOFT_HYPHEN = 0xad,
    N_MOVED = LOW + HIGH + 1
};

static unsigned symbol_of(uint8_t b)
{
    if (b < LOW)
        return 0x100u + b;
    if (b >= HIGH_FROM && b < HIGH_FROM + HIGH)
        return 0x100u + LOW + (b - HIGH_FROM);
    return b == SOFT_HYPHEN ? 0x100u + LOW + HIGH : b;
}

static int byte_of(unsigned symbol)
{
    if (symbol >= 0x100 + N_MOVED)
        return -1;
    if (symbol < 0x100)
        return symbol_of((uint8_t)symbol) == symbol ? (int)symbol : -1;
    unsigned k = symbol - 0x100;
    if (k < LOW)
        return (int)k;
    return k < LOW + HIGH ? (int)(HIGH_FROM + k - LOW) : SOFT_HYPHEN;
}

size_t bytelevel_symbol(uint8_t byte, char out[2])
{
    unsigned c = symbol_of(byte);
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3f));
    return 2;
}

int bytelevel_byte(const char *s, size_t n, size_t *len)
{
    uint8_t a = n > 0 ? (uint8_t)s[0] : 0, b = n > 1 ? (uint8_t)s[1] : 0;
    *len = a < 0x80 ? 1 : 2;
    if (a < 0x80)
        return byte_of(a);
    if ((a & 0xe0) != 0xc0 || (b & 0xc0) != 0x80)
        return -1;
    return byte_of((a & 0x1fu) << 6 | (b & 0x3fu));
}
