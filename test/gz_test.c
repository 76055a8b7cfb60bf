/* Packed files: whole ones are read as they were, damaged ones never. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/readers.h"
#include "tap.h"

enum { LEN = 70000 }; /* more than two blocks of the reader */

static char text[LEN + 1];
static char path[512];

/* Writes n bytes as the file, then reads it; false if it is refused. */
static bool reads(const char *bytes, size_t n, struct err *e)
{
    size_t len;
    FILE *f = fopen(path, "wb");
    bool wrote = f && fwrite(bytes, 1, n, f) == n;
    if (f)
        fclose(f);
    char *got = wrote ? gz_read(path, &len, e) : NULL;
    bool same = got && len == LEN && !memcmp(got, text, LEN + 1);
    if (got && !same)
        note("%zu bytes of %d", len, LEN);
    free(got);
    return got;
}

/* The text, packed. Owned. */
static char *pack(size_t *n)
{
    struct err e;
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < LEN; i++)
        text[i] = (char)('a' + rng_below(&r, 20));
    gzFile f = gzopen(path, "wb");
    if (!f || gzwrite(f, text, LEN) != LEN || gzclose(f))
        return NULL;
    return file_read(path, n, &e);
}

static void check_damage(char *bytes, size_t n)
{
    struct err e;
    int taken = 0, tried = 0;
    for (size_t cut = 0; cut < n; cut += cut < 40 || cut + 40 > n ? 1 : 997) {
        taken += reads(bytes, cut, &e);
        tried++;
    }
    ok(!taken, "cut at %d lengths: none is read", tried);
    reads(bytes, n - 1, &e);
    ok(strstr(e.msg, "is damaged"), "%s", e.msg);
    taken = tried = 0;
    for (size_t at = 10; at<n; at += at + 40> n ? 1 : 997, tried++) {
        bytes[at] ^= 0x10;
        taken += reads(bytes, n, &e);
        bytes[at] ^= 0x10;
    }
    ok(!taken, "a bit turned at %d places: none is read", tried);
    ok(!reads("[{\"a\": 1}]", 10, &e) && strstr(e.msg, "is not packed by gzip"), "%s", e.msg);
    ok(!reads("", 0, &e), "an empty file: %s", e.msg);
    remove(path);
    size_t len;
    ok(!gz_read(path, &len, &e) && strstr(e.msg, "cannot open"), "%s", e.msg);
}

static void check_memory(const char *bytes, size_t n)
{
    struct err e;
    long failed = 0;
    for (bool done = false; !done && failed < 100; failed += !done) {
        mem_fail_at(failed);
        done = reads(bytes, n, &e);
        mem_fail_at(-1);
    }
    ok(failed > 1 && failed < 100, "each of %ld allocations may fail", failed);
}

int main(void)
{
    struct err e;
    size_t n;
    snprintf(path, sizeof path, "%s/text.GZ", test_dir());
    char *bytes = pack(&n);
    ok(gz_is("a.gz") && gz_is(path) && !gz_is(".gz") && !gz_is("a.gz.json"), "names that end so");
    if (ok(bytes && reads(bytes, n, &e), "%d bytes there and back", LEN)) {
        size_t len;
        char *got = gz_read(path, &len, &e);
        ok(got && len == LEN && !memcmp(got, text, LEN + 1), "the same bytes and a NUL");
        free(got);
        check_memory(bytes, n);
        check_damage(bytes, n);
    }
    free(bytes);
    return done();
}
