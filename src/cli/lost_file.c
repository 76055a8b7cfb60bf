#include "cli/lost_file.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"

/* Only what a signal handler may call: the file is found in /proc/self/maps, whose lines are
 * "START-END PERMISSIONS OFFSET DEVICE INODE   PATH", addresses in hexadecimal. */
struct line {
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
static const char *find(int fd, uintptr_t address, struct line *l)
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
static void tell(const char *path)
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
    struct line line = {.n = 0};
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    const char *path = fd < 0 ? NULL : find(fd, (uintptr_t)info->si_addr, &line);
    (void)context;
    if (!path) { /* no file's: our own bug, which ends the program where it happened */
        signal(sig, SIG_DFL);
        return;
    }
    if (!atomic_flag_test_and_set(&told)) {
        tell(path);
        _exit(STATUS_FAILED);
    }
    for (;;) /* until the thread that was first ends the program */
        pause();
}

void lost_file_catch(void)
{
    struct sigaction s = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&s.sa_mask);
    sigaction(SIGBUS, &s, NULL);
}
