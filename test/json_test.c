/* JSON: what is read, how it is written, what the getters refuse. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tap.h"

static struct err e;

static json_t *parse(const char *text)
{
    return json_read_text(text, strlen(text), "here", &e);
}

/* Reads `text` from memory that ends with it, so that a sanitizer sees any byte read beyond. */
static bool reads_as(const char *text, size_t flags, const char *want)
{
    size_t n = strlen(text);
    char *exact = malloc(n ? n : 1);
    memcpy(exact, text, n);
    json_t *j = json_read_text(exact, n, "here", &e);
    free(exact);
    struct buf b = {0};
    bool same = j && !json_write_buf(j, &b, flags, &e) && !strcmp(b.data, want);
    if (!same)
        note("%s -> %s, not %s", text, j ? b.data : e.msg, want);
    buf_fini(&b);
    json_decref(j);
    return same;
}

/* An infinity is a value in a log, and is written as one where NaN is. */
static void test_log(void)
{
    char path[600];
    snprintf(path, sizeof path, "%s/log.json", test_dir());
    const char *text = "[NaN, Infinity, -Infinity, 1e400, \"Infinity\", 1.0]";
    json_t *j = file_write(path, text, strlen(text), &e) ? NULL : json_read_log(path, &e);
    struct buf b = {0};
    /* The text that ok prints must not be read before it is written. */
    bool written = j && !json_write_buf(j, &b, JSON_NULL_IS_NAN, &e);
    ok(written && !strcmp(b.data, "[NaN, Infinity, -Infinity, Infinity, \"Infinity\", 1.0]"), "%s",
       b.data ? b.data : e.msg);
    buf_clear(&b);
    written = j && !json_write_buf(j, &b, JSON_COMPACT, &e);
    ok(written && !strcmp(b.data, "[null,1.7976931348623157e+308,-1.7976931348623157e+308,"
                                  "1.7976931348623157e+308,\"Infinity\",1.0]"),
       "%s", b.data ? b.data : e.msg);
    buf_fini(&b);
    json_decref(j);
}

static void test_read(void)
{
    size_t c = JSON_COMPACT;
    ok(reads_as("[NaN, Infinity, -Infinity]", c, "[null,null,null]"), "Python's NaN is null");
    ok(reads_as("NaN", c, "null") && reads_as("{\"a\":NaN}", c, "{\"a\":null}"), "anywhere");
    ok(reads_as("[\"NaN\", \"a \\\" NaN\", \"\\\\\", NaN]", c,
                "[\"NaN\",\"a \\\" NaN\",\"\\\\\",null]"),
       "but not in strings");
    ok(reads_as("[1000000000000000019884624838656,-12345678901234567890]", c,
                "[1e+30,-1.2345678901234567e+19]"),
       "integers beyond 64 bits are reals");
    ok(reads_as("[9223372036854775807,-9223372036854775808,9223372036854775808]", c,
                "[9223372036854775807,-9223372036854775808,9.223372036854776e+18]"),
       "but not those within");
    ok(reads_as("[1234567890123456789.5, 12345678901234567e5]", c,
                "[1.2345678901234568e+18,1.2345678901234568e+21]"),
       "long reals stay as they are");
    ok(reads_as("[1e400, -1E+999, 1e-400, 1e308]", c, "[null,null,0.0,1e+308]"),
       "so are reals beyond a double, null");
    char digits[400];
    memset(digits, '7', sizeof digits);
    digits[sizeof digits - 1] = 0;
    ok(reads_as(digits, c, "null"), "and an integer of 399 digits");
    ok(reads_as("\"a\\u0000b\"", c, "\"a\\u0000b\""), "strings may hold NUL");
    ok(reads_as("\xEF\xBB\xBF{\"a\": 1, \"a\": 2}", c, "{\"a\":2}"), "byte order mark, equal keys");
    static const char *const bad[] = {"",    "{",     "[1,]", "\"",       "\"\\",  "[NaNa]", "-NaN",
                                      "nan", "[1 2]", "\xff", "\"\xc3\"", "{1:2}", "[1]x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ok(!parse(bad[i]), "refused: %s", e.msg);
    parse("{\n\"a\": 1,\n\"b\": x}");
    ok(!strncmp(e.msg, "here: line 3: not valid json: ", 30), "%s", e.msg);
    char deep[10001];
    memset(deep, '[', 10000);
    deep[10000] = 0;
    ok(!parse(deep), "nested too deeply: %s", e.msg);
}

static void test_write(void)
{
    /* json.dump(..., indent=4, sort_keys=True) of Python 3.11 */
    ok(reads_as("{\"b\": [1, 2.5, NaN], \"a\": {}, \"ab\": [], \"a\\u00e9\": "
                "\"\xF0\x9F\x98\x80/\\t\x7F\", \"B\": [[true]]}",
                JSON_LIKE_PYTHON,
                "{\n    \"B\": [\n        [\n            true\n        ]\n    ],\n    \"a\": {},\n"
                "    \"ab\": [],\n    \"a\\u00e9\": \"\\ud83d\\ude00/\\t\\u007f\",\n    \"b\": [\n"
                "        1,\n        2.5,\n        null\n    ]\n}"),
       "as Python writes it");
    ok(reads_as("{\"b\":[1,2],\"a\":\"\\u00e9\\u007f\\u0001\"}", 0,
                "{\"b\": [1, 2], \"a\": \"\xC3\xA9\x7F\\u0001\"}"),
       "one line, order kept, UTF-8");
    json_t *list = json_array();
    for (int i = 0; i < 3000; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, list);
        list = outer;
    }
    struct buf b = {0};
    ok(json_write_buf(list, &b, 0, &e), "too deep: %s", e.msg);
    buf_fini(&b);
    json_decref(list);
}

static void test_real(void)
{
    static const struct {
        double value;
        const char *text; /* Python's repr */
    } want[] = {{0, "0.0"},
                {-0.0, "-0.0"},
                {0.1, "0.1"},
                {.1 + .2, "0.30000000000000004"},
                {1, "1.0"},
                {-100, "-100.0"},
                {1e15, "1000000000000000.0"},
                {1234567890123456, "1234567890123456.0"},
                {1e16, "1e+16"},
                {123456789012345680., "1.2345678901234568e+17"},
                {1e22, "1e+22"},
                {1e-4, "0.0001"},
                {.00012345, "0.00012345"},
                {1e-5, "1e-05"},
                {1.5e-7, "1.5e-07"},
                {5e-324, "5e-324"},
                {DBL_MIN, "2.2250738585072014e-308"},
                {DBL_MAX, "1.7976931348623157e+308"},
                {M_PI, "3.141592653589793"},
                {0.6740192655104356, "0.6740192655104356"}};
    char text[JSON_REAL_TEXT];
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        json_real_text(want[i].value, text);
        ok(!strcmp(text, want[i].text), "%s is written %s", want[i].text, text);
    }
    static struct rng r;
    rng_seed(&r, 1);
    int wrong = 0, longer = 0;
    for (int i = 0; i < 200000; i++) {
        union {
            uint64_t bits;
            double value;
        } u = {(uint64_t)rng_u32(&r) << 32 | rng_u32(&r)};
        if (!isfinite(u.value))
            continue;
        json_real_text(u.value, text);
        wrong += strtod(text, NULL) != u.value || strlen(text) >= JSON_REAL_TEXT;
        /* A number of 6 digits comes back as those digits. */
        double six = (double)(rng_u32(&r) % 1000000) / 1e6;
        json_real_text(six, text);
        longer += strlen(text) > 8 + 1;
        wrong += strtod(text, NULL) != six;
    }
    ok(wrong == 0, "random doubles read back the same");
    ok(longer == 0, "short numbers stay short");
}

static void test_getters(void)
{
    json_t *j = parse(
        "{\"i\": 5, \"r\": 0.5, \"s\": \"x\", \"n\": null, \"t\": true, \"ids\": [1, 2147483647],"
        "\"neg\": [1, -1], \"big\": [2147483648], \"none\": []}");
    int64_t i = 7;
    double r = 7;
    bool t = false;
    const char *s = "kept";
    int *ids = NULL, n = 0;
    ok(!json_need_int(j, "i", 1, 5, &i, &e) && i == 5, "an integer");
    ok(json_need_int(j, "i", 6, 9, &i, &e) &&
           !strcmp(e.msg, "'i' must be an integer from 6 to 9, not 5"),
       "%s", e.msg);
    ok(json_need_int(j, "r", 0, 9, &i, &e) && json_need_int(j, "s", 0, 9, &i, &e), "%s", e.msg);
    ok(json_need_int(j, "x", 0, 9, &i, &e) && json_need_int(j, "n", 0, 9, &i, &e), "%s", e.msg);
    ok(!json_opt_int(j, "x", 0, 9, &i, &e) && !json_opt_int(j, "n", 0, 9, &i, &e) && i == 5,
       "missing and null leave the default");
    ok(json_opt_int(j, "s", 0, 9, &i, &e), "but not a wrong type");
    ok(!json_need_real(j, "i", &r, &e) && r == 5 && !json_opt_real(j, "r", &r, &e) && r == 0.5,
       "reals take integers");
    ok(json_need_real(j, "s", &r, &e), "%s", e.msg);
    ok(!json_opt_bool(j, "t", &t, &e) && t && json_opt_bool(j, "i", &t, &e), "%s", e.msg);
    ok(!json_opt_str(j, "x", &s, &e) && !strcmp(s, "kept") && !json_need_str(j, "s", &s, &e) &&
           !strcmp(s, "x") && json_need_str(j, "i", &s, &e),
       "%s", e.msg);
    ok(!json_need_ids(j, "ids", &ids, &n, &e) && n == 2 && ids[1] == INT_MAX, "token ids");
    free(ids);
    ok(!json_need_ids(j, "none", &ids, &n, &e) && n == 0, "no token ids");
    free(ids);
    ok(json_need_ids(j, "neg", &ids, &n, &e) && json_need_ids(j, "big", &ids, &n, &e) &&
           json_need_ids(j, "i", &ids, &n, &e) && json_need_ids(j, "x", &ids, &n, &e),
       "refused: %s", e.msg);
    ok(json_need_int(NULL, "i", 0, 9, &i, &e), "no object: %s", e.msg);
    json_decref(j);
}

static void *jansson_alloc(size_t n)
{
    return mem_alloc(n, 1, &e);
}

/* Reads, looks at and writes a file; returns -1 if any of it failed. */
static int round_trip(const char *in, const char *out)
{
    json_t *j = json_read_file(in, &e);
    int *ids = NULL, n, rc = -1;
    if (j && !json_need_ids(j, "ids", &ids, &n, &e))
        rc = json_write_file(j, out, JSON_LIKE_PYTHON, &e);
    free(ids);
    json_decref(j);
    return rc;
}

/* Every allocation fails once, also inside Jansson. */
static void test_without_memory(void)
{
    char *in = file_join(test_dir(), "in.json", &e), *out = file_join(test_dir(), "out.json", &e);
    static const char text[] = "{\"ids\": [1, 2], \"x\": NaN, \"y\": 0.1, \"z\": \"\\u00e9\"}";
    file_write(in, text, sizeof text - 1, &e);
    json_set_alloc_funcs(jansson_alloc, free);
    long n = 0;
    int rc = -1, early = 0;
    for (; rc && n < 1000; n++) {
        mem_fail_at(n);
        e.msg[0] = 0;
        rc = round_trip(in, out);
        early += rc && (file_exists(out) || !e.msg[0]);
    }
    mem_fail_at(-1);
    json_set_alloc_funcs(malloc, free);
    ok(!rc && n > 10 && !early, "%ld failing allocations: an error each, no file", n - 1);
    char *got = file_read(out, NULL, &e);
    ok(got && !strcmp(got, "{\n    \"ids\": [\n        1,\n        2\n    ],\n    \"x\": null,\n"
                           "    \"y\": 0.1,\n    \"z\": \"\\u00e9\"\n}"),
       "then it is written");
    free(got);
    free(in);
    free(out);
}

int main(void)
{
    test_read();
    test_log();
    test_write();
    test_real();
    test_getters();
    test_without_memory();
    return done();
}
