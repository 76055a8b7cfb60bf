#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

/* --- its command line --- */

struct words {
    char **v; /* owned [n], each owned, up to NULL */
    size_t n, cap;
};

static int add_word(struct words *w, struct err *e, const char *a, const char *b, const char *c)
{
    struct buf text = {0};
    if (mem_reserve(&w->v, &w->cap, w->n + 2, sizeof *w->v, e) ||
        buf_printf(&text, e, "%s%s%s", a, b, c)) {
        buf_fini(&text);
        return -1;
    }
    w->v[w->n++] = text.data;
    w->v[w->n] = NULL;
    return 0;
}

/* --name=value, --name or --no-name. */
static int add_option(struct words *w, const char *name, const json_t *v, struct err *e)
{
    struct buf text = {0}, flag = {0};
    if (json_is_null(v))
        return 0;
    if (json_is_boolean(v))
        return add_word(w, e, json_is_true(v) ? "--" : "--no-", name, "");
    int rc = buf_printf(&flag, e, "--%s=", name) ||
             (json_is_string(v) ? buf_str(&text, json_string_value(v), e)
                                : json_write_buf(v, &text, JSON_COMPACT | JSON_ENCODE_ANY, e)) ||
             add_word(w, e, flag.data, text.data ? text.data : "", "");
    buf_fini(&text);
    buf_fini(&flag);
    return rc;
}

static int make_words(struct words *w, const struct child *c, struct err *e)
{
    const char *name;
    json_t *v;
    int rc = add_word(w, e, "unlearn", "", "") || add_word(w, e, c->command, "", "") ||
             (c->word && add_word(w, e, c->word, "", ""));
    json_object_foreach((json_t *)c->options, name, v)
    {
        rc = rc || add_option(w, name, v, e);
    }
    for (const char *const *m = c->more; m && *m && !rc; m++)
        rc = add_word(w, e, *m, "", "");
    return rc;
}

static void words_fini(struct words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->v[i]);
    free(w->v);
}

/* --- the process --- */

struct files {
    int out, log;
    off_t began; /* where its messages begin in the log */
};

/* A file without a name. */
static int open_unnamed(struct err *e)
{
    char path[] = "/tmp/unlearn-XXXXXX";
    const int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, "cannot make a temporary file");
    unlink(path);
    return fd;
}

static int open_files(struct files *f, const struct child *c, struct err *e)
{
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC;
    f->log = c->log ? open(c->log, flags | O_APPEND, 0666) : open_unnamed(e);
    f->out = c->output    ? open(c->output, flags | O_TRUNC, 0666)
             : c->printed ? open_unnamed(e)
                          : open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (f->log < 0 && c->log)
        return err_sys(e, "cannot write '%s'", c->log);
    if (f->out < 0 && !c->printed)
        return err_sys(e, "cannot write '%s'", c->output ? c->output : "/dev/null");
    f->began = f->log < 0 ? 0 : lseek(f->log, 0, SEEK_END);
    return f->log < 0 || f->out < 0;
}

static void become(char **words, const struct files *f)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* it saves a checkpoint if its parent is killed */
    dup2(f->out, STDOUT_FILENO);
    dup2(f->log, STDERR_FILENO);
    execv("/proc/self/exe", words);
    _exit(127);
}

/* Its status as waitpid gives it. */
static int wait_for(pid_t pid, const volatile sig_atomic_t *stop)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    bool told = false;
    int status = 0;
    for (;;) {
        const pid_t got = waitpid(pid, &status, stop ? WNOHANG : 0);
        if (got == pid || (got < 0 && errno != EINTR))
            return got == pid ? status : -1;
        if (stop && *stop && !told)
            told = !kill(pid, SIGTERM);
        if (!got)
            nanosleep(&pause, NULL);
    }
}

/* All that is in the file from there on, NUL-terminated, owned by the caller. */
static char *read_from(int fd, off_t began, struct err *e)
{
    const off_t end = lseek(fd, 0, SEEK_END);
    const size_t n = end > began ? (size_t)(end - began) : 0;
    char *text = mem_alloc(n + 1, 1, e);
    if (text && pread(fd, text, n, began) != (ssize_t)n) {
        err_sys(e, "cannot read what a command printed");
        free(text);
        return NULL;
    }
    return text;
}

/* The last line of its messages that is the command's own, without the command. */
static int tell(const struct child *c, const struct files *f, int status, struct err *e)
{
    char *text = read_from(f->log, f->began, e), start[64];
    const char *found = NULL;
    snprintf(start, sizeof start, "unlearn %s: ", c->command);
    for (const char *at = text; at && *at; at += strcspn(at, "\n"), at += *at == '\n')
        if (!strncmp(at, start, strlen(start)))
            found = at + strlen(start);
    const bool stopped = c->stop && *c->stop;
    int rc = !text     ? -1
             : found   ? err_code(e, stopped ? ERR_INTERRUPTED : ERR_FAILED, "%s: %.*s", c->command,
                                  (int)strcspn(found, "\n"), found)
             : stopped ? err_code(e, ERR_INTERRUPTED, "interrupted")
             : WIFSIGNALED(status)
                 ? err_set(e, "%s: ended by signal %d", c->command, WTERMSIG(status))
                 : err_set(e, "%s: failed with exit status %d", c->command, WEXITSTATUS(status));
    free(text);
    return rc;
}

static int take_output(const struct child *c, const struct files *f, struct err *e)
{
    if (!c->printed)
        return 0;
    char *text = read_from(f->out, 0, e);
    *c->printed = text ? json_read_text(text, strlen(text), c->command, e) : NULL;
    free(text);
    return *c->printed ? 0 : -1;
}

int child_run(const struct child *c, struct err *e)
{
    struct words w = {0};
    struct files f = {-1, -1, 0};
    int rc = make_words(&w, c, e) || open_files(&f, c, e);
    const pid_t pid = rc ? -1 : fork();
    if (!pid)
        become(w.v, &f);
    if (!rc && pid < 0)
        rc = err_sys(e, "cannot start a process");
    if (!rc) {
        const int status = wait_for(pid, c->stop);
        const bool fine = WIFEXITED(status) && !WEXITSTATUS(status);
        rc = fine ? take_output(c, &f, e) : tell(c, &f, status, e);
    }
    if (f.out >= 0)
        close(f.out);
    if (f.log >= 0)
        close(f.log);
    words_fini(&w);
    return rc;
}
