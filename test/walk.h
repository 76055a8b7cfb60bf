/* A tokenizer is used from file to file, and every allocation on the way fails once. */
#ifndef TEST_WALK_H
#define TEST_WALK_H

#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "tap.h"

/* `use` opens the tokenizer at `path`, works with it and saves it to `dir`; *sum: of the ids. */
static inline void walk_memory(int (*use)(const char *path, const char *dir, long *sum,
                                          struct err *e),
                               const char *path, const char *name)
{
    struct err e = {.msg = ""};
    char *dir = file_join(test_dir(), "walk", &e);
    mem_fail_at(-1);
    long want, got, told = 0, survived = 0;
    int rc = use(path, dir, &want, &e);
    long n = mem_fail_at(-1);
    for (long i = 0; i < n; i++) {
        e.msg[0] = 0;
        mem_fail_at(i);
        if (use(path, dir, &got, &e))
            told += e.msg[0] != 0;
        else
            survived += got == want; /* the regexes do without their machine code */
    }
    mem_fail_at(-1);
    ok(!rc && told + survived == n,
       "%s: each of %ld allocations failed once; %ld errors, %ld times it did without", name, n,
       told, survived);
    free(dir);
}

#endif
