/* base/cache: records come back to the byte, in any order, and only valid ones do. */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/cache.h"
#include "base/mem.h"
#include "tap.h"

enum { RECORDS = 40 };

static char path[600];

/* What record i holds: i bytes, the first of them none. */
static const char *bytes_of(int i)
{
    static char bytes[RECORDS];
    for (int k = 0; k < i; k++)
        bytes[k] = (char)(7 * i + k);
    return bytes;
}

/* Keys that are in no order. */
static uint64_t key_of(int i)
{
    return hash_word(HASH_START, (uint64_t)i);
}

static int fill(int n, struct err *e)
{
    struct cache_file k;
    int rc = cache_file_open(&k, path, 5, "a test", true, e);
    if (rc)
        return -1;
    for (int i = 0; i < n && !rc; i++)
        rc = cache_file_add(&k, key_of(i), bytes_of(i), (size_t)i, e);
    cache_file_close(&k, true);
    return rc;
}

/* How many of the records come back as they were. */
static int count_good(const struct cache_file *k)
{
    int good = 0;
    for (int i = 0; i < RECORDS; i++) {
        size_t size;
        const void *got = cache_file_find(k, key_of(i), &size);
        good += got && size == (size_t)i && !memcmp(got, bytes_of(i), size);
    }
    return good;
}

static void check_records(void)
{
    struct cache_file k;
    struct err e;
    size_t size;
    ok(!fill(RECORDS, &e) && !cache_file_open(&k, path, 5, "a test", false, &e),
       "written and opened");
    ok(count_good(&k) == RECORDS, "every record comes back");
    ok(!cache_file_find(&k, 77, &size), "no other one does");
    struct cache_file second;
    ok(cache_file_open(&second, path, 5, "a test", true, &e) && strstr(e.msg, "in use"), "%s",
       e.msg);
    cache_file_close(&k, true);
    ok(cache_file_open(&k, path, 6, "another", false, &e) &&
           strstr(e.msg, "a test, not of another"),
       "%s", e.msg);
    ok(file_exists(path), "which leaves it there");
    ok(!cache_file_open(&k, path, 6, "another", true, &e) && !cache_file_any(&k),
       "overwritten it holds none");
    cache_file_close(&k, true);
    ok(!file_exists(path), "and an empty one does not stay");
    ok(cache_file_open(&k, "/dev/full", 5, "a test", false, &e) && strstr(e.msg, "no regular file"),
       "%s", e.msg);
}

/* Cut at every byte: all whole records are there, and more can follow. */
static void check_cuts(void)
{
    struct err e;
    size_t size, first = 0;
    int bad = 0, known = 0;
    fill(8, &e);
    char *whole = file_read(path, &size, &e);
    while (whole[first++] != '\n')
        ;
    for (size_t cut = 0; cut <= size; cut++) {
        size_t end = first;
        int n = 0;
        for (; n < 8 && end + 16 + (size_t)n <= cut; n++)
            end += 16 + (size_t)n;
        struct cache_file k;
        bad += file_write(path, whole, cut, &e) ||
               cache_file_open(&k, path, 5, "a test", false, &e) || (int)k.n != n ||
               cache_file_add(&k, key_of(30), bytes_of(30), 30, &e);
        cache_file_close(&k, true);
        bad += cache_file_open(&k, path, 5, "a test", false, &e) || count_good(&k) != n + 1;
        known += (int)k.n;
        cache_file_close(&k, false);
    }
    ok(!bad && known > 8 * 30, "a file cut at any of its %zu bytes gives what is whole", size);
    bad = 0;
    for (size_t at = first; at < size; at++) {
        struct cache_file k;
        whole[at] ^= 4;
        bad += file_write(path, whole, size, &e) ||
               cache_file_open(&k, path, 5, "a test", false, &e) || count_good(&k) != (int)k.n ||
               k.n == 8;
        whole[at] ^= 4;
        cache_file_close(&k, false);
    }
    ok(!bad, "a wrong bit anywhere is found");
    free(whole);
}

static void check_memory(void)
{
    struct err e;
    int rc = -1, failed = 0;
    fill(RECORDS, &e);
    for (long nth = 0; rc; nth++) {
        struct cache_file k = {0};
        mem_fail_at(nth);
        rc = cache_file_open(&k, path, 5, "a test", false, &e) ||
             cache_file_add(&k, key_of(1), bytes_of(9), 9, &e);
        mem_fail_at(-1);
        failed += rc != 0;
        cache_file_close(&k, true);
    }
    ok(failed > 3, "%d allocations failed, each with an error", failed);
    unlink(path);
}

static void check_hash(void)
{
    const char text[] = "twenty-one characters";
    int same = 0;
    for (size_t n = 0; n < sizeof text; n++)
        for (size_t k = 0; k < n; k++)
            same += hash_bytes(HASH_START, text, n) == hash_bytes(HASH_START, text, k);
    ok(!same, "beginnings of a text differ");
    ok(hash_bytes(HASH_START, "\0\0", 2) != hash_bytes(HASH_START, "\0", 1), "so do zeros");
}

/* 20,000 numbers, three to a hash in turn: each found, and in few probes. */
static void check_index(void)
{
    enum { N = 20000, SHARE = 3 };
    struct hash_index x = {0};
    struct err e;
    size_t found = 0, probes = 0, number, p = 0;
    ok(!hash_index_next(&x, 7, &p, &number), "an empty index has nothing");
    for (size_t i = 0; i < N; i++)
        if (hash_index_add(&x, hash_word(HASH_START, i / SHARE), i, &e))
            break;
    for (size_t i = 0; i < N; i++) {
        size_t at = 0, same = 0;
        while (hash_index_next(&x, hash_word(HASH_START, i / SHARE), &at, &number)) {
            same += number / SHARE == i / SHARE;
            found += number == i;
        }
        found += same != (i < N / SHARE * SHARE ? SHARE : N % SHARE);
        probes += at;
    }
    ok(found == N, "each of %d numbers is found under its hash, with the others of the hash", N);
    ok(probes < 20 * N, "in %.1f probes", (double)probes / N);
    hash_index_fini(&x);
    size_t i = 0;
    mem_fail_at(3);
    while (i < N && !hash_index_add(&x, i, i, &e))
        i++;
    mem_fail_at(-1);
    size_t kept = 0;
    for (size_t k = 0; k < i; k++)
        for (size_t at = 0; hash_index_next(&x, k, &at, &number);)
            kept += number == k;
    ok(i && i < N && kept == i, "without memory %zu numbers are as they were", i);
    hash_index_fini(&x);
}

int main(void)
{
    snprintf(path, sizeof path, "%s/kept.bin", test_dir());
    if (!freopen("/dev/null", "w", stderr)) /* of hundreds of damaged files each is named */
        abort();
    check_records();
    check_cuts();
    check_memory();
    check_hash();
    check_index();
    return done();
}
