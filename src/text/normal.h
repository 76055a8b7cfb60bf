/* Normalisers, applied to text before pre-tokenisation, step after step. The output of a step for a
 * text of n bytes has at most normal_most(n) bytes, so that a hostile file cannot exhaust memory
 * with a short text. (NFKC produces at most 11 bytes from one.)
 */
#ifndef TEXT_NORMAL_H
#define TEXT_NORMAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define NORMAL_MAX_STEPS 8

enum normal_kind {
    NORMAL_NFC,
    NORMAL_NFD,
    NORMAL_NFKC,
    NORMAL_NFKD,
    NORMAL_PREPEND, /* prepends `to` to a non-empty text */
    NORMAL_REPLACE, /* every `from` becomes `to` */
    NORMAL_LSTRIP,  /* removes leading white space */
    NORMAL_RSTRIP,
};

struct normal_step {
    enum normal_kind kind;
    char *from, *to;                 /* owned, or NULL */
    struct pcre2_real_code_8 *regex; /* owned: of `from`, if that is a pattern */
};

struct normal {
    struct normal_step steps[NORMAL_MAX_STEPS];
    int n;
};

void normal_fini(struct normal *m);
static inline size_t normal_most(size_t n)
{
    return 4096 + 64 * n;
}
/* `pattern`: `from` is a regular expression. */
int normal_add(struct normal *m, enum normal_kind kind, const char *from, const char *to,
               bool pattern, struct err *e);
/* Appends the normalised form of the valid UTF-8 s[0..n). Growth beyond the bound is an error that
 * names the step. */
int normal_run(const struct normal *m, const char *s, size_t n, struct buf *out, struct err *e);

#endif
