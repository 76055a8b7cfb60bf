/* Damaged and hostile files: a clear error or success, never a crash, a leak or a read past the
 * end. Every case is parsed from a block of exactly its size, so that the sanitizers see one byte
 * too many.
 */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tap.h"
#include "tensor/file.h"
#include "tensor/gguf.h"

/* Reads all that the directory promises. */
static void touch(const struct tensor_file *f)
{
    struct err e;
    for (int i = 0; i < f->n_tensors; i++)
        free(tensor_f32(&f->tensors[i], &e));
}

/* 0 or -1 from the parser; the message is empty on success. */
static int parse(const void *data, size_t size, struct err *e)
{
    struct tensor_file f;
    uint8_t *exact = malloc(size ? size : 1);
    if (size)
        memcpy(exact, data, size);
    e->msg[0] = 0;
    int rc = tensor_file_parse(&f, exact, size, e);
    if (!rc)
        touch(&f);
    tensor_file_close(&f);
    free(exact);
    return rc;
}

static void expect(const struct buf *b, const char *message, const char *what)
{
    struct err e;
    int rc = parse(b->data, b->len, &e);
    ok(message ? rc && strstr(e.msg, message) : !rc, "%s: %s", what, rc ? e.msg : "accepted");
}

static void put(struct buf *b, uint64_t v, int bytes)
{
    struct err e;
    for (int i = 0; i < bytes; i++)
        buf_add(b, &(char){(char)(v >> (8 * i))}, 1, &e);
}

static void put_zeros(struct buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(b, 0, 1);
}

static void put_str(struct buf *b, const char *s)
{
    struct err e;
    put(b, strlen(s), 8);
    buf_str(b, s, &e);
}

#define T1 "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"
#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"b\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_safetensors_headers(void)
{
    static const struct {
        const char *what, *header, *message; /* NULL: accepted */
    } cases[] = {
        {"one tensor", "{" T1 "}", NULL},
        {"no tensors", "{}", NULL},
        {"metadata", "{\"__metadata__\":{\"format\":\"pt\"}," T1 "}", NULL},
        {"overlap", "{" T1 ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[20,24]}}",
         "overlap"},
        {"same bytes", "{" T1 ",\"b\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}",
         "overlap"},
        {"duplicate name",
         "{" T1 ",\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[24,25]}}", "duplicate"},
        {"past the end", ENTRY("\"F32\"", "[8]", "[0,32]"), "past the end"},
        {"start past the end", ENTRY("\"F32\"", "[0]", "[400,400]"), "past the end"},
        {"huge offsets", ENTRY("\"U8\"", "[1]", "[9223372036854775806,9223372036854775807]"),
         "past the end"},
        {"offset beyond int64", ENTRY("\"U8\"", "[1]", "[0,9223372036854775808]"), "JSON"},
        {"wrong product", ENTRY("\"F32\"", "[2,2]", "[0,24]"), "does not match"},
        {"product overflows", ENTRY("\"F32\"", "[4294967296,4294967296,4]", "[0,0]"),
         "does not match"},
        {"overflow before a zero", ENTRY("\"F32\"", "[4611686018427387904,4,0]", "[0,0]"),
         "does not match"},
        {"backward range", ENTRY("\"U8\"", "[4]", "[8,4]"), "data_offsets"},
        {"negative offset", ENTRY("\"U8\"", "[4]", "[-4,0]"), "data_offsets"},
        {"three offsets", ENTRY("\"U8\"", "[4]", "[0,4,4]"), "data_offsets"},
        {"real offset", ENTRY("\"U8\"", "[4]", "[0,4.0]"), "data_offsets"},
        {"negative extent", ENTRY("\"U8\"", "[-4]", "[0,4]"), "shape"},
        {"shape of text", ENTRY("\"U8\"", "[\"4\"]", "[0,4]"), "shape"},
        {"no shape", "{\"b\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", "shape"},
        {"five dimensions", ENTRY("\"U8\"", "[1,1,1,1,4]", "[0,4]"), NULL},
        {"negative extent of five", ENTRY("\"U8\"", "[1,1,1,1,-4]", "[0,4]"), "shape"},
        {"unknown dtype", ENTRY("\"F8_E4M3\"", "[4]", "[0,4]"), NULL},
        {"unknown dtype past the end", ENTRY("\"F8_E4M3\"", "[40]", "[0,40]"), "past the end"},
        {"dtype of no text", ENTRY("\"\"", "[4]", "[0,4]"), "dtype"},
        {"ggml's dtype", ENTRY("\"Q4_1\"", "[32]", "[0,20]"), NULL},
        {"dtype of number", ENTRY("7", "[4]", "[0,4]"), "dtype"},
        {"entry is no object", "{\"b\":[1,2]}", "dtype"},
        {"empty name", "{\"\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", "name"},
        {"NUL in a name", "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         "JSON"},
        {"cut JSON", "{" T1, "JSON"},
        {"text behind", "{" T1 "} x", "JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        put_str(&b, cases[i].header);
        put_zeros(&b, 25);
        expect(&b, cases[i].message, cases[i].what);
        buf_fini(&b);
    }
}

static void test_safetensors_lengths(void)
{
    static const char header[] = "{" T1 "}";
    static const uint64_t lengths[] = {sizeof header, sizeof header + 6, (uint64_t)1 << 60,
                                       UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct buf b = {0};
        struct err e;
        put(&b, lengths[i], 8);
        buf_str(&b, header, &e);
        expect(&b, "does not fit", "header length beyond the file");
        buf_fini(&b);
    }
    struct buf b = {0};
    put_str(&b, header);
    put_zeros(&b, 24);
    b.data[0]--;
    expect(&b, "JSON", "header length one short");
    buf_fini(&b);
}

/* A GGUF with one pair and one tensor of 32 bytes, everything as the case says. */
struct gguf_case {
    const char *what, *message; /* message NULL: accepted */
    uint32_t version;
    uint64_t tensors, pairs;
    uint64_t key_len; /* 0: right */
    uint32_t value_type;
    uint64_t value;    /* of general.alignment */
    uint64_t name_len; /* 0: right */
    uint32_t dims;
    uint64_t extent;
    uint32_t type;
    uint64_t offset;
};

static void build_gguf(struct buf *b, const struct gguf_case *c)
{
    struct err e;
    buf_str(b, "GGUF", &e);
    put(b, c->version, 4);
    put(b, c->tensors, 8);
    put(b, c->pairs, 8);
    put(b, c->key_len ? c->key_len : strlen("general.alignment"), 8);
    buf_str(b, "general.alignment", &e);
    put(b, c->value_type, 4);
    put(b, c->value, c->value_type == 4 ? 4 : 8);
    put(b, c->name_len ? c->name_len : 1, 8);
    buf_str(b, "w", &e);
    put(b, c->dims, 4);
    for (uint32_t i = 0; i < c->dims && i < 8; i++)
        put(b, i ? 1 : c->extent, 8);
    put(b, c->type, 4);
    put(b, c->offset, 8);
    while (b->len % 32)
        put(b, 0, 1);
    put_zeros(b, 32);
}

#define BIG ((uint64_t)1 << 60)

static void test_gguf_fields(void)
{
    static const struct gguf_case cases[] = {
        {"a tensor", NULL, 3, 1, 1, 0, 4, 32, 0, 1, 8, 0, 0},
        {"version 2", NULL, 2, 1, 1, 0, 4, 32, 0, 1, 8, 0, 0},
        {"four dimensions", NULL, 3, 1, 1, 0, 4, 32, 0, 4, 8, 0, 0},
        {"a quantised row", NULL, 3, 1, 1, 0, 4, 32, 0, 1, 32, 3, 0},
        {"version 1", "version 1", 1, 1, 1, 0, 4, 32, 0, 1, 8, 0, 0},
        {"version 4", "version 4", 4, 1, 1, 0, 4, 32, 0, 1, 8, 0, 0},
        {"big-endian", "big-endian", 3 << 24, 1, 1, 0, 4, 32, 0, 1, 8, 0, 0},
        {"2^60 tensors", "file ends", 3, BIG, 1, 0, 4, 32, 0, 1, 8, 0, 0},
        {"2^60 pairs", "of 1152921504606846976", 3, 1, BIG, 0, 4, 32, 0, 1, 8, 0, 0},
        {"key of 2^62 bytes", "file ends", 3, 1, 1, 4 * BIG, 4, 32, 0, 1, 8, 0, 0},
        {"key of 2^64-1 bytes", "file ends", 3, 1, 1, UINT64_MAX, 4, 32, 0, 1, 8, 0, 0},
        {"alignment 0", "power of two", 3, 1, 1, 0, 4, 0, 0, 1, 8, 0, 0},
        {"alignment 3", "power of two", 3, 1, 1, 0, 4, 3, 0, 1, 8, 0, 0},
        {"alignment 2^31", "power of two", 3, 1, 1, 0, 4, (uint64_t)1 << 31, 0, 1, 8, 0, 0},
        {"alignment 2^62", "power of two", 3, 1, 1, 0, 10, 4 * BIG, 0, 1, 8, 0, 0},
        {"alignment beyond the file", "past the end", 3, 1, 1, 0, 4, 1 << 20, 0, 1, 8, 0, 0},
        {"string of 2^62 bytes", "file ends", 3, 1, 1, 0, 8, 4 * BIG, 0, 1, 8, 0, 0},
        {"unknown value type", "not supported (13)", 3, 1, 1, 0, 13, 32, 0, 1, 8, 0, 0},
        {"array of arrays", "not supported (9)", 3, 1, 1, 0, 9, 9, 0, 1, 8, 0, 0},
        {"name of 2^62 bytes", "file ends", 3, 1, 1, 0, 4, 32, 4 * BIG, 1, 8, 0, 0},
        {"five dimensions", "5 dimensions", 3, 1, 1, 0, 4, 32, 0, 5, 8, 0, 0},
        {"2^32-1 dimensions", "dimensions", 3, 1, 1, 0, 4, 32, 0, UINT32_MAX, 8, 0, 0},
        {"extent 2^63", "bad shape", 3, 1, 1, 0, 4, 32, 0, 1, 8 * BIG, 0, 0},
        {"extent 2^62", "cannot hold", 3, 1, 1, 0, 4, 32, 0, 1, 4 * BIG, 0, 0},
        {"half a block", "cannot hold", 3, 1, 1, 0, 4, 32, 0, 1, 48, 3, 0},
        {"one element too many", "past the end", 3, 1, 1, 0, 4, 32, 0, 1, 9, 0, 0},
        {"offset past the end", "past the end", 3, 1, 1, 0, 4, 32, 0, 1, 8, 0, 64},
        {"offset 2^63", "past the end", 3, 1, 1, 0, 4, 32, 0, 1, 8, 0, 8 * BIG},
        {"offset 7", "not aligned", 3, 1, 1, 0, 4, 32, 0, 1, 8, 0, 7},
        {"type IQ2_XS", "IQ2_XS", 3, 1, 1, 0, 4, 32, 0, 1, 256, 17, 0},
        {"type 1000", "type 1000", 3, 1, 1, 0, 4, 32, 0, 1, 8, 1000, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        build_gguf(&b, &cases[i]);
        expect(&b, cases[i].message, cases[i].what);
        buf_fini(&b);
    }
}

/* Two pairs or two tensors of one name, and arrays longer than the file. */
static void test_gguf_lists(void)
{
    static const struct {
        const char *what, *message;
        uint32_t element;
        uint64_t n;
    } arrays[] = {{"array of 2^62 u64", "file ends", 10, 4 * BIG},
                  {"array of 2^61 u64, whose bytes overflow to 0", "file ends", 10, 2 * BIG},
                  {"array of 2^60 strings", "file ends", 8, BIG},
                  {"array of two strings", NULL, 8, 2},
                  {"array of 16 bytes", NULL, 0, 16}};
    struct err e;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        struct buf b = {0};
        buf_add(&b, "GGUF\3\0\0\0", 8, &e);
        put(&b, 0, 8);
        put(&b, 1, 8);
        put_str(&b, "k");
        put(&b, 9, 4);
        put(&b, arrays[i].element, 4);
        put(&b, arrays[i].n, 8);
        put_zeros(&b, 16);
        expect(&b, arrays[i].message, arrays[i].what);
        buf_fini(&b);
    }
    for (int tensors = 0; tensors < 2; tensors++) {
        struct buf b = {0};
        buf_add(&b, "GGUF\3\0\0\0", 8, &e);
        put(&b, tensors ? 2 : 0, 8);
        put(&b, tensors ? 0 : 2, 8);
        for (int i = 0; i < 2; i++) {
            put_str(&b, "same");
            put(&b, tensors ? 1 : 4, 4); /* one dimension, or a u32 ... */
            put(&b, 8, tensors ? 8 : 4); /* ... of 8 */
            put(&b, 0, tensors ? 4 : 0);
            put(&b, i ? 32 : 0, tensors ? 8 : 0);
        }
        put_zeros(&b, 128);
        expect(&b, "'same'", tensors ? "two tensors of one name" : "two pairs of one key");
        buf_fini(&b);
    }
}

static char *load(const char *name, size_t *len)
{
    struct err e;
    char *path = test_data(name), *data = path ? file_read(path, len, &e) : NULL;
    ok(data != NULL, "%s", name);
    free(path);
    return data;
}

/* Cut anywhere: the whole file and whatever still holds all it promises are read, the rest refused.
 */
static void test_cut(const char *name, size_t step, size_t data_end)
{
    struct err e;
    size_t len = 0, silent = 0, wrong = 0;
    char *data = load(name, &len);
    for (size_t n = 0; data && n <= len; n += n + step > len && n < len ? len - n : step) {
        int rc = parse(data, n, &e);
        silent += rc && !e.msg[0];
        wrong += (rc == 0) != (n >= data_end);
    }
    ok(!silent && !wrong, "%s cut everywhere: %zu silent, %zu wrong", name, silent, wrong);
    free(data);
}

/* One byte changed at a time; what is still accepted is read in full. */
static void test_flips(const char *name)
{
    struct err e;
    size_t len = 0, accepted = 0, silent = 0;
    char *data = load(name, &len);
    for (size_t at = 0; data && at < len; at++)
        for (int bit = 0; bit < 8; bit++) {
            data[at] = (char)(data[at] ^ 1 << bit);
            int rc = parse(data, len, &e);
            accepted += rc == 0;
            silent += rc && !e.msg[0];
            data[at] = (char)(data[at] ^ 1 << bit);
        }
    ok(!silent && accepted, "%s: every bit flipped, %zu of %zu accepted", name, accepted, 8 * len);
    free(data);
}

/* Any allocation may fail; the first try in which none does must succeed. */
static void test_no_memory(const char *name)
{
    struct err e;
    struct tensor_file f;
    const struct gguf_str *words;
    const int32_t *ints;
    size_t k;
    char *path = test_data(name);
    int rc = -1, silent = 0;
    long n = 0;
    for (; path && rc && n < 1000; n++) {
        e.msg[0] = 0;
        mem_fail_at(n);
        rc = tensor_file_open(&f, path, &e);
        if (!rc && f.meta &&
            (!gguf_strings(f.meta, "t.words", &words, &k) ||
             !gguf_ints(f.meta, "t.ints", &ints, &k)))
            rc = err_set(&e, "no arrays");
        silent += rc && !e.msg[0];
        tensor_file_close(&f);
    }
    mem_fail_at(-1);
    ok(!rc && n > 2 && !silent, "%s: each of %ld allocations may fail", name, n - 1);
    free(path);
}

static void test_other_files(void)
{
    struct err e;
    struct tensor_file f;
    ok(parse("", 0, &e) && e.msg[0], "an empty file: %s", e.msg);
    ok(parse("PK\3\4\0\0\0\0\0\0\0\0", 12, &e) && strstr(e.msg, "PyTorch"), "%s", e.msg);
    ok(parse("hello, world", 12, &e) && strstr(e.msg, "neither"), "%s", e.msg);
    ok(tensor_file_open(&f, "/no/such.gguf", &e) && strstr(e.msg, "/no/such.gguf"), "%s", e.msg);
    tensor_file_close(&f);
}

int main(void)
{
    test_safetensors_headers();
    test_safetensors_lengths();
    test_gguf_fields();
    test_gguf_lists();
    test_cut("models/m_cur/model.safetensors", 78944 / 64, 78944);
    test_cut("tensors/mixed.safetensors", 1, 1029);
    test_cut("tensors/small.gguf", 1, 936); /* padding follows the last tensor */
    test_flips("tensors/mixed.safetensors");
    test_flips("tensors/small.gguf");
    test_no_memory("tensors/mixed.safetensors");
    test_no_memory("tensors/small.gguf");
    test_other_files();
    return done();
}
