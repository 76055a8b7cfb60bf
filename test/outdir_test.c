/* Output directories: refusals, locks, what dead processes left, and models replaced as a whole. */
#include "base/outdir.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "tap.h"

static struct err e;

static const char *at(const char *name)
{
    static char path[4][600];
    static int k;
    k = (k + 1) % 4;
    snprintf(path[k], sizeof path[k], "%s/%s", test_dir(), name);
    return path[k];
}

static void put(const char *name, const char *text)
{
    if (file_write(at(name), text, strlen(text), &e))
        note("%s", e.msg);
}

static bool holds(const char *name, const char *text)
{
    char *got = file_read(at(name), NULL, &e);
    bool same = got && !strcmp(got, text);
    free(got);
    return same;
}

static bool is_there(const char *name)
{
    struct stat st;
    return !lstat(at(name), &st);
}

static void check_refusals(void)
{
    struct outdir d, other;
    ok(!outdir_open(&d, at("a/b"), OUTDIR_EMPTY, &e), "made with its parent");
    ok(outdir_open(&other, at("a/b"), OUTDIR_REPLACE, &e) && strstr(e.msg, "in use by another"),
       "in use: %s", e.msg);
    outdir_close(&d, true);
    ok(!is_there("a/b") && is_there("a"), "a failed run leaves no empty directory");
    mkdir(at("full"), 0777);
    mkdir(at("full/lost+found"), 0777);
    ok(!outdir_open(&d, at("full"), OUTDIR_EMPTY, &e), "lost+found is nothing");
    outdir_close(&d, true);
    ok(is_there("full"), "what was there before stays");
    put("full/.hidden", "");
    ok(outdir_open(&d, at("full"), OUTDIR_EMPTY, &e) && strstr(e.msg, "it holds '.hidden'"),
       "not empty: %s", e.msg);
    ok(!outdir_open(&d, at("full"), OUTDIR_CONTINUE, &e), "but may be gone on with");
    outdir_close(&d, false);
    put("file", "");
    ok(outdir_open(&d, at("file"), OUTDIR_EMPTY, &e), "a file: %s", e.msg);
}

/* A process that holds the lock and is killed. */
static void check_killed(void)
{
    struct outdir d;
    int ready[2];
    if (pipe(ready))
        return;
    pid_t pid = fork();
    if (!pid) {
        char c = (char)outdir_open(&d, at("killed"), OUTDIR_EMPTY, &e);
        char name[64];
        snprintf(name, sizeof name, "killed/run.json.tmp.%ld", (long)getpid());
        put(name, "half");
        c = (char)(c | (write(ready[1], &c, 1) != 1));
        pause();
    }
    char c = 1;
    ok(read(ready[0], &c, 1) == 1 && !c, "another process has it");
    ok(outdir_open(&d, at("killed"), OUTDIR_CONTINUE, &e), "it is locked: %s", e.msg);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    char theirs[64], alive[64];
    snprintf(theirs, sizeof theirs, "killed/run.json.tmp.%ld", (long)pid);
    snprintf(alive, sizeof alive, "killed/run.json.tmp.%ld", (long)getppid());
    put(alive, "being written");
    put("killed/my.tmp.notes", "mine");
    ok(is_there(theirs), "its file is left");
    ok(!outdir_open(&d, at("killed"), OUTDIR_CONTINUE, &e), "the lock is not");
    ok(!is_there(theirs) && is_there(alive) && is_there("killed/my.tmp.notes"),
       "its file is cleared; those of a living process and of other names are not");
    outdir_close(&d, false);
}

static void make_old(const char *dir)
{
    char name[64];
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "train.jsonl"};
    mkdir(at(dir), 0750);
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s/%s", dir, files[i]);
        put(name, "old");
    }
    snprintf(name, sizeof name, "%s/stage", dir);
    mkdir(at(name), 0777);
    snprintf(name, sizeof name, "%s/stage/config.json", dir);
    put(name, "of the stage");
}

static bool is_new(const char *dir)
{
    char name[6][64];
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json",
                                        "train.jsonl", "stage/config.json", "model.tmp"};
    for (int i = 0; i < 6; i++)
        snprintf(name[i], sizeof name[i], "%s/%s", dir, files[i]);
    return holds(name[0], "new") && holds(name[1], "new") && !is_there(name[2]) &&
           holds(name[3], "old") && holds(name[4], "of the stage");
}

static int replace(const char *dir)
{
    struct outdir d;
    char path[700];
    if (outdir_open(&d, at(dir), OUTDIR_REPLACE, &e) || outdir_stage(&d, &e))
        return -1;
    snprintf(path, sizeof path, "%s/config.json", d.stage);
    int rc = file_write(path, "new", 3, &e);
    snprintf(path, sizeof path, "%s/model.safetensors", d.stage);
    rc = rc || file_write(path, "new", 3, &e) || outdir_commit(&d, &e) ? -1 : 0;
    struct outdir other;
    ok(outdir_open(&other, at(dir), OUTDIR_REPLACE, &e), "it stays locked: %s", e.msg);
    outdir_close(&d, rc);
    return rc;
}

static void check_replaced(void)
{
    struct stat before, after;
    make_old("model");
    stat(at("model"), &before);
    ok(!replace("model") && is_new("model"), "a model is replaced, other files and stages stay");
    stat(at("model"), &after);
    ok(before.st_ino != after.st_ino && before.st_mode == after.st_mode,
       "by an exchange of directories of the same mode");

    make_old("links");
    put("elsewhere", "kept");
    unlink(at("links/model.safetensors"));
    ok(!symlink("../elsewhere", at("links/model.safetensors")) && !replace("links") &&
           is_new("links") && holds("elsewhere", "kept"),
       "a link is replaced, its target stays");

    make_old("real");
    ok(!symlink("real", at("name")) && !replace("name") && is_new("real"),
       "a directory by way of a link");

    /* The working directory is not exchanged. */
    make_old("here");
    stat(at("here"), &before);
    ok(!chdir(at("here")) && !replace("here") && is_new("here"), "one by one");
    stat(at("here"), &after);
    ok(before.st_ino == after.st_ino && !chdir("/"), "in the same directory");
}

/* An exchange that was killed before its end: what was not moved yet comes back. */
static void check_unfinished(void)
{
    struct outdir d;
    char name[64], inner[80];
    pid_t pid = fork();
    if (!pid)
        _exit(0);
    waitpid(pid, NULL, 0);
    make_old("torn");
    snprintf(name, sizeof name, "torn.tmp.%ld", (long)pid);
    mkdir(at(name), 0777);
    snprintf(inner, sizeof inner, "%s/config.json", name);
    put(inner, "older");
    snprintf(inner, sizeof inner, "%s/train.jsonl", name);
    put(inner, "older");
    snprintf(inner, sizeof inner, "%s/first", name);
    mkdir(at(inner), 0777);
    ok(!outdir_open(&d, at("torn"), OUTDIR_CONTINUE, &e) && !is_there(name) &&
           is_there("torn/first") && holds("torn/train.jsonl", "old") &&
           holds("torn/config.json", "old"),
       "an unfinished exchange is settled");
    outdir_close(&d, false);
}

int main(void)
{
    check_refusals();
    check_killed();
    check_replaced();
    check_unfinished();
    return done();
}
