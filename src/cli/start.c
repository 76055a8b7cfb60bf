#include "cli/start.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/escape.h"

/* OpenMP reads how its threads wait when it is loaded, before main. The loader, called with the
 * program as its argument, has no AT_BASE and is what /proc names: then, and without /proc, the
 * program goes on as it was started. */
void start_again(char **argv)
{
    char path[PATH_MAX];
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || !getauxval(AT_BASE))
        return;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n <= 0 || n == sizeof path)
        return;
    path[n] = 0;
    if (!setenv("GOMP_SPINCOUNT", "3000", 0))
        execv(path, argv);
}

static void close_output(void)
{
    fclose(stdout);
}

void start_process(void)
{
    signal(SIGXFSZ, SIG_IGN);
    FILE *out = isatty(STDOUT_FILENO) ? escape_stream(STDOUT_FILENO) : NULL;
    if (out) {
        stdout = out;
        atexit(close_output);
    }
}

/* OpenBLAS takes 128 MiB of address space for each thread when it is loaded, and once more for its
 * first product; where that fails it tries for ever. So a limit (ulimit -v) that is too low for it
 * is told before any library starts, by way of .preinit_array, which runs before their
 * constructors. Nothing of the C library that keeps state is used here. */
enum { BLAS_BUFFER = 128 << 20, ELSE = 64 << 20 };

#define EARLY __attribute__((no_sanitize("address", "undefined")))

EARLY static size_t mapped_bytes(void)
{
    char text[64] = "";
    const int fd = open("/proc/self/statm", O_RDONLY);
    if (fd >= 0 && read(fd, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(fd);
    return strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

EARLY static long threads(char **env)
{
    static const char *const names[] = {"OPENBLAS_NUM_THREADS=", "OMP_NUM_THREADS="};
    for (int i = 0; i < 2; i++)
        for (char **v = env; *v; v++)
            if (!strncmp(*v, names[i], strlen(names[i])) && atol(*v + strlen(names[i])) > 0)
                return atol(*v + strlen(names[i]));
    return sysconf(_SC_NPROCESSORS_ONLN);
}

EARLY static void tell(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(1);
}

EARLY static void check_address_space(int argc, char **argv, char **env)
{
    struct rlimit most;
    (void)argc, (void)argv;
    if (getrlimit(RLIMIT_AS, &most) || most.rlim_cur == RLIM_INFINITY)
        return;
    const size_t needed = mapped_bytes() + (size_t)(threads(env) + 1) * BLAS_BUFFER + ELSE;
    if (most.rlim_cur >= needed)
        return;
    tell("unlearn: the address space is limited to less than the BLAS library needs for its "
         "threads: raise 'ulimit -v', or lower OMP_NUM_THREADS\n");
    _exit(1);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const early)(int, char **, char **) = check_address_space;
