/* Second tier: the memory that `unlearn info` foretells against the peak of a run on SmolLM2. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "tap.h"

enum { ROWS = 2, LENGTH = 128 };

/* Runs the program by the shell; the largest resident size in bytes, or 0 if it fails. */
static double peak(const char *command)
{
    struct rusage u;
    int status;
    pid_t pid = fork();
    if (!pid) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &u) != pid || status)
        return 0;
    return 1024.0 * (double)u.ru_maxrss;
}

/* Rows that share no beginning, within the file and with another `first`. */
static void write_rows(const char *path, int first)
{
    struct err e;
    struct buf b = {0};
    for (int r = 0; r < ROWS; r++) {
        buf_str(&b, "{\"ids\": [", &e);
        for (int t = 0; t < LENGTH; t++)
            buf_printf(&b, &e, "%s%d", t ? ", " : "", first + 37 * t + 1000 * r);
        buf_str(&b, "]}\n", &e);
    }
    file_write(path, b.data, b.len, &e);
    buf_fini(&b);
}

/* "total" of a job in what info printed. */
static double planned(const char *info, const char *job)
{
    struct err e;
    json_t *j = json_read_file(info, &e);
    const json_t *memory = json_object_get(json_object_get(j, "memory"), job);
    double total = json_number_value(json_object_get(memory, "total"));
    json_decref(j);
    return total;
}

int main(void)
{
    static const struct {
        const char *job, *command;
    } runs[] = {
        {"eval", "score --data %s/rows --tokens 256 --json"},
        {"lora",
         "forget --forget %s/rows --retain %s/retained --batch 2 --max-steps 1 --method GradDiff "
         "--retain-loss-type KL --locate lora --save-adapter --out %s/adapted"},
        {"train", "train --data %s/rows --batch 2 --max-steps 1 --dtype bf16 --out %s/trained"},
    };
    const char *program = getenv("UNLEARN"), *dir = test_dir();
    char *model = test_smollm2(), info[600], command[2000], rest[1000];
    if (!program || !model || strstr(program, "sanitize")) {
        skip("needs SmolLM2 in the cache, and UNLEARN, a program without sanitizers");
        free(model);
        return done();
    }
    snprintf(rest, sizeof rest, "%s/rows", dir);
    write_rows(rest, 100);
    snprintf(rest, sizeof rest, "%s/retained", dir);
    write_rows(rest, 5100);
    snprintf(info, sizeof info, "%s/info", dir);
    snprintf(command, sizeof command, "exec %s info %s --json --batch %d --length %d >%s", program,
             model, ROWS, LENGTH, info);
    ok(peak(command) > 0, "info");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        snprintf(rest, sizeof rest, runs[i].command, dir, dir, dir);
        snprintf(command, sizeof command, "exec %s %s --quiet --model %s >%s/out", program, rest,
                 model, dir);
        const double want = planned(info, runs[i].job), got = peak(command);
        ok(want > 0.85 * got && want < 1.15 * got, "%s: %.0f MiB planned, %.0f at most used",
           runs[i].job, want / 0x1p20, got / 0x1p20);
    }
    free(model);
    return done();
}
