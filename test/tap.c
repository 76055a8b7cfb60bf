#include "tap.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int count, failed;
static char dir[512];

static void line(bool pass, const char *fmt, va_list ap)
{
    printf("%s %d - ", pass ? "ok" : "not ok", ++count);
    vprintf(fmt, ap);
    failed += !pass;
}

bool ok(bool pass, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line(pass, fmt, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
    return pass;
}

bool near(double got, double want, double rtol, double atol, const char *fmt, ...)
{
    bool pass = got == want || fabs(got - want) <= atol + rtol * fabs(want);
    va_list ap;
    va_start(ap, fmt);
    line(pass, fmt, ap);
    va_end(ap);
    printf(pass ? "\n" : " (got %.9g, want %.9g)\n", got, want);
    fflush(stdout);
    return pass;
}

void skip(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("ok %d # skip ", ++count);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

void note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    printf("# ");
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

int done(void)
{
    printf("1..%d\n", count);
    return failed != 0;
}

static char *under(const char *root, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (access(path, R_OK)) {
        note("%s is not there", path);
        return NULL;
    }
    return strdup(path);
}

char *test_data(const char *name)
{
    return under("test/data", name);
}

char *test_shared(const char *name)
{
    const char *root = getenv("UNLEARN_SHARED");
    return under(root ? root : "../shared", name);
}

char *test_smollm2(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char root[512];
    if (cache && *cache)
        snprintf(root, sizeof root, "%s/unlearn", cache);
    else
        snprintf(root, sizeof root, "%s/.cache/unlearn", home ? home : "");
    return under(root, "SmolLM2-135M-Instruct.Q4_1.gguf");
}

static void remove_dir(void)
{
    char cmd[600];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    if (system(cmd))
        fprintf(stderr, "cannot remove %s\n", dir);
}

const char *test_dir(void)
{
    if (!dir[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(dir, sizeof dir, "%s/unlearn-test-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(dir))
            abort();
        atexit(remove_dir);
    }
    return dir;
}
