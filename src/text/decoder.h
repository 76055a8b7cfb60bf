/* Decoders: what makes text of the texts of tokens. The tokens are a list of strings, and each step
 * makes another list of it; at the end the strings are joined. No step may make more of n bytes
 * than normal_most(n) (normal.h).
 */
#ifndef TEXT_DECODER_H
#define TEXT_DECODER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define DECODER_MAX_STEPS 8

enum decoder_kind {
    DECODE_BYTE_LEVEL, /* symbols (bytelevel.h) become bytes, all strings one */
    DECODE_BYTES,      /* runs of <0x00>..<0xFF> become the characters they spell */
    DECODE_REPLACE,    /* `from` becomes `to` */
    DECODE_FUSE,       /* all strings become one */
    DECODE_STRIP,      /* up to `start` and `stop` times `from` goes at the ends of each */
    DECODE_METASPACE,  /* U+2581 becomes a space; in the first string nothing if `start` */
};

struct decoder_step {
    enum decoder_kind kind;
    char *from, *to; /* owned, or NULL */
    int start, stop;
};

struct decoder {
    struct decoder_step steps[DECODER_MAX_STEPS];
    int n;
};

void decoder_fini(struct decoder *d);
/* Copies from and to. */
int decoder_add(struct decoder *d, const struct decoder_step *step, struct err *e);

/* Strings one after the other. */
struct strings {
    struct buf text;
    size_t *end; /* [n] owned: where each ends */
    size_t n, cap;
    size_t most; /* bytes that replacements may make; of decoder_run alone */
};

int strings_add(struct strings *s, const char *text, size_t n, struct err *e);
void strings_fini(struct strings *s);

/* The strings are the tokens' at first and the text's at the end. */
int decoder_run(const struct decoder *d, struct strings *s, struct err *e);

#endif
