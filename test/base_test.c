/* Errors, memory, buffers, files, random numbers, arenas. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "tap.h"

static struct err e;

static void test_err(void)
{
    ok(err_set(&e, "row %d", 3) == -1 && !strcmp(e.msg, "row 3"), "err_set formats and fails");
    errno = ENOENT;
    err_sys(&e, "cannot open '%s'", "x");
    ok(!strcmp(e.msg, "cannot open 'x': no such file or directory"), "err_sys: %s", e.msg);
    err_prefix(&e, "line %d: ", 7);
    ok(!strncmp(e.msg, "line 7: cannot open 'x'", 23), "err_prefix: %s", e.msg);
    char big[2000];
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = 0;
    err_set(&e, "%s", big);
    err_prefix(&e, "%s", big);
    ok(strlen(e.msg) == sizeof e.msg - 1, "a long message is cut off");
}

static void test_mem(void)
{
    ok(!mem_alloc(SIZE_MAX, 2, &e), "a product that overflows is refused: %s", e.msg);
    ok(!mem_alloc(SIZE_MAX - 1, 1, &e), "so is one byte less than all");
    ok(!mem_strndup("x", SIZE_MAX, &e), "and a string of all bytes");
    char *p = mem_alloc(3, 5, &e);
    bool zero = p && (uintptr_t)p % 64 == 0;
    for (int i = 0; zero && i < 15; i++)
        zero = p[i] == 0;
    ok(zero, "memory is zeroed and aligned");
    free(p);
    p = mem_alloc(0, 8, &e);
    ok(p != NULL, "nothing is something that can be freed");
    free(p);

    int *list = NULL;
    size_t cap = 0;
    ok(!mem_reserve(&list, &cap, 5, sizeof *list, &e) && cap >= 5, "an array grows");
    list[4] = 42;
    size_t before = cap;
    ok(mem_reserve(&list, &cap, SIZE_MAX / 2, sizeof *list, &e) && cap == before && list[4] == 42,
       "and stays as it was when it cannot");
    free(list);
    size_t n;
    ok(size_mul(SIZE_MAX / 2, 3, &n) && size_add(SIZE_MAX, 1, &n) && !size_mul(6, 7, &n) && n == 42,
       "sizes are checked");
}

static void test_buf(void)
{
    struct buf b = {0};
    ok(!buf_add(&b, "a\0b", 3, &e) && !buf_printf(&b, &e, "%d", 12) && b.len == 5 &&
           !memcmp(b.data, "a\0b12", 6),
       "a buffer holds NUL and ends with one");
    ok(buf_add(&b, "", SIZE_MAX - 2, &e) && b.len == 5, "too long: %s", e.msg);
    mem_fail_at(0);
    char big[300] = {0};
    ok(buf_add(&b, big, sizeof big, &e) && b.len == 5 && !memcmp(b.data, "a\0b12", 6),
       "a failed append leaves the buffer alone");
    mem_fail_at(-1);
    buf_clear(&b);
    ok(b.len == 0 && !buf_str(&b, "x", &e) && !strcmp(b.data, "x"), "cleared and used again");
    buf_fini(&b);
}

static char *in_dir(const char *name)
{
    char *path = file_join(test_dir(), name, &e);
    if (!path)
        abort();
    return path;
}

static bool holds(const char *path, const char *want)
{
    size_t n;
    char *text = file_read(path, &n, &e);
    bool same = text && n == strlen(want) && !memcmp(text, want, n + 1);
    free(text);
    return same;
}

static bool clean(const char *path)
{
    char tmp[1024];
    snprintf(tmp, sizeof tmp, "%s.tmp.%ld", path, (long)getpid());
    return !file_exists(tmp);
}

static void test_endless(void)
{
    size_t n = 0;
    char *text = file_read_most("/dev/zero", 1 << 20, &n, &e);
    ok(!text && strstr(e.msg, "has not ended after 1 MiB"), "%s", e.msg);
    free(text);
    char *path = in_dir("long");
    ok(!file_write(path, "abcdef", 6, &e) && (text = file_read_most(path, 2, &n, &e)) && n == 6,
       "a regular file has its own end");
    free(text);
    free(path);
}

static void test_atomic_write(void)
{
    char *path = in_dir("out"), *link = in_dir("link"), *fifo = in_dir("fifo");
    struct file_out o;
    ok(!file_write(path, "old", 3, &e) && holds(path, "old") && clean(path), "a file is written");
    ok(!file_out_open(&o, path, &e) && !file_out_write(&o, "newer", 5, &e) && holds(path, "old"),
       "until the commit the old one stands");
    file_out_abort(&o);
    file_out_abort(&o);
    ok(holds(path, "old") && clean(path), "and after an abort");

    /* A full disk: writes beyond the limit fail with EFBIG. */
    static char big[100000];
    struct rlimit limit, small;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 50000;
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = file_write(path, big, sizeof big, &e);
    ok(rc && strstr(e.msg, path) && holds(path, "old") && clean(path), "no space: %s", e.msg);
    small.rlim_cur = 1;
    setrlimit(RLIMIT_FSIZE, &small);
    rc =
        file_write(path, "newer", 5, &e); /* fails in the commit only, when the buffer is flushed */
    setrlimit(RLIMIT_FSIZE, &limit);
    ok(rc && holds(path, "old") && clean(path), "nor for a few bytes");

    struct stat st;
    char text[8] = "";
    int fd = mkfifo(fifo, 0600) ? -1 : open(fifo, O_RDONLY | O_NONBLOCK);
    ok(!file_write(fifo, "x", 1, &e) && !stat(fifo, &st) && S_ISFIFO(st.st_mode) &&
           read(fd, text, sizeof text) == 1 && *text == 'x',
       "what is no regular file is written, not replaced");
    close(fd);
    ok(!symlink(path, link) && !file_write(link, "newer", 5, &e) && !lstat(link, &st) &&
           S_ISLNK(st.st_mode) && holds(path, "newer"),
       "a link is followed");
    ok(file_write(test_dir(), "x", 1, &e), "a directory cannot be replaced: %s", e.msg);
    ok(file_write("/nowhere/x", "x", 1, &e) && strstr(e.msg, "'/nowhere/x'"), "%s", e.msg);
    free(path);
    free(link);
    free(fifo);
}

/* What git leaves in place of a file is named, however it is read. */
static void test_pointer(void)
{
    static const char text[] = "version https://git-lfs.github.com/spec/v1\n"
                               "oid sha256:4d7a\nsize 269060552\n";
    char *path = in_dir("pointer");
    struct file_map m;
    file_write(path, text, sizeof text - 1, &e);
    ok(!file_read(path, NULL, &e) &&
           strstr(e.msg, "pointer' is a Git LFS pointer, not the file itself (269060552 bytes)"),
       "%s", e.msg);
    ok(file_map_open(&m, path, &e) && !m.size && strstr(e.msg, "git lfs pull"), "%s", e.msg);
    file_write(path, text, 20, &e);
    ok(holds(path, "version https://git-"), "the beginning of one is text");
    free(path);
}

/* What a map's close warns of, with `stderr` in memory. */
static bool close_warns(struct file_map *m)
{
    char *text = NULL;
    size_t n = 0;
    FILE *was = stderr;
    stderr = open_memstream(&text, &n);
    file_map_close(m);
    fclose(stderr);
    stderr = was;
    bool warned = strstr(text, "was written to while it was in use");
    free(text);
    return warned;
}

static void test_written_map(void)
{
    char *path = in_dir("written");
    struct file_map m;
    file_write(path, "abc", 3, &e);
    ok(!file_map_open(&m, path, &e) && !close_warns(&m), "a map of a file left alone");
    file_map_open(&m, path, &e);
    file_write(path, "abcd", 4, &e);
    ok(!close_warns(&m), "of a file that another replaced");
    file_map_open(&m, path, &e);
    FILE *f = fopen(path, "a");
    ok(f && fputs("e", f) >= 0 && !fclose(f) && close_warns(&m), "of a file written to");
    free(path);
}

static void test_exists(void)
{
    char *link = in_dir("dangling");
    ok(!symlink("nowhere", link) && file_exists(link) && !file_read(link, NULL, &e) &&
           strstr(e.msg, "no such file"),
       "a link to nothing is there: %s", e.msg);
    ok(!file_exists("/nowhere") && !file_exists("/dev/null/x"), "what is not there");
    if (file_is_dir("/sys"))
        ok(file_make_dir("/sys/nowhere", &e) && !strstr(e.msg, "no such file"),
           "why a directory was not made: %s", e.msg);
    else
        skip("no /sys, where nobody makes directories");
    free(link);
}

static void test_file(void)
{
    char *path = in_dir("map"), *copy = in_dir("copy"), *deep = in_dir("a/b//c/");
    struct file_map m;
    ok(!file_write(path, "", 0, &e) && !file_map_open(&m, path, &e) && m.size == 0, "map nothing");
    file_map_close(&m);
    ok(holds(path, ""), "read nothing");
    file_write(path, "abc", 3, &e);
    ok(!file_map_open(&m, path, &e) && m.size == 3 && !memcmp(m.data, "abc", 3), "map a file");
    file_map_close(&m);
    file_map_close(&m);
    ok(file_map_open(&m, test_dir(), &e) && m.size == 0, "no directory: %s", e.msg);
    ok(file_map_open(&m, "/nowhere", &e) && !strncmp(e.msg, "cannot open '/nowhere': no", 26), "%s",
       e.msg);
    ok(!file_read(test_dir(), NULL, &e) && strstr(e.msg, "is a directory"), "%s", e.msg);
    ok(!file_copy(path, copy, &e) && holds(copy, "abc"), "copy");
    ok(!file_make_dir(deep, &e) && file_is_dir(deep) && !file_make_dir(deep, &e), "make parents");
    char *below = file_join(path, "x", &e);
    ok(file_make_dir(below, &e), "not below a file: %s", e.msg);
    free(below);
    char *joined = file_join("a/", "b", &e), *bare = file_join("", "b", &e);
    ok(!strcmp(joined, "a/b") && !strcmp(bare, "b"), "join");
    free(joined);
    free(bare);

    int fds[2], saved = dup(0);
    ok(!pipe(fds) && write(fds[1], "piped", 5) == 5, "(a pipe)");
    close(fds[1]);
    dup2(fds[0], 0);
    ok(holds("-", "piped"), "- is standard input");
    dup2(saved, 0);
    close(saved);
    close(fds[0]);
    free(path);
    free(copy);
    free(deep);
}

/* Each allocation fails in turn: the old file stays, nothing leaks. */
static void test_file_without_memory(void)
{
    char *path = in_dir("scarce");
    file_write(path, "old", 3, &e);
    long n = 0;
    int rc = -1;
    bool kept = true;
    for (; rc && n < 100; n++) {
        mem_fail_at(n);
        rc = file_write(path, "new", 3, &e);
        mem_fail_at(-1);
        kept = kept && (!rc || (holds(path, "old") && clean(path)));
    }
    ok(kept && n >= 3 && holds(path, "new"), "writing survives %ld failing allocations", n - 1);
    char *text = NULL;
    for (n = 0; !text && n < 100; n++) {
        mem_fail_at(n);
        text = file_read(path, NULL, &e);
    }
    mem_fail_at(-1);
    ok(text && n >= 2, "reading survives %ld", n - 1);
    free(text);
    free(path);
}

static void test_rng(void)
{
    static struct rng r, s;
    static const uint32_t want[] = {2357136044u, 2546248239u, 3071714933u};
    static const double floats[] = {.49625658988952637, .7682217955589294, .08847743272781372};
    static const int perm[] = {4, 1, 7, 5, 3, 9, 0, 8, 6, 2};
    rng_seed(&r, 0);
    for (int i = 0; i < 3; i++)
        ok(rng_u32(&r) == want[i], "u32 %d of seed 0", i);
    rng_seed(&r, 0);
    for (int i = 0; i < 3; i++)
        near(rng_float(&r), floats[i], 0, 1e-17, "float %d of seed 0", i);
    rng_seed(&r, 0);
    int p[1000];
    rng_permutation(&r, p, 10);
    ok(!memcmp(p, perm, sizeof perm), "randperm(10) of seed 0");
    /* The standard's own check: output 10000 of seed 5489. */
    rng_seed(&r, 5489);
    for (int i = 0; i < 9999; i++)
        rng_u32(&r);
    ok(rng_u32(&r) == 4123659995u, "output 10000 of seed 5489");

    rng_permutation(&r, p, 1000);
    char seen[1000] = {0};
    int distinct = 0;
    for (int i = 0; i < 1000; i++)
        distinct += !seen[p[i]]++;
    ok(distinct == 1000, "a permutation has every index once");
    rng_permutation(&r, p, 0);

    double sum = 0, squares = 0, cubes = 0;
    int n = 200000;
    for (int i = 0; i < n; i++) {
        double x = rng_normal(&r);
        sum += x;
        squares += x * x;
        cubes += x * x * x;
    }
    near(sum / n, 0, 0, 0.01, "normal: mean");
    near(squares / n, 1, 0, 0.02, "normal: variance");
    near(cubes / n, 0, 0, 0.05, "normal: skewness");

    rng_stream(&r, 7, RNG_ORDER, 3);
    rng_seed(&s, 10);
    ok(rng_u32(&r) == rng_u32(&s), "the order of epoch 3 is seeded seed + 3");
    rng_stream(&r, 7, RNG_DRAW, 3);
    rng_seed(&s, 7);
    ok(rng_u32(&r) == rng_u32(&s), "draws are seeded seed");
    uint32_t first[3];
    for (uint32_t i = 0; i < 3; i++) {
        rng_stream(&r, 7, i == 2 ? RNG_NOISE : RNG_INIT, i % 2);
        first[i] = rng_u32(&r);
    }
    ok(first[0] != first[1] && first[0] != first[2], "other streams differ by index and purpose");
}

static void test_arena(void)
{
    struct arena a;
    arena_init(&a);
    char *p[50];
    bool good = true;
    for (int round = 0; round < 3; round++) {
        mem_fail_at(-1);
        for (size_t i = 0; i < 50; i++) {
            p[i] = arena_take(&a, 100 * i, 31, &e);
            good = good && p[i] && (uintptr_t)p[i] % 64 == 0;
            memset(p[i], (int)i, 3100 * i);
        }
        for (size_t i = 0; i < 50; i++)
            for (size_t k = 0; k < 3100 * i; k++)
                good = good && p[i][k] == (char)i;
        long n = mem_fail_at(-1);
        ok(round == 0   ? n > 2
           : round == 1 ? n == 2
                        : n == 0,
           "round %d: %ld allocations", round, n);
        ok(a.used == a.high && a.used >= 3100 * 49 * 25, "high-water mark %zu", a.high);
        arena_reset(&a);
    }
    ok(good && a.used == 0 && a.high > 0, "pieces are aligned and do not overlap");
    ok(!arena_take(&a, SIZE_MAX / 2, 4, &e) && !arena_take(&a, SIZE_MAX, 1, &e), "huge: %s", e.msg);
    mem_fail_at(0);
    ok(!arena_take(&a, 1 << 24, 1, &e), "no memory for a chunk's head");
    mem_fail_at(1);
    ok(!arena_take(&a, 1 << 24, 1, &e), "nor for its data");
    mem_fail_at(-1);
    ok(arena_take(&a, 10, 1, &e) != NULL, "but the arena still works");
    arena_fini(&a);
    ok(!a.chunks && !a.high, "fini");
}

/* What a program can tell apart without reading the text. */
static void test_codes(void)
{
    size_t len;
    ok(!file_read("/no/such/file", &len, &e) && e.code == ERR_NO_FILE, "no file: %s", e.msg);
    ok(!file_read("/dev/null/x", &len, &e) && e.code == ERR_NO_FILE, "no directory: %s", e.msg);
    ok(!json_read_text("{", 1, "text", &e) && e.code == ERR_BAD_FILE, "bad json: %s", e.msg);
    mem_fail_at(0);
    ok(!mem_alloc(1, 1, &e) && e.code == ERR_NO_MEMORY, "no memory: %s", e.msg);
    mem_fail_at(-1);
    errno = ENOSPC;
    ok(err_sys(&e, "cannot write 'x'") && e.code == ERR_NO_SPACE, "no space: %s", e.msg);
    err_about(&e, "layer", "no layer 7");
    err_range(&e, 0, 2);
    err_prefix(&e, "term: ");
    ok(e.code == ERR_ARGUMENT && !strcmp(e.subject, "layer") && !strcmp(e.range, "0 to 2") &&
           !strcmp(e.msg, "term: no layer 7"),
       "a prefix keeps code, subject and range");
    err_class(&e, ERR_BAD_FILE);
    ok(e.code == ERR_ARGUMENT, "a code of its own stays");
    ok(err_set(&e, "else") && e.code == ERR_FAILED && !e.subject && !*e.range,
       "a new error forgets the old one's");
}

static void check_wrap(void)
{
    struct buf b = {0};
    ok(!buf_str(&b, "ab  ", &e) && !buf_wrap(&b, "one two na\xC3\xAFve four", 4, 13, &e) &&
           !strcmp(b.data, "ab  one two\n    na\xC3\xAFve\n    four"),
       "lines are wrapped at code points, further ones indented");
    buf_clear(&b);
    ok(!buf_wrap(&b, "x A|B|CCCC|D", 2, 8, &e) && !strcmp(b.data, "x A|B|\n  CCCC|D"),
       "a word that is wider is cut at bars");
    buf_clear(&b);
    ok(!buf_wrap(&b, "a\nb", 2, 80, &e) && !strcmp(b.data, "a\n  b"), "a newline is kept");
    buf_clear(&b);
    ok(!buf_wrap(&b, "12345678901 b", 0, 5, &e) && !strcmp(b.data, "12345678901\nb"),
       "a word that cannot be cut has a line of its own");
    buf_fini(&b);
}

int main(void)
{
    test_err();
    test_codes();
    test_mem();
    test_buf();
    test_endless();
    test_atomic_write();
    test_file();
    test_pointer();
    test_written_map();
    test_exists();
    test_file_without_memory();
    test_rng();
    test_arena();
    check_wrap();
    return done();
}
