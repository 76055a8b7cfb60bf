#include "cli/start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/log.h"
#include "cli/command.h"

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

EARLY static void warn_early(const char *text)
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
    warn_early("unlearn: the address space is limited to less than the BLAS library needs for its "
               "threads: raise 'ulimit -v', or lower OMP_NUM_THREADS\n");
    _exit(1);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const early)(int, char **, char **) = check_address_space;

/* Only what a signal handler may call: the file is found in /proc/self/maps, whose lines are
 * "START-END PERMISSIONS OFFSET DEVICE INODE   PATH", addresses in hexadecimal. */
struct map_line {
    char text[512];
    size_t n;
};

static uintptr_t hex(const char **at)
{
    uintptr_t v = 0;
    for (;; ++*at) {
        const char c = **at;
        if (c >= '0' && c <= '9')
            v = v * 16 + (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v * 16 + (uintptr_t)(c - 'a' + 10);
        else
            return v;
    }
}

/* The path of a line that holds the address, or NULL. */
static const char *path_of(const char *text, uintptr_t address)
{
    const char *at = text;
    const uintptr_t start = hex(&at), end = (at++, hex(&at));
    return address >= start && address < end ? strchr(at, '/') : NULL;
}

/* Longer lines are cut, which shortens their path. */
static const char *find_mapped(int fd, uintptr_t address, struct map_line *l)
{
    char part[1024];
    for (ssize_t got; (got = read(fd, part, sizeof part)) > 0;)
        for (ssize_t i = 0; i < got; i++)
            if (part[i] != '\n') {
                if (l->n < sizeof l->text - 1)
                    l->text[l->n++] = part[i];
            } else {
                l->text[l->n] = 0;
                const char *path = path_of(l->text, address);
                if (path)
                    return path;
                l->n = 0;
            }
    return NULL;
}

/* One write, so that nothing of another process comes between. */
static void report_lost(const char *path)
{
    const char *const parts[] = {"\nunlearn: cannot read '", path,
                                 "' any more: it became shorter while it was in use, or its disk "
                                 "failed; what was saved before is whole\n"};
    char text[1024];
    size_t n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (const char *at = parts[i]; *at && n < sizeof text; at++)
            text[n++] = *at;
    if (write(STDERR_FILENO, text, n) < 0)
        _exit(STATUS_FAILED);
}

static void on_bus_error(int sig, siginfo_t *info, void *context)
{
    static volatile atomic_flag told; /* several threads may read the file */
    struct map_line line = {.n = 0};
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    const char *path = fd < 0 ? NULL : find_mapped(fd, (uintptr_t)info->si_addr, &line);
    (void)context;
    if (!path) { /* no file's: our own bug, which ends the program where it happened */
        signal(sig, SIG_DFL);
        return;
    }
    if (!atomic_flag_test_and_set(&told)) {
        report_lost(path);
        _exit(STATUS_FAILED);
    }
    for (;;) /* until the thread that was first ends the program */
        pause();
}

static void close_output(void)
{
    fclose(stdout);
}

void start_process(void)
{
    const struct sigaction lost = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &lost, NULL);
    signal(SIGXFSZ, SIG_IGN);
    FILE *out = isatty(STDOUT_FILENO) ? escape_stream(STDOUT_FILENO) : NULL;
    if (out) {
        stdout = out;
        atexit(close_output);
    }
}

/* `timeout` signals its child and then its whole group, which the child is in: within this time two
 * signals are one. */
enum { SAME_MS = 500 };

static volatile sig_atomic_t stopped, first_signal;
static const char *volatile told; /* what the first signal writes; NULL: nothing */
static volatile int64_t first_ms; /* written once, before `stopped` */

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Of a terminal that is closed several signals come, and each line that is written to a closed pipe
 * is one more: SIGHUP and SIGPIPE never kill what is being saved. */
static void on_signal(int sig)
{
    if (!stopped) {
        const char *text = told;
        const int before = errno;
        first_ms = now_ms();
        first_signal = sig;
        stopped = 1;
        if (text && (sig == SIGINT || sig == SIGTERM) &&
            write(STDERR_FILENO, text, strlen(text)) < 0)
            told = NULL; /* nobody reads it */
        errno = before;
    } else if ((sig == SIGINT || sig == SIGTERM) && now_ms() - first_ms > SAME_MS) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
}

int interrupt_status(int status)
{
    return first_signal ? 128 + first_signal : status;
}

const volatile sig_atomic_t *interrupt_catch(const char *doing)
{
    told = log_is_quiet() ? NULL : doing;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    struct sigaction old, s = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&s.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        /* nohup ignores SIGHUP, so that the run outlives its terminal. */
        const bool ignored = !sigaction(signals[i], NULL, &old) && old.sa_handler == SIG_IGN;
        if (!ignored || signals[i] == SIGINT || signals[i] == SIGTERM)
            sigaction(signals[i], &s, NULL);
    }
    return &stopped;
}
