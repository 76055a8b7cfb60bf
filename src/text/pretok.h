/* The pre-tokeniser: regular expressions that cut text into the words that BPE works on. Steps
 * follow each other: every piece of one step is cut again by the next, which sees nothing outside
 * the piece. Patterns are written for Oniguruma or Rust; the subset they share with PCRE2 is what
 * vocabularies use, and \s is rewritten to mean Unicode's White_Space.
 */
#ifndef TEXT_PRETOK_H
#define TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define PRETOK_MAX_STEPS 8

/* GPT-2's pattern, which ByteLevel(use_regex) stands for. */
#define PRETOK_GPT2                                                                                \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define PRETOK_DIGIT "\\p{N}"

/* What becomes of the text that a step's pattern matches and of the gaps between matches. */
enum pretok_keep { PRETOK_ISOLATE, PRETOK_DROP_MATCHES, PRETOK_DROP_GAPS };

struct pcre2_real_code_8;

struct pretok_step {
    char *pattern;                   /* owned, as it was given */
    struct pcre2_real_code_8 *regex; /* owned */
    enum pretok_keep keep;
};

struct pretok {
    struct pretok_step steps[PRETOK_MAX_STEPS];
    int n;
};

void pretok_fini(struct pretok *p);
/* `literal`: the pattern is plain text. */
int pretok_add(struct pretok *p, const char *pattern, bool literal, enum pretok_keep keep,
               struct err *e);

/* Scratch of one thread. */
struct pretok_work;
struct pretok_work *pretok_work_new(struct err *e);
void pretok_work_free(struct pretok_work *w);

typedef int pretok_emit(void *ctx, const char *s, size_t n, struct err *e);
/* Calls emit for every word of the valid UTF-8 s[0..n), in order. */
int pretok_run(const struct pretok *p, struct pretok_work *w, const char *s, size_t n,
               pretok_emit *emit, void *ctx, struct err *e);

#endif
