#include "cli/request_steps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack/attack.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/eval.h"
#include "cli/start.h"
#include "suites/metrics.h"
#include "suites/recipe.h"

/* --- a command as a child process --- */

struct child {
    const char *command;
    const char *word;        /* NULL: none */
    const json_t *options;   /* {name: value}; nulls are left out */
    const char *const *more; /* further words of its command line, up to NULL; NULL: none */
    const char *log;         /* its messages are appended there; NULL: they are kept for errors */
    const char *output;      /* its standard output goes there; NULL: to *printed or nowhere */
    json_t **printed;        /* gets it as JSON, a new reference; NULL: not wanted */
    const volatile sig_atomic_t *stop; /* once it is set the child is interrupted; NULL: never */
};

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

/* Runs this program with that command line and waits. An error is the child's own, of the command's
 * name; ERR_INTERRUPTED: it was stopped, and can be resumed. */
static int child_run(const struct child *c, struct err *e)
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

/* --- hooks --- */

static int run_generate(struct request_steps *w, const struct request_step *s, const char *path,
                        struct err *e)
{
    struct buf partial = {0};
    int rc = buf_printf(&partial, e, "%s.partial", path);
    const struct child c = {.command = s->command,
                            .options = s->options,
                            .more = (const char *const[]){"--quiet", NULL},
                            .log = w->log,
                            .output = partial.data,
                            .stop = w->stop};
    rc = rc || child_run(&c, e) ||
         (rename(partial.data, path) && err_sys(e, "cannot write '%s'", path));
    buf_fini(&partial);
    return rc;
}

static int run_step(void *ctx, const struct request_step *s, const char *dir, enum request_use use,
                    json_t **printed, struct err *e)
{
    struct request_steps *w = ctx;
    char id[32];
    snprintf(id, sizeof id, "%lld", (long long)w->run);
    const char *const check[] = {"--print-recipe", NULL};
    const char *const plan[] = {"--dry-run", "--json", "--quiet", "--out", dir, NULL};
    const char *const work[] = {"--quiet",
                                "--resume",
                                "--out",
                                dir,
                                "--ledger",
                                w->ledger ? w->ledger : "none",
                                w->run ? "--within" : NULL,
                                id,
                                NULL};
    struct child c = {.command = s->command,
                      .word = s->word,
                      .options = s->options,
                      .more = use == REQUEST_CHECK  ? check
                              : use == REQUEST_PLAN ? plan
                                                    : work,
                      .log = use == REQUEST_RUN ? w->log : NULL,
                      .printed = printed,
                      .stop = w->stop};
    if (use == REQUEST_RUN) {
        log_note("%s%s%s -> %s", s->command, s->word ? " " : "", s->word ? s->word : "", s->name);
        if (!strcmp(s->command, "generate"))
            return run_generate(w, s, dir, e);
    }
    return child_run(&c, e);
}

/* {metric: [set]}: the sets of its rows, none where it is computed from other metrics. */
static json_t *metrics_of(const struct suite_recipe *r)
{
    json_t *all = json_object();
    for (const struct metric *m = r->metrics; m && m->name; m++) {
        json_t *sets = json_array();
        if (!m->inputs[0] && !evaluation_is_robust(r))
            json_array_append_new(sets, json_string(r->sets[m->set].name));
        if (m->kind->flags & METRIC_ATTACK)
            json_array_append_new(sets, json_string(r->sets[m->against].name));
        json_object_set_new(all, m->name, sets);
    }
    return all;
}

static json_t *suite_of(void *ctx, const char *name, struct err *e)
{
    struct suite_recipe r;
    (void)ctx;
    if (suite_recipe_open(&r, name, e)) {
        err_prefix(e, "'suites': ");
        return NULL;
    }
    json_t *sets = json_object();
    for (int i = 0; i < r.n_sets; i++)
        json_object_set_new(sets, r.sets[i].name,
                            r.sets[i].role == ROLE_COUNT ? json_null()
                                                         : json_string(role_name[r.sets[i].role]));
    json_t *all = json_pack("{s:o, s:o, s:b}", "metrics", r.n_tasks ? json_null() : metrics_of(&r),
                            "sets", sets, "attacks", evaluation_is_robust(&r));
    suite_recipe_close(&r);
    if (!all)
        err_no_memory(e, "suite");
    return all;
}

static int check_attack(void *ctx, const char *name, struct err *e)
{
    (void)ctx;
    return table_find(attacks, "attack", name, e) ? 0 : err_prefix(e, "'attacks': ");
}

static char *ledger_out(void *ctx, int64_t run, struct err *e)
{
    const struct request_steps *w = ctx;
    const char *given = w->given;
    struct ledger l = {.db = NULL};
    json_t *row = NULL;
    char *out = NULL, *path = given    ? mem_strdup(given, e)
                              : w->out ? recording_place(w->out, e)
                                       : mem_strdup("unlearn.db", e);
    if (path && !ledger_open(&l, path, LEDGER_READ, e) && (row = ledger_find(&l, run, e)))
        out = mem_strdup(json_string_value(json_object_get(row, "out")), e);
    free(path);
    ledger_close(&l);
    json_decref(row);
    return out;
}

struct request_hooks request_steps_hooks(struct request_steps *w)
{
    return (struct request_hooks){.run = run_step,
                                  .suite = suite_of,
                                  .attack = check_attack,
                                  .ledger_out = ledger_out,
                                  .ctx = w};
}

int request_steps_begin(struct request_steps *w, const struct recording *record, struct err *e)
{
    w->log = file_join(w->out, "log.txt", e);
    w->ledger = record->ledger.db ? file_absolute(record->ledger.path, e) : NULL;
    w->run = record->ledger.run;
    w->stop = interrupt_catch("\ninterrupted: the current step saves what it can; the same command "
                              "continues\n");
    return !w->log || (record->ledger.db && !w->ledger);
}

void request_steps_fini(struct request_steps *w)
{
    free(w->ledger);
    free(w->log);
}
