/* Tests print TAP and end with done(). ok() counts; near() compares numbers and shows both. */
#ifndef TEST_TAP_H
#define TEST_TAP_H

#include <stdbool.h>

bool ok(bool pass, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* |got - want| <= atol + rtol |want|; NaN never passes. */
bool near(double got, double want, double rtol, double atol, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* One passing line that says why nothing was checked. */
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int done(void); /* prints the plan; the exit status */

/* test/data/NAME of the project, or NULL and a note if a file is missing. Owned by the caller. */
char *test_data(const char *name);
/* Second tier: NAME under $UNLEARN_SHARED (default ../shared), or NULL when absent. Owned. */
char *test_shared(const char *name);
/* Second tier: the SmolLM2 GGUF in the cache, or NULL. Owned. */
char *test_smollm2(void);
/* A fresh scratch directory under $TMPDIR, removed at exit. */
const char *test_dir(void);

#endif
