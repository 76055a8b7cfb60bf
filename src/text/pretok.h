/* The pre-tokeniser: steps that split text into the words that BPE encodes. Every piece of a step
 * is passed to the next, which has no access to the text around it. Most steps split by a regular
 * expression; patterns are written for Oniguruma or Rust; the subset they share with PCRE2
 * is what vocabularies use, and \s is rewritten to mean Unicode's White_Space.
 */
#ifndef TEXT_PRETOK_H
#define TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "text/scan.h"

#define PRETOK_MAX_STEPS 8

/* U+2581, SentencePiece's space mark. */
#define PRETOK_MARK "\xe2\x96\x81"

enum pretok_kind {
    PRETOK_SPLIT,     /* by a pattern */
    PRETOK_SPACE,     /* prepends a space, unless there is one */
    PRETOK_METASPACE, /* spaces become U+2581, and one is prepended */
    PRETOK_SYMBOLS,   /* bytes become their symbols (vocab.h) until the words are complete */
};

/* Treatment of matched text (HF's SplitDelimiterBehavior): Isolated, Removed, MergedWithPrevious,
 * MergedWithNext, Contiguous. */
enum pretok_keep { PRETOK_ISOLATE, PRETOK_DROP, PRETOK_TO_PREVIOUS, PRETOK_TO_NEXT, PRETOK_JOIN };

/* Metaspace's prepend_scheme: never, at the start of the text, at every piece. */
enum pretok_prepend { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS };

struct pcre2_real_code_8;

struct pretok_step {
    enum pretok_kind kind;
    char *pattern;                   /* owned, as it was given */
    struct pcre2_real_code_8 *regex; /* owned */
    scan_word *scan;                 /* does the same for most of ASCII, or NULL */
    enum pretok_keep keep;
    bool invert; /* the text between matches counts as matched, and vice versa */
    enum pretok_prepend prepend;
};

struct pretok {
    struct pretok_step steps[PRETOK_MAX_STEPS];
    int n;
};

void pretok_fini(struct pretok *p);
int pretok_add(struct pretok *p, const struct pretok_step *step, struct err *e);
/* Adds PRETOK_SPACE as the first step, or removes it. */
int pretok_prefix(struct pretok *p, bool prefix, struct err *e);
/* `literal`: the pattern is plain text. */
int pretok_add_split(struct pretok *p, const char *pattern, bool literal, enum pretok_keep keep,
                     bool invert, struct err *e);

/* Scratch of one thread. */
struct pretok_work;
struct pretok_work *pretok_work_new(struct err *e);
void pretok_work_free(struct pretok_work *w);

typedef int pretok_emit(void *ctx, const char *s, size_t n, struct err *e);
/* Calls emit for every word of the valid UTF-8 s[0..n), in order. `first`: a text starts here. */
int pretok_run(const struct pretok *p, struct pretok_work *w, const char *s, size_t n, bool first,
               pretok_emit *emit, void *ctx, struct err *e);

/* A pattern in this dialect; release with pcre2_code_free. */
struct pcre2_real_code_8 *pretok_compile(const char *pattern, bool literal, struct err *e);
/* The first match in s[at..n) that is not empty; none: [n, n). */
int pretok_match(struct pcre2_real_code_8 *regex, struct pretok_work *w, const char *s, size_t n,
                 size_t at, size_t *from, size_t *to, struct err *e);

#endif
